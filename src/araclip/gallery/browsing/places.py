"""Where pictures were taken: points of a map, gathered in the cells of a grid. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError

MAX_CLUSTERS = 2_000
CELLS = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # degrees


@dataclass(frozen=True)
class Cluster:
    """Pictures in one cell: their mean position, how many they are, one of them (the store's number), and their box."""

    latitude: float
    longitude: float
    pictures: int
    cover: int
    box: tuple[float, float, float, float]  # south, west, north, east: of the pictures, not of the cell


def clusters(
    ids: NDArray[np.int64], latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], cell: float
) -> list[Cluster]:
    """The pictures gathered in a grid with cells of `cell` degrees, the fullest first, at most MAX_CLUSTERS.

    Args:
        ids: (n,), the newest first; the first of a cell is its cover.
        latitudes, longitudes: (n,), degrees.
    """
    if cell not in CELLS:
        raise InputError(
            f"cells of {cell:g} degrees are not offered. Choose one of {', '.join(f'{c:g}' for c in CELLS)}."
        )
    if not len(ids):
        return []
    rows = np.floor((latitudes + 90) / cell).astype(np.int64)
    columns = np.floor((longitudes + 180) / cell).astype(np.int64)
    _, first, inverse, counts = np.unique(
        rows * 1_000_000 + columns, return_index=True, return_inverse=True, return_counts=True
    )
    size = len(first)
    ends = [np.full(size, np.inf), np.full(size, np.inf), np.full(size, -np.inf), np.full(size, -np.inf)]
    for end, values, smaller in zip(ends, (latitudes, longitudes) * 2, (True, True, False, False), strict=True):
        (np.minimum if smaller else np.maximum).at(end, inverse, values)
    means = [np.bincount(inverse, values, size) / counts for values in (latitudes, longitudes)]
    fullest = np.argsort(-counts, kind="stable")[:MAX_CLUSTERS]
    return [
        Cluster(
            float(means[0][at]), float(means[1][at]), int(counts[at]), int(ids[first[at]]),
            (float(ends[0][at]), float(ends[1][at]), float(ends[2][at]), float(ends[3][at])),
        )
        for at in map(int, fullest)
    ]  # fmt: skip
