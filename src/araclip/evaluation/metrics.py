"""Retrieval metrics: pure functions of scores or ranks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024  # queries scored at once: 1,024 × 100,000 float32 is 400 MB


def ranks(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], relevant: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Rank, from 1, of the best relevant item for each query.

    Ties count at their expected place under a random order: a relevant item level with t others stands t/2 places
    below the first of them (r relevant ones level with t others: t/(r + 1)). An encoder that maps everything to one
    point scores like chance, not like perfection.

    Args:
        queries: (Q, D). gallery: (N, D). Scores are inner products.
        relevant: for each query, the rows of `gallery` that answer it; finding any of them counts.

    Raises:
        ValueError: a query has no relevant item, or the sizes disagree.
    """
    if len(relevant) != len(queries):
        raise ValueError(f"{len(queries)} queries but {len(relevant)} lists of relevant items. Pass one list a query.")
    out = np.empty(len(queries), np.float64)
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ gallery.T  # (B, N)
        for i, row in enumerate(scores):
            answers = list(relevant[start + i])
            if not answers:
                raise ValueError(f"query {start + i} has no relevant item. Leave it out of the evaluation.")
            best = row[answers].max()
            level = (row == best).sum() - (row[answers] == best).sum()
            out[start + i] = 1 + (row > best).sum() + level / (1 + (row[answers] == best).sum())
    return out


def recall_at(ranks: NDArray[np.float64], k: int) -> float:
    """Share of queries whose first relevant item stands among the first k."""
    return float((ranks <= k).mean())


def mrr(ranks: NDArray[np.float64]) -> float:
    """Mean reciprocal rank of the first relevant item."""
    return float((1.0 / ranks).mean())


def summary(ranks: NDArray[np.float64]) -> dict[str, float]:
    """R@1, R@5, R@10, MRR and the median rank."""
    recalls = {f"R@{k}": recall_at(ranks, k) for k in (1, 5, 10)}
    return recalls | {"MRR": mrr(ranks), "median rank": float(np.median(ranks))}


def interval(
    values: NDArray[np.float64], clusters: Sequence[int], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean over queries, resampled by cluster (Efron and Tibshirani 1993, percentile method).

    The captions of one picture stand or fall together, so pictures are drawn with replacement, not captions.

    Args:
        values: (Q,) what is averaged: reciprocal ranks, or 1 and 0 for found among the first k and not.
        clusters: (Q,) the picture of each query.

    Raises:
        ValueError: no values, or not as many clusters.
    """
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters. Pass one cluster a value, at least one.")
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)  # (C,) each
    dice = np.random.default_rng(seed)
    drawn = dice.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)  # (R, C)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
