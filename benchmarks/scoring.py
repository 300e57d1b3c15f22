"""Scoring 5,000 queries × 100,000 pictures with all metrics: time and memory, ours and plain PyTorch in the same run.

    python benchmarks/scoring.py [--queries 5000] [--pictures 100000] [--width 384] [--threads 2]     (extra train)

Random unit vectors, one relevant picture a query. Ours: `scoring.score` and `metrics.measures`. Plain: the whole score
matrix at once, comparisons for ranks and ties, topk, a maximum for the margin. Each runs in a process of its own, whose
highest resident memory is stated, vectors (and the library) included. The metrics of both must agree.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def vectors(queries: int, pictures: int, width: int) -> tuple[Vectors, Vectors, NDArray[np.int64]]:
    """Queries, each of them near one picture; pictures; the picture of each query."""
    rng = np.random.default_rng(0)
    owner = rng.integers(0, pictures, queries)
    gallery = rng.normal(size=(pictures, width)).astype(np.float32)
    noisy = np.float32(0.3) * gallery[owner] + rng.normal(size=(queries, width)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    return noisy, gallery, owner


def ours(queries: Vectors, gallery: Vectors, owner: NDArray[np.int64]) -> dict[str, float]:
    """With this package."""
    from araclip.evaluation.scores import measures, score

    found = score(queries, gallery, owner[:, None].tolist())
    return measures(found) | {"margin": float(found.margin.mean())}


def plain(queries: Vectors, gallery: Vectors, owner: NDArray[np.int64]) -> dict[str, float]:
    """A plain PyTorch implementation."""
    import torch

    relevant = torch.from_numpy(owner)[:, None]
    scores = torch.from_numpy(queries) @ torch.from_numpy(gallery).T  # (Q, N)
    own = scores.gather(1, relevant)
    level = (scores == own).sum(1) - 1
    ranks = 1 + (scores > own).sum(1) + level / 2
    scores.topk(10)
    margin = own[:, 0] - scores.scatter_(1, relevant, -torch.inf).max(1).values
    reciprocal = 1 / ranks.double()
    gain = 1 / torch.log2(ranks.double() + 1)
    means = {f"R@{k}": (ranks <= k).double().mean() for k in (1, 5, 10)}
    means |= {"MRR": reciprocal.mean(), "MRR@10": (reciprocal * (ranks <= 10)).mean(), "margin": margin.mean()}
    means |= {"nDCG@10": (gain * (ranks <= 10)).mean(), "ties": (level > 0).sum()}
    return {name: float(value) for name, value in means.items()} | {"median rank": float(np.median(ranks.numpy()))}


def child(args: argparse.Namespace) -> None:
    """Measure one implementation and print the result as JSON."""
    given = vectors(args.queries, args.pictures, args.width)
    if args.way == "plain":
        import torch

        torch.set_num_threads(args.threads)
    start, busy = time.perf_counter(), time.process_time()
    found = {"ours": ours, "plain": plain}[args.way](*given)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
    print(json.dumps({"metrics": found, "seconds": seconds, "cpu": busy, "gigabytes": peak}))


def main() -> None:
    """Run both and print them with their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--ours-only", action="store_true", help="for sizes whose score matrix does not fit into memory"
    )
    parser.add_argument("--way", choices=("ours", "plain"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        child(args)
        return
    threads = str(args.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    print(
        f"{args.queries:,} queries × {args.pictures:,} pictures, {args.width} wide, {threads} threads, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    results = {}
    for way in ("ours",) if args.ours_only else ("ours", "plain"):
        command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--way", way]
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        results[way] = found = json.loads(output)
        print(f"{way:6} {found['seconds']:6.1f} s   {found['cpu']:6.1f} s of processor   {found['gigabytes']:5.2f} GB")
    if "plain" in results:
        apart = {name: results["ours"]["metrics"][name] - value for name, value in results["plain"]["metrics"].items()}
        waited, busy = (results["plain"][key] / results["ours"][key] for key in ("seconds", "cpu"))
        print(f"ratio  {waited:6.2f}     {busy:6.2f}     metrics differ by {max(map(abs, apart.values())):.1e} at most")
    print({name: round(value, 4) for name, value in results["ours"]["metrics"].items()})


if __name__ == "__main__":
    main()
