"""Tests whether one model is better than another by more than chance, by paired tests over the same queries.

The captions of one picture are not independent, so whole pictures are resampled, and signs are flipped for whole
pictures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from araclip.errors import InputError
from araclip.evaluation.scores import (
    CELLS,
    METRICS,
    Direction,
    Evaluated,
    cluster_sums,
    intervals,
    measures,
    per_query,
    resampled_means,
)
from araclip.models.vectors import Floats, Ints


@dataclass(frozen=True)
class Comparison:
    """Model a compared with model b on one metric."""

    metric: str
    a: float  #: mean of the metric for model a
    b: float  #: mean of the metric for model b
    difference: float  #: the mean for a minus the mean for b
    low: float  #: lower end of the 95 % bootstrap interval of the difference
    high: float  #: upper end of the 95 % bootstrap interval of the difference
    p_bootstrap: float  #: two-sided p-value by `paired_bootstrap`
    p_permutation: float  #: two-sided p-value by `paired_permutation`


def compare(a: Direction, b: Direction, metric: str, *, seed: int = 0) -> Comparison:
    """Compare two models on the same queries and candidates, by `paired_bootstrap` and `paired_permutation`.

    Raises:
        ValueError: the models were evaluated on different queries, or the metric is unknown.
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
    a: Floats, b: Floats, clusters: Sequence[int] | Ints, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Return interval and two-sided p-value of mean(a − b) (Berg-Kirkpatrick, Burkett and Klein 2012, by cluster).

    The p-value is the share of resamples whose mean is at least as far from the observed mean as the observed mean is
    from 0.

    Args:
        a, b: (Q,) the values of two models for the same queries. clusters: (Q,) the picture of each query.

    Returns:
        low, high, p.

    Raises:
        ValueError: a, b and clusters differ in length, or are empty.
    """
    differences = _differences(a, b)
    means = resampled_means(differences[:, None], clusters, resamples, seed)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    observed = float(differences.mean())
    return float(low), float(high), _p_value(np.abs(means - observed), abs(observed))


def paired_permutation(
    a: Floats, b: Floats, clusters: Sequence[int] | Ints, *, permutations: int = 10_000, seed: int = 0
) -> float:
    """Return the two-sided p-value of mean(a − b) if a's and b's values are swapped at random, picture by picture.

    This is Fisher's randomisation test; Smucker, Allan and Carterette 2007 find it the most trustworthy in retrieval.
    a, b: (Q,) the values of two models for the same queries. clusters: (Q,) the picture of each query. ValueError is
    raised if their lengths differ or are 0.
    """
    sums, _ = cluster_sums(_differences(a, b)[:, None], clusters)  # (pictures, 1)
    rng = np.random.default_rng(seed)
    swapped = []
    for start in range(0, permutations, step := max(1, CELLS // len(sums))):
        flips = rng.integers(0, 2, (min(step, permutations - start), len(sums)), dtype=np.int8)
        swapped.append((2.0 * flips - 1.0) @ sums[:, 0])
    return _p_value(np.abs(np.concatenate(swapped)), abs(float(sums.sum())))


def _differences(a: Floats, b: Floats) -> Floats:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values of one model and {len(b)} of the other. Evaluate both on the same queries.")
    return np.asarray(a, np.float64) - np.asarray(b, np.float64)


def _p_value(values: Floats, at_least: float) -> float:
    # The observed difference counts as one of the permutations, so p is never 0. The tolerance allows for rounding.
    return float((1 + (values >= at_least - 1e-12).sum()) / (1 + len(values)))


@dataclass(frozen=True)
class Scores:
    """The figures of one model in one direction."""

    values: dict[str, float]  #: the means of metrics and two more figures, see `scores.measures`
    ci95: dict[str, tuple[float, float]]  #: metric → 95 % bootstrap interval of its mean, pictures resampled
    p: dict[str, float]  #: metric → two-sided p-value against the first model; empty for the first model


@dataclass(frozen=True)
class Summary:
    """One row of an evaluation's table: a model's figures for text→image and image→text."""

    evaluated: Evaluated
    t2i: Scores
    i2t: Scores


def summarise(models: Sequence[Evaluated]) -> list[Summary]:
    """Return each model's figures, tested against the first model; models of equal name get their fingerprint added.

    Raises:
        InputError: the models were not measured under one protocol, so their figures cannot be compared.
    """
    shared_protocol(models)
    names = [model.name for model in models]
    labels = [model.name if names.count(model.name) == 1 else model.protocol.model for model in models]
    models = [
        replace(model, name=f"{label} ({labels[:i].count(label) + 1})" if labels.count(label) > 1 else label)
        for i, (model, label) in enumerate(zip(models, labels, strict=True))
    ]
    first = models[0]
    return [Summary(model, _make_scores(model.t2i, first.t2i), _make_scores(model.i2t, first.i2t)) for model in models]


def shared_protocol(models: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the protocol that all models share: an `id` and every field but the model.

    Raises:
        InputError: there is no model, or protocols differ; the message names a model and a field that differ.
    """
    if not models:
        raise InputError("there is no model to report on. Evaluate one first.")
    protocols = [replace(model.protocol, model="") for model in models]
    first = asdict(protocols[0])
    for model, protocol in zip(models[1:], protocols[1:], strict=True):
        for field, value in asdict(protocol).items():
            if value != first[field]:
                raise InputError(
                    f"{models[0].name} was measured with {field} {first[field]!r}, {model.name} with {value!r}. "
                    "Numbers of different protocols do not compare: evaluate both anew in one command."
                )
    del first["model"]
    return {"id": protocols[0].id, **first}


def json_of(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return what `araclip evaluate --json` prints; docs/evaluation.md describes every key."""
    return {
        "protocol": shared_protocol([summary.evaluated for summary in summaries]),
        "models": [_model_json(summary) for summary in summaries],
    }


def p_text(p: float) -> str:
    """Return a p-value as tables show it; below .001 its digits are not shown."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}"


def _make_scores(direction: Direction, first: Direction) -> Scores:
    return Scores(
        values=measures(direction),
        ci95=intervals(direction),
        p={}
        if direction is first
        else {
            metric: paired_permutation(per_query(direction, metric), per_query(first, metric), direction.clusters)
            for metric in METRICS
        },
    )


def _model_json(summary: Summary) -> dict[str, Any]:
    model = summary.evaluated
    return {
        "name": model.name,
        "model": model.protocol.model,
        "protocol_id": model.protocol.id,
        "license": model.license,
        "t2i": summary.t2i.values,
        "i2t": summary.i2t.values,
        "n_queries": model.protocol.n_queries,
        "n_images": model.protocol.n_images,
        "missing": model.missing,
        "ci95": summary.t2i.ci95,
        "ci95_i2t": summary.i2t.ci95,
        "p_vs_first": summary.t2i.p,
        "p_vs_first_i2t": summary.i2t.p,
        "cost": asdict(model.cost),
    }
