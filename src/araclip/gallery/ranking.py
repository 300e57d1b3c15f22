"""From a query vector to a page of hits: nearest pictures that pass the filters and exist, in a stable order."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import EVERYTHING, Filters
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.selection import check_loose, paths_of, select
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.near_hashes import is_near
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.results import Hit

WHOLE = (int, np.integer)
REAL = (*WHOLE, float, np.floating)


@dataclass(frozen=True)
class Page:
    """Which hits to return: `k` after the first `offset`, of those that pass `filters` and `threshold`.

    Raises:
        InputError: a number is out of range, or the value is not a number.
    """

    k: int
    offset: int
    filters: Filters
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("k", "offset", "threshold"):
            value: Any = getattr(self, name)
            whole = name != "threshold"
            if isinstance(value, bool) or not isinstance(value, WHOLE if whole else REAL):
                wanted = "a whole number" if whole else "a number"
                raise InputError(f"{name} is {value!r}, a {type(value).__name__}; pass {wanted}.")
            object.__setattr__(self, name, int(value) if whole else float(value))  # NumPy's numbers too
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if self.offset < 0:
            raise InputError(f"offset is {self.offset}; it must be 0 or more.")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; it is a relevance from 0 (everything) to 1.")


def ranked(
    catalog: Catalog,
    index: ScanIndex,
    scale: RelevanceScale | None,
    vector: NDArray[np.float32],
    page: Page,
    exclude: int | None = None,
) -> list[Hit]:
    """The hits of one page for a unit vector (D,), best first, ties in the order of indexing.

    Args:
        exclude: the id of a picture to leave out.
    """
    search = _FilteredSearch(catalog, index, vector, page)
    relevance = scale.relevance(vector, search.best_score()) if scale else None
    return hits_of(search.existing(), lambda content: catalog.phash(content) or 0, relevance, page, exclude)


def hits_of(
    candidates: Iterable[tuple[int, float, list[str]]],
    phash: Callable[[int], int],
    relevance: Callable[[float], float] | None,
    page: Page,
    exclude: int | None,
) -> list[Hit]:
    """The hits of one page among candidates (id, cosine, paths), best first; `phash` gives the hash of an id."""
    hits: list[Hit] = []
    shown: list[int] = []  # perceptual hashes of the hits, to collapse near-duplicates
    for content, score, paths in candidates:
        relevant = relevance(score) if relevance else None
        if relevant is not None and relevant < page.threshold:
            break  # relevance falls with the score
        if content != exclude and not (page.filters.collapse and _repeats(phash(content), shown)):
            hits.append(Hit(paths[0], score, len(hits) + 1, tuple(paths[1:]), relevant))
        if len(hits) == page.offset + page.k:
            break
    return hits[page.offset :]


def _repeats(phash: int, shown: list[int]) -> bool:
    """Whether a picture is a near-duplicate of one in `shown`; if not, it is added."""
    if any(is_near(phash, other) for other in shown):
        return True
    shown.append(phash)
    return False


class _FilteredSearch:
    """A search among the pictures that pass a page's filters."""

    def __init__(self, catalog: Catalog, index: ScanIndex, vector: NDArray[np.float32], page: Page) -> None:
        self._catalog, self._index, self._vector = catalog, index, vector
        self._condition = condition = page.filters.condition()
        self._allowed = (
            None if condition == EVERYTHING else index.selected(condition, lambda: select(catalog, condition))
        )
        self._first = index.search(vector, page.offset + page.k, self._allowed)

    def best_score(self) -> float:
        """The score of the gallery's best picture, filters ignored."""
        scores = self._first[1] if self._allowed is None else self._index.search(self._vector, 1)[1]
        return max(scores, default=0.0)

    def existing(self) -> Iterator[tuple[int, float, list[str]]]:
        """Id, cosine and existing paths of every picture that has one, best first."""
        (ids, scores), done = self._first, 0
        while len(ids) > done:
            for content, score in list(zip(ids, scores, strict=True))[done:]:
                paths = paths_of(self._catalog, content, self._condition)
                if not paths and self._index.generation == self._catalog.generation:
                    check_loose(self._catalog, content)
                if existing := [path for path in paths if exists(path)]:
                    yield content, score, existing
            done = len(ids)  # further ones replace those missing on the disk
            ids, scores = self._index.search(self._vector, 2 * done, self._allowed)


def exists(path: str) -> bool:
    """Whether a path is an existing file, or stored pixels."""
    return path.startswith(STORED_PREFIX) or os.path.lexists(path)
