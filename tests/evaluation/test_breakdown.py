"""Queries in groups, the best and the worst of them, and which models are Pareto-optimal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.evaluation.breakdown import (
    LATIN,
    MARKERS,
    NO_MARKER,
    UNCLEAR,
    best_queries,
    dialect_of,
    group_by_dialect,
    group_by_length,
    pareto,
    recall_by_group,
    recall_curve,
    worst_queries,
)
from measured import direction

TEXTS = st.text(max_size=30)


# ------------------------------------------------------------------ length


def test_lengths_are_counted_in_words() -> None:
    groups = group_by_length(["قطة", "قطة على طاولة", "قطة  نائمة", "و " * 40])
    assert [(group.name, group.rows.tolist()) for group in groups] == [
        ("1–2 words", [0, 2]),
        ("3–4 words", [1]),
        ("12 words or more", [3]),
    ]


@given(st.lists(TEXTS, max_size=20))
def test_every_query_is_in_exactly_one_group(queries: list[str]) -> None:
    for groups in (group_by_length(queries), group_by_dialect(queries)):
        assert sorted(row for group in groups for row in group.rows.tolist()) == list(range(len(queries)))
        assert all(len(group.rows) for group in groups)


# ------------------------------------------------------------------ dialect


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("الراجل ده واقف جنب العربية", "Egyptian"),
        ("ولد عم يلعب بالطابة", "Levantine"),
        ("هيدا كلب أبيض", "Levantine"),
        ("شلون السيارة هذي واقفة", "Gulf and Iraqi"),
        ("الكلب ديال الجيران", "Maghrebi"),
        ("القطة نتاع خالتي", "Maghrebi"),
        ("الولد اللي لابس أحمر", UNCLEAR),
        ("هيدا الكلب ديال الجيران", UNCLEAR),  # two regions at once
        ("كلب يركض على الشاطئ", NO_MARKER),
        ("وهيدا كلب", "Levantine"),  # و is written together with the word
        ("هَيْدا كـلب", "Levantine"),  # tashkeel and tatweel
        ("إزاي", "Egyptian"),  # alef forms are folded
        ("طاولة كمان وعازف كمان", NO_MARKER),  # a violin, or "also" in Cairo: no evidence
        ("a dog on the beach", LATIN),
        ("kalb 3al shate2", LATIN),
        ("dog كلب", NO_MARKER),
        ("😀 123", NO_MARKER),
        ("", NO_MARKER),
        ("\u202eهيدا\u202c <b>كلب</b>", "Levantine"),
        ("مهيدات", NO_MARKER),  # a marker inside a word is none
    ],
)
def test_dialect_is_guessed_from_marker_words(text: str, dialect: str) -> None:
    assert dialect_of(text) == dialect


def test_no_marker_word_belongs_to_two_regions() -> None:
    words = [word for words in MARKERS.values() for word in words.split()]
    assert len(words) == len(set(words))
    for region, marked in MARKERS.items():
        assert {dialect_of(word) for word in marked.split()} == {region}


def test_a_stated_dialect_is_taken_as_it_is() -> None:
    groups = group_by_dialect(["هيدا", "b", "c", "d"], ["Sudanese", None, "MSA", "MSA"])
    assert [(group.name, group.rows.tolist()) for group in groups] == [
        ("MSA", [2, 3]),
        ("Sudanese", [0]),
        ("not stated", [1]),
    ]
    with pytest.raises(ValueError, match="2 queries but 1 dialects"):
        group_by_dialect(["a", "b"], [None])


# ------------------------------------------------------------------ recall of groups


def test_recall_of_a_group_counts_its_own_queries_only() -> None:
    found = direction(ranks=[1, 1, 20, 20, 1])
    groups = group_by_length(["one", "two two", "three three three", "three three three", "three three three"])
    (short, _), (long, all_of_it) = recall_by_group(found, groups, [10, 20])
    assert (short.group, short.k, short.queries, short.recall) == ("1–2 words", 10, 2, 1.0)
    assert (long.queries, long.recall) == (3, pytest.approx(1 / 3))
    assert 0.0 <= long.low <= long.recall <= long.high <= 1.0
    assert (short.low, short.high) == (1.0, 1.0)
    assert (all_of_it.k, all_of_it.recall) == (20, 1.0)


def test_the_curve_rises_to_one_and_meets_recall_at_every_k() -> None:
    ranks = np.array([1.0, 2.5, 7.0, 900.0])
    k, recall = recall_curve(ranks, 1000)
    assert (k[0], k[-1], recall[-1]) == (1, 1000, 1.0)
    assert len(k) <= 200
    assert all(share == (ranks <= at).mean() for at, share in zip(k, recall, strict=True))
    assert recall_curve(np.ones(3), 1)[1].tolist() == [1.0]


# ------------------------------------------------------------------ single queries


def test_the_worst_rank_lowest_and_each_picture_appears_once() -> None:
    found = direction(ranks=[5, 9, 9, 1, 3], margin=[-0.1, -0.2, -0.3, 0.2, -0.1], clusters=[0, 1, 1, 2, 3])
    assert worst_queries(found, 3) == [2, 0, 4]
    assert worst_queries(found, 99) == [2, 0, 4, 3]


def test_the_best_are_first_by_the_widest_margin() -> None:
    found = direction(ranks=[1, 1, 1, 2], margin=[0.1, 0.3, 0.2, -0.1], clusters=[0, 1, 1, 2])
    assert best_queries(found, 2) == [1, 0]
    assert best_queries(found, 0) == worst_queries(found, 0) == []


# ------------------------------------------------------------------ costs


def test_a_model_is_pareto_optimal_unless_another_dominates_it() -> None:
    costs = [(50.0, 10.0), (50.0, 10.0), (900.0, 80.0), (1000.0, 90.0), (40.0, 90.0)]
    assert pareto(costs, [0.4, 0.5, 0.7, 0.7, 0.1]) == [False, True, True, False, True]


def test_equal_models_are_both_optimal_and_one_alone_always_is() -> None:
    assert pareto([(1.0,), (1.0,)], [0.5, 0.5]) == [True, True]
    assert pareto([(1.0,)], [0.0]) == [True]
    assert pareto([], []) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_one_model_is_optimal_and_dominates_the_others(
    points: list[tuple[int, int, int]],
) -> None:
    optimal = pareto([(float(a), float(b)) for a, b, _ in points], [float(good) for *_, good in points])
    assert any(optimal)
    front = [point for point, stays in zip(points, optimal, strict=True) if stays]
    for (a, b, good), stays in zip(points, optimal, strict=True):
        dominating = [p for p in front if p[0] <= a and p[1] <= b and p[2] >= good and p != (a, b, good)]
        assert bool(dominating) != stays
