"""Finding changed copies of real pictures: recall of each kind of change, and precision among different pictures.

    python benchmarks/duplicates.py --data FLICKR8K_FOLDER [--pictures 500] [--split dev]

Each picture is changed in every way below; the changed copy should be near its original and near no other picture.
Recall: share of copies that are near their original. Precision: near pairs of copies and originals that belong together
among all near pairs of copies and originals. Pairs of different originals count separately: Flickr8k holds some bursts
of one scene, which are listed by their number and are not all mistakes. Thresholds are chosen on the even pictures and
reported on the odd.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from araclip import AraCLIP, phash
from araclip.evaluation.datasets import read_pictures
from araclip.gallery import duplicates
from araclip.images import open_image, square


def resaved(image: Image.Image, kind: str, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, kind, quality=quality)
    return Image.open(io.BytesIO(written.getvalue())).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize(
        (max(1, int(image.width * factor)), max(1, int(image.height * factor))), Image.Resampling.LANCZOS
    )


def cropped(image: Image.Image, share: float) -> Image.Image:
    w, h = int(image.width * share), int(image.height * share)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return image.crop((left, top, left + w, top + h))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encode JPEG 90": lambda i: resaved(i, "JPEG", 90),
    "re-encode JPEG 50": lambda i: resaved(i, "JPEG", 50),
    "re-encode JPEG 20": lambda i: resaved(i, "JPEG", 20),
    "re-encode WEBP 60": lambda i: resaved(i, "WEBP", 60),
    "resize to half": lambda i: scaled(i, 0.5),
    "resize to a quarter, JPEG 75": lambda i: resaved(scaled(i, 0.25), "JPEG", 75),
    "resize to double": lambda i: scaled(i, 2.0),
    "brighter by 20 %": lambda i: ImageEnhance.Brightness(i).enhance(1.2),
    "grey": lambda i: i.convert("L").convert("RGB"),
    "crop to 95 %": lambda i: cropped(i, 0.95),
    "crop to 80 %": lambda i: cropped(i, 0.80),
    "mirrored": ImageOps.mirror,
}
PROMISED = [name for name in CHANGES if name.startswith(("re-encode", "resize"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    model = AraCLIP.load()
    size = model.config.image.size
    rows = read_pictures(arguments.data, (), (), arguments.split)[: arguments.pictures]
    originals = [open_image(row.path) for row in rows]

    def looks(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        vectors = [model.encode_pixels(square(image, size)[None])[0] for image in images]
        return phash.phash(np.stack([square(image, phash.SIZE) for image in images])), np.stack(vectors)

    hashes, vectors = looks(originals)
    apart, cosines = {}, {}
    for name, change in CHANGES.items():
        changed_hashes, changed_vectors = looks([change(image) for image in originals])
        apart[name] = np.bitwise_count(changed_hashes[:, None] ^ hashes[None, :])  # (n, n): copy, original
        cosines[name] = changed_vectors @ vectors.T
    print(f"{len(rows)} pictures, {model.config.label}")
    own = np.eye(len(rows), dtype=bool)
    for half in (0, 1):
        mine = np.ix_(range(half, len(rows), 2), range(half, len(rows), 2))
        print(f"\n{'reported' if half else 'choosing'} half: promised changes together, by bits and cosine")
        for bits in (6, 8, 10, 12, 14):
            for least in (-1.0, 0.7, 0.8, 0.85, 0.9):
                near = {name: ((apart[name] <= bits) & (cosines[name] >= least))[mine] for name in CHANGES}
                right = sum(int((near[name] & own[mine]).sum()) for name in PROMISED)
                all_near = sum(int(near[name].sum()) for name in PROMISED)
                print(f"  {bits:2} bits, cosine {least:4}: recall {right / len(PROMISED) / len(near['grey']):.4f}, "
                      f"precision {right / max(all_near, 1):.4f}")  # fmt: skip
        near = {
            name: ((apart[name] <= duplicates.NEAR) & (cosines[name] >= duplicates.NEAR_COSINE))[mine]
            for name in CHANGES
        }
        print(f"shipped: {duplicates.NEAR} bits, cosine {duplicates.NEAR_COSINE}")
        print("| change | recall | precision |\n|---|---|---|")
        for name, found in near.items():
            right = int((found & own[mine]).sum())
            print(f"| {name} | {right / len(found):.3f} | {right / max(int(found.sum()), 1):.3f} |")
    pairs = list(duplicates.near_pairs(hashes, vectors))
    print(f"\nnear pairs among the originals: {len(pairs)}")
    for a, b in pairs[:10]:
        print(f"  {rows[a].path.name} {rows[b].path.name}")
    for least in (0.8, 0.85, 0.9, 0.95):
        found = list(duplicates.semantic_pairs(vectors, least))
        print(f"semantic pairs among the originals at cosine {least}: {len(found)}")


if __name__ == "__main__":
    main()
