"""Which pictures are the same, nearly the same, or of the same thing. Pure: hashes and vectors in, groups out.

- exact: the same bytes under several paths.
- near: the same picture scaled, recompressed or saved in another format: perceptual hashes at most NEAR bits apart and
  vectors that agree, since a hash of 64 bits alone confuses skies and walls.
- semantic: other pictures of the same scene: vectors at least ALIKE apart, whatever the hashes say.

Thresholds: benchmarks/duplicates.py, docs/LOG.md.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

NEAR = 10  # bits of 64
NEAR_COSINE = 0.9
ALIKE = 0.9
COMPARED = 1 << 23  # pairs compared at once: 64 MB


def is_near(hash_: int, vector: NDArray[np.float32], other_hash: int, other: NDArray[np.float32]) -> bool:
    """Whether two pictures, by hash and unit vector (D,), are nearly the same; a flat one (hash 0) never is."""
    near = hash_ and other_hash and (hash_ ^ other_hash).bit_count() <= NEAR
    return bool(near and float(vector @ other) >= NEAR_COSINE)


def near_pairs(hashes: NDArray[np.uint64], vectors: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Pairs of rows, first below second, of (n,) hashes and (n, D) unit vectors that show nearly the same picture.

    Flat pictures all have the hash 0; only their vectors can tell them apart, so they are never near.
    """
    for start, end in _blocks(len(hashes)):
        apart = np.bitwise_count(hashes[start:end, None] ^ hashes[None, :])  # (B, n) uint8
        apart[hashes[start:end] == 0] = 64
        for row, other in zip(*np.nonzero(apart <= NEAR), strict=True):
            if start + row < other and float(vectors[start + row] @ vectors[other]) >= NEAR_COSINE:
                yield start + int(row), int(other)


def semantic_pairs(vectors: NDArray[np.float32], least: float = ALIKE) -> Iterator[tuple[int, int]]:
    """Pairs of rows, first below second, of (n, D) unit vectors whose cosine is at least `least`."""
    for start, end in _blocks(len(vectors)):
        cosines = vectors[start:end] @ vectors.T  # (B, n)
        for row, other in zip(*np.nonzero(cosines >= least), strict=True):
            if start + row < other:
                yield start + int(row), int(other)


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    size = max(1, COMPARED // max(rows, 1))
    for start in range(0, rows, size):
        yield start, start + size


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Rows 0 … count - 1 that hang together by pairs, groups of two or more, each in order, by their first row."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    found: dict[int, list[int]] = {}
    for row in range(count):
        found.setdefault(root(row), []).append(row)
    return [rows for rows in found.values() if len(rows) > 1]
