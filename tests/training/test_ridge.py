"""Ridge regression in closed form: it recovers known maps, equals plain least squares, and ignores the block size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from araclip.errors import DataError
from araclip.training.stages.linear import BLOCK, Moments, fit_linear_map

Matrix = NDArray[np.float64]


def known_map(rows: int = 200, noise: float = 0.0, seed: int = 0) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Features (N, 6), targets (N, 4), and the weight (4, 6) and bias (4,) between them."""
    rng = np.random.default_rng(seed)
    features, weight, bias = rng.normal(3, 1, (rows, 6)), rng.normal(size=(4, 6)), rng.normal(size=4)
    return features, features @ weight.T + bias + noise * rng.normal(size=(rows, 4)), weight, bias


def stacked_least_squares(x: Matrix, y: Matrix, penalty: float) -> tuple[Matrix, Matrix]:
    """Ridge the textbook way: √penalty · I as further rows, ones as a further, unpenalised column."""
    width = x.shape[1]
    rows = np.hstack([x, np.ones((len(x), 1))])
    extra = np.sqrt(penalty) * np.eye(width, rows.shape[1])
    solution = np.linalg.lstsq(
        np.vstack([rows, extra]), np.vstack([y, np.zeros((width, y.shape[1]))]), rcond=None
    )[0]  # fmt: skip
    return solution[:width].T, solution[width]


def ridge(features: Matrix, targets: Matrix, penalty: float, *, block: int = BLOCK) -> tuple[Matrix, Matrix]:
    """Weight (D, H) and bias (D,) in float64, before `fit_linear_map` rounds them to float32."""
    moments = Moments()
    for start in range(0, len(features), block):
        moments.add(features[start : start + block], targets[start : start + block])
    return moments.solver().solve(penalty)


def test_a_known_map_is_recovered() -> None:
    features, targets, weight, bias = known_map()
    got_weight, got_bias = ridge(features, targets, 0.0)
    np.testing.assert_allclose(got_weight, weight, atol=1e-9)
    np.testing.assert_allclose(got_bias, bias, atol=1e-9)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 250.0])
def test_ridge_equals_least_squares_with_penalty_rows(penalty: float) -> None:
    features, targets, _, _ = known_map(noise=0.5)
    weight, bias = ridge(features, targets, penalty)
    wanted_weight, wanted_bias = stacked_least_squares(features, targets, penalty)
    np.testing.assert_allclose(weight, wanted_weight, atol=1e-9)
    np.testing.assert_allclose(bias, wanted_bias, atol=1e-9)


@given(st.integers(1, 300))
def test_the_block_size_does_not_matter(block: int) -> None:
    features, targets, _, _ = known_map(noise=0.5)
    for got, wanted in zip(ridge(features, targets, 2.0, block=block), ridge(features, targets, 2.0), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-10)


def test_features_far_from_zero_lose_no_digits() -> None:
    features, targets, weight, _ = known_map()
    got, _ = ridge(features + 1e6, targets, 0.0, block=32)
    np.testing.assert_allclose(got, weight, atol=1e-5)


def test_float16_files_are_read_block_by_block(tmp_path: Path) -> None:
    features, targets, weight, _ = known_map()
    np.save(tmp_path / "x.npy", features.astype(np.float16))
    np.save(tmp_path / "y.npy", targets.astype(np.float16))
    x, y = (np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
    np.testing.assert_allclose(fit_linear_map(x, y, [1e-3], block=17).weight, weight, atol=0.01)


def test_a_constant_column_gets_no_weight() -> None:
    features, targets, weight, _ = known_map()
    with_constant = np.hstack([features, np.full((len(features), 1), 7.0)])
    got, bias = ridge(with_constant, targets, 0.0)
    np.testing.assert_allclose(got[:, :6], weight, atol=1e-8)
    np.testing.assert_allclose(got[:, 6], 0, atol=1e-8)
    np.testing.assert_allclose(with_constant @ got.T + bias, targets, atol=1e-8)


def test_rows_that_are_all_alike_map_to_the_mean() -> None:
    weight, bias = ridge(np.ones((5, 3)), np.arange(10.0).reshape(5, 2), 0.0)
    np.testing.assert_allclose(weight, 0, atol=1e-12)
    np.testing.assert_allclose(bias, [4, 5])


def test_fewer_rows_than_features_give_the_shortest_exact_map() -> None:
    features, targets, _, _ = known_map(rows=4)
    weight, bias = ridge(features, targets, 0.0)
    np.testing.assert_allclose(features @ weight.T + bias, targets, atol=1e-8)
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(weight, (np.linalg.pinv(centred) @ (targets - targets.mean(axis=0))).T, atol=1e-8)


def test_the_penalty_that_is_best_on_held_out_rows_is_chosen() -> None:
    features, targets, _, _ = known_map(rows=400)
    assert fit_linear_map(features, targets, [1e6, 1e-6, 1e3]).penalty == 1e-6
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(225, 200))  # hardly more rows than features, and much noise: no penalty overfits
    noisy = wide[:, :3] + 2 * rng.normal(size=(225, 3))
    assert fit_linear_map(wide, noisy, [1e-8, 100.0]).penalty == 100.0


def test_the_fitted_map_reaches_the_cosine_it_states_on_new_rows() -> None:
    features, targets, weight, bias = known_map(rows=600, noise=1.0)
    fitted = fit_linear_map(features[:300], targets[:300])
    mapped = features[300:] @ fitted.weight.T + fitted.bias
    lengths = np.linalg.norm(mapped, axis=1) * np.linalg.norm(targets[300:], axis=1)
    assert ((mapped * targets[300:]).sum(axis=1) / lengths).mean() == pytest.approx(fitted.held_out_cosine, abs=0.03)
    assert 0.8 < fitted.held_out_cosine < 1
    assert (fitted.weight.shape, fitted.bias.shape, fitted.weight.dtype) == (weight.shape, bias.shape, np.float32)


def test_the_fitted_map_is_solved_with_all_rows() -> None:
    features, targets, _, _ = known_map(noise=1.0)
    fitted = fit_linear_map(features, targets, [3.0], block=50)
    weight, bias = ridge(features, targets, 3.0)
    np.testing.assert_allclose(fitted.weight, weight, rtol=1e-5)
    np.testing.assert_allclose(fitted.bias, bias, rtol=1e-5)
    assert fitted.penalty == 3.0


def test_same_seed_holds_out_same_rows_and_another_does_not() -> None:
    features, targets, _, _ = known_map(noise=1.0)
    cosines = [fit_linear_map(features, targets, seed=seed).held_out_cosine for seed in (1, 1, 2)]
    assert cosines[0] == cosines[1] != cosines[2]


# ------------------------------------------------------------------ what cannot be solved


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["features", "targets"])
def test_a_number_that_is_not_finite_is_named_by_its_row(what: str, wrong: float) -> None:
    features, targets, _, _ = known_map()
    {"features": features, "targets": targets}[what][123, 1] = wrong
    with pytest.raises(DataError, match=f"{what}, row 123: not all numbers are finite"):
        fit_linear_map(features, targets, [1.0], block=50)
    with pytest.raises(DataError, match=f"{what}, row 123"):
        fit_linear_map(features, targets)


def test_one_row_cannot_be_split() -> None:
    with pytest.raises(DataError, match="1 row cannot be split"):
        fit_linear_map(np.ones((1, 2)), np.ones((1, 2)))
