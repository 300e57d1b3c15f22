"""From a plan's vector to a page of hits: the best pictures that pass the filters and exist, in a stable order.

A hit's value is its cosine on the scale of the gallery, raised where the words of the query stand in its texts, and
lowered where a description says nothing of them. A picture that shows an excluded thing is left out: subtracting the
term's vector moves such pictures down, but the first page still shows some. A picture is therefore dropped where the
term alone has a relevance that is not weak (`gallery.relevance`), or where it stands far above the gallery's average
for the term: a thing that fills the gallery, such as people, has no outstanding hits. Measured by
benchmarks/exclusion.py.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import lexists
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import EVERYTHING, Condition, Filters
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.near_hashes import HashTable, is_near
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import NO_MATCHES, TextMatches, TextQuery, text_matches, where_found
from araclip.pictures.video.scenes import file_of

LIFT = 2.5  # what a perfect text match of weight 1 adds, where the vector alone gives 0 to 1
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
        """What a description takes away from a picture's value, as much as the query means something."""
        return DOUBT * self.meaning * min(self.query.weight, 1.0)

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
        found.append(Candidate(content, score, max(relevance(score), surely) if relevance else None, value))
    return sorted(found, key=order)


def order(candidate: Candidate) -> tuple[float, float, int]:
    """The key of the one order: value, cosine, then the order of indexing."""
    return -candidate.value, -candidate.score, candidate.content


def merged(by_vector: Iterator[Candidate], by_text: list[Candidate]) -> Iterator[Candidate]:
    """Two streams, each in that order and without the other's pictures, as one."""
    return heapq.merge(by_vector, by_text, key=order)


def doubted(
    candidates: Iterator[Candidate], described: Callable[[Sequence[int]], set[int]], doubt: float
) -> Iterator[Candidate]:
    """Candidates in that order, with the value of those that have a description lowered, in that order again.

    Args:
        described: tells which of some pictures have one.
    """
    held: deque[Candidate] = deque()  # described ones, until nobody after them can be before them
    looked = 0
    while group := list(islice(candidates, AT_ONCE)):
        ids = [each.content for each in group]
        known = described(ids) if looked < DOUBTED else set(ids)
        looked += len(group)
        for each in group:
            while held and order(held[0]) <= order(each):
                yield held.popleft()
            if each.content in known:
                held.append(replace(each, value=each.value - doubt))
            else:
                yield each
    yield from held


FIRST_CHUNK, LARGEST_CHUNK = 32, 4096  # candidates looked at together; grows, for galleries full of the excluded thing

Vectors = NDArray[np.float32]
Cosines = Callable[[Sequence[int], Vectors], Vectors]


@dataclass(frozen=True)
class Exclusion:
    """Excluded terms: their unit vectors (m, D), and the cosines (m,) from which a picture is taken to show the
    thing."""

    vectors: Vectors
    limits: NDArray[np.float64]

    def drops(self, cosines: Vectors) -> NDArray[np.bool_]:
        """(n, m) cosines of pictures with the terms → (n,) whether each is left out."""
        dropped: NDArray[np.bool_] = np.any(cosines >= self.limits, axis=1)
        return dropped


def exclusion_of(terms: Vectors, scale: RelevanceScale | None) -> Exclusion | None:
    """The exclusion of terms (m, D); None in a gallery of too few pictures for a scale."""
    if scale is None:
        return None
    return Exclusion(terms, np.array([scale.excluded_cosine(term) for term in terms]))


def kept(candidates: Iterator[Candidate], exclusion: Exclusion | None, cosines: Cosines) -> Iterator[Candidate]:
    """The candidates that are not left out, in the order given; `cosines` gives (n, m) for n ids and (m, D)."""
    if exclusion is None:
        yield from candidates
        return
    size = FIRST_CHUNK
    while chunk := list(islice(candidates, size)):
        dropped = exclusion.drops(cosines([each.content for each in chunk], exclusion.vectors))
        yield from (each for each, drop in zip(chunk, dropped.tolist(), strict=True) if not drop)
        size = min(2 * size, LARGEST_CHUNK)


WHOLE = (int, np.integer)
REAL = (*WHOLE, float, np.floating)
PATHS_AT_ONCE = 200  # candidates whose paths one statement looks up
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
    words: int = 1  # in the query's texts: of a longer query more must be right for the same relevance
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


def ranked(
    catalog: Catalog,
    index: ScanIndex,
    scale: RelevanceScale | None,
    vector: NDArray[np.float32],
    page: Page,
    hashes: Callable[[], HashTable],
    exclude: int | None = None,
    hybrid: Hybrid | None = None,
    exclusion: Exclusion | None = None,
) -> list[Hit]:
    """The hits of one page for a unit vector (D,), best first, ties in the order of indexing.

    Args:
        hashes: the perceptual hashes of all pictures, which collapsing near-duplicates asks for.
        exclude: the id of a picture to leave out.
        hybrid: what to look for in texts beside the vector.
        exclusion: what no hit may show.
    """
    search = _FilteredSearch(catalog, index, vector, page)
    if page.by_date:
        return dated(catalog, page, exclusion, search.cosines, hashes)
    words = WordIndex(catalog)
    matches = text_matches(words, hybrid.query, len(index)) if hybrid else NO_MATCHES
    best = search.best_score() if hybrid else 0.0
    relevance = scale.relevance(vector, page.words) if scale else None
    answered = bool(len(matches.ids))
    by_text, matches = list[Candidate](), matches.among(search.allowed)
    if hybrid and len(matches.ids):
        by_text = lifted(*search.scores(matches.ids), best, relevance, hybrid, matches)
    known = {each.content for each in by_text}
    others = (
        rated(score, best, relevance, hybrid, content) for content, score in search.nearest() if content not in known
    )
    candidates = merged(above(others, page.threshold), [each for each in by_text if reaches(each, page.threshold)])
    if hybrid and answered:
        in_arabic = hybrid.query.in_arabic
        candidates = doubted(candidates, lambda ids: words.described(ids, in_arabic=in_arabic), hybrid.doubt)
    candidates = kept(candidates, exclusion, search.cosines)
    hits = hits_of(search.existing(candidates), lambda content: hashes().of(content), page, exclude)
    if page.filters.collapse:
        table = hashes()
        hits = [(id_, replace(hit, near=len(table.near(id_, search.allowed)))) for id_, hit in hits]
    if not hybrid:
        return [hit for _, hit in hits]
    documents = words.documents([content for content, _ in hits if content in known])
    return [replace(hit, matched=where_found(documents.get(content, {}), hybrid.query)) for content, hit in hits]


def dated(
    catalog: Catalog, page: Page, exclusion: Exclusion | None, cosines: Cosines, hashes: Callable[[], HashTable]
) -> list[Hit]:
    """The hits of one page in the order of capture, the newest first, without score or relevance."""
    condition = page.filters.condition(hidden_exist=catalog.has_hidden())
    newest = (Candidate(content, 0.0, None, 0.0) for content in catalog.newest_first(condition))
    candidates = _existing(catalog, kept(newest, exclusion, cosines), condition, page.offset + page.k)
    return [hit for _, hit in hits_of(candidates, lambda content: hashes().of(content), page, None)]


def near_hits(
    catalog: Catalog, index: ScanIndex, hashes: HashTable, content: int, filters: Filters, most: int
) -> list[Hit]:
    """The near-duplicates of a picture that pass the filters and exist, those most like it first; at most so many."""
    vector = catalog.vector(content)
    search = _FilteredSearch(catalog, index, vector, Page(1, 0, filters))
    ids, scores = search.scores(np.array(hashes.near(content, search.allowed), np.int64))
    candidates = (Candidate(each, score, None, 0.0) for each, score in zip(ids, scores, strict=True))
    found = search.existing(sorted(candidates, key=lambda each: (-each.score, each.content)))
    page = Page(most, 0, replace(filters, collapse=False))
    return [hit for _, hit in hits_of(found, hashes.of, page, None)]


def reaches(candidate: Candidate, threshold: float) -> bool:
    """Whether its relevance is not below the threshold, or unknown."""
    return candidate.relevance is None or candidate.relevance >= threshold


def above(candidates: Iterator[Candidate], threshold: float) -> Iterator[Candidate]:
    """The candidates up to the first below the threshold: without a text match, relevance falls with the cosine."""
    return takewhile(lambda candidate: reaches(candidate, threshold), candidates)


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


class _FilteredSearch:
    """A search among the pictures that pass a page's filters."""

    def __init__(self, catalog: Catalog, index: ScanIndex, vector: NDArray[np.float32], page: Page) -> None:
        self._catalog, self._index, self._vector, self._wanted = catalog, index, vector, page.offset + page.k
        self._condition = condition = page.filters.condition(hidden_exist=catalog.has_hidden())
        self.allowed = None if condition == EVERYTHING else index.selected(condition, lambda: catalog.select(condition))
        self._first = index.search(vector, page.offset + page.k, self.allowed)

    def best_score(self) -> float:
        """The score of the gallery's best picture, filters ignored."""
        scores = self._first[1] if self.allowed is None else self._index.search(self._vector, 1)[1]
        return max(scores, default=0.0)

    def scores(self, ids: NDArray[np.int64]) -> tuple[list[int], list[float]]:
        """Those of the pictures (ids ascending) that this generation has, and their cosines."""
        return self._index.search(self._vector, len(ids), ids)

    def cosines(self, ids: Sequence[int], terms: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) cosines of pictures with unit vectors (m, D); -1 for a picture that this generation has not."""
        row_of = {content: row for row, content in enumerate(ids)}
        found = np.full((len(ids), len(terms)), -1, np.float32)
        for column, term in enumerate(terms):
            known, scores = self._index.search(term, len(ids), np.sort(np.array(ids, np.int64)))
            found[[row_of[content] for content in known], column] = scores
        return found

    def nearest(self) -> Iterator[tuple[int, float]]:
        """Id and cosine of every picture, best first."""
        (ids, scores), done = self._first, 0
        while len(ids) > done:
            yield from list(zip(ids, scores, strict=True))[done:]
            done = len(ids)  # further ones replace those missing on the disk
            ids, scores = self._index.search(self._vector, 2 * done, self.allowed)

    def existing(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[str]]]:
        """The candidates that have an existing path, with these."""
        return _existing(self._catalog, candidates, self._condition, self._wanted, self._index.generation)


def exists(path: str) -> bool:
    """Whether a path is an existing file, or stored pixels."""
    return path.startswith(STORED_PREFIX) or lexists(file_of(path))


def _existing(
    catalog: Catalog, candidates: Iterable[Candidate], condition: Condition, wanted: int, generation: str = ""
) -> Iterator[tuple[Candidate, list[str]]]:
    """The candidates that have an existing path, with these; as many are looked up at once as are wanted.

    Args:
        generation: that of the index which has found them; "" where the catalogue itself has.
    """
    waiting = iter(candidates)
    while group := list(islice(waiting, min(wanted, PATHS_AT_ONCE))):
        paths = catalog.paths_of([each.content for each in group], condition)
        for each in group:
            if not paths[each.content] and generation == catalog.generation:
                catalog.check_loose(each.content)
            if existing := [path for path in paths[each.content] if exists(path)]:
                yield each, existing
