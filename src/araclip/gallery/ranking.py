"""From a vector to hits: the nearest pictures that pass the filters and are there, in a fixed order, page by page."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError
from araclip.gallery.ann import ScanIndex
from araclip.gallery.catalog import KEPT, Catalog
from araclip.gallery.duplicates import is_near
from araclip.gallery.filters import EVERYTHING, Filters
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Hit


@dataclass(frozen=True)
class Page:
    """Which hits are wanted: `k` of them after the first `offset`, of those that pass `filters` and `threshold`.

    Raises:
        InputError: a number that makes no sense.
    """

    k: int
    offset: int
    filters: Filters
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; ask for at least 1 picture.")
        if self.offset < 0:
            raise InputError(f"offset is {self.offset}; it counts the pictures to leave out, 0 or more.")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; it is a relevance, from 0 (everything) to 1.")


def ranked(
    catalog: Catalog,
    index: ScanIndex,
    scale: Scale | None,
    vector: NDArray[np.float32],
    page: Page,
    but: int | None = None,
) -> list[Hit]:
    """The hits of one page for a unit vector (D,), best first, ties by age in the gallery.

    Args:
        but: the id of a picture to leave out.
    """
    judge = scale.judge(vector, max(index.search(vector, 1)[1], default=0.0)) if scale else None
    present = _present(catalog, index, vector, page.offset + page.k, page.filters)
    return hits_of(present, lambda content: catalog.phash(content) or 0, judge, page, but)


def hits_of(
    found: Iterable[tuple[int, float, list[str]]],
    look: Callable[[int], int],
    judge: Callable[[float], float] | None,
    page: Page,
    but: int | None,
) -> list[Hit]:
    """The hits of one page among pictures found (id, cosine, paths), best first; `look` gives a perceptual hash."""
    hits: list[Hit] = []
    shown: list[int] = []  # perceptual hashes of the hits, to collapse near-duplicates
    for content, score, paths in found:
        relevance = judge(score) if judge else None
        if relevance is not None and relevance < page.threshold:
            break  # and so are all after it
        if content != but and not (page.filters.collapse and _repeats(look(content), shown)):
            hits.append(Hit(paths[0], score, len(hits) + 1, tuple(paths[1:]), relevance))
        if len(hits) == page.offset + page.k:
            break
    return hits[page.offset :]


def _repeats(look: int, shown: list[int]) -> bool:
    """Whether a picture is nearly one of those shown; if not, it becomes one of them."""
    if any(is_near(look, other) for other in shown):
        return True
    shown.append(look)
    return False


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
