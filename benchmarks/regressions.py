"""`make bench`: a fixed set of speeds as ratios, compared with those on record; 1 where one has lost a quarter.

    python benchmarks/regressions.py [--only WORD] [--record]                    (under five minutes; extra benchmark)

Each ratio says how many times as fast ours is as a plain way to do the same, or as a floor that it cannot pass, in the
same run, so it says the same on a slow and on a fast machine as far as both are slow at the same things. The two take
turns; the ratio of their medians counts. A ratio below three quarters of the one on record is measured once more, since
other programs may have come in between. --record writes the ratios found to regressions.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from indexing import LARGE, SMALL, Job, seconds_of, ways, write_photographs
from PIL import Image

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import File
from araclip.gallery.reference_queries import EVERYDAY
from araclip.models.encoder_base import usable_cores
from araclip.pictures.facts import Facts
from araclip.pictures.phash import nearest_hashes
from araclip.text.normalization import normalize

RECORD = Path(__file__).with_suffix(".json")
LOSS = 0.25
QUERY = "قطة على طاولة"


@dataclass(frozen=True)
class Speed:
    """Ours and what it is compared with: two ways to handle the same."""

    name: str
    ours: Job
    plain: Job
    rounds: int = 5

    def ratio(self) -> float:
        """How many times as fast ours is."""
        times: dict[Job, list[float]] = {self.ours: [], self.plain: []}
        for job in times:
            job()  # what is done once only is not measured
        for _ in range(self.rounds):
            for job, taken in times.items():
                taken.append(seconds_of(job))
        return statistics.median(times[self.plain]) / statistics.median(times[self.ours])


def of_pictures(model: AraCLIP, work: Path) -> Iterator[Speed]:
    for kind, size, count in (("small", SMALL, 96), ("12-megapixel", LARGE, 8)):
        pictures = sorted(write_photographs(work / kind, count, size).iterdir())
        found = ways(model, pictures, work, count)
        ceiling, end_to_end, one_by_one = (found[way][1] for way in ("ceiling", "end to end", "one by one"))
        yield Speed(f"indexing {kind} JPEGs / the encoder alone", end_to_end, ceiling, 3)
        yield Speed(f"indexing {kind} JPEGs / one by one", end_to_end, one_by_one, 3)


def of_texts(model: AraCLIP) -> Iterator[Speed]:
    texts = [f"{text} {i}" for i in range(4) for text in EVERYDAY[:16]]

    def one_by_one() -> None:
        for text in texts:
            model.encode_text([text])

    yield Speed("texts in batches / one by one", lambda: model.encode_text(texts), one_by_one)
    long = " ".join(EVERYDAY)
    yield Speed("normalising a text / str.split", lambda: normalize(long), long.split, 50)


def of_search(model: AraCLIP, work: Path, pictures: int = 20_000) -> Iterator[Speed]:
    rng = np.random.default_rng(0)
    centres = model.encode_text(EVERYDAY)
    folder, files = work / "gallery", work / "files"
    catalog = Catalog.create(folder, model)
    files.mkdir()
    with catalog.writing():
        for i in range(pictures):
            vector = centres[i % len(centres)] + rng.normal(0, 0.04, model.width).astype(np.float32)
            content = catalog.add_content(i.to_bytes(32, "big"), vector / np.linalg.norm(vector))
            catalog.put_facts(content, Facts("JPEG", 640, 480, f"20{i % 20:02}-0{1 + i % 9}-01"), i * 2**40)
            path = files / f"{i:06}.jpg"
            path.touch()
            catalog.put_file(File(str(path), 0, 0), content)
    catalog.close()
    gallery = Gallery.open(folder, model=model)
    gallery.search(QUERY)
    index = gallery._reader.latest().index
    vectors = rng.normal(size=(pictures, model.width)).astype(np.float32)
    query, old = model.encode_text([QUERY])[0], Filters(captured_from="2004", captured_to="2004")

    def numpy_scan() -> object:
        return np.argpartition(-(vectors @ query), 10)[:10]

    def plain() -> None:
        model.encode_text([QUERY])
        numpy_scan()

    yield Speed("scan of 20,000 / NumPy float32", lambda: index.search(query, 10), numpy_scan, 50)
    yield Speed("query of 20,000 / its text and a NumPy scan", lambda: gallery.search(QUERY), plain, 20)
    yield Speed("filtered query / its text and a NumPy scan", lambda: gallery.search(QUERY, where=old), plain, 20)
    hashes = rng.integers(0, 2**63, pictures, dtype=np.uint64)

    def bit_counts() -> None:
        for each in hashes[:64]:
            np.bitwise_count(hashes ^ each).argmin()

    yield Speed("nearest hashes of 20,000 / NumPy bit counts", lambda: nearest_hashes(hashes[:64], hashes), bit_counts)
    command = [sys.executable, "-m", "araclip", "search", QUERY, "--gallery", str(folder), "--paths"]
    bare = [sys.executable, "-c", "import numpy, onnxruntime"]
    yield Speed("search from a cold shell / Python with its libraries", partial(_run, command), partial(_run, bare))


def of_updates(model: AraCLIP, work: Path, files: int = 5_000) -> Iterator[Speed]:
    folder = work / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "original.jpg")
    for i in range(files - 1):
        (folder / f"{i:05}.jpg").hardlink_to(folder / "original.jpg")
    gallery = Gallery.open(work / "many-gallery", model=model, create=True)
    gallery.update([folder])
    yield Speed(
        "update with nothing changed / a walk with stat", lambda: gallery.update([folder]), partial(_walk, folder)
    )


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _walk(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def compare(speeds: Iterator[Speed], known: dict[str, float], only: str) -> tuple[dict[str, float], list[str]]:
    """Measure and print each; returns the ratios, and the names of those that have lost too much."""
    found: dict[str, float] = {}
    worse = []
    print(f"{'':58} {'now':>7} {'record':>7}")
    for speed in speeds:
        if only not in speed.name:
            continue
        ratio, before = speed.ratio(), known.get(speed.name)
        if before and ratio < (1 - LOSS) * before:
            ratio = max(ratio, speed.ratio())
        lost = bool(before) and ratio < (1 - LOSS) * before
        worse += [speed.name] * lost
        shown = f"{before:7.3f} {ratio / before - 1:+6.0%}" if before else f"{'new':>7}"
        print(f"{speed.name:58} {ratio:7.3f} {shown} {'  slower' if lost else ''}", flush=True)
        found[speed.name] = round(ratio, 4)
    return found, worse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names of those to measure")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {"ratios": {}}
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")
    model, start = AraCLIP(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        parts = (of_pictures(model, work), of_texts(model), of_search(model, work), of_updates(model, work))
        found, worse = compare((speed for part in parts for speed in part), record["ratios"], given.only)
    print(f"{time.perf_counter() - start:.0f} s")
    if given.record:
        about = f"{platform.machine()}, {usable_cores()} cores, {model.label}, load {load:.1f}"
        RECORD.write_text(json.dumps({"measured": about, "ratios": record["ratios"] | found}, indent=1) + "\n")
    for name in worse:
        print(f"slower by more than {LOSS:.0%}, measured twice: {name}", file=sys.stderr)
    return bool(worse) and not given.record


if __name__ == "__main__":
    sys.exit(main())
