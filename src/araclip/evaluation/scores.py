"""Scores every query against every candidate, exactly, and computes metrics; defines the results of an evaluation."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.models.vectors import Floats, Ints, Vectors


@dataclass(frozen=True)
class Protocol:
    """The conditions of an evaluation, on which its figures depend.

    Two figures may stand in one table only if all fields but the model's are equal.
    """

    dataset: str  #: name of the data set: the name of its folder, its id on the hub, or its name in `KNOWN`
    fingerprint: str  #: twelve hex digits: a hash of the pictures' names and sizes and of the captions
    split: str | None  #: the split whose pictures are used; None: all pictures
    caption_field: str  #: field of captions.jsonl that the queries come from
    captions: str  #: "all": every caption of a picture is a query; "first": only its first caption
    n_queries: int  #: number of queries
    n_images: int  #: number of pictures
    normalizer: int  #: version of `araclip.normalize`
    model: str  #: name and fingerprint of the encoder, such as "araclip-mini@3f2a91bc04de"

    @property
    def id(self) -> str:
        """Twelve hex digits: a hash of all fields of the protocol."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True)
class Direction:
    """The results of one direction, text→image or image→text, for Q queries that each search N candidates.

    If a query has several relevant candidates, the one that ranks best counts.
    """

    ranks: Floats  #: (queries,) rank of the best relevant candidate, from 1; the expected rank if candidates tie
    level: Ints  #: (queries,) how many irrelevant candidates score exactly as much as the best relevant one
    ndcg10: Floats  #: (queries,) nDCG@10 with binary relevance, ties averaged
    clusters: Ints  #: (queries,) the picture of each query; intervals are computed by resampling pictures
    found: Ints  #: (queries, K) the K best candidates for each query, best first; ties in order of position
    scores: NDArray[np.float32]  #: (queries, K) cosines of the candidates in `found`
    relevant_score: NDArray[np.float32]  #: (queries,) cosine of the best relevant candidate
    margin: NDArray[np.float32]  #: (queries,) `relevant_score` minus the best irrelevant cosine, infinite without one

    def __repr__(self) -> str:
        return f"<Direction: {len(self.ranks):,} queries, R@1 {(self.ranks <= 1).mean():.3f}>"


@dataclass(frozen=True)
class Cost:
    """The size of a model and its speed on the machine of the run; None for a figure that was not measured."""

    megabytes: float | None  #: size of the model's files, in units of 10⁶ bytes
    width: int  #: number of dimensions of a vector
    text_ms: float | None  #: milliseconds for each text, measured in batches
    image_ms: float | None  #: milliseconds for each picture, measured in batches


@dataclass(frozen=True)
class Evaluated:
    """The results of one model on one picture set."""

    name: str  #: the model's name in tables
    license: str | None  #: licence of the weights; None if not known
    protocol: Protocol
    t2i: Direction
    i2t: Direction
    queries: Sequence[str]  #: (texts,) the texts that are queries, in the order of `t2i.ranks`
    owner: Ints  #: (texts,) the row in `pictures` that each text describes
    pictures: Sequence[Path]  #: all picture files; those with a caption, in this order, are the queries of `i2t`
    missing: int  #: how many listed pictures were left out because their file was not there
    cost: Cost

    def __repr__(self) -> str:
        return f"<Evaluated {self.protocol.model} on {self.protocol.dataset}: text to image {self.t2i}>"


DEPTH = 10  # nDCG@10 and MRR@10 look at this many candidates
BLOCK = 48 << 20  # bytes of scores computed at once: enough rows to make the matrix product efficient
SLICE = 4 << 20  # bytes of scores ranked at once: they are read six times and should stay in the processor's cache

_IDEAL_DCG = np.concatenate(
    [[0.0], np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))]
)  # item n: DCG of n relevant candidates at ranks 1…n


def score(
    queries: Vectors,
    gallery: Vectors,
    relevant: Sequence[Sequence[int]],
    *,
    clusters: Sequence[int] | Ints | None = None,
    keep: int = DEPTH,
) -> Direction:
    """Rank the gallery for each query and measure the ranking; finding any relevant candidate counts.

    Candidates with exactly equal scores have no order, so ranks and nDCG are expectations over random orders (McSherry
    and Najork 2008). An encoder that maps everything to one point thus scores like chance, not perfectly.

    Args:
        queries, gallery: vectors (Q, D) and (N, D). Scores are their inner products in float32.
        relevant: for each query, the rows of `gallery` that are right answers.
        clusters: (Q,) the picture of each query, kept for intervals, which are computed by resampling pictures with all
            their queries; by default each query has its own.
        keep: how many of the best candidates to keep, K = min(keep, N).

    Raises:
        ValueError: a query has no relevant candidate, a relevant candidate is no row of the gallery, the sizes
            disagree, or a vector is not finite (no score is greater than NaN, so NaN would rank first).
    """
    queries, gallery = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    _check_arguments(queries, gallery, relevant)
    rows, columns, counts = _relevant_pairs(relevant, len(gallery))
    starts = np.concatenate([[0], np.cumsum(counts)])
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for first, scores, mask in _score_blocks(queries, gallery):
        last = first + len(scores)
        pairs = slice(starts[first], starts[last])
        own = (rows[pairs] - first, columns[pairs])
        parts.append(_measure_queries(scores, mask, own, counts[first:last], keep))
    ranks, level, ndcg, found, best, relevant_score, margin = (np.concatenate(p) for p in zip(*parts, strict=True))
    groups = np.arange(len(queries)) if clusters is None else np.asarray(clusters, np.int64)
    if len(groups) != len(queries):
        raise ValueError(f"{len(queries)} queries but {len(groups)} clusters. Pass one cluster a query.")
    return Direction(ranks, level, ndcg, groups, found, best, relevant_score, margin)


def _check_arguments(queries: Vectors, gallery: Vectors, relevant: Sequence[Sequence[int]]) -> None:
    if len(relevant) != len(queries):
        raise ValueError(f"{len(queries)} queries but {len(relevant)} lists of relevant items. Pass one list a query.")
    if not len(queries) or not len(gallery):
        raise ValueError(f"{len(queries)} queries and {len(gallery)} candidates. There is nothing to rank.")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries are {queries.shape[1]} wide, candidates {gallery.shape[1]}. Use one model for both.")
    for name, vectors in (("query", queries), ("candidate", gallery)):
        if not np.isfinite(vectors.sum(axis=1)).all():
            row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
            raise ValueError(f"the vector of {name} {row} is not finite. The encoder is broken; nothing was measured.")


def _relevant_pairs(relevant: Sequence[Sequence[int]], candidates: int) -> tuple[Ints, Ints, Ints]:
    """List all pairs of a query and a candidate that is relevant to it, sorted, each once.

    Return the queries (F,) and the candidates (F,) of the pairs, and how many pairs each query has (Q,).
    """
    lengths = np.fromiter(map(len, relevant), np.int64, len(relevant))
    if not lengths.all():
        query = int(np.argmin(lengths))
        raise ValueError(f"query {query} has no relevant item. Leave it out of the evaluation.")
    rows = np.repeat(np.arange(len(relevant)), lengths)
    columns = np.fromiter(chain.from_iterable(relevant), np.int64, int(lengths.sum()))
    if (wrong := (columns < 0) | (columns >= candidates)).any():
        pair = int(np.argmax(wrong))
        raise ValueError(
            f"query {rows[pair]} has relevant item {columns[pair]}, but the gallery has rows 0 to {candidates - 1}."
        )
    rows, columns = np.divmod(np.unique(rows * candidates + columns), candidates)
    return rows, columns, np.bincount(rows)


def _score_blocks(queries: Vectors, gallery: Vectors) -> Iterator[tuple[int, Vectors, NDArray[np.bool_]]]:
    """Yield the score matrix in slices: first row, scores (b, N), and a mask (b, N) as working space for comparisons.

    The next slice overwrites both arrays.
    """
    # A matrix product may add the numbers of two columns in different orders. Then two equal vectors get scores that
    # differ by rounding, and no longer tie. Therefore each distinct vector is multiplied once.
    width, row_of, inverse = len(gallery), dict[bytes, int](), np.empty(len(gallery), np.int64)
    for row, vector in enumerate(np.ascontiguousarray(gallery)):
        inverse[row] = row_of.setdefault(blake2b(vector, digest_size=16).digest(), len(row_of))
    distinct = gallery if len(row_of) == width else gallery[np.unique(inverse, return_index=True)[1]]
    at_once, step = (max(1, size // (4 * width)) for size in (BLOCK, SLICE))
    work = np.empty((min(at_once, len(queries)), len(distinct)), np.float32)
    spread, mask = np.empty((step, width), np.float32), np.empty((step, width), np.bool_)
    for first in range(0, len(queries), at_once):
        block = queries[first : first + at_once]
        product = np.matmul(block, distinct.T, out=work[: len(block)])  # (queries in the block, distinct vectors)
        for at in range(0, len(block), step):
            scores = product[at : at + step]
            if len(distinct) < width:
                scores = np.take(scores, inverse, axis=1, out=spread[: len(scores)])
            yield first + at, scores, mask[: len(scores)]


def _measure_queries(
    scores: Vectors, mask: NDArray[np.bool_], own: tuple[Ints, Ints], counts: Ints, keep: int
) -> tuple[NDArray[np.generic], ...]:
    """Compute a Direction's arrays for some queries: ranks, ties, nDCG@10, found, scores, relevant score, margin.

    scores: (b, N), unchanged at the end. mask: (b, N), working space. own: (f,) rows and columns of the relevant
    candidates, ordered by row. counts: (b,) how many relevant candidates a row has.
    """
    rows, starts = own[0], np.cumsum(counts) - counts
    values = scores[own]  # one score for each relevant candidate
    best = np.maximum.reduceat(values, starts)  # one score for each query
    scores[own] = -np.inf
    above = _count_true(np.greater(scores, best[:, None], out=mask))
    level = _count_true(np.equal(scores, best[:, None], out=mask))
    margin = best - scores.max(axis=1)  # the margin is infinite if every candidate is relevant
    scores[own] = values
    # for each query, how many relevant candidates score as much as the best relevant candidate, which itself counts too
    level_too = np.add.reduceat((values == best[rows]).astype(np.int64), starts)
    # expected rank of the best relevant candidate if all that tie with it, relevant or not, are in random order
    ranks = 1 + above + level / (1 + level_too)
    found, top, last, tied = _find_top(scores, mask, max(keep, DEPTH))
    ndcg = _ndcg(values, rows, counts, top, last, tied)
    return ranks, level, ndcg, found[:, :keep], top[:, :keep], best, margin


def _count_true(mask: NDArray[np.bool_]) -> Ints:
    # Summing bytes is five times as fast as NumPy's sum of booleans along an axis.
    counts: Ints = np.add.reduce(mask.view(np.uint8), axis=1, dtype=np.uint32).astype(np.int64)
    return counts


def _find_top(scores: Vectors, mask: NDArray[np.bool_], keep: int) -> tuple[Ints, Vectors, Vectors, Ints]:
    """Find the best candidates of each row, and the score at rank DEPTH.

    `mask` is working memory of the shape of `scores`, (b, N); its contents are overwritten.

    Returns:
        (b, K) columns of the best K = `keep` candidates, ties in order of position; (b, K) their scores; (b,) the score
        at rank DEPTH, or the lowest score if there are fewer candidates; (b,) how many candidates have this score.
    """
    width = scores.shape[1]
    keep = min(keep, width)
    least = np.partition(scores, width - keep, axis=1)[:, width - keep]  # the score at rank `keep` in each row
    # flat indexes of the candidates that reach rank `keep`, sorted by row, then by column
    flat = np.flatnonzero(np.greater_equal(scores, least[:, None], out=mask))
    rows, columns = np.divmod(flat, width)
    values = scores.reshape(-1)[flat]
    at_end = values == least[rows]
    tie_number = np.cumsum(at_end)
    first = np.searchsorted(rows, np.arange(len(scores)))
    # In each row, number the candidates that tie for rank `keep`: 1, 2, …; only the first of them are kept.
    tie_number -= (tie_number[first] - at_end[first])[rows]
    needed = np.flatnonzero(~at_end | (tie_number <= keep))  # at most `keep` ties stay: there may be thousands
    order = needed[np.lexsort((columns[needed], -values[needed], rows[needed]))]
    positions = np.searchsorted(rows[order], np.arange(len(scores)))[:, None] + np.arange(keep)
    found, top = columns[order][positions], values[order][positions]
    last = top[:, min(DEPTH, width) - 1]
    tied = np.bincount(rows, values == last[rows], minlength=len(scores))
    return found, top, last, tied.astype(np.int64)


def _ndcg(values: Vectors, rows: Ints, counts: Ints, top: Vectors, last: Vectors, tied: Ints) -> Floats:
    """Return nDCG@10 of b queries, (b,). Of tied candidates, each gains the mean discount of the ranks they share.

    values, rows: (f,) scores of the relevant candidates, and their queries. counts: (b,) relevant candidates of each
    query. top, last, tied: the second to fourth result of `_find_top`.
    """
    near = values >= last[rows]  # a candidate beyond rank 10 has no gain
    values, rows = values[near], rows[near]
    ten = top[rows, :DEPTH]  # for each relevant candidate, the ten best scores for its query
    above = (ten > values[:, None]).sum(axis=1)
    level = np.where(values == last[rows], tied[rows], (ten == values[:, None]).sum(axis=1))
    gain = (_IDEAL_DCG[np.minimum(above + level, DEPTH)] - _IDEAL_DCG[above]) / level
    ndcg: Floats = np.bincount(rows, gain, minlength=len(counts)) / _IDEAL_DCG[np.minimum(counts, DEPTH)]
    return ndcg


METRICS = ("R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10")
CELLS = 1 << 22  # how many (resample, cluster) pairs are drawn at once: 32 MB


def ranks(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], relevant: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Return (Q,) ranks, from 1, of each query's best relevant item; the expected rank if items tie. See `score`."""
    return score(queries, gallery, relevant).ranks


def recall_at(ranks: Floats, k: int) -> float:
    """Return the share of queries whose best relevant item has rank k or better."""
    return float((ranks <= k).mean())


def mrr(ranks: Floats, k: float = np.inf) -> float:
    """Return the mean reciprocal rank of the best relevant item; a rank beyond k counts 0."""
    return float(_reciprocal_ranks(ranks, k).mean())


def summary(ranks: Floats) -> dict[str, float]:
    """Return R@1, R@5, R@10, MRR and the median rank, by name."""
    recalls = {f"R@{k}": recall_at(ranks, k) for k in (1, 5, 10)}
    return recalls | {"MRR": mrr(ranks), "median rank": float(np.median(ranks))}


def per_query(direction: Direction, metric: str) -> Floats:
    """Return each query's value (Q,) of a metric: 1 or 0 for R@k, the reciprocal rank for MRR, nDCG@10 itself.

    Raises:
        ValueError: the metric is none of METRICS.
    """
    if metric == "nDCG@10":
        return direction.ndcg10
    if metric in ("MRR", "MRR@10"):
        return _reciprocal_ranks(direction.ranks, DEPTH if metric == "MRR@10" else np.inf)
    if metric in METRICS:
        return (direction.ranks <= int(metric.removeprefix("R@"))).astype(np.float64)
    raise ValueError(f"no metric '{metric}', known are {', '.join(METRICS)}.")


def measures(direction: Direction) -> dict[str, float]:
    """Return the means of METRICS, the median rank, and `ties`, by name.

    `ties` counts the queries with an irrelevant candidate that scores exactly as much as the best relevant one. Many
    ties mean that the encoder gives different inputs the same vector.
    """
    means = {metric: float(per_query(direction, metric).mean()) for metric in METRICS}
    return means | {"median rank": float(np.median(direction.ranks)), "ties": float((direction.level > 0).sum())}


def interval(
    values: Floats, clusters: Sequence[int] | Ints, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean over queries, resampled by cluster (percentiles, Efron, Tibshirani 1993).

    The captions of one picture are not independent, so pictures are drawn with replacement, not captions.

    Args:
        values: (Q,) the values to average, such as reciprocal ranks, or 1 for a rank up to k and 0 for others.
        clusters: (Q,) the picture of each query.

    Raises:
        ValueError: there are no values, or the numbers of values and clusters differ.
    """
    means = resampled_means(np.asarray(values)[:, None], clusters, resamples, seed)
    low, high = np.quantile(means[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def intervals(
    direction: Direction, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the `interval` of each of METRICS by name; all use the same draws of pictures."""
    values = np.stack([per_query(direction, metric) for metric in METRICS], axis=1)  # (queries, metrics)
    means = resampled_means(values, direction.clusters, resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {metric: (float(low[i]), float(high[i])) for i, metric in enumerate(METRICS)}


def resampled_means(values: Floats, clusters: Sequence[int] | Ints, resamples: int, seed: int) -> Floats:
    """Return the means (R, M) of the values (Q, M) in each of R bootstrap samples.

    A sample draws clusters (pictures with their queries) with replacement, as many as there are.
    """
    sums, counts = cluster_sums(values, clusters)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, step := max(1, CELLS // len(counts))):
        size = min(step, resamples - start)  # number of resamples that are drawn together
        # (resamples, clusters): how often each resample contains each cluster
        drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=size).astype(float)
        means.append((drawn @ sums) / (drawn @ counts)[:, None])
    return np.concatenate(means)


def cluster_sums(values: Floats, clusters: Sequence[int] | Ints) -> tuple[Floats, Ints]:
    """Return, for each of C clusters, the sums (C, M) of its queries' values (Q, M), and its number of queries (C,)."""
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters. Pass one cluster a value, at least one.")
    _, row = np.unique(np.asarray(clusters), return_inverse=True)
    sums: Floats = np.stack([np.bincount(row, column) for column in values.T], axis=1)
    return sums, np.bincount(row).astype(np.int64)


def _reciprocal_ranks(ranks: Floats, k: float) -> Floats:
    return np.where(ranks <= k, 1.0 / ranks, 0.0)
