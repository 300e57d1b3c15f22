"""Whether one model is better than another by more than chance: paired tests over the same queries, by picture.

The captions of one picture are not independent, so pictures are resampled, and their signs flipped, whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from araclip.evaluation.metrics import CELLS, cluster_sums, per_query, resampled_means
from araclip.evaluation.results import Direction, Floats, Ints


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on one metric.

    Attributes:
        a, b: their means. difference: a − b. low, high: its 95 % bootstrap interval.
        p_bootstrap, p_permutation: two-sided; how often chance alone would differ as much.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_permutation: float


def compare(a: Direction, b: Direction, metric: str, *, seed: int = 0) -> Comparison:
    """Two models on the same queries and candidates, by `paired_bootstrap` and `paired_permutation`.

    Raises:
        ValueError: they were evaluated on different queries, or the metric is unknown.
    """
    if not np.array_equal(a.clusters, b.clusters):
        raise ValueError(
            f"the models answered different queries ({len(a.clusters)} over {len(set(a.clusters.tolist()))} pictures, "
            f"{len(b.clusters)} over {len(set(b.clusters.tolist()))}). Evaluate both on one set, split and field."
        )
    first, second = per_query(a, metric), per_query(b, metric)
    low, high, by_bootstrap = paired_bootstrap(first, second, a.clusters, seed=seed)
    by_permutation = paired_permutation(first, second, a.clusters, seed=seed)
    means = float(first.mean()), float(second.mean())
    return Comparison(metric, *means, means[0] - means[1], low, high, by_bootstrap, by_permutation)


def paired_bootstrap(
    a: Floats,
    b: Floats,
    clusters: Sequence[int] | Ints,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Interval and two-sided p-value of mean(a − b) (Berg-Kirkpatrick, Burkett and Klein 2012, by cluster).

    The p-value is the share of resamples whose mean differs from the observed one by at least the observed one's size.

    Args:
        a, b: (Q,) the values of two models for the same queries. clusters: (Q,) the picture of each.

    Returns:
        low, high, p.

    Raises:
        ValueError: the three differ in length, or are empty.
    """
    differences = _differences(a, b)
    means = resampled_means(differences[:, None], clusters, resamples, seed)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    observed = float(differences.mean())
    return float(low), float(high), _share(np.abs(means - observed), abs(observed))


def paired_permutation(
    a: Floats, b: Floats, clusters: Sequence[int] | Ints, *, permutations: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of mean(a − b) when a's and b's values may be swapped, picture by picture (Fisher's
    randomisation test; Smucker, Allan and Carterette 2007 find it the one to trust in retrieval).

    Args and errors: as of `paired_bootstrap`.
    """
    sums, _ = cluster_sums(_differences(a, b)[:, None], clusters)  # (C, 1)
    rng = np.random.default_rng(seed)
    swapped = []
    for start in range(0, permutations, step := max(1, CELLS // len(sums))):
        flips = rng.integers(0, 2, (min(step, permutations - start), len(sums)), dtype=np.int8)
        swapped.append((2.0 * flips - 1.0) @ sums[:, 0])
    return _share(np.abs(np.concatenate(swapped)), abs(float(sums.sum())))


def _differences(a: Floats, b: Floats) -> Floats:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values of one model and {len(b)} of the other. Evaluate both on the same queries.")
    return np.asarray(a, np.float64) - np.asarray(b, np.float64)


def _share(values: Floats, at_least: float) -> float:
    # The observed difference is one of the possible ones, so p is never 0; sums that are equal may differ by rounding.
    return float((1 + (values >= at_least - 1e-12).sum()) / (1 + len(values)))
