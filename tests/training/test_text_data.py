"""Pairs from files, noise as people make it, and a mixture that can be resumed at any step."""

import json
import lzma
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.errors import DataError, RecipeError
from araclip.text.normalization import normalize
from araclip.training.data.noise import NOISES, noisy
from araclip.training.data.text import Mixture, Pair, Source, fingerprint, read_pairs, read_templates

TEXTS = st.text(st.sampled_from("اأإآءبةهىيؤئلقطكچگڤ abc19.,!🐈\u0651"), max_size=40).map(normalize)
NOT_ARABIC = re.compile("[^\u0621-\u0652\u0671-\u06d3 ]")


def tsv(path: Path, *lines: str) -> Path:
    data = "\n".join(lines).encode() + b"\n"
    path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    return path


def numbered(path: Path, count: int, first: int = 0) -> Path:
    return tsv(path, "en\tar", *(f"cat {i}\tقطة {i}" for i in range(first, first + count)))


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(path: Path, **columns: list[Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("name", ["words.tsv", "words.tsv.xz"])
def test_a_tsv_gives_normalised_pairs_of_its_train_rows(tmp_path: Path, name: str) -> None:
    path = tsv(tmp_path / name, "en\tar\tflickr8k_split", "a  cat\tقِطّة\ttrain", "a dog\tكلب\tdev")
    assert list(read_pairs(path)) == [Pair("a cat", "قطة", "words")]
    assert list(read_pairs(path, "dev")) == [Pair("a dog", "كلب", "words")]


def test_all_kinds_of_file_give_the_same_pairs(tmp_path: Path) -> None:
    rows = [("cat", "قطة", "zoo", "CC0", "train"), ("dog", "كلب", "zoo", "CC0", "dev")]
    names = ("en", "ar", "source", "license", "split")
    files = [
        tsv(tmp_path / "a.tsv", "\t".join(names), *map("\t".join, rows)),
        jsonl(tmp_path / "b.jsonl", *(dict(zip(names, row, strict=True)) for row in rows)),
        parquet(tmp_path / "c.parquet", **{n: list(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)}),
    ]
    assert [list(read_pairs(path)) for path in files] == [[Pair("cat", "قطة", "zoo", "CC0")]] * 3


def test_columns_are_found_by_name_wherever_they_stand(tmp_path: Path) -> None:
    assert list(read_pairs(tsv(tmp_path / "a.tsv", "Arabic\tid\tEnglish", "قطة\t1\tcat"))) == [Pair("cat", "قطة", "a")]


def test_columns_without_known_names_are_english_then_arabic(tmp_path: Path) -> None:
    assert list(read_pairs(tsv(tmp_path / "a.tsv", "from\tto", "cat\tقطة"))) == [Pair("cat", "قطة", "a")]


def test_a_file_without_split_is_all_train(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.tsv", 2)
    assert len(list(read_pairs(path))) == 2
    with pytest.raises(DataError, match="empty split, no row with text is 'dev'"):
        list(read_pairs(path, "dev"))


def test_cells_after_the_last_needed_one_may_be_missing(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", "en\tar\temoji", "cat\tقطة", "dog\tكلب\t🐕")
    assert [pair.english for pair in read_pairs(path)] == ["cat", "dog"]


def test_cells_quoted_by_a_spreadsheet_lose_only_their_marks(tmp_path: Path) -> None:
    rows = {
        '"a cat"\t"قطة"': ("a cat", "قطة"),
        '"""hello"" he said"\tقال "مرحبا"': ('"hello" he said', 'قال "مرحبا"'),
        '"a\tcat"\tقطة': ("a cat", "قطة"),
        '"a, ""b\tc"""\t"قطة\tصغيرة"': ('a, "b c"', "قطة صغيرة"),
        '"hello" he said\tقال مرحبا': ('"hello" he said', "قال مرحبا"),
        '"yes" and "no"\t"نعم" و"لا"': ('"yes" and "no"', '"نعم" و"لا"'),
        '"hello he said\tقال مرحبا"': ('"hello he said', 'قال مرحبا"'),
        '19"\t"': ('19"', '"'),
    }
    path = tsv(tmp_path / "a.tsv", '"en"\t"ar"', *rows)
    assert [(pair.english, pair.arabic) for pair in read_pairs(path)] == list(rows.values())
    alone = tsv(tmp_path / "b.tsv", "ar", '"قطة\tعلى طاولة"')
    assert [pair.arabic for pair in read_pairs(alone, arabic_only=True)] == ["قطة على طاولة"]
    for line in ('"a\tcat\tقطة', '"a"b\tcat\tقطة'):
        with pytest.raises(DataError, match="line 2: 3 cells, expected 2"):
            list(read_pairs(tsv(tmp_path / "c.tsv", "en\tar", line)))


def test_rows_without_text_after_normalisation_are_skipped(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", "en\tar", " \tقطة", "cat\t\u0651", "", "dog\tكلب", "")
    assert [pair.english for pair in read_pairs(path)] == ["dog"]


def test_arabic_alone_will_do_where_no_english_is_needed(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", "ar", "قطة\tعلى طاولة")
    assert list(read_pairs(path, arabic_only=True)) == [Pair("", "قطة على طاولة", "a")]
    with pytest.raises(DataError, match="none for english"):
        list(read_pairs(path))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"en\tar\ncat\tx\ndog\n", r"a\.tsv, line 3: 1 cells, expected 2 \(en, ar\)"),
        ("a.tsv", b"en\tar\ncat\tx\tmore\n", r"line 2: 3 cells, expected 2"),
        ("a.tsv", b"en\tar\tsplit\ncat\tx\n", r"line 2: 2 cells, expected 3 \(en, ar, split\)"),
        ("a.tsv", b"en\tar\ncat\tx\nb\xffd\tx\n", r"line 3: byte 2 is no UTF-8"),
        ("a.tsv", "cat\tقطة\n".encode(), r"line 1: .* is no header"),
        ("a.tsv", b"", r"line 1: '' is no header"),
        ("a.tsv", b"en\tfr\ncat\tchat\n", r"columns en, fr, and none for arabic"),
        ("a.tsv", b"en\tar\n", r"empty split"),
        ("a.tsv.xz", b"not xz", r"a\.tsv\.xz cannot be read"),
        ("a.tsv.xz", lzma.compress(b"en\tar\n" + b"cat\tx\n" * 999)[:-20], r"cannot be read"),
        ("a.jsonl", b'{"en": "cat", "ar": "x"}\n{"en"\n', r"a\.jsonl, line 2: no JSON .*expected one object"),
        ("a.jsonl", b"[1]\n", r"line 1: a list, expected an object"),
        ("a.jsonl", b'{"en": "cat"}\n', r"line 1: arabic is missing or null, expected text"),
        ("a.jsonl", b'\n{"en": 7, "ar": "x"}\n', r"line 2: english is 7, expected text"),
        ("a.jsonl", b'{"en": "a", "ar": "x", "source": 7}\n', r"line 1: source is 7, expected text"),
        ("a.jsonl", b'{"en": "a", "ar": "x", "split": null}\n', r"line 1: split is missing or null"),
        ("a.parquet", b"PAR1 not", r"a\.parquet is no whole parquet file"),
        ("a.csv", b"en,ar\n", r"unknown kind of file, known are \.tsv, \.tsv\.xz, \.jsonl, \.parquet"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        list(read_pairs(tmp_path / name))


def test_a_null_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2: arabic is missing or null"):
        list(read_pairs(parquet(tmp_path / "a.parquet", en=["cat", "dog"], ar=["قطة", None])))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.tsv cannot be read"):
        list(read_pairs(tmp_path / "none.tsv"))


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("\ufeffen\tar\r\ncat\tقطة\r\n".encode())
    assert list(read_pairs(tmp_path / "a.tsv")) == [Pair("cat", "قطة", "a")]


def test_the_fingerprint_changes_with_content_and_order_alone(tmp_path: Path) -> None:
    a, b = Pair("a", "ا", "s"), Pair("b", "ب", "s")
    marks = [
        fingerprint(pairs) for pairs in ([a, b], [b, a], [a], [a, Pair("b", "ب", "s", "CC0")], [Pair("ab", "", "s")])
    ]
    assert len(set(marks)) == 5
    assert fingerprint(iter([a, b])) == marks[0]
    one, two = numbered(tmp_path / "a.tsv", 3), numbered(tmp_path / "b.tsv", 3)
    assert fingerprint([one]) == fingerprint([two]) != fingerprint([numbered(tmp_path / "c.tsv", 4)])


# ------------------------------------------------------------------ noise


@given(TEXTS, st.integers(0, 10_000))
def test_noisy_text_is_never_empty_and_can_be_replayed(text: str, seed: int) -> None:
    for noise in (noisy, *(noise for _, noise in NOISES.values())):
        changed = noise(text, random.Random(seed))
        assert bool(changed.strip()) == bool(text)
        assert NOT_ARABIC.findall(changed) == NOT_ARABIC.findall(text)
        assert noise(text, random.Random(seed)) == changed


@given(st.text("abc XYZ 019.,!", max_size=30), st.integers(0, 1000))
def test_text_without_arabic_stays_as_it_is(text: str, seed: int) -> None:
    assert noisy(text, random.Random(seed)) == text


@pytest.mark.parametrize(
    ("kind", "text", "seen"),
    [
        ("hamza", "أحمر إبل آسف مؤمن سماء ءء", {"احمر ابل اسف مومن سما ءء"}),
        ("ha", "قطة", {"قطة", "قطه"}),
        ("ha", "وجه", {"وجه", "وجة"}),
        ("ya", "على cat", {"على cat", "علي cat"}),
        ("ya", "كرسي", {"كرسي", "كرسى"}),
        ("space", "كلب أسود", {"كلبأسود"}),
        ("space", "كلب black و قط", {"كلب black و قط"}),
        ("slip", "سيارة", {"سارة", "سيرة", "سياة", "سييارة", "سياارة", "سياررة", "سايرة", "سيراة", "سياةر"}),
        ("slip", "قطة", {"قطة"}),
        ("split", "سيارة قطة", {"سي ارة قطة", "سيا رة قطة"}),
        ("stretch", "قط كلب", {f"قط {w}" for w in ("كلللب", "كللللب", "كلللللب", "كلببب", "كلبببب", "كلببببب")}),
        ("persian", "كرسي على", {"\u06a9رس\u06cc عل\u06cc"}),
    ],
)
def test_what_each_kind_of_noise_makes(kind: str, text: str, seen: set[str]) -> None:
    _, noise = NOISES[kind]
    made = {noise(text, random.Random(seed)) for seed in range(200)}
    assert made <= seen
    assert len(made) >= min(2, len(seen))


@given(TEXTS, st.integers(0, 1000))
def test_normalisation_takes_added_tashkeel_off_again(text: str, seed: int) -> None:
    assert normalize(NOISES["tashkeel"][1](text, random.Random(seed))) == text


def test_every_kind_of_noise_comes_up_and_some_text_stays_clean() -> None:
    text = "القطة السوداء على الكرسي أمام سيارة"
    made = Counter(noisy(text, random.Random(seed)) for seed in range(300))
    assert 0.05 < made[text] / 300 < 0.5
    assert any("\u064b" <= letter <= "\u0652" for changed in made for letter in changed)
    assert any(changed.count(" ") < text.count(" ") for changed in made)


# ------------------------------------------------------------------ the mixture


def mixture(folder: Path, seed: int = 0, **options: Any) -> Mixture:
    return Mixture(
        [
            Source(numbered(folder / "captions.tsv", 50), weight=3, noise=0.5, **options),
            Source(numbered(folder / "names.tsv", 7, first=100), weight=1),
        ],
        seed,
    )


def test_a_batch_depends_on_seed_step_and_size_alone(tmp_path: Path) -> None:
    first, again, other = mixture(tmp_path), mixture(tmp_path), mixture(tmp_path, seed=1)
    straight = [first.batch(step, 16) for step in range(20)]
    assert [again.batch(step, 16) for step in (19, 3, 3, 0)] == [straight[step] for step in (19, 3, 3, 0)]
    assert again.batch(2, 32) == straight[4] + straight[5]
    assert other.batch(0, 16) != straight[0]


def test_within_an_epoch_no_pair_comes_twice(tmp_path: Path) -> None:
    rows = mixture(tmp_path).batch(0, 20_500)  # the pattern of sources repeats after 10,000
    names = [row.english for row in rows if row.source == "names"]
    captions = [row.english for row in rows if row.source == "captions"]
    for drawn, size in ((names, 7), (captions, 50)):
        epochs = [tuple(drawn[start : start + size]) for start in range(0, len(drawn) - size, size)]
        assert all(len(set(epoch)) == size for epoch in epochs)
        assert len(set(epochs)) > len(epochs) / 2
        assert epochs[: len(epochs) // 2] != epochs[len(epochs) // 2 :][: len(epochs) // 2]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=4), st.integers(0, 200), st.integers(1, 300))
def test_each_source_has_its_share_of_any_stretch(
    tmp_path_factory: pytest.TempPathFactory, weights: list[float], step: int, size: int
) -> None:
    folder = tmp_path_factory.mktemp("mixture")
    sources = [Source(numbered(folder / f"{i}.tsv", 3), weight) for i, weight in enumerate(weights)]
    mix = Mixture(sources, 0)
    counts = Counter(row.source for row in mix.batch(step, size))
    assert sum(mix.shares) == pytest.approx(1)
    for i, weight in enumerate(weights):
        assert mix.shares[i] == pytest.approx(weight / sum(weights), abs=1e-4)
        assert abs(counts[str(i)] - size * mix.shares[i]) <= 2


def test_a_pair_that_a_file_holds_twice_comes_once_an_epoch(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", "en\tar", "cat\tقطة", "cat\tقطة", "dog\tكلب")
    mix = Mixture([Source(path)], 0)
    assert mix.sizes == [2]
    assert {row.english for row in mix.batch(0, 2)} == {"cat", "dog"}


def test_directions_set_the_languages_of_teacher_and_student(tmp_path: Path) -> None:
    pair = tsv(tmp_path / "pair.tsv", "en\tar", "cat\tقطة")
    mono = tsv(tmp_path / "mono.tsv", "ar", "كلب")
    texts = {
        direction: (row.text, row.english)
        for direction, path in (("en-ar", pair), ("en-en", pair), ("ar-ar", mono))
        for row in Mixture([Source(path, direction=direction)], 0).batch(0, 1)
    }
    assert texts == {"en-ar": ("قطة", "cat"), "en-en": ("cat", "cat"), "ar-ar": ("كلب", "كلب")}


def test_noise_comes_at_its_chance_and_never_to_the_teacher(tmp_path: Path) -> None:
    path = tsv(tmp_path / "a.tsv", "en\tar", "the black cat\tالقطة السوداء على الكرسي")
    shown = {noise: {row.text for row in Mixture([Source(path, noise=noise)], 0).batch(0, 50)} for noise in (0.0, 1.0)}
    clean = [row.text for row in Mixture([Source(path, noise=0.2)], 0).batch(0, 500)].count("القطة السوداء على الكرسي")
    assert 0.8 < clean / 500 < 0.95
    assert shown[0.0] == {"القطة السوداء على الكرسي"}
    assert len(shown[1.0]) > 10
    assert {row.english for row in Mixture([Source(path, noise=1.0)], 0).batch(0, 50)} == {"the black cat"}


def test_labels_are_shown_bare_and_in_templates(tmp_path: Path) -> None:
    templates = tmp_path / "templates.json"
    templates.write_text(json.dumps(["صورة {c} ", "رسمة لـ {}"]), encoding="utf-8")
    mix = Mixture([Source(numbered(tmp_path / "a.tsv", 1), templates=templates)], 0)
    rows = mix.batch(0, 200)
    shown = Counter(row.text for row in rows)
    assert set(shown) == {"قطة 0", "صورة قطة 0", "رسمة ل قطة 0"}
    assert 70 < shown["قطة 0"] < 130
    assert {row.english for row in rows} == set(mix.teacher_texts()) == {"a photo of a cat 0."}


def test_teacher_texts_are_all_that_batches_need(tmp_path: Path) -> None:
    mix = mixture(tmp_path)
    drawn = {row.english for step in range(20) for row in mix.batch(step, 16)}
    assert drawn == set(mix.teacher_texts())
    assert len(mix.teacher_texts()) == 57


def test_fewer_rows_are_spread_over_the_file(tmp_path: Path) -> None:
    assert Mixture([Source(numbered(tmp_path / "a.tsv", 10), rows=3)], 0).teacher_texts() == ["cat 0", "cat 3", "cat 6"]
    with pytest.raises(DataError, match="10 distinct pairs, rows asks for 11"):
        Mixture([Source(tmp_path / "a.tsv", rows=11)], 0)


def test_the_fingerprint_of_a_mixture_follows_its_pairs(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.tsv", 10)
    marks = [Mixture([Source(path, **o)], s).fingerprint for s, o in ((0, {}), (1, {"noise": 0.1}), (0, {"rows": 9}))]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, r"weight 0\.0, expected a positive number"),
        ({"weight": 1e-6}, r"less than one row in 10000"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = numbered(tmp_path / "a.tsv", 3)
    with pytest.raises(RecipeError, match=message):
        Mixture([Source(path, **options), Source(path)], 0)


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="no source"):
        Mixture([], 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot be read as JSON"),
        ("{}", "holds no list"),
        ("[]", "holds no list"),
        ('["{}", "x"]', "template 2: 'x', expected a text with one"),
        ('["{} {c}"]', "template 1"),
        ("[3]", "template 1: 3"),
    ],
)
def test_templates_without_a_slot_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_templates(tmp_path / "t.json")


def test_the_student_may_read_other_words_than_the_teacher(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("en\tar\na cat on a car\tقطة على السيارة\n", encoding="utf-8")
    for key, changed in (("dialects", 1.0), ("mixed", 1.0)):
        mixture = Mixture([Source(path, direction="ar-ar", **{key: changed})], seed=1)
        rows = [row for step in range(30) for row in mixture.batch(step, 1)]
        assert {row.english for row in rows} == {"قطة على السيارة"}
        assert len({row.text for row in rows}) > 1
