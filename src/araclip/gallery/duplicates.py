"""Groups of duplicates: the same bytes, nearly the same picture, the same scene. Pure: hashes and vectors → groups.

- exact: the same bytes under several paths.
- near: the same picture scaled, recompressed or saved in another format: perceptual hashes at most NEAR bits apart
  (`gallery.near_hashes`). Vectors are not compared: halving a picture's size moves its vector further than its hash.
- semantic: other pictures of the same scene: vectors with a cosine of at least ALIKE, whatever the hashes say.

Thresholds: benchmarks/duplicates.py, docs/log/2026-11.md.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.9
COMPARED = 1 << 23  # cosines at once: 32 MB


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
    """Connected components of two or more of the rows 0 … count - 1, each in order, by their first row."""
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
