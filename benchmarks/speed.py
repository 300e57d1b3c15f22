"""Time of searching and starting, and of indexing (indexing.py), against plain implementations in the same run.

    python benchmarks/speed.py [--pictures 400]

The peer of the scan is a NumPy product in float32. Numbers are medians of the runs named beside them.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from indexing import small_and_large

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.records import File
from araclip.models.encoder_base import usable_cores

QUERIES = ("قطة على طاولة", "رجل يركب دراجة في الشارع", "أطفال يلعبون كرة القدم على العشب", "غروب الشمس فوق البحر")


def seconds(job: Callable[[], object], runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def searching(work: Path, pictures: int = 10_000) -> None:
    model = AraCLIP.load()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(pictures, model.width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery_path = work / "ten-thousand"
    with Gallery.open(gallery_path, model=model, create=True) as gallery:
        catalog = gallery._catalog
        (work / "files").mkdir()
        with catalog.writing():
            for i, vector in enumerate(vectors):
                path = work / "files" / f"{i}.jpg"
                path.touch()  # search leaves out what is gone from the disk
                catalog.put_file(File(str(path), 0, 1), catalog.add_content(i.to_bytes(32, "big"), vector))
        gallery.search(QUERIES[0])
        whole = seconds(lambda: [gallery.search(query) for query in QUERIES], 20) / len(QUERIES)
        text = seconds(lambda: [model.encode_text([query]) for query in QUERIES], 20) / len(QUERIES)
        query = model.encode_text([QUERIES[0]])[0]
        index = gallery._reader.latest().index
        scan = seconds(lambda: index.search(query, 10), 50)
        plain = seconds(lambda: np.argpartition(-(vectors @ query), 10)[:10], 50)
    print(
        f"warm query over {pictures:,} pictures: {whole * 1e3:.1f} ms, of which text {text * 1e3:.1f}, "
        f"scan {scan * 1e3:.2f} (NumPy float32 {plain * 1e3:.2f}; ratio {plain / scan:.2f})   (medians of 20 and 50)"
    )
    command = [sys.executable, "-m", "araclip.cli", "search", QUERIES[0], "--gallery", str(gallery_path), "--paths"]
    opening = f"import numpy, onnxruntime; onnxruntime.InferenceSession({str(model.folder / 'text.onnx')!r})"
    bare = [sys.executable, "-c", opening]
    cold, least = zip(*((processor_seconds(command), processor_seconds(bare)) for _ in range(11)), strict=True)
    print(
        f"araclip search from a cold shell, {pictures:,} pictures: {statistics.median(cold):.2f} s of the processor; "
        f"Python that imports numpy and onnxruntime and opens the text graph {statistics.median(least):.2f} s; "
        f"ratio {statistics.median(c / o for c, o in zip(cold, least, strict=True)):.2f} (medians of 11, in turns)"
    )


def processor_seconds(command: list[str]) -> float:
    """Of a child process, which waiting for a busy machine does not count in."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        small_and_large(Path(scratch), arguments.pictures, 0)
        searching(Path(scratch))
