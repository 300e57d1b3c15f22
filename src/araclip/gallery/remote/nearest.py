"""Nearest pictures on the server: exact search, ties in the order of indexing."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.photo.matching import is_glob
from araclip.gallery.exclusion import Exclusion, kept
from araclip.gallery.fusion import Candidate, Hybrid, Relevance, lifted, merged, rated
from araclip.gallery.ranking import Page, above, hits_of, reaches
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.remote.conditions import both, condition_of, not_hidden_of, passes, visible
from araclip.gallery.remote.connection import Connection
from araclip.gallery.remote.rows import ABOUT, Row, row_of, texts_of
from araclip.gallery.remote.words import RemoteWordIndex, having
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import text_matches, where_found


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
        hybrid: Hybrid | None = None,
        pictures: int = 0,
    ) -> list[tuple[Row, Hit]]:
        """One page of hits with their pictures; see `gallery.ranking.ranked`."""
        condition, not_hidden = condition_of(page.filters), not_hidden_of(page.filters)
        nearest = self._nearest(vector, page.offset + page.k, condition, not_hidden)
        relevance = scale.relevance(vector, page.words) if scale else None
        rows: dict[int, Row] = {}
        best = next((score for _, score in self._nearest(vector, 1, None, None)), 0.0) if hybrid else 0.0
        by_text = (
            self._by_text(vector, condition, not_hidden, best, relevance, hybrid, pictures, rows) if hybrid else []
        )
        known = {each.content for each in by_text}

        def by_vector() -> Iterator[Candidate]:
            for row, score in nearest:
                if row.id not in known:
                    rows[row.id] = row
                    yield rated(score, best, relevance, hybrid, row.id)

        def cosines(ids: Sequence[int], terms: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._vectors([rows[content].point for content in ids], terms.shape[1]) @ terms.T

        both_streams = merged(
            above(by_vector(), page.threshold), [each for each in by_text if reaches(each, page.threshold)]
        )
        shown = kept(both_streams, exclusion, cosines)
        if page.filters.name is not None and is_glob(page.filters.name):  # which the server cannot answer
            shown = (each for each in shown if _passes(rows[each.content], page.filters))
        candidates = ((each, paths_of(rows[each.content], page.filters)) for each in shown)
        hits = hits_of(candidates, lambda content: rows[content].phash, page, exclude)
        if hybrid is None:
            return [(rows[content], hit) for content, hit in hits]
        return [
            (rows[content], replace(hit, matched=where_found(texts_of(rows[content]), hybrid.query)))
            if content in known else (rows[content], hit)
            for content, hit in hits
        ]  # fmt: skip

    def _by_text(
        self, vector: NDArray[np.float32], condition: models.Filter | None, not_hidden: models.Filter | None,
        best: float, relevance: Relevance, hybrid: Hybrid, pictures: int, rows: dict[int, Row],
    ) -> list[Candidate]:  # fmt: skip
        """Pictures that pass with a text match, in order; adds their rows."""
        matches = text_matches(RemoteWordIndex(self.connection, self.generation), hybrid.query, pictures).among(None)
        if not len(matches.ids):
            return []
        points = self._query(vector, len(matches.ids), both(having(matches.ids), condition), not_hidden)
        found = [(row_of(str(point.id), point.payload or {}), float(point.score)) for point in points]
        rows |= {row.id: row for row, _ in found}
        ids, scores = [row.id for row, _ in found], [score for _, score in found]
        return lifted(ids, scores, best, relevance, hybrid, matches)

    def _nearest(
        self, vector: NDArray[np.float32], first: int, condition: models.Filter | None, not_hidden: models.Filter | None
    ) -> Iterator[tuple[Row, float]]:
        """Every picture that passes, best first; fetched in growing batches as they are consumed."""
        done, limit = 0, first + 1
        while True:
            points = self._query(vector, limit, condition, not_hidden)
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
        self, vector: NDArray[np.float32], limit: int, condition: models.Filter | None, not_hidden: models.Filter | None
    ) -> list[models.ScoredPoint]:
        exact = self.exact or condition is not None
        answer = self.connection.call(
            "query_points",
            query=vector.tolist(),
            query_filter=both(both(visible(self.generation), not_hidden), condition),
            limit=limit,
            with_payload=list(ABOUT),
            search_params=models.SearchParams(exact=exact, hnsw_ef=None if exact else 512),
        )
        points: list[models.ScoredPoint] = answer.points
        return points


def _passes(row: Row, filters: Filters) -> bool:
    return any(passes(filters, row, entry) for entry in row.files)


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
