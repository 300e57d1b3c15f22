"""Perceptual hashes and the leak check, on drawn pictures."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pictures
from araclip.evaluation.leaks import NEAR, find_leaks
from araclip.evaluation.sets import PictureSet
from araclip.pictures.phash import SIZE, hashes, nearest_hashes, phash


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth picture of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def hash_of(path: Path) -> int:
    ((_, value),) = hashes([path])
    assert isinstance(value, int)
    return value


def test_a_changed_copy_stays_near_and_strangers_are_far(tmp_path: Path) -> None:
    for seed in range(6):
        original = hash_of(pictures.saved(scene(seed), tmp_path / "a.png"))
        copies = [
            pictures.saved(scene(seed).resize((97, 80)), tmp_path / "small.png"),
            pictures.saved(scene(seed), tmp_path / "poor.jpg", quality=20),
            pictures.saved(scene(seed).point(lambda v: min(255, int(v * 0.8) + 40)), tmp_path / "bright.png"),
        ]
        assert max((original ^ hash_of(copy)).bit_count() for copy in copies) <= NEAR
        assert (original ^ hash_of(pictures.saved(scene(seed + 100), tmp_path / "b.png"))).bit_count() > 2 * NEAR


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 10, 90)])
def test_a_picture_of_one_colour_has_hash_0(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    assert hash_of(pictures.solid(tmp_path / "flat.jpg", colour)) == 0


@given(st.integers(0, 2**32 - 1))
def test_a_hash_does_not_depend_on_what_is_hashed_beside_it(seed: int) -> None:
    squares = np.random.default_rng(seed).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    together = phash(squares)
    assert [int(phash(square[None])[0]) for square in squares] == together.tolist()
    assert [value.bit_count() for value in together.tolist()] == [32] * 4  # as many above the median as below


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_nearest_hash_is_one_with_fewest_different_bits(among: list[int], queries: list[int]) -> None:
    rows, apart = nearest_hashes(np.array(queries, np.uint64), np.array(among, np.uint64))
    for query, row, bits in zip(queries, rows.tolist(), apart.tolist(), strict=True):
        assert bits == min((query ^ other).bit_count() for other in among) == (query ^ among[row]).bit_count()


def test_nothing_to_compare_with_is_an_error() -> None:
    with pytest.raises(ValueError, match="no hashes"):
        nearest_hashes(np.zeros(1, np.uint64), np.zeros(0, np.uint64))


def test_copies_and_repeated_captions_are_found_and_rest_is_not(tmp_path: Path) -> None:
    test = PictureSet(
        name="test",
        split=None,
        caption_field="caption_ar",
        pictures=(
            pictures.saved(scene(1).resize((224, 224)), tmp_path / "test" / "copied.jpg", quality=50),
            pictures.saved(scene(2), tmp_path / "test" / "own.png"),
            pictures.solid(tmp_path / "test" / "white.png", (255, 255, 255)),
            pictures.text_as_picture(tmp_path / "test" / "قطة.jpg"),
        ),
        captions=(("قطة على طاولة", "كلب"), ("قطة على طاولة",), ("بحر",), ()),
    )
    training = [
        pictures.saved(scene(1), tmp_path / "train" / "original.png"),
        pictures.saved(scene(3), tmp_path / "train" / "other.png"),
        pictures.solid(tmp_path / "train" / "black.png", (0, 0, 0)),
        tmp_path / "train" / "gone.jpg",
    ]
    found = find_leaks(test, training, ["قِطّة  على طاولة", "شيء آخر"])
    (copy,) = found.pictures
    assert (copy.test, copy.training) == (test.pictures[0], training[0])
    assert copy.distance <= NEAR
    assert found.captions == ("قطة على طاولة",)
    assert (found.n_pictures, found.n_training, found.n_captions, found.unread, found.flat) == (4, 3, 3, 2, 1)
    assert found.lines() == [
        "1 of 4 test pictures have a near copy among 3 training pictures",
        f"  {copy.test} ~ {copy.training} ({copy.distance} of 64 bits)",
        "1 of 3 test captions are training captions too",
        "  قطة على طاولة",
        "not compared: 2 pictures that cannot be opened, 1 of one colour",
    ]


def test_without_training_data_there_is_no_leak(tmp_path: Path) -> None:
    test = PictureSet("test", None, "caption_ar", (pictures.saved(scene(1), tmp_path / "a.png"),), (("قطة",),))
    found = find_leaks(test)
    assert (found.pictures, found.captions, found.n_training) == ((), (), 0)
