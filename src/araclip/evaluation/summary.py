"""The numbers of a table: means over queries, their intervals, and whether two models differ by more than chance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from araclip.errors import InputError
from araclip.evaluation.metrics import METRICS, intervals, measures, per_query
from araclip.evaluation.results import Direction, Evaluated
from araclip.evaluation.significance import paired_permutation


@dataclass(frozen=True)
class Scores:
    """One model in one direction.

    Attributes:
        values: see `metrics.measures`: METRICS, the median rank, and how many queries have a tie.
        ci95: 95 % bootstrap interval of each mean, by picture.
        p: two-sided p-value against the first model, `significance.paired_permutation`; empty for the first.
    """

    values: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    p: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """One row of the table, text→image and image→text."""

    evaluated: Evaluated
    t2i: Scores
    i2t: Scores


def summarise(models: Sequence[Evaluated]) -> list[Summary]:
    """Each model's numbers, tested against the first; models of equal name get their fingerprint added.

    Raises:
        InputError: the models were not measured under one protocol, so that their numbers may not be compared.
    """
    shared_protocol(models)
    models = _with_distinct_names(models)
    first = models[0]
    return [Summary(model, _scores(model.t2i, first.t2i), _scores(model.i2t, first.i2t)) for model in models]


def shared_protocol(models: Sequence[Evaluated]) -> dict[str, Any]:
    """The protocol that all models share: an `id` and every field but the model.

    Raises:
        InputError: they do not share one; the message names the first field in which they differ.
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
    """What `araclip evaluate --json` prints; docs/evaluation.md describes every key."""
    return {
        "protocol": shared_protocol([summary.evaluated for summary in summaries]),
        "models": [_model_json(summary) for summary in summaries],
    }


def p_text(p: float) -> str:
    """A p-value as tables show it: one below a thousandth is not worth its digits."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}"


def _with_distinct_names(models: Sequence[Evaluated]) -> list[Evaluated]:
    names = [model.name for model in models]
    labels = [model.name if names.count(model.name) == 1 else model.protocol.model for model in models]
    distinct = [
        f"{label} ({labels[:i].count(label) + 1})" if labels.count(label) > 1 else label
        for i, label in enumerate(labels)
    ]
    return [replace(model, name=name) for model, name in zip(models, distinct, strict=True)]


def _scores(direction: Direction, first: Direction) -> Scores:
    return Scores(
        values=measures(direction),
        ci95=intervals(direction),
        p={} if direction is first else {metric: _p_value(direction, first, metric) for metric in METRICS},
    )


def _p_value(a: Direction, b: Direction, metric: str) -> float:
    return paired_permutation(per_query(a, metric), per_query(b, metric), a.clusters)


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
