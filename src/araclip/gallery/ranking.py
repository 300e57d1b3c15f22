"""From a vector to hits: the nearest pictures that pass the filters and are there, in a fixed order, page by page."""

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.ann import ScanIndex
from araclip.gallery.catalog import KEPT, Catalog
from araclip.gallery.filters import EVERYTHING, Filters
from araclip.gallery.results import Hit


def ranked(
    catalog: Catalog,
    index: ScanIndex,
    vector: NDArray[np.float32],
    k: int,
    *,
    offset: int = 0,
    filters: Filters | None = None,
    but: int | None = None,
) -> list[Hit]:
    """Hits number `offset` + 1 to `offset` + `k` for a unit vector (D,), best first, ties by age in the gallery.

    Args:
        but: the id of a picture to leave out.
    """
    hits: list[Hit] = []
    for content, score, paths in _present(catalog, index, vector, offset + k, filters or Filters()):
        if content != but:
            hits.append(Hit(paths[0], score, len(hits) + 1, tuple(paths[1:])))
        if len(hits) == offset + k:
            break
    return hits[offset:]


def _present(
    catalog: Catalog, index: ScanIndex, vector: NDArray[np.float32], first: int, filters: Filters
) -> Iterator[tuple[int, float, list[str]]]:
    """Id, cosine and paths of every picture that passes and has a path that is there, best first."""
    condition = filters.condition()
    allowed = None if condition == EVERYTHING else catalog.select(condition)
    total = len(index) if allowed is None else len(allowed)
    seen = 0
    while seen < total:
        ids, scores = index.search(
            vector, max(first, 2 * seen), allowed
        )  # more, should the first be gone from the disk
        for content, score in list(zip(ids, scores, strict=True))[seen:]:
            if paths := [path for path in catalog.paths_of(content, condition) if present(path)]:
                yield content, score, paths
        if len(ids) == seen:  # a filter let pictures pass that the index, a moment older, does not have
            return
        seen = len(ids)


def present(path: str) -> bool:
    """Whether a path leads to a picture now: a file that is there, or pixels in the catalogue."""
    return path.startswith(KEPT) or os.path.lexists(path)
