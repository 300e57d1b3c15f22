"""Relevance: monotone in the score, near 0 for meaningless queries; the threshold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pictures
from araclip import AraCLIP, Gallery, demo
from araclip.errors import InputError
from araclip.gallery.reference_queries import EVERYDAY, nonsense_queries
from araclip.gallery.relevance import MIN_PICTURES, ReferenceVectors, relevance_scale
from araclip.gallery.results import STRONG, WEAK, fits_nothing, strength
from made_up_relevance import D, made_up, unit


def test_a_query_along_which_pictures_differ_means_something() -> None:
    scale = made_up()
    axes = np.eye(D, dtype=np.float32)
    assert scale.meaning(axes[0]) > 0.9
    assert scale.meaning(axes[4]) < 0.1


@given(st.integers(0, 50), st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_relevance_never_rises_as_the_score_falls(seed: int, scores: list[float]) -> None:
    scale, query = made_up(seed), unit(np.random.default_rng(seed).normal(size=D))
    relevance = scale.relevance(query)
    found = [relevance(score) for score in sorted(scores, reverse=True)]
    assert all(0 <= value <= 1 for value in found)
    assert found == sorted(found, reverse=True)


def test_an_average_picture_is_weak_for_every_query() -> None:
    scale = made_up()
    for query in np.eye(D, dtype=np.float32):
        assert scale.relevance(query)(float(query @ scale.sample.mean(axis=0))) <= WEAK + 1e-6


def test_a_model_of_higher_cosines_gives_the_same_relevances() -> None:
    """As of a pulled model, with a scale of its own: a common part in every picture and every text."""
    scale, query = made_up(), unit(np.random.default_rng(3).normal(size=D) * [1, 1, *[0.3] * (D - 2)])
    common = 3.0

    def other(rows: np.ndarray) -> np.ndarray:
        return unit(np.concatenate([rows, np.full((*rows.shape[:-1], 1), common, np.float32)], axis=-1))

    reference = ReferenceVectors(other(scale.reference.everyday), other(scale.reference.nonsense))
    moved = relevance_scale(other(scale.sample), reference)
    assert moved is not None
    ours, theirs = scale.relevance(query), moved.relevance(other(query))
    for picture in scale.sample[:50]:
        expected = ours(float(query @ picture))
        assert theirs(float(other(query) @ other(picture))) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("relevances", "nothing"),
    [
        ([], False),
        ([None, None], False),
        ([0.3, 0.25, 0.2, 0.2, 0.2], False),
        ([0.3, 0.2, 0.1, 0.1, 0.1, 0.9], True),  # the sixth is not of the first row
        ([STRONG, 0.1, 0.1, 0.1, 0.1], False),
        ([0.15], True),
    ],
)
def test_the_first_row_says_whether_anything_fits(relevances: list[float | None], nothing: bool) -> None:
    assert fits_nothing(relevances) is nothing


@given(st.integers(0, 20), st.floats(0.02, 0.98))
def test_the_cosine_at_a_relevance_has_that_relevance(seed: int, wanted: float) -> None:
    scale, query = made_up(seed), unit(np.random.default_rng(seed).normal(size=D))
    assert scale.relevance(query)(scale.cosine_at(wanted, query)) == pytest.approx(wanted)


def test_strength_is_said_in_words() -> None:
    assert [strength(value) for value in (None, 0.0, 0.19, WEAK, 0.49, STRONG, 1.0)] == [
        None, "weak", "weak", "fair", "fair", "strong", "strong"
    ]  # fmt: skip


def test_a_few_pictures_have_no_scale() -> None:
    queries = unit(np.random.default_rng(0).normal(size=(20, D)))
    reference = ReferenceVectors(queries, queries)
    assert relevance_scale(queries[: MIN_PICTURES - 1], reference) is None
    same = np.repeat(queries[:1], 50, axis=0)  # a gallery of one picture many times over: no spread, no crash
    scale = relevance_scale(same, reference)
    assert scale is not None
    assert 0 <= scale.meaning(queries[0]) <= 1


def test_reference_queries_are_fixed_and_two_lists_share_nothing() -> None:
    assert nonsense_queries() == nonsense_queries()
    assert len(set(nonsense_queries())) == 64
    assert len(set(EVERYDAY)) == len(EVERYDAY) > 100
    assert not set(EVERYDAY) & set(nonsense_queries())
    assert all(text == text.strip() and text for text in EVERYDAY)


def test_hits_carry_a_relevance_that_a_threshold_cuts(gallery: Gallery) -> None:
    hits = gallery.search("أحمر", 40)
    relevances = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(relevances) == 40
    assert relevances == sorted(relevances, reverse=True)
    assert [hit.weak for hit in hits] == [value < WEAK for value in relevances]
    kept = gallery.search("أحمر", 40, threshold=WEAK)
    assert kept == [hit for hit in hits if not hit.weak]
    assert 0 < len(kept) < 40
    assert gallery.search("أحمر", 2, threshold=WEAK, offset=1) == kept[1:3]


def test_at_a_threshold_random_letters_find_nothing(tmp_path: Path) -> None:
    demo.sample_pictures(tmp_path / "p", lambda done, total: None, limit=12)  # photographs
    with Gallery.open(tmp_path / "real", model=AraCLIP.load(threads=1), create=True) as gallery:  # the bundled model
        gallery.update([tmp_path / "p"])
        assert len(gallery.search("ضصثقفغ عهخح")) == 10  # unless asked, everything is shown
        assert gallery.search("ضصثقفغ عهخح", threshold=0.5) == []
        assert [Path(hit.path).name for hit in gallery.search("a cup of coffee", threshold=0.5)] == ["coffee.png"]
        # among twelve photographs the second best may have a relevance a little above one half
        assert [Path(hit.path).name for hit in gallery.search("فنجان قهوة", threshold=0.6)] == ["coffee.png"]


def test_a_threshold_that_is_no_relevance_is_refused(gallery: Gallery) -> None:
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="threshold"):
            gallery.search("أحمر", threshold=threshold)


def test_in_a_small_gallery_relevance_is_not_known(tmp_path: Path, tiny_model: Path) -> None:
    pictures.solid(tmp_path / "p" / "a.png")
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model), create=True) as gallery:
        gallery.update([tmp_path / "p"])
        (hit,) = gallery.search("أحمر", threshold=0.9)
        assert (hit.relevance, hit.weak) == (None, False)


def test_the_file_of_reference_vectors_is_made_once(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = gallery.folder.glob("background-*")
    wanted = [hit.relevance for hit in gallery.search("أحمر")]
    lengths: list[int] = []
    encode = AraCLIP.encode_text

    def counted(self: AraCLIP, texts: list[str], **options: int) -> object:
        lengths.append(len(texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(AraCLIP, "encode_text", counted)
    for damage in (None, b"", b"junk", path.read_bytes()[:-9]):
        if damage is not None:
            path.write_bytes(damage)
        with Gallery.open(gallery.folder, model=gallery.model) as again:
            assert [hit.relevance for hit in again.search("أحمر")] == pytest.approx(wanted)
    assert sorted(lengths) == [1, 1, 1, 1, 171, 171, 171]


def test_a_query_with_a_picture_has_no_relevance(gallery: Gallery, tmp_path: Path) -> None:
    picture = str(tmp_path / "p" / "00.png")
    for hits in (gallery.search(f"{picture} + أحمر", threshold=0.9, files=True), gallery.similar(picture)):
        assert [hit.relevance for hit in hits] == [None] * 10
        assert not any(hit.weak for hit in hits)
