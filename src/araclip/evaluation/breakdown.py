"""Strengths and weaknesses of a model: recall by group of queries, its best and worst queries, its costs.

Pure functions of texts and of what `scores` holds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from araclip.evaluation.scores import Direction, resampled_means
from araclip.models.vectors import Floats, Ints
from araclip.text.normalization import normalize

RESAMPLES = 2000  # of the bootstrap, as `scores.interval` has them
LENGTHS = (1, 3, 5, 7, 9, 12)  # first word count of each group: captions have 6 words on average, typed queries 1 to 4

NO_MARKER, UNCLEAR, LATIN = "no dialect marker", "dialect, region unclear", "Latin letters"
# Function words that MSA does not have and that one region uses, letters folded as in `_words`. None names
# anything that a picture can show. Measured in docs/evaluation.md: precision is high, recall of dialect is low.
MARKERS = {
    "Egyptian": "ده دي كده ازاي عايز عايزه عايزين عاوز عاوزه عاوزين بتاع بتاعه بتاعت بتاعته بتاعتها بتوع برضه برضو "
    "دلوقتي النهارده امبارح مفيش اوي",
    "Levantine": "هيدا هيدي هيك هدول هلق هلا هون هونيك بدي بدك بده بدو بدها بدنا بدهم منيح منيحه شو متل عم مشان",
    "Gulf and Iraqi": "هذي هاذي شلون شلونك الحين ابغي يبغي نبغي وش ايش اكو ماكو كلش هسه هوايه وايد",
    "Maghrebi": "ديال ديالي ديالك ديالو ديالها ديالهم نتاع متاع متاعها بزاف برشا واش علاش كيفاش فاش باش غادي دابا "
    "كاين كاينه هادشي هاداك هاديك بحال راه راني موش",
    UNCLEAR: "اللي مش مو وين لسه لسا كتير علشان عشان هاد هاي شنو ليش فين حاجه",
}
_OF_WORD = {word: region for region, words in MARKERS.items() for word in words.split()}
_FOLD = str.maketrans("أإآٱىؤئة", "ااااي" + "ويه")
_ARABIC_WORD = re.compile("[\u0621-\u064a\u0671-\u06d3]+")


@dataclass(frozen=True)
class Group:
    """Queries that have something in common: its name, and their rows."""

    name: str
    rows: Ints


@dataclass(frozen=True)
class GroupRecall:
    """Recall@k of one group: the share found, and its 95 % interval by picture."""

    group: str
    k: int
    queries: int
    recall: float
    low: float
    high: float


# ------------------------------------------------------------------ groups of queries


def by_length(queries: Sequence[str]) -> list[Group]:
    """Groups by number of words between white space, `LENGTHS`; groups without a query are left out."""
    words = np.array([len(query.split()) for query in queries])
    groups = []
    for first, after in pairwise((*LENGTHS, None)):
        name = f"{first} words or more" if after is None else f"{first}–{after - 1} words"
        low = 0 if first == LENGTHS[0] else first  # an empty text would be in no group
        groups.append(Group(name, np.flatnonzero((words >= low) & (words < (after or np.inf)))))
    return [group for group in groups if len(group.rows)]


def by_dialect(queries: Sequence[str], known: Sequence[str | None] | None = None) -> list[Group]:
    """Groups by dialect, the largest first.

    Args:
        known: the dialect of each query where somebody wrote it down; None entries count as "not stated". Without it
            the dialect is guessed, see `dialect_of`.
    """
    names = [dialect_of(query) for query in queries] if known is None else [name or "not stated" for name in known]
    if len(names) != len(queries):
        raise ValueError(f"{len(queries)} queries but {len(names)} dialects. Pass one a query.")
    groups = [Group(name, np.flatnonzero([other == name for other in names])) for name in dict.fromkeys(names)]
    return sorted(groups, key=lambda group: -len(group.rows))


def dialect_of(text: str) -> str:
    """A guess from marker words: a region of `MARKERS`, `UNCLEAR`, `NO_MARKER` or `LATIN`.

    "No marker" does not mean Modern Standard Arabic: a short dialectal sentence often has no such word. Markers of two
    regions make `UNCLEAR`; a text without an Arabic letter (English, or Arabic in Latin letters) is `LATIN`.
    """
    # و, "and", is written together with the next word
    words = _ARABIC_WORD.findall(normalize(text).translate(_FOLD))
    if not words:
        return LATIN if any(letter.isalpha() for letter in text) else NO_MARKER
    found = {region for word in words if (region := _OF_WORD.get(word) or _OF_WORD.get(word.removeprefix("و")))}
    regions = found - {UNCLEAR}
    if len(regions) == 1:
        return regions.pop()
    return UNCLEAR if found else NO_MARKER


def recall_of(direction: Direction, groups: Sequence[Group], cutoffs: Sequence[int]) -> list[tuple[GroupRecall, ...]]:
    """Recall@k of each group, for each k of `cutoffs`, with its interval."""
    out = []
    for group in groups:
        hits = direction.ranks[group.rows, None] <= np.asarray(cutoffs)  # (G, K)
        means = resampled_means(hits.astype(np.float64), direction.clusters[group.rows], RESAMPLES, 0)
        ends = np.quantile(means, [0.025, 0.975], axis=0).T  # (K, 2)
        recalls = zip(cutoffs, hits.mean(axis=0).tolist(), ends.tolist(), strict=True)
        out.append(tuple(GroupRecall(group.name, k, len(hits), share, low, high) for k, share, (low, high) in recalls))
    return out


# ------------------------------------------------------------------ single queries


def worst(direction: Direction, count: int) -> list[int]:
    """Rows of the queries whose picture ranks lowest, the worst first; one for each picture."""
    return _one_a_picture(np.lexsort((direction.margin, -direction.ranks)), direction.clusters, count)


def best(direction: Direction, count: int) -> list[int]:
    """Rows of the queries whose picture leads by the largest margin, the best first; one for each picture."""
    return _one_a_picture(np.lexsort((-direction.margin, direction.ranks)), direction.clusters, count)


def _one_a_picture(order: NDArray[np.intp], clusters: Ints, count: int) -> list[int]:
    first: dict[int, int] = {}
    for row in order.tolist():
        first.setdefault(int(clusters[row]), row)
        if len(first) == count:
            break
    return list(first.values())[:count]


# ------------------------------------------------------------------ curves and costs


def recall_curve(ranks: Floats, n: int) -> tuple[Ints, Floats]:
    """Recall@k for some 200 values of k from 1 to `n`, even on a logarithmic scale: k and recall, (K,) each."""
    k = np.unique(np.geomspace(1, n, 200).round().astype(np.int64))
    return k, np.searchsorted(np.sort(ranks), k, side="right") / len(ranks)


def best_wrong(direction: Direction) -> Floats:
    """Cosine of the best irrelevant candidate of each query, where there is one: (Q,) or fewer."""
    wrong = direction.relevant_score.astype(np.float64) - direction.margin
    return wrong[np.isfinite(wrong)]  # a query that every candidate answers has none


def pareto(costs: Sequence[tuple[float, ...]], quality: Sequence[float]) -> list[bool]:
    """Whether each model is Pareto-optimal: none is as good in all costs and quality and better in one of them."""
    points = [(*cost, -good) for cost, good in zip(costs, quality, strict=True)]  # less is better in all

    def dominated(point: tuple[float, ...]) -> bool:
        return any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)

    return [not dominated(point) for point in points]
