"""Finding changed copies of real pictures: recall of each kind of change, and precision among different pictures.

    python benchmarks/duplicates.py --data FLICKR8K_FOLDER [--pictures 500] [--split dev]

Each picture is changed in every way below; a changed copy should be near its original and no other.
Recall: share of copies that are near their original. Precision: near pairs of copies and originals that belong together
among all near pairs of copies and originals. The number of bits is chosen on the even pictures and reported on the odd.
Finally, near pairs among all pictures of the set are listed. Flickr8k has bursts of one scene, so inspect them before
counting one as an error.
"""

import argparse
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from araclip.evaluation.sets import read_pictures
from araclip.gallery.near_hashes import NEAR, near_pairs
from araclip.pictures import phash
from araclip.pictures.images import open_image, square


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


def hashes_of(images: Iterable[Image.Image]) -> np.ndarray:
    return phash.phash(np.stack([square(image, phash.SIZE) for image in images]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    rows = read_pictures(arguments.data, (), (), arguments.split)[: arguments.pictures]
    originals = [open_image(row.path) for row in rows]
    hashes = hashes_of(originals)
    apart = {}
    for name, change in CHANGES.items():
        apart[name] = np.bitwise_count(hashes_of(map(change, originals))[:, None] ^ hashes[None, :])  # copy, original
    print(f"{len(rows)} pictures")
    for half in (0, 1):
        half_rows = np.ix_(range(half, len(rows), 2), range(half, len(rows), 2))
        own = np.eye(len(rows), dtype=bool)[half_rows]
        print(f"\n{'reported' if half else 'choosing'} half: re-encodes and resizes together")
        for bits in (2, 4, 6, 8, 10, 12, 14, 16):
            near = np.stack([apart[name][half_rows] <= bits for name in PROMISED])
            right = int((near & own).sum())
            print(f"  {bits:2} bits: recall {right / len(own) / len(PROMISED):.4f}, precision {right / near.sum():.4f}")
        print(f"shipped: {NEAR} bits\n| change | recall | precision |\n|---|---|---|")
        for name in CHANGES:
            near = apart[name][half_rows] <= NEAR
            right = int((near & own).sum())
            print(f"| {name} | {right / len(own):.3f} | {right / max(int(near.sum()), 1):.3f} |")
    everything = read_pictures(arguments.data, (), ())
    found = list(phash.hashes(row.path for row in everything))
    paths = [path for path, value in found if isinstance(value, int)]
    pairs = near_pairs(np.array([value for _, value in found if isinstance(value, int)], np.uint64))
    alike = [(paths[a].name, paths[b].name) for a, b in pairs]
    print(
        f"\nnear pairs among all {len(paths)} pictures of the set: {len(alike)} of {len(paths) * (len(paths) - 1) // 2}"
    )
    for one, other in alike[:20]:
        print(f"  {one} {other}")


if __name__ == "__main__":
    main()
