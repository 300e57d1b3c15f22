"""From a plan's vector to a page of hits: the best pictures that pass the filters and exist, in a stable order.

Hits stand in the order of one number, their relevance: how surely the picture shows what the query says. Words of the
query in its texts raise it, a description that says nothing of them lowers it. Where relevance is unknown, the order is
that of a hit's value: its cosine on the scale of the gallery, raised and lowered likewise.

Hits are ranked by what is asked, and a picture that shows an excluded thing is then left out: one at which the excluded
text has a strong relevance (`gallery.relevance`), or stands a standard deviation above its average over the first hits.
Where all that a query does is exclude, there are no hits to compare with, and the whole gallery's average is taken.
Measured by benchmarks/exclusion.py.
"""

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.near_hashes import is_near
from araclip.gallery.relevance import MIN_PICTURES, RelevanceScale
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import NO_MATCHES, TextMatches, TextQuery, where_found
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.video.scenes import file_of

LIFT = 2.5  # what a perfect text match of weight 1 adds, where the vector alone gives 0 to 1
LIFT_ODDS = 7.0  # and to the log-odds of relevance: as good an order, measured by benchmarks/hybrid.py
DOUBT = 0.2  # what a description takes away, whatever it says
DOUBTED = 512  # pictures of a query whose texts are looked at for that; further ones count as described
AT_ONCE = 64  # of them

Relevance = Callable[[float], float] | None  # of a cosine; None where it is unknown


@dataclass(frozen=True)
class Candidate:
    """A picture that may become a hit: id, cosine, relevance (None: unknown), and the value that orders it."""

    content: int
    score: float
    relevance: float | None
    value: float


@dataclass(frozen=True)
class Hybrid:
    """A search in texts beside the vector's: what to look for, how likely the vector means something in this gallery
    (0…1), and the average picture's cosine to it."""

    query: TextQuery
    meaning: float
    average: float

    @property
    def doubt(self) -> float:
        """What a description takes away from a picture, as a share of what the best one stands above the average."""
        return DOUBT * min(self.query.weight, 1.0)

    def lowered(self, score: float, best: float) -> float:
        """The cosine by which a picture with a description is rated: if it is meant, the words stand there."""
        return score - self.doubt * max(best - self.average, 0.0)

    def lifted(self, relevance: float, strength: float, surely: float) -> float:
        """The relevance of a picture whose texts match: more than by the vector alone, and no less than by them; of
        another picture the same as by the vector."""
        if not strength:
            return relevance
        weight = self.query.weight
        odds = math.log(max(relevance, 1e-9) / max(1 - relevance, 1e-9)) + LIFT_ODDS * weight * strength
        return max(1 / (1 + math.exp(-odds)), min(surely * weight, 1.0))

    def value(self, score: float, best: float) -> float:
        """Cosine → value: 0 for the average picture, 1 for the best of a meaningful query."""
        return self.meaning * min(max((score - self.average) / max(best - self.average, 1e-6), 0.0), 1.0)


def rated(score: float, best: float, relevance: Relevance, hybrid: Hybrid | None, content: int) -> Candidate:
    """A picture without a text match."""
    value = hybrid.value(score, best) if hybrid else score
    return Candidate(content, score, relevance(score) if relevance else None, value)


def lifted(
    ids: list[int], scores: list[float], best: float, relevance: Relevance, hybrid: Hybrid, matches: TextMatches
) -> list[Candidate]:
    """Pictures with a text match, in order: their match adds to the value, and may say more than the vector about the
    relevance."""
    by_id = dict(zip(matches.ids.tolist(), zip(matches.strength, matches.relevance(), strict=True), strict=True))
    found = []
    for content, score in zip(ids, scores, strict=True):
        strength, surely = (float(each) for each in by_id[content])
        value = hybrid.value(score, best) + LIFT * hybrid.query.weight * strength
        found.append(
            Candidate(content, score, hybrid.lifted(relevance(score), strength, surely) if relevance else None, value)
        )
    return sorted(found, key=order)


def order(candidate: Candidate) -> tuple[float, float, float, int]:
    """The key of the one order: relevance, value, cosine, then the order of indexing."""
    return -(candidate.relevance or 0.0), -candidate.value, -candidate.score, candidate.content


def merged(by_vector: Iterator[Candidate], by_text: list[Candidate]) -> Iterator[Candidate]:
    """Two streams, each in that order and without the other's pictures, as one."""
    return heapq.merge(by_vector, by_text, key=order)


def doubted(
    candidates: Iterator[Candidate],
    described: Callable[[Sequence[int]], set[int]],
    lower: Callable[[Candidate], Candidate],
) -> Iterator[Candidate]:
    """Candidates in that order, with those that have a description lowered, in that order again.

    Args:
        described: tells which of some pictures have one.
        lower: a candidate as it is rated where it has one; no higher than before.
    """
    held: list[tuple[tuple[float, float, float, int], Candidate]] = []  # lowered ones, until nobody can be before them
    looked = 0
    while group := list(islice(candidates, AT_ONCE)):
        ids = [each.content for each in group]
        known = described(ids) if looked < DOUBTED else set(ids)
        looked += len(group)
        for each in group:
            while held and held[0][0] <= order(each):
                yield heapq.heappop(held)[1]
            if each.content in known:
                lowered = lower(each)
                heapq.heappush(held, (order(lowered), lowered))
            else:
                yield each
    yield from (each for _, each in sorted(held))


FIRST_HITS = 30  # of a query, with which each hit is compared: does it show the excluded thing more than they do?
ABOVE = 1.0  # standard deviations above their average from which it does; both chosen on judged pairs
LARGEST_CHUNK = 4096  # candidates looked at together; they grow, for galleries full of the excluded thing

Cosines = Callable[[Sequence[int], Vectors], Vectors]


@dataclass(frozen=True)
class Exclusion:
    """Excluded terms: their unit vectors (m, D), and the cosines (m,) from which a picture is taken to show the
    thing; `relative`: or stands ABOVE the first hits."""

    vectors: Vectors
    limits: NDArray[np.float64]
    relative: bool = False

    def beside(self, first: Vectors) -> "Exclusion":
        """The same for the rest of a query's hits, by the cosines (n, m) of the first ones."""
        if not self.relative or len(first) < MIN_PICTURES:
            return self
        return replace(self, limits=np.minimum(self.limits, first.mean(axis=0) + ABOVE * first.std(axis=0)))

    def drops(self, cosines: Vectors) -> NDArray[np.bool_]:
        """(n, m) cosines of pictures with the terms → (n,) whether each is left out."""
        dropped: NDArray[np.bool_] = np.any(cosines >= self.limits, axis=1)
        return dropped


def exclusion_of(terms: Vectors, scale: RelevanceScale | None, *, alone: bool) -> Exclusion | None:
    """The exclusion of terms (m, D); None in a gallery of too few pictures for a scale.

    Args:
        alone: whether all that the query does is exclude.
    """
    if scale is None:
        return None
    limit = scale.excluded_cosine if alone else scale.strong_cosine
    return Exclusion(terms, np.array([limit(term) for term in terms]), relative=not alone)


def kept(candidates: Iterator[Candidate], exclusion: Exclusion | None, cosines: Cosines) -> Iterator[Candidate]:
    """The candidates that are not left out, in the order given; `cosines` gives (n, m) for n ids and (m, D)."""
    if exclusion is None:
        yield from candidates
        return
    size, compared = FIRST_HITS, False
    while chunk := list(islice(candidates, size)):
        found = cosines([each.content for each in chunk], exclusion.vectors)
        exclusion, compared = exclusion if compared else exclusion.beside(found), True
        dropped = exclusion.drops(found)
        yield from (each for each, drop in zip(chunk, dropped.tolist(), strict=True) if not drop)
        size = min(2 * size, LARGEST_CHUNK)


WHOLE = (int, np.integer)
REAL = (*WHOLE, float, np.floating)
_EVERY = 1 << 60  # hits: no gallery has so many, and sums and multiples of it fit into the integers of servers


@dataclass(frozen=True)
class Page:
    """Which hits to return: `k` after the first `offset`, of those that pass `filters`, `threshold` and `excluded`.

    Raises:
        InputError: a number is out of range, or the value is not a number.
    """

    k: int
    offset: int
    filters: Filters
    threshold: float = 0.0
    by_date: bool = False  # newest first instead of by similarity; where the store can do so
    excluded: NDArray[np.float32] | None = field(default=None, compare=False)  # vectors (m, D) of what not to show

    def __post_init__(self) -> None:
        for name in ("k", "offset", "threshold"):
            value: Any = getattr(self, name)
            whole = name != "threshold"
            if isinstance(value, bool) or not isinstance(value, WHOLE if whole else REAL):
                wanted = "a whole number" if whole else "a number"
                raise InputError(f"{name} is {value!r}, a {type(value).__name__}; pass {wanted}.")
            object.__setattr__(self, name, min(int(value), _EVERY) if whole else float(value))  # NumPy's numbers too
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        if self.offset < 0:
            raise InputError(f"offset is {self.offset}; it must be 0 or more.")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; it is a relevance from 0 (everything) to 1.")


class StoreSearch(ABC):
    """What the ranking asks of a store: one search for a unit vector (D,) among the pictures that pass a page's
    filters. Pictures are named by the store's numbers."""

    @abstractmethod
    def nearest(self) -> Iterator[tuple[int, float]]:
        """Every picture that passes and its cosine, best first, ties in the order of indexing."""

    @abstractmethod
    def newest(self) -> Iterator[int]:
        """Every picture that passes, the newest first, those without a date last."""

    @abstractmethod
    def best_score(self) -> float:
        """The cosine of the gallery's best picture, filters ignored; 0 for an empty gallery."""

    @abstractmethod
    def matches(self, query: TextQuery) -> TextMatches:
        """The pictures whose texts answer a query, and that may pass the filters."""

    @abstractmethod
    def scores(self, ids: Ids) -> tuple[list[int], list[float]]:
        """Those of some pictures (ascending) that pass and are there, and their cosines."""

    @abstractmethod
    def cosines(self, ids: Sequence[int], terms: Vectors) -> Vectors:
        """(n, m) cosines of pictures with unit vectors (m, D)."""

    @abstractmethod
    def described(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        """Those of some pictures whose captions and metadata describe them in that script."""

    @abstractmethod
    def existing(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[str]]]:
        """The candidates that can be shown, with their paths: those that pass first."""

    @abstractmethod
    def phash(self, content: int) -> int:
        """The perceptual hash of a picture; 0 where it is not known."""

    @abstractmethod
    def near(self, content: int) -> list[int]:
        """The near-duplicates of a picture, by their perceptual hashes."""

    @abstractmethod
    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """The texts of pictures by field."""

    @abstractmethod
    def with_pictures(self, hits: Sequence[tuple[int, Hit]]) -> list[Hit]:
        """Hits with their pictures; those that were removed meanwhile are left out."""

    def near_count(self, content: int) -> int:
        """How many near-duplicates a picture has; 0 where a store does not count them."""
        return 0


def ranked(
    search: StoreSearch,
    vector: Vectors,
    page: Page,
    scale: RelevanceScale | None,
    exclude: int | None = None,
    hybrid: Hybrid | None = None,
    exclusion: Exclusion | None = None,
) -> list[tuple[int, Hit]]:
    """The hits of one page for a unit vector (D,), best first, ties in the order of indexing, each with its picture.

    Args:
        exclude: the number of a picture to leave out.
        hybrid: what to look for in texts beside the vector.
        exclusion: what no hit may show.
    """
    if page.by_date:  # without score or relevance
        newest = (Candidate(content, 0.0, None, 0.0) for content in search.newest())
        return hits_of(search.existing(kept(newest, exclusion, search.cosines)), search.phash, page, exclude)
    matches = search.matches(hybrid.query) if hybrid else NO_MATCHES
    best = search.best_score() if hybrid else 0.0
    relevance = scale.relevance(vector) if scale else None
    by_text = list[Candidate]()
    if hybrid and len(matches.ids):
        by_text = lifted(*search.scores(matches.ids), best, relevance, hybrid, matches)
    known = {each.content for each in by_text}
    others = (
        rated(score, best, relevance, hybrid, content) for content, score in search.nearest() if content not in known
    )
    candidates = merged(others, by_text)
    if hybrid and matches.answered:
        asked = hybrid

        def described(ids: Sequence[int]) -> set[int]:
            return search.described(ids, in_arabic=asked.query.in_arabic)

        def lower(each: Candidate) -> Candidate:
            value = each.value - asked.doubt * asked.meaning
            lowered = relevance(asked.lowered(each.score, best)) if relevance else None
            rated = None if lowered is None else asked.lifted(lowered, *matches.of(each.content))
            return replace(each, value=value, relevance=rated)

        candidates = doubted(candidates, described, lower)
    left = above(kept(candidates, exclusion, search.cosines), page.threshold)
    hits = hits_of(search.existing(left), search.phash, page, exclude)
    if page.filters.collapse:
        hits = [(content, replace(hit, near=search.near_count(content))) for content, hit in hits]
    if not hybrid:
        return hits
    documents = search.documents([content for content, _ in hits if content in known])
    return [
        (content, replace(hit, matched=where_found(documents.get(content, {}), hybrid.query))) for content, hit in hits
    ]


def near_hits(search: StoreSearch, content: int, filters: Filters, most: int) -> list[tuple[int, Hit]]:
    """The near-duplicates of the picture whose vector is searched that pass the filters, the likest first."""
    ids, scores = search.scores(np.array(sorted(search.near(content)), np.int64))
    candidates = (Candidate(each, score, None, 0.0) for each, score in zip(ids, scores, strict=True))
    found = search.existing(sorted(candidates, key=lambda each: (-each.score, each.content)))
    return hits_of(found, search.phash, Page(most, 0, replace(filters, collapse=False)), None)


def above(candidates: Iterator[Candidate], threshold: float) -> Iterator[Candidate]:
    """The candidates up to the first whose relevance is below the threshold; all where it is unknown."""
    return takewhile(lambda each: each.relevance is None or each.relevance >= threshold, candidates)


def hits_of(
    candidates: Iterable[tuple[Candidate, list[str]]], phash: Callable[[int], int], page: Page, exclude: int | None
) -> list[tuple[int, Hit]]:
    """The hits of one page, with their ids, among candidates and their paths; `phash` gives the hash of an id.

    Of a video, the best scene is a hit and the others are not, unless the filters ask for every scene.
    """
    hits: list[tuple[int, Hit]] = []
    shown: list[int] = []  # perceptual hashes of the hits, to collapse near-duplicates
    videos: set[str] = set()
    for each, paths in candidates:
        file = file_of(paths[0])
        if file in videos or each.content == exclude:
            continue
        if not (page.filters.collapse and _repeats(phash(each.content), shown)):
            if file != paths[0] and not page.filters.every_scene:
                videos.add(file)
            hits.append((each.content, Hit(paths[0], each.score, len(hits) + 1, tuple(paths[1:]), each.relevance)))
        if len(hits) == page.offset + page.k:
            break
    return hits[page.offset :]


def _repeats(phash: int, shown: list[int]) -> bool:
    """Whether a picture is a near-duplicate of one in `shown`; if not, it is added."""
    if any(is_near(phash, other) for other in shown):
        return True
    shown.append(phash)
    return False
