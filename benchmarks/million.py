"""A million pictures: the gallery's scan index against other ways to search vectors, in one run.

    python benchmarks/million.py --data FOLDER --work FOLDER [--pictures 1000000] [--peers 100000] [--real 7000]
                                 [--systems araclip,numpy,faiss-flat,faiss-hnsw,usearch,lancedb]

Needs the extra `benchmark`. The vectors are made from real pictures' (`made_vectors`); how they compare with the
real ones is printed first. Queries are Arabic captions of the dev split; search-time parameters are tuned on captions
of the train split, to the smallest setting that reaches a recall@10 of .99. Recall is against exact
scores of the float16 vectors.

Each system builds in one process and is opened in another, where memory is measured: `own` is anonymous memory beyond
that of the process before opening, `mapped` pages of files, which the system may reclaim. One query at a time. araclip,
numpy and faiss-flat hold --pictures vectors; those that build graphs or clusters --peers, as the table says.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.selection import select
from araclip.gallery.index.rabitq import best_rows
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.reference_queries import EVERYDAY

Search = Callable[[np.ndarray], Any]
EFFORTS = (16, 32, 64, 128, 256, 512, 1024)
GOAL = 0.99
QUERIES, TUNING, WANTED = 500, 100, 10
ALL = ("araclip", "numpy", "faiss-flat", "faiss-hnsw", "usearch", "lancedb")
SCANS = ("araclip", "numpy", "faiss-flat")


Floats = NDArray[np.float32]

NEIGHBOURS = 4
NOISE = 0.4  # in standard deviations of the real vectors; chosen by `described`
BLOCK = 50_000


def real_vectors(data: Path, work: Path, model: AraCLIP, most: int) -> tuple[Floats, Floats, Floats]:
    """Vectors of pictures under `data`, of Arabic captions to report on (dev) and of others to tune on (train).

    Cached in `work`; the first run encodes about a hundred pictures a second on two cores. `most` limits the pictures
    to a random sample.
    """
    cache = work / f"real-{model.fingerprint}-{most}.npz"
    if cache.is_file():
        with np.load(cache) as cached:
            return cached["pictures"], cached["dev"], cached["train"]
    pictures, captions = some_captions(data)
    rng = np.random.default_rng(0)
    vectors = model.encode_image([pictures[i] for i in rng.permutation(len(pictures))[:most]])
    texts = {split: model.encode_text(some) for split, some in captions.items()}
    np.savez(cache, pictures=vectors, **texts)
    return vectors, texts["dev"], texts["train"]


def some_captions(data: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """The pictures under `data`, and 1,000 Arabic captions of each of the splits dev and train."""
    pictures: list[Path] = []
    captions: dict[str, list[str]] = {"dev": [], "train": []}
    for lines in sorted(data.rglob("captions.jsonl")):
        for row in map(json.loads, lines.read_text(encoding="utf-8").splitlines()):
            path = lines.parent / row["image"]
            pictures.append(path if path.is_file() else lines.parent / "images" / row["image"])
            if row.get("split") in captions and "caption_ar" in row:
                captions[row["split"]] += row["caption_ar"]
    return pictures, {
        split: [some[i] for i in np.random.default_rng(1).permutation(len(some))[:1000]]
        for split, some in captions.items()
    }


def made_vectors(real: Floats, count: int) -> Iterator[Floats]:
    """Unit vectors (n, D), float16 values, in blocks; `count` in all."""
    rng = np.random.default_rng(1)
    mean = real.mean(axis=0)
    apart = real - mean
    away = np.linalg.norm(apart, axis=1, keepdims=True)
    directions = apart / away
    near = faiss.knn(directions, directions, NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
    varied = np.linalg.cholesky(np.cov(apart.T) + 1e-9 * np.eye(real.shape[1])).astype(np.float32).T
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        first = rng.integers(len(real), size=n)
        second = near[first, rng.integers(NEIGHBOURS, size=n)]
        angle = rng.uniform(0, np.pi / 4, (n, 1)).astype(np.float32)
        mixed = np.cos(angle) * apart[first] + np.sin(angle) * apart[second]
        mixed += NOISE * rng.standard_normal((n, real.shape[1]), np.float32) @ varied
        mixed *= away[first] / np.linalg.norm(mixed, axis=1, keepdims=True)
        vectors = mixed + mean
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield vectors.astype(np.float16).astype(np.float32)


def described(vectors: Floats, texts: Floats) -> dict[str, float]:
    """Statistics that the recall of an index may depend on."""
    spectrum = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    share = np.cumsum(spectrum) / spectrum.sum()
    scores = texts @ vectors.T
    return {
        "length of the mean": float(np.linalg.norm(vectors.mean(axis=0))),
        "variance in 16 directions": float(share[15]),
        "in 64": float(share[63]),
        "in 128": float(share[127]),
        "effective dimensions": float(spectrum.sum() ** 2 / (spectrum**2).sum()),
        "text-picture score, mean": float(scores.mean()),
        "standard deviation": float(scores.std()),
        "99th percentile": float(np.percentile(scores, 99)),
        "99.9th": float(np.percentile(scores, 99.9)),
        "best of a query": float(scores.max(axis=1).mean()),
        "deviation within a query": float(scores.std(axis=1).mean()),
    }


def build(system: str, vectors: np.ndarray, folder: Path) -> None:
    """Build a system's files from vectors (n, D) float16."""
    if system == "numpy":
        np.save(folder / "vectors.npy", vectors.astype(np.float32))
    elif system in ("faiss-flat", "faiss-hnsw"):
        import faiss

        width, metric = vectors.shape[1], faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexFlat(width, metric) if system == "faiss-flat" else faiss.IndexHNSWFlat(width, 32, metric)
        if system == "faiss-hnsw":
            index.hnsw.efConstruction = 200
        index.add(vectors.astype(np.float32))
        faiss.write_index(index, str(folder / "index"))
    elif system == "usearch":
        from usearch.index import Index

        made = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
        made.add(np.arange(len(vectors)), vectors)
        made.save(str(folder / "index"))
    elif system == "lancedb":
        import lancedb
        import lancedb.index
        import pyarrow as pa

        flat = pa.array(vectors.astype(np.float32).reshape(-1))
        columns = {
            "id": pa.array(np.arange(len(vectors))),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
        table = lancedb.connect(folder).create_table("pictures", pa.table(columns))
        table.create_index("vector", config=lancedb.index.IvfPq(distance_type="dot"))


def opened(system: str, folder: Path) -> Callable[[int], Search]:
    """A function from effort to search function; systems without a parameter ignore the effort."""
    if system == "araclip":
        index = ScanIndex.of(Catalog.open(folder, None), lambda: np.empty((0, 0), np.float32))
        return lambda effort: lambda query: np.array(index.search(query, WANTED)[0]) - 1  # ids begin with 1
    if system == "numpy":
        vectors = np.load(folder / "vectors.npy")
        return lambda effort: lambda query: np.argpartition(-(vectors @ query), WANTED)[:WANTED]
    if system in ("faiss-flat", "faiss-hnsw"):
        import faiss

        read = faiss.read_index(str(folder / "index"))

        def at(effort: int) -> Search:
            how = faiss.SearchParametersHNSW(efSearch=effort) if system == "faiss-hnsw" else None
            return lambda query: read.search(query[None], WANTED, params=how)[1][0]

        return at
    if system == "usearch":
        from usearch.index import Index

        graph = Index.restore(str(folder / "index"))

        def expanded(effort: int) -> Search:
            graph.expansion_search = effort
            return lambda query: graph.search(query.astype(np.float16), WANTED).keys

        return expanded
    import lancedb

    table = lancedb.connect(folder).open_table("pictures")

    def probed(effort: int) -> Search:
        def search(query: np.ndarray) -> Any:
            asked = table.search(query).distance_type("dot").nprobes(effort).refine_factor(20)
            return asked.select(["id"]).limit(WANTED).to_arrow()["id"].to_numpy()

        return search

    return probed


def build_catalogue(vectors: np.ndarray, texts: np.ndarray, folder: Path) -> tuple[float, float]:
    """A catalogue of stored pictures, one in a hundred of two bytes, the others of one.

    Returns:
        Seconds to build the index, and to commit 1,000 more pictures and update it.
    """
    model = AraCLIP.load()
    catalog = Catalog.create(folder, model)

    def insert(first: int, some: np.ndarray) -> None:
        with catalog.writing():
            for n, vector in enumerate(some, first):
                catalog.change(
                    "INSERT INTO contents (id, hash, vector) VALUES (?, ?, ?)",
                    (n, n.to_bytes(32, "big"), vector.astype("<f2").tobytes()),
                )
                catalog.change(
                    "INSERT INTO files (path, size, mtime_ns, content) VALUES (?, ?, 1, ?)",
                    (b"picture:%032x" % n, 2 if n % 100 == 0 else 1, n),
                )

    for start in range(0, len(vectors), 50_000):
        insert(start + 1, vectors[start : start + 50_000])
    begun = time.perf_counter()
    index = ScanIndex.of(catalog, lambda: texts)
    made = time.perf_counter() - begun
    extra = np.random.default_rng(5).permutation(len(vectors))[:1000]
    begun = time.perf_counter()
    insert(len(vectors) + 1, -vectors[extra])  # far from every query, so the results do not change
    ScanIndex.of(catalog, lambda: texts, index)
    more = time.perf_counter() - begun
    catalog.close()
    return made, more


def memory() -> tuple[float, float]:
    """Anonymous and file-mapped MB of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return tuple(int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("RssAnon", "RssFile"))


def measured(system: str, folder: Path, work: Path) -> dict[str, Any]:
    """Open and query one system in this process."""
    with np.load(work / "queries.npz") as queries:
        tuning, reported = queries["tuning"], queries["reported"]
        suffix = "" if system in SCANS else "-peers"
        right = {"tuning": queries["tuning_right" + suffix], "reported": queries["reported_right" + suffix]}
    own, mapped = memory()
    begun = time.perf_counter()
    searches = opened(system, folder)
    took = time.perf_counter() - begun

    def recall(search: Search, queries: np.ndarray, rows: np.ndarray) -> float:
        return float(np.mean([np.isin(row, search(query)).mean() for query, row in zip(queries, rows, strict=True)]))

    effort = None
    search = searches(0)
    if system not in SCANS:
        for effort in EFFORTS:
            search = searches(effort)
            if recall(search, tuning, right["tuning"]) >= GOAL:
                break
    times, found = [], []
    for query in reported:
        begun = time.perf_counter()
        found.append(search(query))
        times.append(time.perf_counter() - begun)
    hits = [np.isin(row, rows).mean() for row, rows in zip(right["reported"], found, strict=True)]
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    now = memory()
    return {
        "open s": took, "own MB": now[0] - own, "mapped MB": now[1] - mapped, "p50 ms": p50, "p99 ms": p99,
        "recall@10": float(np.mean(hits)), "effort": effort,
    }  # fmt: skip


def whole(folder: Path) -> None:
    """Time of `Gallery.search`, with and without a filter that 1 % of the pictures pass."""
    with Gallery.open(folder) as gallery:
        begun = time.perf_counter()
        gallery.search(EVERYDAY[0])
        first = time.perf_counter() - begun
        cells, rare = [], Filters(min_size=2)
        for filters in (None, rare):
            times = []
            for query in EVERYDAY:
                begun = time.perf_counter()
                assert len(gallery.search(query, WANTED, where=filters)) == WANTED
                times.append(time.perf_counter() - begun)
            cells.append("p50 {:.1f} ms, p99 {:.1f} ms, the first {:.1f} ms".format(
                *(np.percentile(times, [50, 99]) * 1e3), times[0] * 1e3
            ))  # fmt: skip
        encode = []
        for query in EVERYDAY:
            begun = time.perf_counter()
            gallery.model.encode_text([query])
            encode.append(time.perf_counter() - begun)
        index, allowed = gallery._reader.latest().index, select(gallery._catalog, rare.condition())
        vectors = gallery.model.encode_text(list(EVERYDAY))
        scans = []
        for vector in vectors:
            begun = time.perf_counter()
            index.search(vector, WANTED, allowed)
            scans.append(time.perf_counter() - begun)
        added: list[str] = []
        actions: tuple[tuple[str, Callable[[], object]], ...] = (
            ("stats", gallery.stats),
            ("a picture added", lambda: added.extend(gallery.add([Image.new("RGB", (40, 30), (1, 2, 3))]).paths)),
            ("the next search", lambda: gallery.search(EVERYDAY[1])),
            ("that picture removed", lambda: gallery.remove(added)),
        )
        for name, action in actions:
            begun = time.perf_counter()
            action()
            print(f"({name}: {time.perf_counter() - begun:.2f} s)")
    print(f"(Gallery.search, {len(EVERYDAY)} texts, of which encoding {np.median(encode) * 1e3:.1f} ms: {cells[0]}; "
          f"1 % filter: {cells[1]}; that scan alone: p50 {np.median(scans) * 1e3:.1f} ms; "
          f"opening and the very first search {first:.2f} s)", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--peers", type=int, default=100_000)
    parser.add_argument("--real", type=int, default=7000)
    parser.add_argument("--systems", default=",".join(ALL))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work: Path = arguments.work
    if arguments.measure == "whole":
        whole(work / "araclip")
        return
    if arguments.measure:
        print(json.dumps(measured(arguments.measure, work / arguments.measure, work)))
        return
    work.mkdir(parents=True, exist_ok=True)
    real, reported, tuning = real_vectors(arguments.data, work, AraCLIP.load(), arguments.real)
    vectors = np.empty((arguments.pictures, real.shape[1]), np.float16)
    at = 0
    for some in made_vectors(real, arguments.pictures):
        vectors[at : at + len(some)] = some
        at += len(some)
    reported, tuning, texts = reported[:QUERIES], tuning[:TUNING], tuning[TUNING : 3 * TUNING]
    alike = described(real, reported), described(vectors[: len(real)].astype(np.float32), reported)
    print(f"| {len(real):,} of each | real | made |\n|---|---|---|")
    for name, value in alike[0].items():
        print(f"| {name} | {value:.3f} | {alike[1][name]:.3f} |")
    few = vectors[: arguments.peers]
    np.savez(
        work / "queries.npz", tuning=tuning, reported=reported,
        tuning_right=best_rows(vectors, tuning, WANTED), reported_right=best_rows(vectors, reported, WANTED),
        **{"tuning_right-peers": best_rows(few, tuning, WANTED),
           "reported_right-peers": best_rows(few, reported, WANTED)},
    )  # fmt: skip
    print("\n| system | pictures | build s | open s | own MB | mapped MB | p50 ms | p99 ms | recall@10 | effort |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for system in arguments.systems.split(","):
        folder = work / system
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        folder.mkdir()
        mine = vectors if system in SCANS else few
        more = 0.0
        begun = time.perf_counter()
        if system == "araclip":
            took, more = build_catalogue(mine, texts, folder)
        else:
            build(system, mine, folder)
            took = time.perf_counter() - begun
        command = [sys.executable, *sys.argv, "--measure", system]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cells = [f"{row[name]:.2f}" for name in ("open s", "own MB", "mapped MB", "p50 ms", "p99 ms")]
        line = f"| {system} | {len(mine):,} | {took:.1f} | {' | '.join(cells)} | {row['recall@10']:.4f} |"
        print(f"{line} {row['effort'] or '–'} |", flush=True)
        if more:
            print(f"(araclip: 1,000 more pictures are committed and can be searched after {more:.3f} s)", flush=True)
            subprocess.run([sys.executable, *sys.argv, "--measure", "whole"], check=True)


if __name__ == "__main__":
    main()
