"""Latency of `araclip watch` from a change in the folder to the index.

    python benchmarks/watching.py [--pictures 2000] [--changes 40]

A folder of small pictures is indexed and watched by a separate process. Then, one after another and at random moments,
a picture is added, moved or deleted; the time is measured until the change is committed to the catalogue, which is
polled every 5 ms. Finally 200 pictures are moved in at once.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from araclip import AraCLIP
from araclip.gallery.catalog.catalog import Catalog


def picture(path: Path, rng: random.Random) -> Path:
    """A picture of random blocks."""
    blocks = np.frombuffer(rng.randbytes(16 * 12 * 3), np.uint8).reshape(12, 16, 3)
    Image.fromarray(blocks).resize((320, 240), Image.Resampling.NEAREST).save(path, quality=85)
    return path


def until(condition: Callable[[], bool], most: float = 120) -> float:
    """Seconds until the condition holds."""
    begun = time.perf_counter()
    while not condition():
        assert time.perf_counter() - begun < most, "timed out"
        time.sleep(0.005)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--changes", type=int, default=40)
    arguments = parser.parse_args()
    rng, model = random.Random(0), AraCLIP.load()
    with tempfile.TemporaryDirectory() as work:
        folder, outside, gallery = Path(work) / "صور", Path(work) / "outside", Path(work) / "gallery"
        folder.mkdir()
        outside.mkdir()
        for number in range(arguments.pictures):
            picture(folder / f"{number:05}.jpg", rng)
        command = [sys.executable, "-m", "araclip.cli"]
        subprocess.run([*command, "index", folder, "--gallery", gallery], check=True, capture_output=True)
        watching = subprocess.Popen(
            [*command, "watch", folder, "--gallery", gallery], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            catalog = Catalog.open(gallery, model)
            last = picture(folder / "first.jpg", rng)
            until(lambda: catalog.content_of(str(last)) is not None)  # the watching process is there
            took: dict[str, list[float]] = {"added": [], "moved": [], "deleted": []}
            for number in range(arguments.changes):
                time.sleep(rng.uniform(0.5, 2.5))
                new = folder / f"new {number}.jpg"
                picture(outside / new.name, rng).rename(new)
                took["added"].append(until(lambda new=new: catalog.content_of(str(new)) is not None))
                time.sleep(rng.uniform(0.5, 2.5))
                moved = new.rename(folder / f"moved {number}.jpg")
                took["moved"].append(until(lambda new=new: catalog.content_of(str(new)) is None))
                assert catalog.content_of(str(moved)) is not None
                time.sleep(rng.uniform(0.5, 2.5))
                moved.unlink()
                took["deleted"].append(until(lambda moved=moved: catalog.content_of(str(moved)) is None))
            many = [picture(outside / f"many {number}.jpg", rng) for number in range(200)]
            for path in many:
                path.rename(folder / path.name)
            at_once = until(lambda: catalog.counts()[0] == arguments.pictures + 1 + len(many))
        finally:
            watching.terminate()
            watching.wait()
    print(f"{arguments.pictures:,} pictures\n| a picture is | median s | slowest s |\n|---|---|---|")
    for kind, times in took.items():
        print(f"| {kind} | {np.median(times):.2f} | {max(times):.2f} |")
    print(f"200 pictures that came at once: all there after {at_once:.2f} s")


if __name__ == "__main__":
    main()
