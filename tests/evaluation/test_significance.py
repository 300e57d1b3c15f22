"""Paired tests: deterministic, by picture, right about models that differ and about models that do not."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.evaluation.scores import score
from araclip.evaluation.significance import compare, paired_bootstrap, paired_permutation


def test_a_clear_difference_is_significant_and_none_is_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(300)
    better = values + 0.1 + 0.02 * rng.normal(size=300)
    low, high, p = paired_bootstrap(better, values, range(300))
    assert 0.09 < low < 0.1 < high < 0.11
    assert p < 0.001
    assert paired_permutation(better, values, range(300)) < 0.001
    assert paired_bootstrap(values, values, range(300)) == (0.0, 0.0, 1.0)
    assert paired_permutation(values, values, range(300)) == 1.0


def test_equal_models_differ_significantly_one_time_in_twenty() -> None:
    rng = np.random.default_rng(1)
    trials = [(rng.integers(0, 2, 60).astype(float), rng.integers(0, 2, 60).astype(float)) for _ in range(300)]
    for test in (
        lambda a, b: paired_bootstrap(a, b, range(60), resamples=400)[2],
        lambda a, b: paired_permutation(a, b, range(60), permutations=400),
    ):
        share = np.mean([test(a, b) <= 0.05 for a, b in trials])
        assert 0.02 < share < 0.09  # 0.05 ± three standard errors of 300 trials


def test_five_captions_of_picture_are_no_five_times_evidence() -> None:
    rng = np.random.default_rng(2)
    apart = rng.normal(0.15, 1.0, 60)
    once = paired_permutation(apart, np.zeros(60), range(60))
    five_times, pictures = np.repeat(apart, 5), np.repeat(range(60), 5)
    assert paired_permutation(five_times, np.zeros(300), pictures) == pytest.approx(once, abs=1e-9)
    assert paired_bootstrap(five_times, np.zeros(300), pictures) == pytest.approx(
        paired_bootstrap(apart, np.zeros(60), range(60))
    )
    assert paired_permutation(five_times, np.zeros(300), range(300)) < once / 2


@settings(max_examples=20)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=7))
def test_the_permutation_test_agrees_with_all_permutations(differences: list[int]) -> None:
    apart = np.array(differences, float)
    every = [abs(np.dot(signs, apart)) >= abs(apart.sum()) for signs in product((-1, 1), repeat=len(apart))]
    found = paired_permutation(apart, np.zeros(len(apart)), range(len(apart)), permutations=4000)
    assert found == pytest.approx(np.mean(every), abs=0.04)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.integers(0, 5))
def test_changing_the_sides_changes_the_sign_only(values: list[float], seed: int) -> None:
    a, b = np.array(values), np.array(values[::-1])
    low, high, p = paired_bootstrap(a, b, range(len(a)), resamples=200, seed=seed)
    turned = paired_bootstrap(b, a, range(len(a)), resamples=200, seed=seed)
    assert turned == pytest.approx((-high, -low, p), abs=1e-9)
    assert paired_permutation(a, b, range(len(a)), permutations=200, seed=seed) == paired_permutation(
        b, a, range(len(a)), permutations=200, seed=seed
    )


def test_two_models_are_compared_on_any_metric_and_same_again() -> None:
    rng = np.random.default_rng(4)
    gallery = rng.normal(size=(50, 16)).astype(np.float32)
    owner = np.repeat(range(50), 2)
    good, bad = (gallery[owner] + noise * rng.normal(size=(100, 16)).astype(np.float32) for noise in (0.8, 1.6))
    a, b = (score(q.astype(np.float32), gallery, owner[:, None].tolist(), clusters=owner) for q in (good, bad))
    found = compare(a, b, "MRR")
    assert found == compare(a, b, "MRR")
    assert found.a > found.b
    assert found.difference == pytest.approx(found.a - found.b)
    assert 0 < found.low < found.difference < found.high
    assert max(found.p_bootstrap, found.p_permutation) < 0.01
    assert compare(a, b, "R@1", seed=1).metric == "R@1"


def test_models_that_answered_different_queries_are_not_compared() -> None:
    one = np.eye(3, dtype=np.float32)
    whole, part = score(one, one, [[0], [1], [2]]), score(one[:2], one, [[0], [1]])
    with pytest.raises(ValueError, match=r"different queries \(3 over 3 pictures, 2 over 2\)"):
        compare(whole, part, "MRR")
    with pytest.raises(ValueError, match="3 values of one model and 2 of the other"):
        paired_permutation(np.ones(3), np.ones(2), range(3))
