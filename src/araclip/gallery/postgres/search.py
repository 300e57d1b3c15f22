"""Nearest pictures in PostgreSQL: an exact scan of those that pass the filters, or pgvector's graph (HNSW) where they
are many."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.near_hashes import NEAR
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.conditions import condition_of
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.lookups import PICTURE, row_of, vector_of
from araclip.gallery.postgres.values import sent, signed
from araclip.gallery.remote.ranking import Scored, ServerSearch, Vectors
from araclip.gallery.remote.rows import Row

EXACT_UP_TO = 100_000  # pictures that pass are all compared, as in a folder
EF_SEARCH = 400  # candidates of the graph
EF_CONSTRUCTION = 200  # while it is built: twice the time of pgvector's 64, and recall .99 instead of .965
PART = 3  # letters of a part of a word, at least
Ids = NDArray[np.int64]


class Search(ServerSearch):
    """Searches in one read transaction. With `exact` False, the graph answers where more than EXACT_UP_TO pass."""

    def __init__(self, catalog: PostgresCatalog, exact: bool) -> None:
        self._database, self._vectors, self.words = catalog.database, catalog.vectors, self
        self._exact = exact or not has_graph(catalog.database, self._vectors)

    def nearest(self, vector: Vectors, first: int, filters: Filters | None) -> Iterator[Scored]:
        """Fetched in growing batches as they are consumed."""
        done, limit = 0, first + 1
        exact = self._exact or self._few(filters)
        while True:
            found = self._query(vector, limit, filters, exact)
            yield from found[done:]
            if len(found) < limit:
                return
            done, limit = limit, 3 * limit

    def scored(self, vector: Vectors, ids: Sequence[int], filters: Filters) -> list[Scored]:
        """Those that pass."""
        return self._query(vector, len(ids), filters, True, ids)

    def passing(self, ids: Sequence[int], filters: Filters) -> list[int]:
        """By their rows alone."""
        condition, values = condition_of(filters)
        sql = f"SELECT id FROM contents WHERE contents.id = ANY(?) AND {condition}"
        return [content for (content,) in self._database.rows(sql, (list(ids), *values))]

    def newest(self, filters: Filters) -> Iterator[Scored]:
        """Fetched in growing batches."""
        condition, values = condition_of(filters)
        done, limit = 0, 64
        while True:
            sql = (
                f"SELECT {PICTURE} FROM contents WHERE {condition} ORDER BY taken DESC NULLS LAST, contents.id LIMIT ?"
            )
            found = self._database.rows(sql, (*values, limit))
            yield from ((row_of(each), 0.0) for each in found[done:])
            if len(found) < limit:
                return
            done, limit = limit, 3 * limit

    def near_ids(self, row: Row) -> list[int]:
        """By a scan of all hashes; flat pictures (hash 0) are near to none."""
        if not row.phash:
            return []
        sql = "SELECT id FROM contents WHERE shown AND id <> ? AND phash <> 0 AND bit_count((phash # ?)::bit(64)) <= ?"
        return [content for (content,) in self._database.rows(sql, (row.id, signed(row.phash), NEAR))]

    def vectors(self, rows: Sequence[Row], width: int) -> Vectors:
        """(n, D)."""
        sql = f"SELECT content, halfvec_send(vector) FROM {self._vectors} WHERE content = ANY(?)"
        found = {content: vector_of(raw) for content, raw in self._database.rows(sql, ([row.id for row in rows],))}
        return np.stack([found.get(row.id, np.zeros(width, np.float32)) for row in rows])

    def with_stem(self, stem: str, most: int) -> Ids:
        """Ids of pictures with a word of this stem in any text, ascending; at most one more than `most`."""
        return self._ids("words @> ?", [stem], most)

    def with_part(self, folded: str, most: int) -> Ids:
        """Ids of pictures with a word that contains these folded letters; none below PART letters."""
        if len(folded) < PART or not folded.isalnum():
            return np.empty(0, np.int64)
        return self._ids("letters LIKE ?", f"%{folded}%", most)

    def _ids(self, condition: str, value: object, most: int) -> Ids:
        sql = f"SELECT id FROM contents WHERE shown AND {condition} ORDER BY id LIMIT ?"
        return np.array([content for (content,) in self._database.rows(sql, (value, most + 1))], np.int64)

    def _few(self, filters: Filters | None) -> bool:
        condition, values = condition_of(filters)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM contents WHERE {condition} LIMIT ?) AS passing"
        return bool(self._database.rows(sql, (*values, EXACT_UP_TO + 1))[0][0] <= EXACT_UP_TO)

    def _query(
        self, vector: Vectors, limit: int, filters: Filters | None, exact: bool, among: Sequence[int] | None = None
    ) -> list[Scored]:
        condition, values = condition_of(filters)
        if among is not None:
            condition, values = f"contents.id = ANY(?) AND {condition}", (list(among), *values)
        if not exact:  # the next pictures are looked for where those found do not pass
            for setting in (f"ef_search = {EF_SEARCH}", "iterative_scan = strict_order", "max_scan_tuples = 1000000"):
                self._database.rows(f"SET LOCAL hnsw.{setting}")
        # `+ 0` keeps the graph out: it would answer with a part of what passes.
        distance = "(vector <#> ?) + 0" if exact else "vector <#> ?"
        found = self._database.rows(
            f"SELECT {PICTURE}, -distance FROM (SELECT content AS found, {distance} AS distance FROM {self._vectors} "
            f"JOIN contents ON id = content WHERE {condition} ORDER BY distance, content LIMIT ?) AS nearest "
            "JOIN contents ON id = found ORDER BY distance, id",
            (sent(vector), *values, limit),
        )
        return [(row_of(each[:-1]), float(each[-1])) for each in found]


def has_graph(database: Database, vectors: str) -> bool:
    """Whether the vectors have a graph."""
    sql = "SELECT 1 FROM pg_indexes WHERE schemaname = ? AND indexname = ?"
    return bool(database.rows(sql, (database.schema, f"{vectors}_graph")))


def build_graph(database: Database, vectors: str) -> None:
    """Build the graph where it is missing and the pictures are many: minutes for a million. Later writes keep it."""
    ((pictures,),) = database.rows(f"SELECT count(*) FROM {vectors}")
    if pictures > EXACT_UP_TO and not has_graph(database, vectors):
        database.rows(
            f"CREATE INDEX {vectors}_graph ON {vectors} USING hnsw (vector halfvec_ip_ops) "
            f"WITH (ef_construction = {EF_CONSTRUCTION})"
        )
        database.rows(f"ANALYZE {vectors}")
