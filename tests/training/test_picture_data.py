"""Batches of pictures and texts: no picture twice, right negatives, exact size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pictures as drawn
from araclip import AraCLIP
from araclip.errors import DataError, RecipeError
from araclip.evaluation.sets import CaptionedPicture
from araclip.training.data.pictures import Batch, FileMixture, PictureMixture, PictureSource, mined
from toy_training import write_lines

Line = dict[str, Any]
TEXTS = ("قطة", "كلب", "سيارة", "بيت", "شجرة")
CAPTIONS = st.lists(st.sampled_from(TEXTS), max_size=3)
SETS = st.lists(
    st.lists(st.tuples(st.integers(0, 9), CAPTIONS, CAPTIONS), min_size=1, max_size=8), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten picture files, which several sets may list."""
    made = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        (made / f"{number}.png").touch()
    return made


def source(folder: Path, name: str, lines: Sequence[Line], **keys: Any) -> PictureSource:
    own = folder / name
    own.mkdir(exist_ok=True)
    write_lines(own, [{**line, "image": str(folder / f"{line['image']}.png")} for line in lines])
    return PictureSource(own, images=folder, **keys)


def mixture(folder: Path, lines: Sequence[Line], **keys: Any) -> PictureMixture:
    return PictureMixture([source(folder, "one", lines)], 0, **{"languages": {"arabic": 1.0}, **keys})


def numbered(count: int) -> list[Line]:
    return [{"image": i, "caption_ar": [f"نص {i}", f"آخر {i}"], "caption_en": f"text {i}"} for i in range(count)]


def test_a_caption_is_not_paired_with_itself_if_it_need_not_be(folder: Path) -> None:
    lines = [{"image": i, "caption_ar": [f"نص {i}"], "caption_en": [f"text {i}"]} for i in range(8)]
    batch = mixture(folder, lines, languages={"arabic": 0.5, "english": 0.5}, captions=2).batch(0, 8)
    assert all(first != second for first, second in zip(batch.texts[::2], batch.texts[1::2], strict=True))


def check(batch: Batch, pictures: Sequence[CaptionedPicture], size: int, captions: int) -> None:
    """What holds for every batch."""
    paths = [pictures[row].path for row in batch.rows]
    assert len(batch.rows) == len(set(paths)) == size
    assert batch.owner == [position for position in range(size) for _ in range(captions)]
    assert len(batch.texts) == len(batch.english) == size * captions
    assert batch.same.shape == (size * captions, size)
    said: dict[Path, set[str]] = {}
    for picture in pictures:
        said.setdefault(picture.path, set()).update(picture.arabic + picture.english)
    for text, owner, english, same in zip(batch.texts, batch.owner, batch.english, batch.same, strict=True):
        own = pictures[batch.rows[owner]]
        assert text in own.arabic + own.english
        assert english in own.english if own.english else english is None
        assert same.tolist() == [text in said[path] for path in paths]
        assert same[owner]


@settings(max_examples=40)
@given(SETS, st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 3), st.data())
def test_no_picture_comes_twice_and_same_texts_are_marked(
    folder: Path,
    sets: list[list[tuple[int, list[str], list[str]]]],
    step: int,
    captions: int,
    hard: int,
    data: st.DataObject,
) -> None:
    sources = [
        source(folder, f"set{i}", [{"image": p, "caption_ar": ar, "caption_en": en} for p, ar, en in rows], share=i + 1)
        for i, rows in enumerate(sets)
    ]
    if not all(any(ar or en for _, ar, en in rows) for rows in sets):
        with pytest.raises(DataError, match=r"none of \d pictures"):
            PictureMixture(sources, 0, languages={"arabic": 0.7, "english": 0.3})
        return
    mixed = PictureMixture(sources, 5, languages={"arabic": 0.7, "english": 0.3}, captions=captions)
    if hard and len(mixed.pictures) > 1:
        vectors = np.random.default_rng(0).normal(size=(len(mixed.pictures), 4)).astype(np.float32)
        mixed.use_hard_negatives(mined(vectors, mixed.pictures, 4), hard)
    distinct = len({picture.path for picture in mixed.pictures})
    size = data.draw(st.integers(1, distinct))
    batch = mixed.batch(step, size)
    check(batch, mixed.pictures, size, captions)
    again = mixed.batch(step, size)
    assert (again.rows, again.texts, again.english) == (batch.rows, batch.texts, batch.english)
    with pytest.raises(DataError, match=f"a batch of {distinct + 1} pictures, but there are only {distinct}"):
        mixed.batch(step, distinct + 1)


def test_a_batch_of_an_epoch_has_every_picture_once(folder: Path) -> None:
    mixed = mixture(folder, numbered(8))
    assert sorted(row for step in (0, 1) for row in mixed.batch(step, 4).rows) == list(range(8))


def test_captions_of_a_picture_differ_as_far_as_it_has_them(folder: Path) -> None:
    mixed = mixture(folder, numbered(3), captions=3)
    batch = mixed.batch(0, 3)
    for position in range(3):
        texts = [text for text, owner in zip(batch.texts, batch.owner, strict=True) if owner == position]
        assert (len(texts), len(set(texts))) == (3, 2)


def test_lines_of_one_picture_are_one_picture(folder: Path) -> None:
    lines = [{"image": i % 3, "caption_ar": f"نص {i}"} for i in range(6)]
    mixed = mixture(folder, lines, captions=2, needs_files=False)  # as a `captions` stage reads it
    assert [sorted(mixed.texts_of(row)) for row in range(3)] == [[f"نص {i}", f"نص {i + 3}"] for i in range(3)]
    assert sorted(mixed.batch(0, 3).texts) == [f"نص {i}" for i in range(6)]


def test_shares_of_sets_and_languages_are_kept(folder: Path) -> None:
    sources = [
        source(folder, name, numbered(10)[part], share=share)
        for name, part, share in (("many", slice(0, 6), 3.0), ("few", slice(6, 10), 1.0))
    ]
    mixed = PictureMixture(sources, 1, languages={"arabic": 0.8, "english": 0.2})
    batches = [mixed.batch(step, 1) for step in range(2000)]
    assert sum(batch.rows[0] < 6 for batch in batches) == 1500
    english = sum(batch.texts[0].startswith("text") for batch in batches)
    assert 320 < english < 480


def test_noise_changes_arabic_texts_and_not_english_ones(folder: Path) -> None:
    lines = [{"image": i, "caption_ar": f"قطة جالسة على طاولة {i}", "caption_en": f"A cat {i}"} for i in range(10)]
    mixed = mixture(folder, lines, noise=1.0, languages={"arabic": 0.5, "english": 0.5})
    clean = mixture(folder, lines, languages={"arabic": 0.5, "english": 0.5})
    changed = 0
    for step in range(30):
        noisy, plain = mixed.batch(step, 10), clean.batch(step, 10)
        assert (noisy.rows, noisy.english) == (plain.rows, plain.english)
        assert (noisy.same == plain.same).all()
        for mine, theirs in zip(noisy.texts, plain.texts, strict=True):
            changed += mine != theirs
            assert mine == theirs or not theirs.startswith("A cat")
    assert changed > 50


def test_hard_negatives_join_the_batch_of_their_picture(folder: Path) -> None:
    mixed = mixture(folder, numbered(10))
    neighbours = np.array([[i ^ 1] for i in range(10)])
    mixed.use_hard_negatives(neighbours, 1)
    for step in range(10):
        rows = mixed.batch(step, 4).rows
        assert {row ^ 1 for row in rows} == set(rows)


def test_the_most_alike_pictures_come_first() -> None:
    def picture(name: str, *arabic: str) -> CaptionedPicture:
        return CaptionedPicture(Path(name), (), arabic, "set")

    pictures = [picture("0", "أ"), picture("1", "أ"), picture("2", "ب"), picture("0", "ت"), picture("4", "ث")]
    angles = np.array([0.0, 0.1, 0.2, 0.3, 3.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert mined(vectors, pictures, 2)[0].tolist() == [2, 4]
    assert mined(vectors, pictures, 9)[0].tolist() == [2, 4, 1, 3]
    assert mined(vectors, pictures, 2)[2].tolist() == [1, 3]
    assert mined(vectors[:1], pictures[:1], 3).shape == (1, 0)


def test_the_fingerprint_follows_texts_and_names(folder: Path) -> None:
    plain = mixture(folder, numbered(3)).fingerprint
    assert mixture(folder, numbered(3)).fingerprint == plain
    assert mixture(folder, numbered(4)).fingerprint != plain
    assert mixture(folder, [*numbered(2), {"image": 2, "caption_ar": "غيره"}]).fingerprint != plain


def test_a_picture_without_text_in_the_languages_is_left_out(folder: Path) -> None:
    mixed = mixture(folder, [*numbered(2), {"image": 5, "caption_en": "English only"}, {"image": 6}])
    assert [picture.path.stem for picture in mixed.pictures] == ["0", "1"]


@pytest.mark.parametrize("languages", [{}, {"klingon": 1.0}, {"arabic": 0.0}, {"arabic": float("nan")}])
def test_languages_that_cannot_be_are_refused(folder: Path, languages: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=r"languages are|arabic has share"):
        mixture(folder, numbered(2), languages=languages)


def test_the_pictures_most_alike_to_a_model_are_mined(tmp_path: Path, tiny_model: Path) -> None:
    shown = {"red": (255, 0, 0), "dark red": (120, 0, 0), "blue": (0, 0, 255), "dark blue": (0, 0, 120)}
    paths = [drawn.solid(tmp_path / f"{name}.png", colour) for name, colour in shown.items()]
    own = [CaptionedPicture(path, (path.stem,), (), "صور") for path in paths]
    assert mined(AraCLIP(tiny_model).encode_image(paths), own, 1)[:, 0].tolist() == [1, 0, 3, 2]


def test_sets_of_a_group_fill_whole_batches_in_their_share(folder: Path) -> None:
    photographs = source(folder, "photographs", numbered(6), share=3)
    drawings = [
        source(
            folder, "drawings", [{"image": i, "caption_ar": [f"رسم {i}"]} for i in (6, 7)], share=0.5, group="drawn"
        ),
        source(
            folder, "sketches", [{"image": i, "caption_ar": [f"رسم {i}"]} for i in (8, 9)], share=0.5, group="drawn"
        ),
    ]
    mixed = PictureMixture([photographs, *drawings], 0, languages={"arabic": 1})
    batches = [mixed.batch(step, 3).rows for step in range(40)]
    drawn_only = [rows for rows in batches if min(rows) >= 6]
    assert len(drawn_only) == 10  # a quarter, as the shares say
    assert all(max(rows) < 6 for rows in batches if rows not in drawn_only)
    assert sorted(row for rows in batches[:2] for row in rows) == list(range(6))  # photographs lose no row to drawings
    assert {row for rows in drawn_only for row in rows} == {6, 7, 8, 9}


def test_files_are_drawn_from_groups_by_their_shares(folder: Path) -> None:
    drawn = [
        source(folder, "many", numbered(6), share=2),
        source(folder, "few", [{"image": i} for i in (6, 7, 8)], group="drawings"),
    ]
    files = FileMixture(drawn, 0).draw(9)
    assert sorted(file.stem for file in files) == [str(number) for number in range(9)]
    files = FileMixture(drawn, 0).draw(3)
    assert sum(int(file.stem) >= 6 for file in files) == 1  # a third


def test_pictures_of_other_splits_are_learned_from_only_by_name(folder: Path) -> None:
    lines = [{**line, "split": split} for line, split in zip(numbered(3), ("train", "dev", "test"), strict=True)]
    listed = [*lines, {"image": 3, "caption_ar": ["نص"]}]
    for split, used in ((None, ["0", "3"]), ("dev", ["1"])):
        sources = [source(folder, "split", listed, split=split)]
        for mixed in (PictureMixture(sources, 0, languages={"arabic": 1.0}), FileMixture(sources, 0)):
            assert [file.stem for file in mixed.files] == used
    with pytest.raises(DataError, match=r"\(split held\)"):
        FileMixture([source(folder, "split", listed, split="held")], 0)


@pytest.mark.parametrize(("limit", "used"), [(1, [0]), (4, [0, 2, 5, 7]), (10, range(10)), (99, range(10))])
def test_a_limit_takes_so_many_pictures_evenly_spread(folder: Path, limit: int, used: Sequence[int]) -> None:
    limited = [source(folder, "limited", numbered(10), limit=limit)]
    for mixed in (PictureMixture(limited, 0, languages={"arabic": 1.0}), FileMixture(limited, 0)):
        assert [file.stem for file in mixed.files] == [str(number) for number in used]


def test_a_batch_larger_than_the_smallest_group_is_refused(folder: Path) -> None:
    sets = [source(folder, "many", numbered(8)), source(folder, "few", numbered(2), group="few")]
    with pytest.raises(DataError, match="only 2"):
        PictureMixture(sets, 0, languages={"arabic": 1}).batch(0, 3)
