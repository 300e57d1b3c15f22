"""Retrieval metrics: pure functions of ranks, and bootstrap intervals of their means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.evaluation.results import Direction, Floats, Ints
from araclip.evaluation.scoring import DEPTH, score

METRICS = ("R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10")
CELLS = 1 << 22  # resamples × clusters drawn at once: 32 MB


def ranks(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], relevant: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Rank, from 1, of the best relevant item for each query; ties at their expected rank. See `scoring.score`.

    Args:
        queries: (Q, D). gallery: (N, D). Scores are inner products.
        relevant: for each query, the rows of `gallery` that answer it; finding any of them counts.

    Raises:
        ValueError: a query has no relevant item, the sizes disagree, or a vector is not finite.
    """
    return score(queries, gallery, relevant).ranks


def recall_at(ranks: Floats, k: int) -> float:
    """Share of queries whose best relevant item has rank k or better."""
    return float((ranks <= k).mean())


def mrr(ranks: Floats, k: float = np.inf) -> float:
    """Mean reciprocal rank of the best relevant item; beyond rank k it counts 0."""
    return float(_reciprocal(ranks, k).mean())


def summary(ranks: Floats) -> dict[str, float]:
    """R@1, R@5, R@10, MRR and the median rank."""
    recalls = {f"R@{k}": recall_at(ranks, k) for k in (1, 5, 10)}
    return recalls | {"MRR": mrr(ranks), "median rank": float(np.median(ranks))}


def per_query(direction: Direction, metric: str) -> Floats:
    """(Q,) the values whose mean is the metric: for R@k 1 or 0, for MRR the reciprocal rank, for nDCG@10 nDCG@10.

    Raises:
        ValueError: it is none of METRICS.
    """
    if metric == "nDCG@10":
        return direction.ndcg10
    if metric in ("MRR", "MRR@10"):
        return _reciprocal(direction.ranks, DEPTH if metric == "MRR@10" else np.inf)
    if metric in METRICS:
        return (direction.ranks <= int(metric.removeprefix("R@"))).astype(np.float64)
    raise ValueError(f"no metric '{metric}', known are {', '.join(METRICS)}.")


def measures(direction: Direction) -> dict[str, float]:
    """All of METRICS, the median rank, and `ties`: how many queries have an irrelevant candidate that scores exactly as
    the best relevant one does. If they are many, the encoder gives different inputs the same vector."""
    means = {metric: float(per_query(direction, metric).mean()) for metric in METRICS}
    return means | {"median rank": float(np.median(direction.ranks)), "ties": float((direction.level > 0).sum())}


def interval(
    values: Floats, clusters: Sequence[int] | Ints, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean over queries, resampled by cluster (Efron and Tibshirani 1993, percentile method).

    The captions of one picture are not independent, so pictures are drawn with replacement, not captions.

    Args:
        values: (Q,) what is averaged: reciprocal ranks, or 1 for a rank up to k and 0 for others.
        clusters: (Q,) the picture of each query.

    Raises:
        ValueError: no values, or not as many clusters.
    """
    means = resampled_means(np.asarray(values)[:, None], clusters, resamples, seed)
    low, high = np.quantile(means[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def intervals(
    direction: Direction, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """`interval` of each of METRICS, all from the same draws, by picture."""
    values = np.stack([per_query(direction, metric) for metric in METRICS], axis=1)  # (Q, M)
    means = resampled_means(values, direction.clusters, resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {metric: (float(low[i]), float(high[i])) for i, metric in enumerate(METRICS)}


def resampled_means(values: Floats, clusters: Sequence[int] | Ints, resamples: int, seed: int) -> Floats:
    """(R, M) means of (Q, M) values over R draws, with replacement, of as many clusters as there are.

    Raises:
        ValueError: no values, or not as many clusters.
    """
    sums, counts = cluster_sums(values, clusters)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, step := max(1, CELLS // len(counts))):
        size = min(step, resamples - start)
        drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=size).astype(float)  # (r, C)
        means.append((drawn @ sums) / (drawn @ counts)[:, None])
    return np.concatenate(means)


def cluster_sums(values: Floats, clusters: Sequence[int] | Ints) -> tuple[Floats, Ints]:
    """(C, M) sums of (Q, M) values and (C,) numbers of queries, by cluster.

    Raises:
        ValueError: no values, or not as many clusters.
    """
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters. Pass one cluster a value, at least one.")
    _, row = np.unique(np.asarray(clusters), return_inverse=True)
    sums: Floats = np.stack([np.bincount(row, column) for column in values.T], axis=1)
    return sums, np.bincount(row).astype(np.int64)


def _reciprocal(ranks: Floats, k: float) -> Floats:
    return np.where(ranks <= k, 1.0 / ranks, 0.0)
