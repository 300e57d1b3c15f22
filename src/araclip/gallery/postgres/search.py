"""Search a gallery in PostgreSQL. Filters become SQL. If few pictures pass the filters, all of these are compared;
otherwise pgvector's graph (HNSW) finds the nearest ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document, indexed_forms
from araclip.gallery.catalog.matching import is_glob, pg_entry
from araclip.gallery.catalog.records import to_signed
from araclip.gallery.near_hashes import NEAR
from araclip.gallery.postgres import schema
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.conditions import any_file_passes, condition_of, paths_of
from araclip.gallery.postgres.schema import (
    PICTURE,
    Row,
    pg_vector,
    record_from_row,
    row_from_values,
    texts_by_field,
    vector_from_bytes,
)
from araclip.gallery.ranking import Candidate, Page, StoreSearch
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import TextMatches, TextQuery, text_matches
from araclip.models.vectors import Ids, Vectors
from araclip.text.script import describes

EF_SEARCH = 400  # HNSW: candidates that a search of the graph keeps
PART = 3  # letters in a trigram; parts of words with fewer letters are not found


class PostgresSearch(StoreSearch):
    """One search, inside one read transaction.

    If `exact` is False, pgvector's graph (HNSW) answers when more than EXACT_UP_TO pictures pass the filters.
    """

    def __init__(
        self, catalog: PostgresCatalog, exact: bool, pictures: Callable[[], int], vector: Vectors, page: Page
    ) -> None:
        """Prepare a search for `vector` (D,).

        Args:
            exact: True to compare all pictures that pass the filters, without the graph.
            pictures: returns the number of pictures in the gallery.
        """
        self._catalog, self._database, self._vectors = catalog, catalog.database, catalog.table
        self._exact = exact or not schema.has_graph(catalog.database, self._vectors)
        self._pictures, self._vector, self._filters, self._wanted = pictures, vector, page.filters, page.offset + page.k
        self._has_glob = page.filters.name is not None and is_glob(page.filters.name)
        self._rows: dict[int, Row] = {}  # pictures that were fetched already

    def nearest(self) -> Iterator[tuple[int, float]]:
        done, limit, exact = 0, self._wanted + 1, self._exact
        if not exact:  # the pictures that pass the filters are all compared if they are few
            condition, values = condition_of(self._filters)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM contents WHERE {condition} LIMIT ?) AS passing"
            exact = self._database.rows(sql, (*values, schema.EXACT_UP_TO + 1))[0][0] <= schema.EXACT_UP_TO
        while True:
            found = self._nearest(limit, self._filters, exact)
            yield from ((content, score) for content, score in found[done:] if self._name_passes(content))
            if len(found) < limit:
                return
            done, limit = limit, 3 * limit

    def by_date(self, *, oldest: bool) -> Iterator[int]:
        condition, values = condition_of(self._filters)
        done, limit = 0, 64
        order = f"taken {'ASC' if oldest else 'DESC'} NULLS LAST, contents.id"
        sql = f"SELECT {PICTURE} FROM contents WHERE {condition} ORDER BY {order} LIMIT ?"
        while True:
            found = self._database.rows(sql, (*values, limit))
            yield from filter(self._name_passes, [self._remember_row(row_from_values(each)) for each in found[done:]])
            if len(found) < limit:
                return
            done, limit = limit, 3 * limit

    def best_score(self) -> float:
        return next((score for _, score in self._nearest(1, None, self._exact)), 0.0)

    def matches(self, query: TextQuery) -> TextMatches:
        return text_matches(self, query, self._pictures()).among_passing(self._ids_that_pass)

    def scores(self, ids: Ids) -> tuple[list[int], list[float]]:
        found = self._nearest(len(ids), self._filters, True, ids.tolist()) if len(ids) else []
        passing = [(content, score) for content, score in found if self._name_passes(content)]
        return [content for content, _ in passing], [score for _, score in passing]

    def cosines(self, ids: Sequence[int], terms: Vectors) -> Vectors:
        sql = f"SELECT content, halfvec_send(vector) FROM {self._vectors} WHERE content = ANY(?)"
        found = {content: vector_from_bytes(raw) for content, raw in self._database.rows(sql, (list(ids),))}
        gone = np.zeros(terms.shape[1], np.float32)
        cosines: Vectors = np.stack([found.get(content, gone) for content in ids]) @ terms.T
        return cosines

    def with_description(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        # judge the stems of metadata and captions, because a gallery in a folder stores and judges stems, too
        stems = {content: indexed_forms(texts_by_field(self._fetch_row(content)))[0] for content in ids}
        texts = {content: f"{metadata} {captions}" for content, (_, metadata, captions, _) in stems.items()}
        return {content for content, text in texts.items() if describes(text, in_arabic=in_arabic)}

    def existing(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[str]]]:
        """Yield the candidates with their paths; their files may be on another machine, so they are not looked for."""
        return ((each, paths_of(self._fetch_row(each.content), self._filters)) for each in candidates)

    def phash(self, content: int) -> int:
        return self._fetch_row(content).phash

    def near(self, content: int) -> list[int]:
        """Return the near-duplicates of a picture, by comparing the perceptual hashes of all pictures."""
        row = self._fetch_row(content)
        if not row.phash:
            return []
        sql = "SELECT id FROM contents WHERE shown AND id <> ? AND phash <> 0 AND bit_count((phash # ?)::bit(64)) <= ?"
        return [near for (near,) in self._database.rows(sql, (row.id, to_signed(row.phash), NEAR))]

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        return {content: texts_by_field(self._fetch_row(content)) for content in ids}

    def with_pictures(self, hits: Sequence[tuple[int, Hit]]) -> list[Hit]:
        return [replace(hit, picture=record_from_row(self._fetch_row(content))) for content, hit in hits]

    def with_stems(self, stems: Sequence[str], most: int) -> list[Ids]:
        return [self._matching_ids("words @> ?", [pg_entry(stem)], most) for stem in stems]

    def with_parts(self, folded: Sequence[str], most: int) -> list[Ids]:
        """For each text, return the ids of pictures with a word that contains the text: at most `most` + 1 ids.

        A text of fewer than PART letters, or with other signs than letters and digits, finds no picture.
        """
        none = np.empty(0, np.int64)
        return [
            self._matching_ids("letters LIKE ?", f"%{text}%", most) if len(text) >= PART and text.isalnum() else none
            for text in folded
        ]

    def _matching_ids(self, condition: str, value: object, most: int) -> Ids:
        sql = f"SELECT id FROM contents WHERE shown AND {condition} ORDER BY id LIMIT ?"
        return np.array([content for (content,) in self._database.rows(sql, (value, most + 1))], np.int64)

    def _fetch_row(self, content: int) -> Row:
        if content not in self._rows:
            (self._rows[content],) = self._catalog.pictures("id = ?", (content,))
        return self._rows[content]

    def _remember_row(self, row: Row) -> int:
        self._rows[row.id] = row
        return row.id

    def _ids_that_pass(self, ids: Sequence[int]) -> list[int]:
        """Return which of the given pictures pass the filters, in any order; a glob for file names has no effect."""
        condition, values = condition_of(self._filters)
        sql = f"SELECT id FROM contents WHERE contents.id = ANY(?) AND {condition}"
        return [content for (content,) in self._database.rows(sql, (list(ids), *values))]

    def _name_passes(self, content: int) -> bool:
        """True if a file name of the picture passes the filter's glob, which `condition_of` does not test in SQL."""
        return not self._has_glob or any_file_passes(self._fetch_row(content), self._filters)

    def _nearest(
        self, limit: int, filters: Filters | None, exact: bool, among: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """Return ids and cosines of the `limit` nearest pictures that pass `filters` (None: no filters), best first.

        Args:
            exact: True to compare all pictures that pass, without the graph.
            among: the only ids that may be found.
        """
        condition, values = condition_of(filters)
        if among is not None:
            condition, values = f"contents.id = ANY(?) AND {condition}", (list(among), *values)
        if not exact:  # let the graph search until enough of the pictures that it finds pass the filters
            for setting in (f"ef_search = {EF_SEARCH}", "iterative_scan = strict_order", "max_scan_tuples = 1000000"):
                self._database.rows(f"SET LOCAL hnsw.{setting}")
        # `+ 0` keeps PostgreSQL from using the graph, which would miss some of the pictures that pass.
        distance = "(vector <#> ?) + 0" if exact else "vector <#> ?"
        found = self._database.rows(
            f"SELECT {PICTURE}, -distance FROM (SELECT content AS found, {distance} AS distance FROM {self._vectors} "
            f"JOIN contents ON id = content WHERE {condition} ORDER BY distance, content LIMIT ?) AS nearest "
            "JOIN contents ON id = found ORDER BY distance, id",
            (pg_vector(self._vector), *values, limit),
        )
        return [(self._remember_row(row_from_values(each[:-1])), float(each[-1])) for each in found]
