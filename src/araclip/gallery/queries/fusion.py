"""Hybrid ranking: vectors and texts merged into one order. Pure.

The value of a picture is where its cosine stands between the average picture's and the best one's, times how likely the
query means something to the model, plus LIFT times the strength of its text match. Where texts answer a query at all, a
picture with a description loses DOUBT: if it were meant, its description would likely say so, and pictures without one
are not passed by those that share a word by chance. The value depends on no rank, so pages of any size continue each
other and filters do not change the order. Reciprocal rank fusion was measured and found worse: docs/log/2026-11.md,
benchmarks/hybrid.py.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from araclip.gallery.queries.text_matches import TextMatches, TextQuery

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
