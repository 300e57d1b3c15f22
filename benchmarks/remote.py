"""A gallery on a server against one in a folder: equality of results, and time.

    python benchmarks/remote.py --data FLICKR8K_FOLDER [--model araclip-mini] [--split dev] [--pictures 1000]

The same pictures are indexed into both, and the first Arabic captions are searched in both: the ten best, the ten best
with a filter, and for thirty captions the whole gallery; paths, scores and relevance are compared. The server is
tests/qdrant_engine.py, Qdrant's own engine (qdrant-edge-py) behind HTTP on this machine, in a separate process; not a
Qdrant server, and no network in between.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from araclip import AraCLIP
from araclip.evaluation.picture_sets.datasets import read_pictures
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.open import open_gallery

SERVER = Path(__file__).parents[1] / "tests" / "qdrant_engine.py"


def indexed(location: str, model: AraCLIP, paths: list[Path]) -> tuple[BaseGallery, float]:
    gallery = open_gallery(location, model=model, create=True)
    start = time.perf_counter()
    gallery.add(paths)
    return gallery, len(paths) / (time.perf_counter() - start)


def compared(local: BaseGallery, remote: BaseGallery, queries: list[str], k: int, filters: Filters) -> dict[str, float]:
    same = apart = relevance = 0.0
    took: dict[str, list[float]] = {"local": [], "remote": []}
    for query in queries:
        answers = []
        for name, gallery in (("local", local), ("remote", remote)):
            start = time.perf_counter()
            answers.append(gallery.search(query, k, where=filters))
            took[name].append(time.perf_counter() - start)
        one, other = answers
        same += [hit.path for hit in one] == [hit.path for hit in other]
        pairs = list(zip(one, other, strict=True))
        apart = max([apart, *(abs(a.score - b.score) for a, b in pairs)])
        relevance = max([relevance, *(abs((a.relevance or 0) - (b.relevance or 0)) for a, b in pairs)])
    return {
        "k": k,
        "hits": len(one),
        "same lists": same / len(queries),
        "largest difference of scores": apart,
        "of relevance": relevance,
        "local ms": float(np.median(took["local"])) * 1e3,
        "remote ms": float(np.median(took["remote"])) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="araclip-mini")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    rows = read_pictures(options.data, (), ("caption_ar",), options.split)[: options.pictures]
    model = AraCLIP.load(options.model)
    queries = [row.arabic[0] for row in rows][: options.queries]
    with tempfile.TemporaryDirectory() as home:
        os.environ["ARACLIP_DATA"] = f"{home}/data"
        command = [sys.executable, str(SERVER), f"{home}/engine"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            local, local_rate = indexed(f"{home}/local", model, [row.path for row in rows])
            remote, remote_rate = indexed(f"qdrant://127.0.0.1:{port}/flickr", model, [row.path for row in rows])
            print(f"{len(remote)} pictures; indexed locally {local_rate:.0f}/s, on the server {remote_rate:.0f}/s")
            largest = sorted(row.path.stat().st_size for row in rows)[-max(10, len(rows) // 10)]
            cases = (
                (10, Filters(), queries),
                (10, Filters(min_size=largest), queries),
                (len(rows), Filters(), queries[:30]),
            )
            for k, filters, some in cases:
                print(json.dumps(compared(local, remote, some, k, filters)), flush=True)
            local.close()
            remote.close()
            assert server.stdin is not None
            server.stdin.close()


if __name__ == "__main__":
    main()
