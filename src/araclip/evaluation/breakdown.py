"""Shows strengths and weaknesses of a model: recall by group of queries, its best and worst queries, its costs.

All functions are pure; they take texts and the results of `scores`.
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

RESAMPLES = 2000  # bootstrap resamples, as in `scores.interval`
LENGTHS = (1, 3, 5, 7, 9, 12)  # least word count of each group; captions have 6 words on average, typed queries 1 to 4

NO_MARKER, UNCLEAR, LATIN = "no dialect marker", "dialect, region unclear", "Latin letters"
# Function words that one region uses and Modern Standard Arabic does not have, with letters folded by `_FOLD`. None of
# them names anything that a picture can show. docs/evaluation-sets.md measures them: precision is high, recall is low.
MARKERS = {
    "Egyptian": "ده دي كده ازاي عايز عايزه عايزين عاوز عاوزه عاوزين بتاع بتاعه بتاعت بتاعته بتاعتها بتوع برضه برضو "
    "دلوقتي النهارده امبارح مفيش اوي",
    "Levantine": "هيدا هيدي هيك هدول هلق هلا هون هونيك بدي بدك بده بدو بدها بدنا بدهم منيح منيحه شو متل عم مشان",
    "Gulf and Iraqi": "هذي هاذي شلون شلونك الحين ابغي يبغي نبغي وش ايش اكو ماكو كلش هسه هوايه وايد",
    "Maghrebi": "ديال ديالي ديالك ديالو ديالها ديالهم نتاع متاع متاعها بزاف برشا واش علاش كيفاش فاش باش غادي دابا "
    "كاين كاينه هادشي هاداك هاديك بحال راه راني موش",
    UNCLEAR: "اللي مش مو وين لسه لسا كتير علشان عشان هاد هاي شنو ليش فين حاجه",
}
_REGIONS = {word: region for region, words in MARKERS.items() for word in words.split()}
_FOLD = str.maketrans("أإآٱىؤئة", "ااااي" + "ويه")
_ARABIC_WORD = re.compile("[\u0621-\u064a\u0671-\u06d3]+")


@dataclass(frozen=True)
class Group:
    """A group of queries, such as all long ones: `rows` holds their positions in the list of queries."""

    name: str
    rows: Ints


@dataclass(frozen=True)
class GroupRecall:
    """Recall@k of one group, and its 95 % bootstrap interval, for which pictures are resampled."""

    group: str
    k: int
    queries: int
    recall: float
    low: float
    high: float


# ------------------------------------------------------------------ groups of queries


def group_by_length(queries: Sequence[str]) -> list[Group]:
    """Group queries by their number of words, see `LENGTHS`; groups without a query are left out."""
    words = np.array([len(query.split()) for query in queries])
    groups = []
    for first, after in pairwise((*LENGTHS, None)):
        name = f"{first} words or more" if after is None else f"{first}–{after - 1} words"
        low = 0 if first == LENGTHS[0] else first  # a text without words belongs to the first group
        groups.append(Group(name, np.flatnonzero((words >= low) & (words < (after or np.inf)))))
    return [group for group in groups if len(group.rows)]


def group_by_dialect(queries: Sequence[str], known: Sequence[str | None] | None = None) -> list[Group]:
    """Group queries by dialect, the largest group first.

    Args:
        known: the stated dialect of each query; an entry None counts as "not stated". Without `known` the dialects are
            guessed, see `dialect_of`.
    """
    names = [dialect_of(query) for query in queries] if known is None else [name or "not stated" for name in known]
    if len(names) != len(queries):
        raise ValueError(f"{len(queries)} queries but {len(names)} dialects. Pass one a query.")
    groups = [Group(name, np.flatnonzero([other == name for other in names])) for name in dict.fromkeys(names)]
    return sorted(groups, key=lambda group: -len(group.rows))


def dialect_of(text: str) -> str:
    """Guess a text's dialect by marker words: return a region of `MARKERS`, `UNCLEAR`, `NO_MARKER` or `LATIN`.

    "No marker" does not mean Modern Standard Arabic: a short dialectal sentence often has no marker. Markers of two
    regions give `UNCLEAR`; a text with letters but no Arabic ones (English, or Arabizi) gives `LATIN`.
    """
    # و ("and") is written together with the next word, so it is removed below.
    words = _ARABIC_WORD.findall(normalize(text).translate(_FOLD))
    if not words:
        return LATIN if any(letter.isalpha() for letter in text) else NO_MARKER
    found = {region for word in words if (region := _REGIONS.get(word) or _REGIONS.get(word.removeprefix("و")))}
    regions = found - {UNCLEAR}
    if len(regions) == 1:
        return regions.pop()
    return UNCLEAR if found else NO_MARKER


def recall_by_group(
    direction: Direction, groups: Sequence[Group], cutoffs: Sequence[int]
) -> list[tuple[GroupRecall, ...]]:
    """Return Recall@k with its interval, for each group and each k of `cutoffs`."""
    out = []
    for group in groups:
        hits = direction.ranks[group.rows, None] <= np.asarray(cutoffs)  # (queries, cutoffs)
        means = resampled_means(hits.astype(np.float64), direction.clusters[group.rows], RESAMPLES, 0)
        ends = np.quantile(means, [0.025, 0.975], axis=0).T  # (cutoffs, 2)
        recalls = zip(cutoffs, hits.mean(axis=0).tolist(), ends.tolist(), strict=True)
        out.append(tuple(GroupRecall(group.name, k, len(hits), share, low, high) for k, share, (low, high) in recalls))
    return out


# ------------------------------------------------------------------ single queries


def worst_queries(direction: Direction, count: int) -> list[int]:
    """Return the positions of the `count` queries whose right picture ranks worst; at most one for a picture."""
    return _first_of_each_picture(np.lexsort((direction.margin, -direction.ranks)), direction.clusters, count)


def best_queries(direction: Direction, count: int) -> list[int]:
    """Return the positions of the `count` best queries, best first; at most one for a picture.

    Queries are ordered by the rank of the right picture; equal ranks by its lead in cosine over the best wrong picture.
    """
    return _first_of_each_picture(np.lexsort((-direction.margin, direction.ranks)), direction.clusters, count)


def _first_of_each_picture(order: NDArray[np.intp], clusters: Ints, count: int) -> list[int]:
    first: dict[int, int] = {}
    for row in order.tolist():
        first.setdefault(int(clusters[row]), row)
        if len(first) == count:
            break
    return list(first.values())[:count]


# ------------------------------------------------------------------ curves and costs


def recall_curve(ranks: Floats, n: int) -> tuple[Ints, Floats]:
    """Return up to 200 values of k from 1 to `n`, evenly spaced by logarithm, and Recall@k for them, (K,) each."""
    k = np.unique(np.geomspace(1, n, 200).round().astype(np.int64))
    return k, np.searchsorted(np.sort(ranks), k, side="right") / len(ranks)


def pareto(costs: Sequence[tuple[float, ...]], quality: Sequence[float]) -> list[bool]:
    """Return for each model whether it is Pareto-optimal.

    A model is not Pareto-optimal if another model is at least as good in quality and in every cost, and better in one
    of them. `costs` has one tuple for each model: less is better.
    """
    points = [(*cost, -good) for cost, good in zip(costs, quality, strict=True)]  # costs and −quality: less is better

    def is_dominated(point: tuple[float, ...]) -> bool:
        return any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)

    return [not is_dominated(point) for point in points]
