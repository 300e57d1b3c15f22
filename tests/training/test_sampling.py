"""The interleaved sampler: exact shares, each row once an epoch, no state."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.errors import RecipeError
from araclip.training.data.sampling import CYCLE, InterleavedSampler

SOURCES = st.lists(st.tuples(st.integers(1, 30), st.floats(0.02, 1.0)), min_size=1, max_size=4)


@settings(max_examples=30)
@given(SOURCES, st.integers(0, 5), st.integers(0, 3 * CYCLE))
def test_each_row_of_a_source_comes_once_an_epoch(sources: list[tuple[int, float]], seed: int, start: int) -> None:
    sampler = InterleavedSampler([size for size, _ in sources], [weight for _, weight in sources], seed)
    epochs: dict[tuple[int, int], list[int]] = {}
    for slot in range(start, start + 400):
        which, row, drawn = sampler.draw(slot)
        epochs.setdefault((which, drawn // sources[which][0]), []).append(row)
    for (which, _), rows in epochs.items():
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(sources[which][0]))
    whole = [sorted(rows) for (which, _), rows in epochs.items() if len(rows) == sources[which][0]]
    assert all(rows == list(range(len(rows))) for rows in whole)


@settings(max_examples=8)
@given(SOURCES)
def test_shares_are_exact_over_a_cycle_and_near_in_any_stretch(sources: list[tuple[int, float]]) -> None:
    weights = [weight for _, weight in sources]
    sampler = InterleavedSampler([size for size, _ in sources], weights, 0)
    order = [sampler.draw(slot)[0] for slot in range(CYCLE)]
    for which, weight in enumerate(weights):
        exact = weight / sum(weights)
        assert abs(order.count(which) / CYCLE - exact) < 1 / CYCLE
        assert sampler.shares[which] == order.count(which) / CYCLE
        for start in (0, 1234, CYCLE - 500):
            assert abs(order[start : start + 500].count(which) - 500 * exact) <= len(weights) + 1
    assert sum(sampler.shares) == pytest.approx(1.0)


@settings(max_examples=20)
@given(SOURCES, st.integers(0, 5), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_draw_depends_on_seed_and_slot_alone(sources: list[tuple[int, float]], seed: int, slots: list[int]) -> None:
    sizes, weights = [size for size, _ in sources], [weight for _, weight in sources]
    once = [InterleavedSampler(sizes, weights, seed).draw(slot) for slot in slots]
    sampler = InterleavedSampler(sizes, weights, seed)
    assert [sampler.draw(slot) for slot in reversed(slots)][::-1] == once


def test_the_count_of_rows_before_goes_on_from_cycle_to_cycle() -> None:
    sampler = InterleavedSampler([7, 5], [2, 1], seed=3)
    counts: Counter[int] = Counter()
    for slot in range(2 * CYCLE + 10):
        which, _, drawn = sampler.draw(slot)
        assert drawn == counts[which]
        counts[which] += 1


def test_orders_differ_by_epoch_source_and_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = InterleavedSampler([50], [1.0], seed)
        return [sampler.draw(slot)[1] for slot in range(50 * epoch, 50 * epoch + 50)]

    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([], "the mixture has no source"),
        ([1.0, 0.0], "weight 0.0, expected a positive number"),
        ([-1.0], "weight -1.0"),
        ([float("nan")], "weight nan"),
        ([float("inf")], "weight inf"),
        ([1.0, 1e-5], r"weight 1e-05 of 1.00001 is less than one row in 10000"),
    ],
)
def test_shares_that_cannot_be_kept_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        InterleavedSampler([5] * len(weights), weights, 0)
