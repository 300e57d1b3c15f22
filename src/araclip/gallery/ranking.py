"""Rank pictures for a query's vector: return a page of the best ones that pass the filters and exist, in stable order.

Hits are ordered by their relevance: how surely the picture shows what the query says. If the query's words occur in the
texts of any picture, relevance falls for each picture with a description, and rises for each picture whose texts have
the words; so a description without the words lowers a picture. If relevance is unknown, hits are ordered by their
value: their cosine on the scale of the gallery, raised and lowered in the same way.
If the requested page of hits asks for it, the hits that fit the query are ordered by date instead.

Last, pictures that show an excluded thing are left out. A picture is judged by its cosine with the excluded text. Two
limits are computed, and the lower one counts: the cosine at which relevance is strong (`gallery.relevance`), and one
standard deviation above the average of the same cosine over the query's first hits. If the words of a query only
exclude, its first hits are no measure: either there are none, or they are the hits of the query's picture, and all of
them may show the excluded thing. Then `RelevanceScale.excluded_cosine` is the limit. See benchmarks/exclusion.py.
"""

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.messages import message
from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.near_hashes import SeenHashes
from araclip.gallery.relevance import MIN_PICTURES, RelevanceScale
from araclip.gallery.results import FIRST_ROW, STRONG, WEAK, Hit, fits_nothing
from araclip.gallery.text_matches import NO_MATCHES, TextMatches, TextQuery, where_found
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.video.scenes import file_of

LIFT = 2.5  # a perfect text match of weight 1 adds this to a picture's value, which is 0 to 1 by the vector alone
LIFT_ODDS = 7.0  # a perfect text match adds this to the log-odds of relevance, the order of hits (benchmarks/hybrid.py)
# The cosine of a picture with a description is lowered by this share of the difference between the best cosine and the
# average one, because the description may lack the query's words; words that match raise the picture again.
DOUBT = 0.2
DOUBTED = 512  # limit: candidates that are looked up to see if they have a description; the rest count as having one
AT_ONCE = 64  # number of pictures that are looked up together to see which of them have a description

Relevance = Callable[[float], float] | None  # cosine → relevance; None: unknown


@dataclass(frozen=True)
class Candidate:
    """A picture that may become a hit: its id, cosine, and relevance, the probability that it is right (None: unknown).

    Hits are ordered by relevance; those with the same or an unknown relevance are ordered by `value`, the cosine with
    what words in the picture's texts add.
    """

    content: int
    score: float
    relevance: float | None
    value: float


@dataclass(frozen=True)
class Hybrid:
    """A search for words in pictures' texts, done together with the search by vector.

    `query` says what to look for. `meaning` (0…1) is how likely the vector stands for words with a meaning, not for
    nonsense (`RelevanceScale.meaning`). `average` is the cosine between the vector and the gallery's average picture.
    """

    query: TextQuery
    meaning: float
    average: float

    @property
    def doubt(self) -> float:
        """The share of (best - average cosine) that `lower_cosine` subtracts: DOUBT, or less if texts weigh below 1."""
        return DOUBT * min(self.query.weight, 1.0)

    def lower_cosine(self, score: float, best: float) -> float:
        """Lower the cosine (`score`) of a picture that has a description, that is, a caption or metadata.

        The description may lack the query's words; if it has them, `raise_relevance` makes up for this. The cosine is
        lowered by a part (`doubt`) of the difference between the cosine of the best picture (`best`) and that of an
        average picture.
        """
        return score - self.doubt * max(best - self.average, 0.0)

    def raise_relevance(self, relevance: float, strength: float, surely: float) -> float:
        """Return a picture's relevance, raised if its texts match the query.

        The log-odds of the relevance grow in proportion to `strength`; at 0 the relevance stays as it is. A raised
        relevance is at least the relevance by the texts alone (`surely`) multiplied by the weight of texts.
        """
        if not strength:
            return relevance
        weight = self.query.weight
        odds = math.log(max(relevance, 1e-9) / max(1 - relevance, 1e-9)) + LIFT_ODDS * weight * strength
        return max(1 / (1 + math.exp(-odds)), min(surely * weight, 1.0))

    def value(self, score: float, best: float) -> float:
        """Turn a cosine into a value: 0 for an average picture or a worse one, 1 for the best of a meaningful query."""
        return self.meaning * min(max((score - self.average) / max(best - self.average, 1e-6), 0.0), 1.0)


def rate_text_matches(
    ids: list[int], scores: list[float], best: float, relevance: Relevance, hybrid: Hybrid, matches: TextMatches
) -> list[Candidate]:
    """Make sorted candidates of pictures whose texts have words of the query; these raise value and relevance."""
    by_id = dict(zip(matches.ids.tolist(), zip(matches.strength, matches.relevance(), strict=True), strict=True))
    found = []
    for content, score in zip(ids, scores, strict=True):
        strength, surely = (float(each) for each in by_id[content])
        value = hybrid.value(score, best) + LIFT * hybrid.query.weight * strength
        found.append(
            Candidate(
                content, score, hybrid.raise_relevance(relevance(score), strength, surely) if relevance else None, value
            )
        )
    return sorted(found, key=sort_key)


def sort_key(candidate: Candidate) -> tuple[float, float, float, int]:
    """Return the key that sorts hits, best first: by relevance (probability), value, cosine, then order of indexing."""
    return -(candidate.relevance or 0.0), -candidate.value, -candidate.score, candidate.content


def lower_described(
    candidates: Iterator[Candidate],
    with_description: Callable[[Sequence[int]], set[int]],
    lower: Callable[[Candidate], Candidate],
) -> Iterator[Candidate]:
    """Lower the rating of candidates that have a description, and yield all candidates sorted by `sort_key` again.

    Only about the first DOUBTED candidates are looked up; all later candidates count as having a description.

    Args:
        candidates: sorted by `sort_key`.
        with_description: returns which of the given pictures have a description: a caption or metadata.
        lower: returns a candidate with a lower rating (or the same).
    """
    # a heap of lowered candidates; each is held back until every candidate that may still come is worse
    held: list[tuple[tuple[float, float, float, int], Candidate]] = []
    looked = 0
    while group := list(islice(candidates, AT_ONCE)):
        ids = [each.content for each in group]
        known = with_description(ids) if looked < DOUBTED else set(ids)
        looked += len(group)
        for each in group:
            while held and held[0][0] <= sort_key(each):
                yield heapq.heappop(held)[1]
            if each.content in known:
                lowered = lower(each)
                heapq.heappush(held, (sort_key(lowered), lowered))
            else:
                yield each
    yield from (each for _, each in sorted(held))


# Whether a picture shows an excluded thing is judged by its cosine with the excluded term, compared with the same
# cosine of this many first hits of the query (see `Exclusion.adapt_to_first_hits`).
FIRST_HITS = 30
# The cosine with an excluded term from which a picture is left out is at most this many standard deviations above the
# average of the first hits. Tuned on judged pairs.
ABOVE = 1.0
# limit: candidates that one step compares with the excluded terms; each step takes twice as many, up to this limit
LARGEST_CHUNK = 4096

Cosines = Callable[[Sequence[int], Vectors], Vectors]


@dataclass(frozen=True)
class Exclusion:
    """Excluded terms: their unit vectors (m, D), and `limits` (m,).

    A picture is left out if its cosine with a term reaches the limit of that term. `relative`: True if
    `adapt_to_first_hits` lowers the limits to fit the cosines of the query's first hits.
    """

    vectors: Vectors
    limits: NDArray[np.float64]
    relative: bool = False

    def adapt_to_first_hits(self, first: Vectors) -> "Exclusion":
        """Return the same excluded terms, with limits that fit the first hits of the query.

        A limit is the cosine with an excluded term from which on a picture is left out. `first` (n, m) has the cosines
        of the first hits with the excluded terms. A limit is lowered to ABOVE standard deviations above the average of
        these cosines if that is less. No limit changes if `relative` is False, or with fewer than MIN_PICTURES hits.
        """
        if not self.relative or len(first) < MIN_PICTURES:
            return self
        return replace(self, limits=np.minimum(self.limits, first.mean(axis=0) + ABOVE * first.std(axis=0)))

    def mask_dropped(self, cosines: Vectors) -> NDArray[np.bool_]:
        """Return a mask (n,) of pictures to leave out, from their `cosines` (n, m) with the excluded terms.

        A picture is left out if its cosine with one of the terms reaches the limit of that term.
        """
        dropped: NDArray[np.bool_] = np.any(cosines >= self.limits, axis=1)
        return dropped


def exclusion_of(terms: Vectors, scale: RelevanceScale | None, *, alone: bool) -> Exclusion | None:
    """Return the excluded terms (m, D) with limits: a picture whose cosine with a term reaches its limit is dropped.

    Args:
        scale: turns cosines into relevance. If it is None (too few pictures to judge cosines), None is returned.
        alone: True if the words of the query do nothing but exclude.
    """
    if scale is None:
        return None
    # a picture with this cosine shows the excluded thing more likely than not
    limits = [scale.excluded_cosine(term) if alone else scale.cosine_at(STRONG, term) for term in terms]
    return Exclusion(terms, np.array(limits), relative=not alone)


def drop_excluded(
    candidates: Iterator[Candidate], exclusion: Exclusion | None, cosines: Cosines
) -> Iterator[Candidate]:
    """Yield the candidates that show no excluded thing, in the given order; all candidates if `exclusion` is None.

    `cosines` returns (n, m) for the ids of n pictures and m vectors (m, D).
    """
    if exclusion is None:
        yield from candidates
        return
    size, compared = FIRST_HITS, False
    while chunk := list(islice(candidates, size)):
        found = cosines([each.content for each in chunk], exclusion.vectors)
        exclusion, compared = exclusion if compared else exclusion.adapt_to_first_hits(found), True
        dropped = exclusion.mask_dropped(found)
        yield from (each for each, drop in zip(chunk, dropped.tolist(), strict=True) if not drop)
        size = min(2 * size, LARGEST_CHUNK)


SORTS = ("relevance", "date", "oldest")
SORTED_IF_UNRATED = 200  # if relevance is unknown, this many of the best pictures are sorted by date
WHOLE = (int, np.integer)
REAL = (*WHOLE, float, np.floating)
_EVERY = 1 << 60  # more hits than any gallery has; sums and multiples of it still fit into PostgreSQL's integers


@dataclass(frozen=True)
class Page:
    """Which hits to return: `k` hits after the first `offset`. The other fields choose and order all hits.

    Raises:
        InputError: a number is out of range or is no number, or `sort` is none of SORTS.
    """

    k: int
    offset: int
    filters: Filters
    threshold: float = 0.0
    sort: str = SORTS[0]  # "date", "oldest": only pictures that fit, newest or oldest first (see `sort_by_date`)
    by_date: bool = False  # True: all pictures by date, because the query says nothing that pictures show
    excluded: NDArray[np.float32] | None = field(default=None, compare=False)  # one vector of each thing not to show
    # True: the query's words only exclude; then the limits of the excluded terms come from the gallery's scale alone,
    # not from the first hits
    alone: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "offset", "threshold"):
            value: Any = getattr(self, name)
            whole = name != "threshold"
            if isinstance(value, bool) or not isinstance(value, WHOLE if whole else REAL):
                wanted = "a whole number" if whole else "a number"
                raise InputError(f"{name} is {value!r}, a {type(value).__name__}; pass {wanted}.")
            # `int` and `float` also turn NumPy's numbers into Python's
            object.__setattr__(self, name, min(int(value), _EVERY) if whole else float(value))
        if self.sort not in SORTS:
            raise InputError(message("choice", name="sort", given=str(self.sort), known=", ".join(SORTS)))
        if self.k < 1:
            raise InputError(message("k least", k=self.k))
        if self.offset < 0:
            raise InputError(message("offset least", offset=self.offset))
        if not 0 <= self.threshold <= 1:
            raise InputError(message("threshold", threshold=self.threshold))


class StoreSearch(ABC):
    """One search of a store for a unit vector (D,), among the pictures that pass the filters of a page of hits.

    Its methods answer all that ranking asks of a store. Two of them do not keep to the filters: `best_score` ignores
    them, and `matches` may return pictures that do not pass. Pictures are identified by the store's ids.
    """

    @abstractmethod
    def nearest(self) -> Iterator[tuple[int, float]]:
        """Yield every picture that passes the filters, with its cosine: best first, ties in the order of indexing."""

    @abstractmethod
    def by_date(self, *, oldest: bool) -> Iterator[int]:
        """Yield every picture that passes the filters, the newest or the `oldest` first; undated pictures come last."""

    @abstractmethod
    def best_score(self) -> float:
        """Return the cosine of the gallery's best picture, ignoring the filters; 0 for an empty gallery."""

    @abstractmethod
    def matches(self, query: TextQuery) -> TextMatches:
        """Return the pictures whose texts match the query; some that do not pass the filters may be among them."""

    @abstractmethod
    def scores(self, ids: Ids) -> tuple[list[int], list[float]]:
        """Return which of the given pictures (ascending) exist and pass the filters, and their cosines."""

    @abstractmethod
    def cosines(self, ids: Sequence[int], terms: Vectors) -> Vectors:
        """Return the cosines (n, m) of the given pictures with unit vectors (m, D)."""

    @abstractmethod
    def with_description(self, ids: Sequence[int], *, in_arabic: bool) -> set[int]:
        """Return which of the given pictures have captions or metadata of at least a few words.

        Only words in Arabic letters count or, if `in_arabic` is False, only words in other letters.
        """

    @abstractmethod
    def existing(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[str]]]:
        """Yield each candidate with a file that exists and passes the filters, and the candidate's existing paths.

        Paths that pass the filters come first. A store in PostgreSQL yields all candidates, because files may be on
        other machines.
        """

    @abstractmethod
    def phash(self, content: int) -> int:
        """Return the perceptual hash of a picture; 0 if it is not known."""

    @abstractmethod
    def near(self, content: int) -> list[int]:
        """Return the near-duplicates of a picture, by their perceptual hashes; some may not pass the filters."""

    @abstractmethod
    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """Return each picture's texts by field: names, metadata, captions, OCR."""

    @abstractmethod
    def with_pictures(self, hits: Sequence[tuple[int, Hit]]) -> list[Hit]:
        """Return the hits with their `picture` filled in; hits whose picture was removed meanwhile are left out."""

    def near_count(self, content: int) -> int:
        """Return how many near-duplicates a picture has; a gallery in PostgreSQL does not count them and returns 0."""
        return 0


def rank_page(
    search: StoreSearch,
    vector: Vectors,
    page: Page,
    scale: RelevanceScale | None,
    exclude: int | None = None,
    hybrid: Hybrid | None = None,
    exclusion: Exclusion | None = None,
) -> list[tuple[int, Hit]]:
    """Return the hits of one page for a unit vector (D,), each with its id.

    The best hit comes first, ties in the order of indexing; if `page` asks for it, hits are ordered by date.

    Args:
        scale: turns cosines into relevance; None if relevance is unknown.
        exclude: the store's id of a picture to leave out.
        hybrid: a search for words in pictures' texts that raises or lowers hits; None: rank by the vector alone.
        exclusion: the excluded things, which no hit may show; None: nothing is excluded.
    """
    if page.by_date:  # hits that are only ordered by date have neither score nor relevance
        dated = (Candidate(content, 0.0, None, 0.0) for content in search.by_date(oldest=page.sort == "oldest"))
        return pick_hits(search, drop_excluded(dated, exclusion, search.cosines), page, exclude)
    matches = search.matches(hybrid.query) if hybrid else NO_MATCHES
    best = search.best_score() if hybrid else 0.0
    relevance = scale.relevance(vector) if scale else None
    by_text = list[Candidate]()
    if hybrid and len(matches.ids):
        by_text = rate_text_matches(*search.scores(matches.ids), best, relevance, hybrid, matches)
    known = {each.content for each in by_text}
    others = (
        Candidate(
            content, score, relevance(score) if relevance else None, hybrid.value(score, best) if hybrid else score
        )
        for content, score in search.nearest()
        if content not in known
    )
    # `merge` needs sorted inputs: `others` and `by_text` are sorted, and no picture is in both
    candidates: Iterator[Candidate] = heapq.merge(others, by_text, key=sort_key)
    if hybrid and matches.answered:
        sought = hybrid

        def with_description(ids: Sequence[int]) -> set[int]:
            return search.with_description(ids, in_arabic=sought.query.in_arabic)

        def lower(each: Candidate) -> Candidate:
            value = each.value - sought.doubt * sought.meaning
            lowered = relevance(sought.lower_cosine(each.score, best)) if relevance else None
            raised = None if lowered is None else sought.raise_relevance(lowered, *matches.match_of(each.content))
            return replace(each, value=value, relevance=raised)

        candidates = lower_described(candidates, with_description, lower)
    left = until_below(drop_excluded(candidates, exclusion, search.cosines), page.threshold)
    if page.sort != SORTS[0]:
        left = sort_by_date(left, search.by_date(oldest=page.sort == "oldest"))
    hits = pick_hits(search, left, page, exclude)
    if not hybrid:
        return hits
    documents = search.documents([content for content, _ in hits if content in known])
    return [
        (content, replace(hit, matched=where_found(documents[content], hybrid.query)) if content in documents else hit)
        for content, hit in hits
    ]


def near_hits(search: StoreSearch, content: int, filters: Filters, most: int) -> list[tuple[int, Hit]]:
    """Return the near-duplicates of a picture that pass the filters, most similar first.

    `search` must be a search for the vector of that picture.
    """
    ids, scores = search.scores(np.array(sorted(search.near(content)), np.int64))
    candidates = (Candidate(each, score, None, 0.0) for each, score in zip(ids, scores, strict=True))
    ordered = sorted(candidates, key=lambda each: (-each.score, each.content))
    return pick_hits(search, ordered, Page(most, 0, replace(filters, collapse=False)), None)


def until_below(candidates: Iterator[Candidate], threshold: float) -> Iterator[Candidate]:
    """Yield candidates until the first whose relevance (0 to 1) is below the threshold; None counts as above."""
    return takewhile(lambda each: each.relevance is None or each.relevance >= threshold, candidates)


def sort_by_date(candidates: Iterator[Candidate], dated: Iterator[int]) -> Iterator[Candidate]:
    """Yield the candidates that fit the query, in order of date; if none fits, yield all in their own order.

    A candidate fits unless its relevance is weak (below WEAK). If relevance is unknown, the SORTED_IF_UNRATED best
    candidates fit. `dated`: the ids of the pictures, in the wanted order of their dates.
    """
    first = list(islice(candidates, SORTED_IF_UNRATED))
    fitting = {each.content: each for each in first}
    if first and first[0].relevance is not None:
        everything = chain(first, candidates)
        if fits_nothing([each.relevance for each in first[:FIRST_ROW]]):
            return everything
        fitting = {each.content: each for each in until_below(everything, WEAK)}
    return (fitting[content] for content in dated if content in fitting)


def pick_hits(
    search: StoreSearch, candidates: Iterable[Candidate], page: Page, exclude: int | None
) -> list[tuple[int, Hit]]:
    """Pick the hits of one page from candidates, best first; return each with the store's id of its picture.

    `exclude` is the id of a picture to leave out. Only the best scene of a video becomes a hit, unless the filters ask
    for every scene. If the filters keep only the best of near-duplicates, a hit says how many it has.
    """
    hits: list[tuple[int, Hit]] = []
    shown = SeenHashes()
    videos: set[str] = set()
    for each, paths in search.existing(candidates):
        file = file_of(paths[0])
        if file in videos or each.content == exclude:
            continue
        if page.filters.collapse and not shown.add_unless_near(search.phash(each.content)):
            continue
        if file != paths[0] and not page.filters.every_scene:
            videos.add(file)
        cosine = max(-1.0, min(each.score, 1.0))  # rounding may bring a score beyond ±1
        hits.append((each.content, Hit(paths[0], cosine, len(hits) + 1, tuple(paths[1:]), each.relevance)))
        if len(hits) == page.offset + page.k:
            break
    picked = hits[page.offset :]
    if not page.filters.collapse:
        return picked
    return [(content, replace(hit, near=search.near_count(content))) for content, hit in picked]
