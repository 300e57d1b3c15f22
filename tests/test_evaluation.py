"""Metrics against hand counts and properties; picture lists that are malformed."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pictures
from araclip import AraCLIP
from araclip.errors import InputError
from araclip.evaluation.datasets import read_pictures
from araclip.evaluation.metrics import interval, mrr, ranks, recall_at, summary
from araclip.evaluation.retrieval import retrieval


def test_ranks_of_a_case_counted_by_hand() -> None:
    gallery = np.eye(4, dtype=np.float32)
    queries = np.array([[0.9, 0.5, 0.1, 0.0], [0.9, 0.5, 0.1, 0.0], [0.2, 0.2, 0.9, 0.2]], np.float32)
    found = ranks(queries, gallery, [[0], [2, 1], [3]])
    assert found.tolist() == [1.0, 2.0, 3.0]  # the last is level with two others at places 2, 3, 4
    assert recall_at(found, 1) == pytest.approx(1 / 3)
    assert recall_at(found, 2) == pytest.approx(2 / 3)
    assert mrr(found) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_an_encoder_that_maps_everything_to_one_point_scores_like_chance() -> None:
    same = np.ones((101, 3), np.float32)
    found = ranks(same, same, [[i] for i in range(101)])
    assert found.tolist() == [51.0] * 101
    assert summary(found)["R@10"] == 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_ranks_agree_with_sorting_and_do_not_depend_on_the_order_of_the_gallery(seed: int, q: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = rng.normal(size=(q, 5)).astype(np.float32), rng.normal(size=(n, 5)).astype(np.float32)
    relevant = [rng.choice(n, rng.integers(1, n + 1), replace=False).tolist() for _ in range(q)]
    found = ranks(queries, gallery, relevant)
    for row, answers, rank in zip(queries @ gallery.T, relevant, found, strict=True):
        order = np.argsort(-row).tolist()
        assert rank == 1 + min(order.index(answer) for answer in answers)
    shuffle = rng.permutation(n)
    moved = [[int(np.flatnonzero(shuffle == answer)[0]) for answer in answers] for answers in relevant]
    assert ranks(queries, gallery[shuffle], moved) == pytest.approx(found)


def test_a_query_without_an_answer_is_an_error_not_a_miss() -> None:
    one = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match="query 0 has no relevant item"):
        ranks(one, one, [[]])
    with pytest.raises(ValueError, match="1 queries but 2 lists"):
        ranks(one, one, [[0], [0]])


def _set(folder: Path, *rows: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return folder


def test_read_pictures_keeps_one_split_and_normalises_captions(tmp_path: Path) -> None:
    folder = _set(
        tmp_path / "set",
        {"image": "a.png", "split": "dev", "ar": ["قِطّة", "قطة", " "], "en": "cat"},
        {"image": "b.png", "split": "train", "ar": "كلب"},
    )
    (picture,) = read_pictures(folder, ("en",), ("ar",), "dev")
    # two people wrote the same caption: two queries
    assert (picture.path, picture.english, picture.arabic) == (folder / "a.png", ("cat",), ("قطة", "قطة"))


def test_a_malformed_row_names_its_line(tmp_path: Path) -> None:
    folder = _set(tmp_path / "set", {"image": "a.png"}, {"file": "b.png"})
    with pytest.raises(InputError, match=r"captions.jsonl line 2.*image"):
        read_pictures(folder, (), ())
    with pytest.raises(InputError, match="is missing"):
        read_pictures(tmp_path, (), ())


def test_retrieval_scores_a_model_that_knows_its_colours(tmp_path: Path, tiny_model: Path) -> None:
    colours = {"أحمر": (255, 0, 0), "أخضر": (0, 255, 0), "أزرق": (0, 0, 255)}
    folder = _set(tmp_path / "set", *({"image": f"{name}.png", "ar": [name]} for name in colours))
    for name, colour in colours.items():
        pictures.solid(folder / f"{name}.png", colour)
    result = retrieval(AraCLIP.load(tiny_model), read_pictures(folder, (), ("ar",)))
    assert result["t2i"]["R@1"] == result["i2t"]["R@1"] == 1.0
    assert (result["n_queries"], result["n_images"]) == (3, 3)
    with pytest.raises(InputError, match="none of the 3 pictures has a caption in english"):
        retrieval(AraCLIP.load(tiny_model), read_pictures(folder, (), ("ar",)), "english")


def test_a_bootstrap_interval_covers_the_mean_and_narrows_with_more_clusters() -> None:
    dice = np.random.default_rng(0)
    few, many = (interval(dice.random(n), range(n)) for n in (40, 4000))
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


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0, 0.0], [1])])
def test_an_interval_needs_a_cluster_for_each_value(values: list[float], clusters: list[int]) -> None:
    with pytest.raises(ValueError, match=r"values but \d clusters"):
        interval(np.array(values), clusters)
