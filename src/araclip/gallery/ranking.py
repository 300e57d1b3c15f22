"""From a vector to hits: the nearest pictures that pass the filters and still exist, in a fixed order, page by page."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import EVERYTHING, Filters
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.selection import paths_of, select
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.near_hashes import is_near
from araclip.gallery.relevance import RelevanceScale
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
    scale: RelevanceScale | None,
    vector: NDArray[np.float32],
    page: Page,
    exclude: int | None = None,
) -> list[Hit]:
    """The hits of one page for a unit vector (D,), best first, ties by age in the gallery.

    Args:
        exclude: the id of a picture to leave out.
    """
    wanted = _Wanted(catalog, index, vector, page)
    relevance = scale.relevance(vector, wanted.best()) if scale else None
    return hits_of(wanted.present(), lambda content: catalog.phash(content) or 0, relevance, page, exclude)


def hits_of(
    found: Iterable[tuple[int, float, list[str]]],
    phash: Callable[[int], int],
    relevance: Callable[[float], float] | None,
    page: Page,
    exclude: int | None,
) -> list[Hit]:
    """The hits of one page among pictures found (id, cosine, paths), best first; `phash` gives the hash of an id."""
    hits: list[Hit] = []
    shown: list[int] = []  # perceptual hashes of the hits, to collapse near-duplicates
    for content, score, paths in found:
        relevant = relevance(score) if relevance else None
        if relevant is not None and relevant < page.threshold:
            break  # and so are all after it
        if content != exclude and not (page.filters.collapse and _repeats(phash(content), shown)):
            hits.append(Hit(paths[0], score, len(hits) + 1, tuple(paths[1:]), relevant))
        if len(hits) == page.offset + page.k:
            break
    return hits[page.offset :]


def _repeats(phash: int, shown: list[int]) -> bool:
    """Whether a picture is nearly one of those shown; if not, it becomes one of them."""
    if any(is_near(phash, other) for other in shown):
        return True
    shown.append(phash)
    return False


class _Wanted:
    """The pictures that pass a page's filters, in the order of their scores."""

    def __init__(self, catalog: Catalog, index: ScanIndex, vector: NDArray[np.float32], page: Page) -> None:
        self._catalog, self._index, self._vector = catalog, index, vector
        self._condition = condition = page.filters.condition()
        self._allowed = (
            None if condition == EVERYTHING else index.selected(condition, lambda: select(catalog, condition))
        )
        self._first = index.search(vector, page.offset + page.k, self._allowed)

    def best(self) -> float:
        """The score of the best picture of all, whatever the filters."""
        scores = self._first[1] if self._allowed is None else self._index.search(self._vector, 1)[1]
        return max(scores, default=0.0)

    def present(self) -> Iterator[tuple[int, float, list[str]]]:
        """Id, cosine and paths of every picture that has a path that is there, best first."""
        (ids, scores), seen = self._first, 0
        while len(ids) > seen:
            for content, score in list(zip(ids, scores, strict=True))[seen:]:
                paths = paths_of(self._catalog, content, self._condition)
                if there := [path for path in paths if present(path)]:
                    yield content, score, there
            seen = len(ids)  # more, should the first be gone from the disk
            ids, scores = self._index.search(self._vector, 2 * seen, self._allowed)


def present(path: str) -> bool:
    """Whether a path leads to a picture now: a file that is there, or pixels in the catalogue."""
    return path.startswith(STORED_PREFIX) or os.path.lexists(path)
