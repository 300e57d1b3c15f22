"""Time to find all near pairs of perceptual hashes: the shipped search, brute force, and FAISS.

Then all pairs of similar vectors, by brute force.

    python benchmarks/near_pairs.py

The hashes are random 64-bit words; one in fifty is a copy of another with 0 to 8 bits changed. All systems run on one
thread and must find the same pairs, those at most NEAR bits apart.
"""

import time
from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

from araclip.gallery.maintenance.duplicates import scene_pairs
from araclip.gallery.near_hashes import NEAR, PARTS, near_pairs

Hashes = NDArray[np.uint64]
Pairs = set[tuple[int, int]]
AT_ONCE = 1 << 22
WIDTH = 384


def random_hashes(count: int) -> Hashes:
    """Random hashes, 2 % of them near another."""
    rng = np.random.default_rng(count)
    hashes = rng.integers(1, 1 << 63, count, np.uint64)
    copies = count // 50
    flips = np.zeros(copies, np.uint64)
    for bits in range(1, 9):
        chosen = np.argsort(rng.random((copies, 64)), axis=1)[:, :bits]
        flips[bits::9] = (np.uint64(1) << chosen.astype(np.uint64)).sum(axis=1)[bits::9]
    hashes[-copies:] = hashes[:copies] ^ flips
    return hashes


def shipped(hashes: Hashes) -> Pairs:
    return set(near_pairs(hashes))


def each_with_each(hashes: Hashes) -> Pairs:
    found: Pairs = set()
    rows = max(1, AT_ONCE // len(hashes))
    for start in range(0, len(hashes), rows):
        apart = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[None])
        one, other = np.nonzero(apart <= NEAR)
        keep = one + start < other
        found.update(zip((one[keep] + start).tolist(), other[keep].tolist(), strict=True))
    return found


def faiss_multi_hash(hashes: Hashes) -> Pairs:
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryMultiHash(64, PARTS, 64 // PARTS)
    index.nflip = 1
    index.add(codes)
    limits, _, others = index.range_search(codes, NEAR + 1)
    ones = np.repeat(np.arange(len(codes)), np.diff(limits.astype(np.int64)))
    keep = ones < others
    return set(zip(ones[keep].tolist(), others[keep].tolist(), strict=True))


def main() -> None:
    faiss.omp_set_num_threads(1)
    plans: list[tuple[int, tuple[Callable[[Hashes], Pairs], ...]]] = [
        (20_000, (each_with_each, faiss_multi_hash, shipped)),
        (100_000, (each_with_each, faiss_multi_hash, shipped)),
        (1_000_000, (shipped,)),
    ]
    print("| hashes | system | seconds | pairs |\n|---|---|---|---|")
    for count, systems in plans:
        hashes, expected = random_hashes(count), None
        for system in systems:
            begun = time.perf_counter()
            found = system(hashes)
            took = time.perf_counter() - begun
            expected = found if expected is None else expected
            assert found == expected, f"{system.__name__} finds other pairs"
            print(f"| {count:,} | {system.__name__} | {took:.2f} | {len(found):,} |", flush=True)
    rng = np.random.default_rng(0)
    for count in (20_000, 100_000):
        vectors = rng.normal(size=(count, WIDTH)).astype(np.float32)
        vectors[-count // 50 :] = vectors[: count // 50] + rng.normal(0, 0.3, (count // 50, WIDTH))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        begun = time.perf_counter()
        pairs = list(scene_pairs(vectors, random_hashes(count)))
        print(
            f"{count:,} vectors of width {WIDTH}: {time.perf_counter() - begun:.1f} s, {len(pairs):,} pairs", flush=True
        )


if __name__ == "__main__":
    main()
