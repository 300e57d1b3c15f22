"""Distances of perceptual hashes of copies and of different pictures: the basis of the leak check's threshold.

    python benchmarks/near_copies.py --pictures FLICKR8K/images [--count 5000]

Different pictures: all pairs of the set (which may contain true copies: inspect the printed pairs). Copies: 150
pictures recompressed, scaled, brightened, cropped by a twentieth, mirrored.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from araclip.pictures.images import open_image, square
from araclip.pictures.phash import SIZE, hashes, phash

CHANGES: dict[str, tuple[int, Callable[[Image.Image], Image.Image]]] = {  # JPEG quality, and the change before saving
    "recompressed": (30, lambda image: image),
    "half the size": (85, lambda image: image.resize((image.width // 2, image.height // 2))),
    "stretched": (85, lambda image: image.resize((500, 375))),
    "brightened": (85, lambda image: image.point(lambda value: min(255, int(value * 1.2)))),
    "cropped": (
        85,
        lambda image: image.crop((image.width // 40, image.height // 40, *(s * 39 // 40 for s in image.size))),
    ),
    "mirrored": (85, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}
THRESHOLDS = (4, 6, 8, 10)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--pictures", type=Path, required=True)
parser.add_argument("--count", type=int, default=5000)
args = parser.parse_args()

known = [
    (path, value) for path, value in hashes(sorted(args.pictures.iterdir())[: args.count]) if isinstance(value, int)
]
values = np.array([value for _, value in known], np.uint64)
bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32) * 2 - 1  # (n, 64), ±1
apart = ((64 - bits @ bits.T) / 2).astype(np.int64)
one, other = np.triu_indices(len(known), 1)
near = apart[one, other]
print(
    f"{len(near):,} pairs of {len(known):,} pictures: "
    + ", ".join(f"{(near <= k).sum()} within {k}" for k in THRESHOLDS)
)
for pair in np.flatnonzero(near <= min(THRESHOLDS)):
    print(f"  {near[pair]} bits: {known[one[pair]][0].name} {known[other[pair]][0].name}")
rng = np.random.default_rng(0)
chosen = rng.choice(len(known), min(150, len(known)), replace=False)
for name, (quality, change) in CHANGES.items():
    found = []
    for path, value in (known[row] for row in chosen):
        copy = io.BytesIO()
        change(open_image(path)).save(copy, "JPEG", quality=quality)
        copy.seek(0)
        found.append((value ^ int(phash(square(open_image(copy, SIZE), SIZE)[None])[0])).bit_count())
    shares = ", ".join(f"{np.mean(np.array(found) <= k):.1%} within {k}" for k in THRESHOLDS)
    print(f"{name:14} {shares}; at most {max(found)} bits")
