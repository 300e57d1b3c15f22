"""The plot of a run, checked by its pixels and by the numbers it is drawn from."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from araclip.errors import DataError
from araclip.training.loop.plot import apart, smoothed, training_plot

LOSSES = [{"step": step, "loss": 5.0 / step, "time": 1.0} for step in range(1, 101)]
RECALLS = [{"step": s, "R@1": s / 500, "R@5": s / 300, "R@10": s / 200, "MRR": 0.3} for s in (50, 100)]
BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)
VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))  # (H, W, 3)


def count(picture: Any, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def halves(picture: Any) -> tuple[Any, Any]:
    return picture[:, : picture.shape[1] // 2 - 60], picture[:, picture.shape[1] // 2 :]


def test_loss_stands_left_and_recalls_right_in_a_png(tmp_path: Path) -> None:
    training_plot(LOSSES + RECALLS, tmp_path / "plot.png")
    picture = pixels(tmp_path / "plot.png")
    assert picture.shape == (500, 1200, 3)
    left, right = halves(picture)
    assert count(left, BLUE) > 200
    assert count(left, ORANGE) == count(left, GREEN) == 0
    assert min(count(right, colour) for colour in (BLUE, ORANGE, GREEN)) > 200
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


@pytest.mark.parametrize(("metrics", "empty_half"), [(LOSSES, 1), (RECALLS, 0)])
def test_a_panel_without_numbers_says_so_and_the_other_is_drawn(
    tmp_path: Path, metrics: list[dict[str, Any]], empty_half: int
) -> None:
    training_plot(metrics, tmp_path / "plot.png")
    found = [count(half, BLUE) for half in halves(pixels(tmp_path / "plot.png"))]
    assert found[empty_half] == 0 < found[1 - empty_half]


def test_recalls_of_several_languages_are_told_apart(tmp_path: Path) -> None:
    def drawn(*keys: str) -> Any:
        training_plot([{"step": s, **dict.fromkeys(keys, s / 20)} for s in range(9)], tmp_path / "plot.png")
        return halves(pixels(tmp_path / "plot.png"))[1]

    both = drawn("ar_R@1", "en_R@5")
    assert count(both, BLUE) > 0
    assert count(both, ORANGE) > 0
    assert not np.array_equal(drawn("ar_R@1", "en_R@1"), drawn("ar_R@1"))


@pytest.mark.parametrize("metrics", [LOSSES[:1], RECALLS[:1], [{"step": 0, "R@1": 0.0}], [{"step": 1, "loss": 0.0}]])
def test_a_single_point_is_visible(tmp_path: Path, metrics: list[dict[str, Any]]) -> None:
    training_plot(metrics, tmp_path / "plot.png")
    assert count(pixels(tmp_path / "plot.png"), BLUE) > 10


def test_rows_without_a_number_are_passed_over(tmp_path: Path) -> None:
    training_plot([*LOSSES, {"step": 101, "loss": None}, {"step": 102}], tmp_path / "with.png")
    training_plot(LOSSES, tmp_path / "without.png")
    assert np.array_equal(pixels(tmp_path / "with.png"), pixels(tmp_path / "without.png"))


def test_an_arabic_title_is_drawn_in_its_own_order(tmp_path: Path) -> None:
    def title(text: str) -> Any:
        training_plot(LOSSES, tmp_path / "plot.png", text)
        return pixels(tmp_path / "plot.png")[:30]

    assert (title("قطة") < 128).any()
    assert not np.array_equal(title("قطة كلب"), title("كلب قطة"))


@pytest.mark.parametrize("metrics", [[], [{"step": 1}], [{"step": 1, "loss": None, "MRR": 0.1}]])
def test_nothing_to_draw_is_an_error_and_leaves_no_file(tmp_path: Path, metrics: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=rf"{len(metrics)} rows of metrics hold neither .*plot.png.*Train some steps"):
        training_plot(metrics, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []


@given(VALUES, st.integers(1, 60))
def test_smoothing_keeps_steps_range_and_straight_lines(values: list[float], window: int) -> None:
    points = [(3 * i, value) for i, value in enumerate(values)]
    after = smoothed(points, window)
    assert [step for step, _ in after] == [step for step, _ in points]
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for _, value in after)
    assert smoothed(points, 1) == points
    line = smoothed([(i, float(i)) for i in range(100)], 11)
    assert line[5:-5] == [(i, float(i)) for i in range(5, 95)]


@given(VALUES, st.floats(0.01, 10.0))
def test_labels_keep_order_and_distance_and_seldom_move(values: list[float], gap: float) -> None:
    placed = apart(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    heights = [placed[i] for i in order]
    assert all(b - a >= gap * (1 - 1e-6) - 1e-9 for a, b in pairwise(heights))
    assert all(placed[i] >= values[i] for i in order)
    far = [i * gap * 1.5 for i in range(len(values))]
    assert apart(far, gap) == far
