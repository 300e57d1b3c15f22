"""Draws the plot of a run: the loss and the dev recall over the steps."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from araclip.core import atomic
from araclip.errors import DataError

RECALL = re.compile(r"(?P<of>.*?)_?R@(?P<k>\d+)")  # matches names of recalls: "R@5", "dev_R@5", "en_R@5"
# the colours of Okabe and Ito (2008), which colour-blind readers can tell apart, too
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("-", "--", ":", "-.")
LABEL_GAP = 0.045  # least distance of labels, as a part of the highest recall: about the height of a line of text
WINDOW = 0.05  # length of the window that smooths the loss, as a share of the run

Points = list[tuple[int, float]]


def training_plot(metrics: Sequence[Mapping[str, Any]], path: Path, title: str = "") -> None:
    """Write a PNG, 1,200 × 500 pixels: left the loss (each row, and smoothed), right R@1, R@5, R@10 on dev.

    Args:
        metrics: rows of a run (`Run.metrics`), each with `step`; the key `loss` gives the left panel, keys that end in
            `R@k` give the right panel. A prefix, as in `en_R@1`, tells several recalls apart.
        title: the run's name; pass Arabic unchanged, matplotlib shapes and orders it.

    Raises:
        DataError: the rows hold neither a loss nor a recall.
    """
    losses = _points(metrics, "loss")
    named = {key: match for row in metrics for key in row if (match := RECALL.fullmatch(key))}
    order = sorted(named, key=lambda key: (named[key]["of"], int(named[key]["k"])))
    recalls = {key: points for key in order if (points := _points(metrics, key))}
    if not losses and not recalls:
        raise DataError(
            f"{len(metrics)} rows of metrics hold neither `loss` nor `R@k`, there is nothing to draw in {path}. "
            "Train some steps first, or check that this is the folder of a run."
        )
    figure = Figure(figsize=(12, 5), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_loss(left, losses)
    _draw_recall(right, recalls, named)
    if title:
        figure.suptitle(title)
    atomic.write(path, lambda temporary: figure.savefig(temporary, format="png"))


def smoothed(points: Sequence[tuple[int, float]], window: int) -> Points:
    """Replace each value by the mean of itself and of window // 2 values on each side (fewer at the ends)."""
    reach, out = window // 2, []
    for i, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, i - reach) : i + reach + 1]]
        out.append((step, sum(near) / len(near)))
    return out


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move labels up until they do not overlap: return heights in the same order, at least `gap` apart."""
    out = [0.0] * len(heights)
    lowest = float("-inf")
    for i in sorted(range(len(heights)), key=lambda i: heights[i]):
        out[i] = max(heights[i], lowest)
        lowest = out[i] + gap
    return out


def _draw_loss(axes: Axes, losses: Points) -> None:
    _style_axes(axes, "Loss")
    if not losses:
        _write_note(axes, "no loss was logged")
        return
    window = 2 * round(WINDOW * len(losses) / 2) + 1
    marker = "o" if len(losses) == 1 else None
    if window > 1:
        axes.plot(*zip(*losses, strict=True), color=COLOURS[0], alpha=0.3, linewidth=0.8, label="each row")
    label = f"mean of {window} rows" if window > 1 else "each row"
    axes.plot(*zip(*smoothed(losses, window), strict=True), color=COLOURS[0], linewidth=2, marker=marker, label=label)
    axes.legend(frameon=False)


def _draw_recall(axes: Axes, recalls: Mapping[str, Points], named: Mapping[str, re.Match[str]]) -> None:
    _style_axes(axes, "Recall on dev")
    if not recalls:
        _write_note(axes, "dev recall was not measured")
        return
    cutoffs = sorted({int(named[key]["k"]) for key in recalls})
    kinds = sorted({named[key]["of"] for key in recalls})
    highest = max(value for points in recalls.values() for _, value in points) or 0.01
    heights = apart([points[-1][1] for points in recalls.values()], LABEL_GAP * highest)
    for (key, points), height in zip(recalls.items(), heights, strict=True):
        colour = COLOURS[cutoffs.index(int(named[key]["k"])) % len(COLOURS)]
        line = LINES[kinds.index(named[key]["of"]) % len(LINES)]
        axes.plot(*zip(*points, strict=True), line, color=colour, linewidth=2, marker="o", markersize=4)
        # The name stands at the line's end, where its value is read; a legend would cover curves that start high.
        label, at = f"{key}  {points[-1][1]:.1%}", (1.01, height)
        axes.annotate(label, at, xycoords=("axes fraction", "data"), va="center", color=colour, annotation_clip=False)
    axes.set_ylim(0.0, 1.05 * highest)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _style_axes(axes: Axes, name: str) -> None:
    axes.set_title(name, loc="left")
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _write_note(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="grey")


def _points(metrics: Sequence[Mapping[str, Any]], key: str) -> Points:
    return [(row["step"], row[key]) for row in metrics if row.get(key) is not None]
