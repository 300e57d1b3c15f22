"""From a query to a page of hits over a server that finds the nearest pictures: see `gallery.ranking` for a folder."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.matching import is_glob
from araclip.gallery.queries.exclusion import Exclusion, kept
from araclip.gallery.queries.fusion import Candidate, Hybrid, doubted, lifted, merged, rated
from araclip.gallery.queries.text_matches import TextIndex, text_matches, where_found
from araclip.gallery.ranking import Page, above, hits_of, reaches
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.remote.passing import passes, paths_of
from araclip.gallery.remote.rows import Row, texts_of
from araclip.gallery.results import Hit
from araclip.text.description import describes

Vectors = NDArray[np.float32]
Scored = tuple[Row, float]  # a picture and its cosine


class ServerSearch(ABC):
    """Searches in one generation of a gallery on a server. Filters that are None let every picture pass."""

    words: TextIndex

    @abstractmethod
    def nearest(self, vector: Vectors, first: int, filters: Filters | None) -> Iterator[Scored]:
        """Every picture that passes, best first, ties in the order of indexing; at least `first` will be taken."""

    @abstractmethod
    def scored(self, vector: Vectors, ids: Sequence[int], filters: Filters) -> list[Scored]:
        """Those of the pictures with these ids that pass, in any order."""

    @abstractmethod
    def passing(self, ids: Sequence[int], filters: Filters) -> list[int]:
        """Those of these ids whose pictures pass, in any order; a glob of a name lets every picture pass."""

    @abstractmethod
    def vectors(self, rows: Sequence[Row], width: int) -> Vectors:
        """(n, D) vectors of pictures, in the order given; zeros for one that is gone."""

    def newest(self, filters: Filters) -> Iterator[Scored] | None:
        """The pictures that pass, newest first, those without a date last; None where the server cannot order them."""
        return None

    def near_ids(self, row: Row) -> list[int]:
        """Ids of the pictures whose perceptual hash is near a picture's, itself left out; none where the server cannot
        compare hashes."""
        return []

    def near(self, row: Row, width: int, filters: Filters, most: int) -> list[tuple[Row, Hit]]:
        """The near-duplicates of a picture that pass the filters, those most like it first; at most so many.

        Args:
            width: of the gallery's vectors.
        """
        if not (ids := self.near_ids(row)):
            return []
        (vector,) = self.vectors([row], width)
        found = sorted(self.scored(vector, ids, filters), key=lambda each: (-each[1], each[0].id))
        rows = {each.id: each for each, _ in found}
        candidates = ((Candidate(each.id, score, None, 0.0), paths_of(each, filters)) for each, score in found)
        page = Page(most, 0, replace(filters, collapse=False))
        return [(rows[content], hit) for content, hit in hits_of(candidates, lambda _: 0, page, None)]

    def ranked(
        self,
        vector: Vectors,
        page: Page,
        scale: RelevanceScale | None,
        exclude: int | None = None,
        exclusion: Exclusion | None = None,
        hybrid: Hybrid | None = None,
        pictures: int = 0,
    ) -> list[tuple[Row, Hit]]:
        """One page of hits with their pictures; see `gallery.ranking.ranked`."""
        dated = self.newest(page.filters) if page.by_date else None
        hybrid = None if dated else hybrid
        nearest = self.nearest(vector, page.offset + page.k, page.filters) if dated is None else dated
        relevance = scale.relevance(vector, page.words) if scale and not dated else None
        best = next((score for _, score in self.nearest(vector, 1, None)), 0.0) if hybrid else 0.0
        rows: dict[int, Row] = {}
        by_text, answered = list[Candidate](), False
        if hybrid:
            matches = text_matches(self.words, hybrid.query, pictures)
            answered = bool(len(matches.ids))
            matches = matches.among_passing(lambda ids: self.passing(ids, page.filters))
            found = self.scored(vector, matches.ids.tolist(), page.filters) if len(matches.ids) else []
            rows = {row.id: row for row, _ in found}
            by_text = lifted(list(rows), [score for _, score in found], best, relevance, hybrid, matches)
        known = {each.content for each in by_text}

        def by_vector() -> Iterator[Candidate]:
            for row, score in nearest:
                if row.id not in known:
                    rows[row.id] = row
                    yield rated(score, best, relevance, hybrid, row.id)

        def cosines(ids: Sequence[int], terms: Vectors) -> Vectors:
            return self.vectors([rows[content] for content in ids], terms.shape[1]) @ terms.T

        def described(ids: Sequence[int]) -> set[int]:
            in_arabic = bool(hybrid and hybrid.query.in_arabic)
            return {content for content in ids if describes(_description(rows[content]), in_arabic=in_arabic)}

        streams = (above(by_vector(), page.threshold), [each for each in by_text if reaches(each, page.threshold)])
        ordered = by_vector() if dated else merged(*streams)
        if hybrid and answered:
            ordered = doubted(ordered, described, hybrid.doubt)
        shown = kept(ordered, exclusion, cosines)
        if page.filters.name is not None and is_glob(page.filters.name):  # which the servers are not asked for
            shown = (each for each in shown if _passes(rows[each.content], page.filters))
        candidates = ((each, paths_of(rows[each.content], page.filters)) for each in shown)
        hits = hits_of(candidates, lambda content: rows[content].phash, page, exclude)
        return [
            (rows[content], replace(hit, matched=where_found(texts_of(rows[content]), hybrid.query)))
            if hybrid and content in known else (rows[content], hit)
            for content, hit in hits
        ]  # fmt: skip


def _passes(row: Row, filters: Filters) -> bool:
    return any(passes(filters, row, entry) for entry in row.files)


def _description(row: Row) -> str:
    about = texts_of(row)
    return " ".join(text for field in ("metadata", "captions") for text in about.get(field, ()))
