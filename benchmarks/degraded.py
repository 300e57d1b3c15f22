"""What recall loses on pictures as people have them: compressed, enlarged and reduced again, grey, cropped.

    python benchmarks/degraded.py --set FLICKR8K --split dev [--copies FOLDER] [--model araclip-mini]

Protocol: text → picture over one split, every caption a query. All pictures of the set are changed in one way; a row
says how recall is then, and by how much R@5 changed, with its 95 % interval by bootstrap over pictures. --copies names
a folder with other copies of the same files, such as those of another quality: a row of its own.
"""

import argparse
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip import AraCLIP
from araclip.evaluation.scores import interval, ranks
from araclip.evaluation.sets import read_pictures

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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True, help="a picture set with captions.jsonl")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--images", type=Path, help="the folder that holds the set's pictures, if another")
    parser.add_argument("--field", default="caption_ar")
    parser.add_argument("--copies", type=Path)
    parser.add_argument("--model", default="araclip-mini")
    args = parser.parse_args()
    model = AraCLIP.load(args.model)
    listed = read_pictures(args.set, (), (args.field,), args.split, images=args.images)
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
    if args.copies:
        rows.append((f"copies in {args.copies.name}", [args.copies / file.name for file in files], CHANGES["as it is"]))
    plain: NDArray[np.float64] | None = None
    for name, of, change in rows:
        places = found(of, change)
        plain = places if plain is None else plain
        apart = (places <= 5).astype(np.float64) - (plain <= 5)
        low, high = interval(apart, owner)
        cells = [f"{(places <= most).mean():.3f}" for most in (1, 5, 10)] + [f"{(1 / places).mean():.3f}"]
        print(f"| {name} | {' | '.join(cells)} | {apart.mean():+.3f} [{low:+.3f}, {high:+.3f}] |", flush=True)


if __name__ == "__main__":
    main()
