"""Nearest pictures on the server: exact search, ties in the order of indexing."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.exclusion import Exclusion, kept
from araclip.gallery.fusion import Candidate
from araclip.gallery.ranking import Page, above, hits_of
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.remote.conditions import both, condition_of, passes, visible
from araclip.gallery.remote.connection import Connection
from araclip.gallery.remote.rows import ABOUT, Row, row_of
from araclip.gallery.results import Hit


@dataclass(frozen=True)
class Search:
    """Searches in one generation of a collection.

    With `exact` False the server's graph (HNSW) answers where no filter is set: faster from some millions of pictures
    on, with a recall below 1.
    """

    connection: Connection
    generation: int
    exact: bool = True

    def ranked(
        self,
        vector: NDArray[np.float32],
        page: Page,
        scale: RelevanceScale | None,
        exclude: int | None = None,
        exclusion: Exclusion | None = None,
    ) -> list[tuple[Row, Hit]]:
        """One page of hits with their pictures; see `gallery.ranking.ranked`."""
        condition = condition_of(page.filters)
        nearest = self._nearest(vector, page.offset + page.k, condition)
        relevance = scale.relevance(vector, page.words) if scale else None
        rows: dict[int, Row] = {}

        def rated() -> Iterator[Candidate]:
            for row, score in nearest:
                rows[row.id] = row
                yield Candidate(row.id, score, relevance(score) if relevance else None, score)

        def cosines(ids: Sequence[int], terms: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._vectors([rows[content].point for content in ids], terms.shape[1]) @ terms.T

        shown = kept(above(rated(), page.threshold), exclusion, cosines)
        candidates = ((each, paths_of(rows[each.content], page.filters)) for each in shown)
        hits = hits_of(candidates, lambda content: rows[content].phash, page, exclude)
        return [(rows[content], hit) for content, hit in hits]

    def _nearest(
        self, vector: NDArray[np.float32], first: int, condition: models.Filter | None
    ) -> Iterator[tuple[Row, float]]:
        """Every picture that passes, best first; fetched in growing batches as they are consumed."""
        done, limit = 0, first + 1
        while True:
            points = self._query(vector, limit, condition)
            complete = len(points) < limit
            # The server orders ties arbitrarily: those with the last score are left for the next, larger batch.
            sure = [point for point in points if complete or point.score > points[-1].score]
            pairs = [(row_of(str(point.id), point.payload or {}), float(point.score)) for point in sure]
            yield from sorted(pairs, key=lambda pair: (-pair[1], pair[0].id))[done:]
            if complete:
                return
            done, limit = len(sure), 2 * limit

    def _vectors(self, points: list[str], width: int) -> NDArray[np.float32]:
        """(n, D) vectors of points, in the order given; zeros for one that is gone."""
        found = self.connection.call("retrieve", ids=points, with_vectors=True, with_payload=False)
        vectors = {str(point.id): np.asarray(point.vector, np.float32) for point in found}
        return np.stack([vectors.get(point, np.zeros(width, np.float32)) for point in points])

    def _query(
        self, vector: NDArray[np.float32], limit: int, condition: models.Filter | None
    ) -> list[models.ScoredPoint]:
        exact = self.exact or condition is not None
        answer = self.connection.call(
            "query_points",
            query=vector.tolist(),
            query_filter=both(visible(self.generation), condition),
            limit=limit,
            with_payload=list(ABOUT),
            search_params=models.SearchParams(exact=exact, hnsw_ef=None if exact else 512),
        )
        points: list[models.ScoredPoint] = answer.points
        return points


def paths_of(row: Row, filters: Filters) -> list[str]:
    """Paths of a picture: those that pass the filters, then the others, each sorted by bytes.

    Whether the files exist is not checked: they may be on another machine.
    """
    entry = sorted(row.files, key=lambda entry: (not passes(filters, row, entry), os.fsencode(entry.file.path)))
    return [each.file.path for each in entry]


def sample(connection: Connection, generation: int, width: int, most: int) -> NDArray[np.float32]:
    """Vectors (n, D) of the pictures with the lowest ids; ids are hashes, so the sample is random."""
    points, _ = connection.call(
        "scroll", scroll_filter=visible(generation), limit=most, with_payload=False, with_vectors=True
    )
    vectors = np.array([point.vector for point in points], np.float32).reshape(-1, width)
    return vectors[np.isfinite(vectors).all(axis=1)]
