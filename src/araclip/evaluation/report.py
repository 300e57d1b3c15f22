"""Writes the report of an evaluation: one HTML file that works offline and runs no script.

Captions and the names of models and files come from outside. Hidden characters in them are shown (`display.shown`), the
template engine escapes them, and the page's security policy forbids scripts and loading anything from elsewhere.
"""

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from araclip import __version__
from araclip.core import atomic
from araclip.core.display import counted, shown
from araclip.errors import ImageError, InputError
from araclip.evaluation import breakdown
from araclip.evaluation.breakdown import Group, GroupRecall, best_queries, worst_queries
from araclip.evaluation.leaks import Leaks
from araclip.evaluation.robustness import Robustness
from araclip.evaluation.scores import Evaluated
from araclip.evaluation.significance import Summary, p_text, shared_protocol
from araclip.pictures.images import open_image

if TYPE_CHECKING:
    from jinja2 import Environment


CASES = 24  # example queries in a report, of all models together: 24 × (1 + 4) pictures of 7 kB are 0.8 MB
OTHERS = 4  # how many other pictures are shown beside the right picture
SIDE = 192  # pixels of a thumbnail's longer side; shown at 96 pixels, so that screens of double density are sharp
QUALITY = 70


@dataclass(frozen=True)
class Thumbnail:
    """One picture of an example: its data URI (None if the file cannot be opened), file name, rank and cosine."""

    uri: str | None
    name: str
    rank: float
    score: float


@dataclass(frozen=True)
class Example:
    """A query, the picture that it describes, and the OTHERS pictures that rank best besides it."""

    query: str
    right: Thumbnail
    others: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Examples:
    """One model's worst and best queries."""

    name: str
    worst: tuple[Example, ...]
    best: tuple[Example, ...]


def examples(models: Sequence[Evaluated]) -> list[Examples]:
    """Return each model's worst and best text→image queries, about two worst for each best; at most CASES in all."""
    reported = models[: CASES // 2]
    share = CASES // len(reported)
    strong = max(1, share // 3)
    return [
        Examples(
            model.name,
            tuple(_make_example(model, row) for row in worst_queries(model.t2i, share - strong)),
            tuple(_make_example(model, row) for row in best_queries(model.t2i, strong)),
        )
        for model in reported
    ]


def _make_example(model: Evaluated, row: int) -> Example:
    direction, right = model.t2i, int(model.owner[row])

    def make_thumbnail(picture: int, rank: float, score: float) -> Thumbnail:
        path = model.pictures[picture]
        return Thumbnail(thumbnail(path), path.name, rank, score)

    ranked = zip(direction.found[row].tolist(), direction.scores[row].tolist(), strict=True)
    others = [(picture, rank, score) for rank, (picture, score) in enumerate(ranked, 1) if picture != right]
    return Example(
        model.queries[row],
        make_thumbnail(right, float(direction.ranks[row]), float(direction.relevant_score[row])),
        tuple(make_thumbnail(*other) for other in others[:OTHERS]),
    )


def thumbnail(path: Path) -> str | None:
    """Return a small JPEG, without metadata, as a data URI; None if the file cannot be opened."""
    try:
        opened = open_image(path, SIDE)
    except ImageError:
        return None
    opened.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    # a new picture, because Pillow would save the opened picture's EXIF data, comments and colour profile
    bare = Image.new("RGB", opened.size)
    bare.paste(opened)
    written = io.BytesIO()
    bare.save(written, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")


NEEDED = ("matplotlib", "jinja2")
SHAPES_ARABIC = (3, 11)  # the first version of matplotlib that joins and orders Arabic letters
COLUMNS = ("R@1", "R@5", "R@10", "MRR", "nDCG@10")
CUTOFFS = (1, 5, 10)
CHART_K = 10  # charts show R@10, which is seldom 0 even in small groups

# title of a table → model → group of queries → one entry for each k
GroupTables = dict[str, dict[str, list[tuple[GroupRecall, ...]]]]

_ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc]")


def check_ready(path: Path) -> None:
    """Check that a report can be written, before the evaluation takes minutes.

    Raises:
        InputError: the extra `report` is missing or its matplotlib too old; `path` is a folder, or lies in no folder.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(f"the report needs {', '.join(absent)}. Install the extra: pip install 'araclip[report]'.")
    import matplotlib as mpl

    if tuple(mpl.__version_info__[:2]) < SHAPES_ARABIC:
        raise InputError(
            f"matplotlib {mpl.__version__} draws Arabic letters apart and in reverse; the report needs 3.11 or later. "
            "Upgrade it: pip install 'araclip[report]'."
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file for the report, such as {path / 'report.html'}.")
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} cannot be written, so the report would be lost. Name a file elsewhere.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder, the report {path.name} cannot be written there. Make it first.")


def write_report(
    path: Path,
    models: Sequence[Summary],
    dialects: Sequence[str | None] | None = None,
    robustness: Sequence[Robustness] = (),
    leaks: Leaks | None = None,
) -> None:
    """Write the report of one or several models; each model but the first is compared with the first.

    Args:
        dialects: the dialect of each query, if the data set states dialects (see `breakdown.group_by_dialect`).
        robustness: the robustness of each model, if it was measured.
        leaks: leaks of the test set into training data, if they were searched for.

    Raises:
        InputError: see `check_ready`; or the models were measured under different protocols.
    """
    check_ready(path)
    atomic.write_text(path, render(models, dialects, robustness, leaks))


def render(
    models: Sequence[Summary],
    dialects: Sequence[str | None] | None = None,
    robustness: Sequence[Robustness] = (),
    leaks: Leaks | None = None,
) -> str:
    """Return the report as HTML; see `write_report`."""
    from markupsafe import Markup

    protocol = shared_protocol([model.evaluated for model in models])
    folder = Path(__file__).parent
    queries = models[0].evaluated.queries
    groups = {
        "by length of the query": breakdown.group_by_length(queries),
        "by dialect": breakdown.group_by_dialect(queries, dialects),
    }
    tables = {
        title: {m.evaluated.name: breakdown.recall_by_group(m.evaluated.t2i, parts, CUTOFFS) for m in models}
        for title, parts in groups.items()
        if len(parts) > 1
    }
    page = _environment().from_string((folder / "report.html").read_text(encoding="utf-8"))
    return page.render(
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),  # not escaped: our own style sheet
        version=__version__,
        protocol=protocol,
        models=models,
        several=len(models) > 1,
        missing=max(model.evaluated.missing for model in models),
        directions=[("Text → picture", "t2i"), ("Picture → text", "i2t")],
        metrics=COLUMNS,
        highest={
            side: {name: max(getattr(model, side).values[name] for model in models) for name in COLUMNS}
            for side in ("t2i", "i2t")
        },
        curves=_recall_charts(models, protocol),
        scores=_score_charts(models),
        groups=_group_charts(tables),
        group_notes=_group_notes(groups, dialects),
        group_tables=tables,
        cutoffs=CUTOFFS,
        robustness=list(zip([model.evaluated.name for model in models], robustness, strict=False)),
        # no chart (None) if no kind of rewriting changed any text, since the chart would have no row
        losses=_loss_chart(models, robustness) if any(loss.changed for r in robustness for loss in r.losses) else None,
        leaks=leaks,
        examples=examples([model.evaluated for model in models]),
        **_cost_values(models),
    )


def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def visible(value: Any) -> Any:
        return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=visible, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.1f} %",
        "points": lambda share: f"{100 * share:.1f}",
        "points_between": lambda ends: f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}",
        "between": lambda ends, percent=True: "–".join(f"{100 * end:.1f}" if percent else f"{end:.3f}" for end in ends),
        "decimal": lambda value: f"{value:.3f}",
        "count": lambda n: f"{n:,}",
        "counted": counted,
        "place": lambda rank: f"{rank:,.0f}" if rank == int(rank) else f"{rank:,.1f}",
        "measured": lambda value: "–" if value is None else f"{value:,.1f}",
        "p_value": p_text,
    }
    environment.tests["arabic"] = lambda text: bool(_ARABIC.search(text))
    return environment


# ------------------------------------------------------------------ charts


def _chart(svg: str, label: str) -> dict[str, Any]:
    from markupsafe import Markup

    return {"svg": Markup(svg), "label": label}  # not escaped: matplotlib's own markup, with text as outlines


def _recall_charts(models: Sequence[Summary], protocol: Mapping[str, Any]) -> list[dict[str, Any]]:
    from araclip.evaluation import charts

    t2i = [(model.evaluated.name, model.evaluated.t2i) for model in models]
    i2t = [(model.evaluated.name, model.evaluated.i2t) for model in models]
    label = "Share of queries with a right answer among the first k: "
    return [
        _chart(charts.recall_chart(t2i, protocol["n_images"], "Text → picture", "pictures"), f"{label}text to picture"),
        _chart(charts.recall_chart(i2t, protocol["n_queries"], "Picture → text", "texts"), f"{label}picture to text"),
    ]


def _score_charts(models: Sequence[Summary]) -> list[dict[str, Any]]:
    from araclip.evaluation import charts

    out = []
    for i, model in enumerate(models):
        t2i = model.evaluated.t2i
        wrong = t2i.relevant_score.astype(np.float64) - t2i.margin  # cosine of each query's best irrelevant candidate
        wrong = wrong[np.isfinite(wrong)]  # drops queries without an irrelevant candidate, whose margin is infinite
        label = f"half of the right pictures score above {np.median(t2i.relevant_score):.3f}"
        if len(wrong):
            ahead = 100 * np.mean(t2i.margin < 0)
            label += f", half of the best wrong ones above {np.median(wrong):.3f}"
            label += f"; for {ahead:.1f} % of queries a wrong one leads"
        svg = charts.score_chart(model.evaluated.name, t2i.relevant_score, wrong, i)
        out.append(_chart(svg, f"{label}.") | {"name": model.evaluated.name})
    return out


# ------------------------------------------------------------------ groups of queries


def _group_charts(tables: GroupTables) -> list[dict[str, Any]]:
    from araclip.evaluation import charts

    out = []
    for title, rows_of in tables.items():
        rows_by_model = {
            name: [
                (g.group, g.queries, g.recall, (g.low, g.high)) for g in (row[CUTOFFS.index(CHART_K)] for row in rows)
            ]
            for name, rows in rows_of.items()
        }
        out.append(_chart(charts.interval_chart(rows_by_model, f"R@{CHART_K} {title}"), f"Recall at {CHART_K} {title}"))
    return out


def _group_notes(groups: Mapping[str, list[Group]], dialects: Sequence[str | None] | None) -> list[str]:
    notes = []
    for title, parts in groups.items():
        if len(parts) == 1:
            notes.append(f"Grouped {title}, all {len(parts[0].rows):,} queries are one group: {parts[0].name}.")
    if dialects is None:
        notes.append(
            "Dialects are guessed from marker words of each region, such as ده or ديال. A query that has one is "
            "mostly placed right, but most dialectal queries have none: “no dialect marker” is Modern Standard Arabic "
            "and dialect together."
        )
    return notes


def _loss_chart(models: Sequence[Summary], robustness: Sequence[Robustness]) -> dict[str, Any]:
    from araclip.evaluation import charts

    rows_by_model = {
        model.evaluated.name: [
            (loss.kind, loss.changed, loss.loss[f"R@{CHART_K}"], loss.interval[f"R@{CHART_K}"])
            for loss in result.losses
            if loss.changed
        ]
        for model, result in zip(models, robustness, strict=True)
    }
    title = f"Loss of R@{CHART_K} by kind"
    return _chart(
        charts.interval_chart(rows_by_model, title), f"Loss of recall at {CHART_K} by kind of misspelling or dialect"
    )


# ------------------------------------------------------------------ costs


def _cost_values(models: Sequence[Summary]) -> dict[str, Any]:
    from araclip.evaluation import charts

    recall = [float(np.mean([model.t2i.values[f"R@{k}"] for k in CUTOFFS])) for model in models]
    known: dict[int, tuple[float, float]] = {}  # number of a model → its MB, its ms for a text and a picture
    for i, model in enumerate(models):
        cost = model.evaluated.cost
        if cost.megabytes is not None and cost.text_ms is not None and cost.image_ms is not None:
            known[i] = (cost.megabytes, cost.text_ms + cost.image_ms)
    if len(known) < 2:  # with a single model, which is trivially optimal, nothing is marked
        known = {}
    optimal = dict(zip(known, breakdown.pareto(list(known.values()), [recall[i] for i in known]), strict=True))
    rows = [
        {"name": model.evaluated.name, "cost": model.evaluated.cost, "recall": recall[i], "optimal": optimal.get(i)}
        for i, model in enumerate(models)
    ]
    points = [charts.CostPoint(models[i].evaluated.name, i, *cost, recall[i], optimal[i]) for i, cost in known.items()]
    label = "Time against recall of each model, its memory as area; hollow: not Pareto-optimal"
    return {"costs": rows, "pareto": _chart(charts.pareto_chart(points), label) if points else None}
