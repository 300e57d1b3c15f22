"""Nearest pictures on the server: exact scores, none missed, ties in the order of indexing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.ranking import Page, hits_of
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.remote.conditions import both, condition_of, passes, visible
from araclip.gallery.remote.connection import Connection
from araclip.gallery.remote.rows import ABOUT, Row, row_of
from araclip.gallery.results import Hit


@dataclass(frozen=True)
class Search:
    """One generation of a collection, searched. `exact` False lets the server's graph (HNSW) answer where no filter is
    set: quicker from some millions on, and it misses some."""

    connection: Connection
    generation: int
    exact: bool = True

    def ranked(
        self, vector: NDArray[np.float32], page: Page, scale: RelevanceScale | None, exclude: int | None = None
    ) -> list[tuple[Row, Hit]]:
        """One page of hits with their pictures; see `gallery.ranking.ranked`."""
        condition = condition_of(page.filters)
        nearest = self._nearest(vector, page.offset + page.k, condition)
        relevance = None
        if scale:  # against the best picture of all, whatever the filters
            first = list(islice(nearest if condition is None else self._nearest(vector, 1, None), 1))
            relevance = scale.relevance(vector, first[0][1] if first else 0.0)
            nearest = chain(first, nearest) if condition is None else nearest
        rows: dict[int, Row] = {}
        holding: dict[str, Row] = {}

        def found() -> Iterator[tuple[int, float, list[str]]]:
            for row, score in nearest:
                paths = paths_of(row, page.filters)
                rows[row.id] = holding[paths[0]] = row
                yield row.id, score, paths

        hits = hits_of(found(), lambda content: rows[content].phash, relevance, page, exclude)
        return [(holding[hit.path], hit) for hit in hits]

    def _nearest(
        self, vector: NDArray[np.float32], first: int, condition: models.Filter | None
    ) -> Iterator[tuple[Row, float]]:
        """Every picture that passes, best first; more are asked for as they are taken."""
        seen, wanted = 0, first + 1
        while True:
            points = self._query(vector, wanted, condition)
            whole = len(points) < wanted
            # The server cuts ties anywhere: what ties with the last is left for the next, larger answer.
            sure = [point for point in points if whole or point.score > points[-1].score]
            pairs = [(row_of(str(point.id), point.payload or {}), float(point.score)) for point in sure]
            yield from sorted(pairs, key=lambda pair: (-pair[1], pair[0].id))[seen:]
            if whole:
                return
            seen, wanted = len(sure), 2 * wanted

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
    """The paths of a picture, those that pass first, each part in order of the bytes. Whether the files are there is
    not asked: they may lie on another machine."""

    held = sorted(row.files, key=lambda held: (not passes(filters, row, held), os.fsencode(held.file.path)))
    return [each.file.path for each in held]


def sample(connection: Connection, generation: int, width: int, most: int) -> NDArray[np.float32]:
    """Vectors (n, D) of the pictures with the lowest ids; ids are hashes, so that is a fair draw."""
    points, _ = connection.call(
        "scroll", scroll_filter=visible(generation), limit=most, with_payload=False, with_vectors=True
    )
    vectors = np.array([point.vector for point in points], np.float32).reshape(-1, width)
    return vectors[np.isfinite(vectors).all(axis=1)]
