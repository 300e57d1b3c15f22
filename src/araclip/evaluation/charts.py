"""Draws the report's charts as SVG, in the colours of the surrounding page, light or dark.

Text is drawn as outlines, so that Arabic looks the same wherever the page is opened. matplotlib (from 3.11) joins and
orders Arabic letters by itself.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from araclip.core.display import shortened, shown
from araclip.evaluation.breakdown import recall_curve
from araclip.evaluation.scores import Direction

WIDTH = 4.4  # width of a chart in inches: 317 points, so that 8-point text stays readable on a page 400 pixels wide
LONGEST_NAME = 34
INK, FAINT = "#101010", "#8c8c8c"
# similar to the colours of Okabe and Ito (2008)
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b28600", "#1f9fd5")
_PAGE_COLOURS = {  # colour in the drawing → variable of the page's style sheet
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)},
}
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":")
_MATPLOTLIB_STYLE = {
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # no formulas: a "$" in a model's name is drawn as "$"
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
}

NamedDirections = Sequence[tuple[str, Direction]]  # (name in the legend, results) of each model
# (name of a group, its number of queries, recall or another share, interval of this share)
Row = tuple[str, int, float, tuple[float, float]]


@mpl.rc_context(_MATPLOTLIB_STYLE)
def recall_chart(models: NamedDirections, n: int, title: str, candidates: str) -> str:
    """Draw Recall@k over k, from 1 to all `n` candidates ("pictures" or "texts"), a line for each model."""
    figure, axes = _new_figure(2.8 + _legend_height(len(models)))
    for i, (_, direction) in enumerate(models):
        k, recall = recall_curve(direction.ranks, n)
        axes.plot(k, recall, LINES[i // len(SERIES) % len(LINES)], color=_colour(i), linewidth=1.8)
    if n > 1:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda k, _: ""))
    axes.set_xlabel(f"k, number of {candidates}")
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("recall@k")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(title, loc="left")
    _draw_legend(figure, axes.get_lines(), [_shorten(name) for name, _ in models])
    return _write_svg(figure, f"recall {title}")


@mpl.rc_context(_MATPLOTLIB_STYLE)
def score_chart(name: str, right: NDArray[np.floating], wrong: NDArray[np.floating], index: int) -> str:
    """Draw two histograms over queries: the cosines of right pictures (Q,), and of the best wrong pictures, Q or fewer.

    `index` is the model's number in the report, which decides its colour.
    """
    figure, axes = _new_figure(2.6)
    both = np.concatenate([right, wrong])
    edges = np.linspace(both.min(), max(both.max(), both.min() + 1e-3), 41).tolist()
    axes.hist(wrong, edges, color=FAINT, alpha=0.45, label="best wrong picture")
    axes.hist(right, edges, histtype="step", color=_colour(index), linewidth=1.8, label="right picture")
    axes.set_xlabel("cosine of query and picture")
    axes.set_ylabel("queries")
    axes.set_title(_shorten(name), loc="left")
    axes.legend(loc="upper left")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend
    return _write_svg(figure, f"scores {index}")


@mpl.rc_context(_MATPLOTLIB_STYLE)
def interval_chart(rows_of: Mapping[str, Sequence[Row]], title: str) -> str:
    """Draw recall or another share with its interval: a row for each group of queries, a mark for each model.

    The axis begins at 0, or at the lowest interval if that is below 0.
    """
    first = next(iter(rows_of.values()))
    names = [f"{_shorten(name)}\n{queries:,} quer{'y' if queries == 1 else 'ies'}" for name, queries, _, _ in first]
    ends = [end for rows in rows_of.values() for _, _, _, interval in rows for end in interval]
    height = 0.7 + len(names) * (0.34 + 0.1 * len(rows_of)) + _legend_height(len(rows_of))
    figure, axes = _new_figure(height)
    rows = np.arange(len(names), dtype=np.float64)
    spread = 0.5 / len(rows_of)
    marks: list[Artist] = []
    for i, shares in enumerate(rows_of.values()):
        at = rows + (i - (len(rows_of) - 1) / 2) * spread
        middle = np.array([share for _, _, share, _ in shares])
        reach = np.array([[share - low, high - share] for _, _, share, (low, high) in shares]).T.clip(0)
        # From the seventh model on, colours come a second time, with other markers.
        mark = MARKERS[(i + i // len(SERIES)) % len(MARKERS)]
        drawn = axes.errorbar(
            middle, at, xerr=reach, fmt=mark, color=_colour(i), markersize=4.5, linewidth=1.4, clip_on=False
        )  # without clipping, a marker at 100 % is not cut off at the edge of the plot
        marks.append(drawn.lines[0])
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(min(0.0, min(ends) * 1.08), min(1.0, max(ends) * 1.08 + 0.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(title, loc="left")
    _draw_legend(figure, marks, [_shorten(name) for name in rows_of])
    return _write_svg(figure, f"groups {title}")


@dataclass(frozen=True)
class CostPoint:
    """A model in the plot of costs.

    `index` is its number in the report, `megabytes` the size of its files, `ms` the time for a text and a picture.
    """

    name: str
    index: int
    megabytes: float
    ms: float
    recall: float
    optimal: bool


@mpl.rc_context(_MATPLOTLIB_STYLE)
def pareto_chart(models: Sequence[CostPoint]) -> str:
    """Draw time against recall, with memory as area; models that are not Pareto-optimal are hollow."""
    ms, recall = np.array([model.ms for model in models]), np.array([model.recall for model in models])
    largest = max(model.megabytes for model in models)
    figure, axes = _new_figure(2.8 + _legend_height(len(models)))
    marks: list[Artist] = []
    for model in models:
        colour = _colour(model.index)
        face = colour if model.optimal else "none"
        area = 30 + 270 * model.megabytes / largest
        axes.scatter(model.ms, model.recall, area, facecolor=face, edgecolor=colour, linewidth=1.6, alpha=0.85)
        marks.append(Line2D([], [], marker="o", linestyle="", color=colour, markerfacecolor=face, markersize=6))
    axes.set_xscale("log")
    axes.set_xlim(ms.min() / 2.2, ms.max() * 2.2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))
    # between the powers of ten, only 2, 5, 20, 50 … are written at the axis
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda t, _: f"{t:g}" if f"{t:.0e}"[0] in "25" else ""))
    axes.set_xlabel("ms, one text and one picture")
    room = max(0.05, np.ptp(recall) * 0.35)
    axes.set_ylim(max(0.0, recall.min() - room), min(1.0, recall.max() + room))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("mean of R@1, R@5, R@10")
    axes.set_title("Memory × time × recall", loc="left")
    # The size comes first: a line that begins with an Arabic name runs right to left, which reverses "47 MB".
    _draw_legend(figure, marks, [f"{model.megabytes:,.0f} MB · {_shorten(model.name)}" for model in models])
    return _write_svg(figure, "pareto")


def _shorten(name: str) -> str:
    return shortened(shown(name), LONGEST_NAME)


def _colour(i: int) -> str:
    return SERIES[i % len(SERIES)]


def _draw_legend(figure: Figure, marks: Sequence[Artist], names: Sequence[str]) -> None:
    if len(names) == 1:
        return
    legend = figure.legend(marks, [str(i) for i in range(len(names))], loc="outside lower left", labelspacing=0.35)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)  # set afterwards: `legend` itself drops labels that begin with "_"


def _legend_height(names: int) -> float:
    return 0.16 * names + 0.1 if names > 1 else 0.0


def _new_figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.subplots()
    axes.patch.set_visible(False)
    return figure, axes


def _write_svg(figure: Figure, salt: str) -> str:
    """Return the figure as an `<svg>` element for an HTML page: without fixed size and in the page's colours.

    The ids in the element begin with `salt`, so that several drawings on a page have no id in common.
    """
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    mark = re.sub(r"\W+", "-", salt)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{mark}-", text)  # makes ids unique among the drawings of a page
    for colour, variable in _PAGE_COLOURS.items():
        text = text.replace(colour, variable)
    return text
