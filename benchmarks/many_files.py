"""100,000 picture files in one folder: time and memory of a first, a repeated and an incremental update.

    python benchmarks/many_files.py [--files 100000]

The files are hard links to ten small pictures, so that walking, reading, hashing and the catalogue are measured, not
the encoder. Each step runs in a separate process; memory is its peak resident set.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

STEPS = ("index", "index again, nothing changed", "index after 1,000 deletions", "one new file, by update_at")


def make(folder: Path, count: int) -> None:
    """Ten pictures of 64 × 64 noise, and links to them."""
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"original-{i}.jpg")
    for i in range(count - 10):
        (folder / f"{i:06}.jpg").hardlink_to(folder / f"original-{i % 10}.jpg")


def step(number: int, gallery_path: Path, folder: Path) -> None:
    """One measured step, printed as a line."""
    from araclip import Gallery

    if number == 2:
        for path in random.Random(0).sample(sorted(folder.glob("0*.jpg")), 1000):
            path.unlink()
    if number == 3:
        (folder / "new.jpg").hardlink_to(folder / "original-1.jpg")
    with Gallery.open(gallery_path, create=True) as gallery:
        start = time.perf_counter()
        changed = [str(folder / "new.jpg")]
        report = gallery.update_at(changed, [folder]) if number == 3 else gallery.update([folder])
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {STEPS[number]} | {seconds:.2f} s | {peak:.0f} MB | {report.added:,} new, {report.unchanged:,} unchanged, "
        f"{report.removed:,} gone |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step(int(options.step[0]), Path(options.step[1]), Path(options.step[2]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / "pictures"
        folder.mkdir()
        make(folder, options.files)
        print(f"{options.files:,} files in one folder\n\n| step | time | memory | |\n|---|---|---|---|", flush=True)
        for number in range(len(STEPS)):
            command = [sys.executable, __file__, "--step", str(number), f"{temporary}/gallery", str(folder)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
