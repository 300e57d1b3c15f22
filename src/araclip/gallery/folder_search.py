"""Search a gallery in a folder: vectors through its scan index, everything else through its catalogue."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import exists as file_exists
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import EVERYTHING
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.selection import by_date, select
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.near_hashes import HashTable
from araclip.gallery.ranking import Candidate, Page, StoreSearch
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import TextMatches, TextQuery, text_matches
from araclip.pictures.video.scenes import file_of

PATHS_AT_ONCE = 200  # limit: candidates whose paths one SQL statement looks up


class FolderSearch(StoreSearch):
    """One search of a gallery in the state after one commit; the index and the perceptual hashes are in memory."""

    def __init__(
        self,
        catalog: Catalog,
        index: ScanIndex,
        hashes: Callable[[], HashTable],
        vector: NDArray[np.float32],
        page: Page,
    ) -> None:
        """Prepare a search for `vector` (D,). `hashes` returns all perceptual hashes; it is called only if needed."""
        self._catalog, self._index, self._hashes, self._vector = catalog, index, hashes, vector
        self._wanted = page.offset + page.k
        self._condition = condition = catalog.condition(page.filters)
        self._allowed = (
            None if condition == EVERYTHING else index.cached_selection(condition, lambda: select(catalog, condition))
        )
        self._words = WordIndex(catalog)

    def nearest(self) -> Iterator[tuple[int, float]]:
        (ids, scores), done = self._first_found, 0
        while len(ids) > done:
            yield from list(zip(ids, scores, strict=True))[done:]
            # the caller wants more hits, perhaps because files of some are missing: search for twice as many
            done = len(ids)
            ids, scores = self._index.search(self._vector, 2 * done, self._allowed)

    def by_date(self, *, oldest: bool) -> Iterator[int]:
        return iter(by_date(self._catalog, self._condition, oldest=oldest))

    def best_score(self) -> float:
        scores = self._first_found[1] if self._allowed is None else self._index.search(self._vector, 1)[1]
        return max(scores, default=0.0)

    def matches(self, query: TextQuery) -> TextMatches:
        return text_matches(self._words, query, len(self._index)).among(self._allowed)

    def scores(self, ids: NDArray[np.int64]) -> tuple[list[int], list[float]]:
        if self._allowed is not None:
            ids = np.intersect1d(ids, self._allowed, assume_unique=True)
        return self._index.search(self._vector, len(ids), ids)

    def cosines(self, ids: Sequence[int], terms: NDArray[np.float32]) -> NDArray[np.float32]:
        row_of = {content: row for row, content in enumerate(ids)}
        # cosines; pictures that the index does not have keep the value -1
        found = np.full((len(ids), len(terms)), -1, np.float32)
        for column, term in enumerate(terms):
            known, scores = self._index.search(term, len(ids), np.sort(np.array(ids, np.int64)))
            found[[row_of[content] for content in known], column] = scores
        return found

    def with_description(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        return self._words.with_description(ids, in_arabic=in_arabic)

    def existing(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[str]]]:
        waiting = iter(candidates)
        while group := list(islice(waiting, min(self._wanted, PATHS_AT_ONCE))):
            paths = self._catalog.paths_of([each.content for each in group], self._condition)
            for each in group:
                # A picture that lost its last path because its files were removed is in the table `loose`; any other
                # picture without a path has damaged rows.
                passing, others = paths[each.content]
                if (
                    not (passing or others)
                    and self._index.generation == self._catalog.generation
                    and not self._catalog.rows("SELECT 1 FROM loose WHERE content = ?", (each.content,))
                ):
                    raise self._catalog.damage_error(f"the rows of picture {each.content} cannot be found")
                if existing := [path for path in passing if exists(path)]:
                    yield each, existing + [path for path in others if exists(path)]

    def phash(self, content: int) -> int:
        return self._hashes().hash_of(content)

    def near(self, content: int) -> list[int]:
        return self._hashes().near(content, self._allowed)

    def near_count(self, content: int) -> int:
        return len(self.near(content))

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        return self._catalog.documents(ids)

    def with_pictures(self, hits: Sequence[tuple[int, Hit]]) -> list[Hit]:
        found = self._catalog.records_at([hit.path for _, hit in hits])
        return [replace(hit, picture=found[hit.path]) for _, hit in hits if hit.path in found]

    @cached_property
    def _first_found(self) -> tuple[list[int], list[float]]:
        """The ids and cosines of the nearest pictures, as many as the page and the pages before it need."""
        return self._index.search(self._vector, self._wanted, self._allowed)


def exists(path: str) -> bool:
    """True if the path names an existing file, or a picture whose pixels the gallery stores."""
    return path.startswith(STORED_PREFIX) or file_exists(file_of(path))
