"""Nearest pictures on a Qdrant server: exact search, ties in the order of indexing."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.qdrant.conditions import both, condition_of, not_hidden_of, visible
from araclip.gallery.qdrant.connection import Connection
from araclip.gallery.qdrant.payloads import ABOUT, row_of
from araclip.gallery.qdrant.words import WordIndex, having
from araclip.gallery.remote.ranking import Scored, ServerSearch, Vectors
from araclip.gallery.remote.rows import Row

RESCORED = models.QuantizationSearchParams(rescore=True, oversampling=3.0)  # where the collection has codes
AT_FIRST = 10_000  # pictures asked for, whatever k is: a server may reserve room for all of them
THROUGH_GRAPH = models.SearchParams(exact=False, hnsw_ef=512, quantization=RESCORED)


class Search(ServerSearch):
    """Searches in one generation of a collection.

    With `exact` False the server's graph (HNSW) answers where no filter is set: faster from some millions of pictures
    on, with a recall below 1.
    """

    def __init__(self, connection: Connection, generation: int, exact: bool = True) -> None:
        self._connection, self._generation, self._exact = connection, generation, exact
        self.words = WordIndex(connection, generation)

    def nearest(self, vector: Vectors, first: int, filters: Filters | None) -> Iterator[Scored]:
        """Fetched in growing batches as they are consumed, each picture once, whatever the graph gives in a batch."""
        seen, limit = set[int](), min(first, AT_FIRST) + 1
        while True:
            points = self._query(vector, limit, filters)
            complete = len(points) < limit
            # The server orders ties arbitrarily: those with the last score are left for the next, larger batch.
            sure = _scored([point for point in points if complete or point.score > points[-1].score])
            new = [pair for pair in sure if pair[0].id not in seen]
            yield from sorted(new, key=lambda pair: (-pair[1], pair[0].id))
            if complete:
                return
            seen.update(row.id for row, _ in new)
            limit *= 2

    def scored(self, vector: Vectors, ids: Sequence[int], filters: Filters) -> list[Scored]:
        """Those that pass."""
        return _scored(self._query(vector, len(ids), filters, having(ids)))

    def passing(self, ids: Sequence[int], filters: Filters) -> list[int]:
        """By their payload alone."""
        wanted = both(both(visible(self._generation), not_hidden_of(filters)), both(having(ids), condition_of(filters)))
        points = self._connection.scroll(wanted, payload=["order"], page=len(ids))
        return [int((point.payload or {})["order"]) for point in points]

    def vectors(self, rows: Sequence[Row], width: int) -> Vectors:
        """(n, D)."""
        ids = [row.point for row in rows]
        found = self._connection.call("retrieve", ids=ids, with_vectors=True, with_payload=False)
        vectors = {str(point.id): np.asarray(point.vector, np.float32) for point in found}
        return np.stack([vectors.get(point, np.zeros(width, np.float32)) for point in ids])

    def _query(
        self, vector: Vectors, limit: int, filters: Filters | None, among: models.Filter | None = None
    ) -> list[models.ScoredPoint]:
        condition = condition_of(filters) if filters else None
        condition = both(among, condition) if among else condition
        exact = self._exact or condition is not None
        wanted = both(visible(self._generation), not_hidden_of(filters) if filters else None)
        answer = self._connection.call(
            "query_points",
            query=vector.tolist(),
            query_filter=both(wanted, condition),
            limit=limit,
            with_payload=list(ABOUT),
            search_params=models.SearchParams(exact=True) if exact else THROUGH_GRAPH,
        )
        points: list[models.ScoredPoint] = answer.points
        return points


def _scored(points: Sequence[models.ScoredPoint]) -> list[Scored]:
    return [(row_of(str(point.id), point.payload or {}), float(point.score)) for point in points]


def sample(connection: Connection, generation: int, width: int, most: int) -> NDArray[np.float32]:
    """Vectors (n, D) of the pictures with the lowest ids; ids are hashes, so the sample is random."""
    points, _ = connection.call(
        "scroll", scroll_filter=visible(generation), limit=most, with_payload=False, with_vectors=True
    )
    vectors = np.array([point.vector for point in points], np.float32).reshape(-1, width)
    return vectors[np.isfinite(vectors).all(axis=1)]
