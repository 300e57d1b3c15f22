"""Scores and metrics against hand counts, plain sorting, all orders of ties, trec_eval and sentence-transformers."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from araclip.evaluation import scores
from araclip.evaluation.scores import (
    METRICS,
    Direction,
    interval,
    intervals,
    measures,
    mrr,
    per_query,
    ranks,
    recall_at,
    resampled_means,
    score,
    summary,
)

Floats = NDArray[np.float32]


def random_case(seed: int, queries: int, candidates: int, most: int = 5) -> tuple[Floats, Floats, list[list[int]]]:
    """Queries, gallery and one to `most` relevant rows a query."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(queries + candidates, 8)).astype(np.float32)
    relevant = [
        rng.choice(candidates, rng.integers(1, min(most, candidates) + 1), False).tolist() for _ in range(queries)
    ]
    return vectors[:queries], vectors[queries:], relevant


def levels(seed: int, queries: int, candidates: int) -> tuple[Floats, Floats, list[list[int]]]:
    """A case full of ties: every score is -1, 0 or 1."""
    rng = np.random.default_rng(seed)
    points = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], np.float32)
    relevant = [rng.choice(candidates, rng.integers(1, candidates + 1), False).tolist() for _ in range(queries)]
    return points[rng.integers(0, 3, queries)], points[rng.integers(0, 3, candidates)], relevant


def ndcg10(order: list[int], answers: list[int]) -> float:
    gains = [1 / np.log2(place + 2) for place, item in enumerate(order[:10]) if item in answers]
    return float(sum(gains) / sum(1 / np.log2(place + 2) for place in range(min(10, len(answers)))))


# ------------------------------------------------------------------ ranks


def test_ranks_of_a_case_counted_by_hand() -> None:
    gallery = np.eye(4, dtype=np.float32)
    queries = np.array([[0.9, 0.5, 0.1, 0.0], [0.9, 0.5, 0.1, 0.0], [0.2, 0.2, 0.9, 0.2]], np.float32)
    found = ranks(queries, gallery, [[0], [2, 1], [3]])
    assert found.tolist() == [1.0, 2.0, 3.0]  # the last is level with two others at places 2, 3, 4
    assert recall_at(found, 1) == pytest.approx(1 / 3)
    assert recall_at(found, 2) == pytest.approx(2 / 3)
    assert mrr(found) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert mrr(found, 2) == pytest.approx((1 + 1 / 2) / 3)


def test_an_encoder_of_one_point_scores_like_chance() -> None:
    same = np.ones((101, 3), np.float32)
    found = score(same, same, [[i] for i in range(101)])
    assert found.ranks.tolist() == [51.0] * 101
    assert summary(found.ranks)["R@10"] == 0.0
    assert measures(found)["ties"] == 101
    assert found.level.tolist() == [100] * 101


@pytest.mark.parametrize("candidates", [2, 5, 7, 33, 100])
@pytest.mark.parametrize("queries", [1, 2, 3, 17])
def test_equal_candidates_tie_exactly_however_split(queries: int, candidates: int) -> None:
    rng = np.random.default_rng(candidates)
    vectors = rng.normal(size=(2, 37)).astype(np.float32)
    gallery = vectors[np.arange(candidates) % 2]
    found = score(rng.normal(size=(queries, 37)).astype(np.float32), gallery, [[0]] * queries)
    assert found.level.tolist() == [(candidates + 1) // 2 - 1] * queries


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 30))
def test_everything_kept_agrees_with_sorting_each_row(seed: int, queries: int, candidates: int) -> None:
    case = random_case(seed, queries, candidates)
    found = score(*case, keep=4)
    for i, (row, answers) in enumerate(zip(case[0] @ case[1].T, case[2], strict=True)):
        order = np.argsort(-row, kind="stable").tolist()
        wrong = [item for item in order if item not in answers]
        assert found.ranks[i] == 1 + min(order.index(answer) for answer in answers)
        assert found.ndcg10[i] == pytest.approx(ndcg10(order, answers), abs=1e-12)
        assert found.found[i].tolist() == order[:4]
        assert found.scores[i] == pytest.approx(np.sort(row)[::-1][:4], abs=1e-5)
        assert found.relevant_score[i] == pytest.approx(row[answers].max(), abs=1e-5)
        expected = row[answers].max() - row[wrong].max() if wrong else np.inf
        assert found.margin[i] == pytest.approx(expected, abs=1e-5)
        assert found.level[i] == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_ties_count_as_the_mean_over_all_orders_of_the_gallery(seed: int, candidates: int) -> None:
    queries, gallery, relevant = levels(seed, 3, candidates)
    found = score(queries, gallery, relevant)
    for row, answers, rank, ndcg in zip(queries @ gallery.T, relevant, found.ranks, found.ndcg10, strict=True):
        firsts, gains = [], []
        for shuffle in permutations(range(candidates)):
            order = sorted(shuffle, key=lambda item: -row[item])  # stable: ties stay in shuffled order
            firsts.append(1 + min(order.index(answer) for answer in answers))
            gains.append(ndcg10(order, answers))
        assert rank == pytest.approx(np.mean(firsts), abs=1e-9)
        assert ndcg == pytest.approx(np.mean(gains), abs=1e-9)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_ties_across_the_tenth_place_share_its_gain(seed: int) -> None:
    queries, gallery, relevant = levels(seed, 4, 40)
    found = score(queries, gallery, relevant, keep=12)
    rng = np.random.default_rng(seed)
    for i, (row, answers) in enumerate(zip(queries @ gallery.T, relevant, strict=True)):
        assert found.found[i].tolist() == np.argsort(-row, kind="stable")[:12].tolist()
        shuffled = [sorted(rng.permutation(40).tolist(), key=lambda item: -row[item]) for _ in range(100)]
        assert found.ndcg10[i] == pytest.approx(np.mean([ndcg10(order, answers) for order in shuffled]), abs=0.12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_nothing_depends_on_the_order_of_the_gallery(seed: int, queries: int, candidates: int) -> None:
    asked, gallery, relevant = random_case(seed, queries, candidates)
    shuffle = np.random.default_rng(seed).permutation(candidates)
    moved = [[int(np.flatnonzero(shuffle == answer)[0]) for answer in answers] for answers in relevant]
    assert measures(score(asked, gallery[shuffle], moved)) == pytest.approx(measures(score(asked, gallery, relevant)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 2000), st.integers(1, 2000))
def test_nothing_depends_on_the_size_of_blocks(seed: int, block: int, part: int) -> None:
    case = levels(seed, 30, 25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BLOCK", block)
        patch.setattr(scores, "SLICE", part)
        in_pieces = score(*case)
    at_once = score(*case)
    for name, array in vars(at_once).items():
        assert np.array_equal(getattr(in_pieces, name), array), name


def test_an_item_named_twice_is_one_answer() -> None:
    queries, gallery = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)
    assert measures(score(queries, gallery, [[1, 1]])) == measures(score(queries, gallery, [[1]]))


@pytest.mark.parametrize(
    ("queries", "relevant", "message"),
    [
        (np.ones((1, 2)), [[]], "query 0 has no relevant item"),
        (np.ones((1, 2)), [[0], [0]], "1 queries but 2 lists"),
        (np.ones((1, 2)), [[3]], "relevant item 3, but the gallery has rows 0 to 2"),
        (np.ones((1, 2)), [[-1]], "relevant item -1"),
        (np.ones((0, 2)), [], "0 queries and 3 candidates"),
        (np.ones((1, 5)), [[0]], "queries are 5 wide, candidates 2"),
        (np.array([[np.nan, 1.0]]), [[0]], "vector of query 0 is not finite"),
        (np.array([[np.inf, 1.0]]), [[0]], "vector of query 0 is not finite"),
    ],
)
def test_what_cannot_be_ranked_is_an_error_not_a_number(queries: Any, relevant: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(queries.astype(np.float32), np.ones((3, 2), np.float32), relevant)


# ------------------------------------------------------------------ other implementations


@pytest.mark.parametrize("seed", range(3))
def test_trec_eval_measures_the_same(seed: int) -> None:
    import pytrec_eval

    queries, gallery, relevant = random_case(seed, 60, 300, most=14)
    found = score(queries, gallery, relevant)
    judged = {f"q{i}": {f"d{item}": 1 for item in answers} for i, answers in enumerate(relevant)}
    run = {f"q{i}": {f"d{j}": float(s) for j, s in enumerate(row)} for i, row in enumerate(queries @ gallery.T)}
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank", "ndcg_cut.10", "success.1,5,10"}).evaluate(run)
    names = {
        "R@1": "success_1",
        "R@5": "success_5",
        "R@10": "success_10",
        "MRR": "recip_rank",
        "nDCG@10": "ndcg_cut_10",
    }
    for ours, name in names.items():
        expected = [theirs[f"q{i}"][name] for i in range(60)]
        assert per_query(found, ours) == pytest.approx(expected, abs=1e-9), ours


def test_sentence_transformers_measures_the_same() -> None:
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    queries, gallery, relevant = random_case(5, 50, 200)
    vectors = {f"q{i}": v for i, v in enumerate(queries)} | {f"d{i}": v for i, v in enumerate(gallery)}

    class Looked:
        """A model whose texts are names of vectors."""

        similarity_fn_name = "dot"

        def encode(self, sentences: list[str], **_: object) -> torch.Tensor:
            return torch.tensor(np.stack([vectors[name] for name in sentences]))

        encode_query = encode_document = encode

    evaluator = InformationRetrievalEvaluator(
        {f"q{i}": f"q{i}" for i in range(50)},
        {f"d{i}": f"d{i}" for i in range(200)},
        {f"q{i}": {f"d{item}" for item in answers} for i, answers in enumerate(relevant)},
        accuracy_at_k=[1, 5, 10], precision_recall_at_k=[10], map_at_k=[10], mrr_at_k=[10], ndcg_at_k=[10],
        score_functions={"dot": lambda a, b: a @ b.T}, write_csv=False,
    )  # fmt: skip
    theirs = evaluator.compute_metrices(Looked())["dot"]
    ours = measures(score(queries, gallery, relevant))
    for k in (1, 5, 10):
        assert ours[f"R@{k}"] == pytest.approx(theirs["accuracy@k"][k], abs=1e-9)
    assert ours["MRR@10"] == pytest.approx(theirs["mrr@k"][10], abs=1e-9)
    assert ours["nDCG@10"] == pytest.approx(theirs["ndcg@k"][10], abs=1e-9)


def test_a_summary_has_the_recalls_the_mrr_and_the_median_rank() -> None:
    found = summary(np.array([1.0, 4.0, 10.0, 40.0]))
    assert found.pop("MRR") == pytest.approx((1 + 1 / 4 + 1 / 10 + 1 / 40) / 4)
    assert found == {"R@1": 0.25, "R@5": 0.5, "R@10": 0.75, "median rank": 7.0}


# ------------------------------------------------------------------ intervals


def direction_of(found: list[float], clusters: list[int]) -> Direction:
    """A Direction with these ranks."""
    n = len(found)
    empty = np.zeros((n, 1), np.int64)
    zeros = np.zeros(n, np.float32)
    return Direction(
        np.array(found, float),
        np.zeros(n, np.int64),
        np.zeros(n),
        np.array(clusters),
        empty,
        zeros[:, None],
        zeros,
        zeros,
    )


def test_a_bootstrap_interval_covers_the_mean_and_narrows() -> None:
    rng = np.random.default_rng(0)
    few, many = (interval(rng.random(n), range(n)) for n in (40, 4000))
    assert few[0] < 0.5 < few[1]
    assert many[0] < 0.5 < many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 5


def test_captions_of_one_picture_are_resampled_together() -> None:
    once = np.random.default_rng(1).integers(0, 2, 100).astype(np.float64)
    five_times = np.repeat(once, 5)
    assert interval(five_times, np.repeat(range(100), 5).tolist()) == pytest.approx(interval(once, range(100)))
    alone = interval(five_times, range(500))
    assert alone[1] - alone[0] < 0.6 * (interval(once, range(100))[1] - interval(once, range(100))[0])


def test_an_interval_of_equal_values_is_that_value() -> None:
    assert interval(np.full(7, 0.25), range(7)) == (0.25, 0.25)


def test_intervals_of_all_metrics_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    direction = direction_of(rng.integers(1, 30, 200).tolist(), (np.arange(200) // 4).tolist())
    found = intervals(direction)
    assert found == intervals(direction)
    assert tuple(found) == METRICS
    for metric in METRICS:
        assert found[metric] == pytest.approx(interval(per_query(direction, metric), direction.clusters))


def test_many_resamples_are_drawn_in_parts_and_come_out_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).random(50)
    at_once = interval(values, range(50))
    monkeypatch.setattr("araclip.evaluation.scores.CELLS", 333)
    assert interval(values, range(50)) == at_once
    assert resampled_means(values[:, None], range(50), 11, seed=0).shape == (11, 1)  # the last part is smaller


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0, 0.0], [1])])
def test_an_interval_needs_a_cluster_for_each_value(values: list[float], clusters: list[int]) -> None:
    with pytest.raises(ValueError, match=r"values but \d clusters"):
        interval(np.array(values), clusters)


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no metric 'R@3', known are R@1.*nDCG@10"):
        per_query(direction_of([1.0], [0]), "R@3")
