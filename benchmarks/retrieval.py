"""Recall of a model folder on a picture set, with the exported ONNX files; also on pictures as people have them.

    python benchmarks/retrieval.py --data FLICKR8K [--model araclip-mini] [--split dev]
    python benchmarks/retrieval.py --data FLICKR8K --changed [--copies FOLDER] [--images FOLDER]

Protocol: every caption of the field is a query over all pictures of the split; the one picture it describes is
relevant (any-hit); ties at their expected rank.

--changed: text → picture in Arabic alone; all pictures are compressed, enlarged and reduced again, made grey or
cropped. A row says how recall is then, and by how much R@5 changed, with its 95 % interval by bootstrap over pictures.
--copies names a folder with other copies of the same files, such as those of another quality: a row of its own.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip import AraCLIP
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import interval, measures, ranks
from araclip.evaluation.sets import read_pictures, read_set

Change = Callable[[Image.Image], Image.Image]
ENLARGED, CROP = 500, 0.05  # pixels a side; the part of a side that is cut off at each edge


def saved(kind: str, quality: int) -> Change:
    """Saved in this format and read again."""

    def change(picture: Image.Image) -> Image.Image:
        file = BytesIO()
        picture.save(file, kind, quality=quality)
        return Image.open(file).convert("RGB")

    return change


def enlarged(picture: Image.Image) -> Image.Image:
    """Enlarged and reduced again."""
    return picture.resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)


def cropped(picture: Image.Image) -> Image.Image:
    """A tenth of each side less."""
    across, down = round(picture.width * CROP), round(picture.height * CROP)
    return picture.crop((across, down, picture.width - across, picture.height - down))


CHANGES: Mapping[str, Change] = {
    "as it is": lambda picture: picture,
    "JPEG, quality 85": saved("JPEG", 85),
    "JPEG, quality 60": saved("JPEG", 60),
    "WebP, quality 75": saved("WEBP", 75),
    "enlarged to 500, reduced": enlarged,
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "cropped by a tenth": cropped,
}


def both_languages(model: AraCLIP, data: Path, split: str, fields: Mapping[str, str]) -> None:
    """Recall and MRR of both directions."""
    image_vectors = None
    print(f"{model.config.label} on {data.name} {split}")
    for language, field in fields.items():
        pictures = read_set(data, field, split)
        if image_vectors is None:
            image_vectors = model.encode_image(pictures.pictures)
        found = evaluate(model, pictures, image_vectors=image_vectors)
        protocol = found.protocol
        print(
            f"{language} ({field}): {protocol.n_queries} queries, {protocol.n_images} pictures, "
            f"{found.missing} missing, protocol {protocol.id}"
        )
        for way, direction in (("t2i", found.t2i), ("i2t", found.i2t)):
            print(f"  {way} ", json.dumps({name: round(value, 4) for name, value in measures(direction).items()}))


def changed(model: AraCLIP, data: Path, split: str, field: str, images: Path | None, copies: Path | None) -> None:
    """A table of what recall loses by each change."""
    listed = read_pictures(data, (), (field,), split, images=images)
    files = [picture.path for picture in listed]
    texts = [text for picture in listed for text in picture.arabic]
    owner = [row for row, picture in enumerate(listed) for _ in picture.arabic]
    queries = model.encode_text(texts)

    def found(files: list[Path], change: Change) -> NDArray[np.float64]:
        vectors = model.encode_image([change(Image.open(file).convert("RGB")) for file in files])
        return ranks(queries, vectors, [[row] for row in owner])

    print(f"{model.label}, {len(files):,} pictures, {len(texts):,} captions")
    print("| pictures | R@1 | R@5 | R@10 | MRR | change of R@5 |\n|---|---|---|---|---|---|")
    rows = [(name, files, change) for name, change in CHANGES.items()]
    if copies:
        rows.append((f"copies in {copies.name}", [copies / file.name for file in files], CHANGES["as it is"]))
    plain: NDArray[np.float64] | None = None
    for name, of, change in rows:
        places = found(of, change)
        plain = places if plain is None else plain
        apart = (places <= 5).astype(np.float64) - (plain <= 5)
        low, high = interval(apart, owner)
        cells = [f"{(places <= most).mean():.3f}" for most in (1, 5, 10)] + [f"{(1 / places).mean():.3f}"]
        print(f"| {name} | {' | '.join(cells)} | {apart.mean():+.3f} [{low:+.3f}, {high:+.3f}] |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a picture set with captions.jsonl")
    parser.add_argument("--model", default="araclip-mini")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--arabic", default="caption_ar")
    parser.add_argument("--english", default="caption_en")
    parser.add_argument("--changed", action="store_true", help="pictures as people have them")
    parser.add_argument("--images", type=Path, help="the folder that holds the set's pictures, if another")
    parser.add_argument("--copies", type=Path, help="other copies of the same files")
    args = parser.parse_args()
    model = AraCLIP.load(args.model)
    if args.changed:
        changed(model, args.data, args.split, args.arabic, args.images, args.copies)
    else:
        both_languages(model, args.data, args.split, {"arabic": args.arabic, "english": args.english})


if __name__ == "__main__":
    main()
