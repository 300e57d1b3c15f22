"""`normalize` written into a tokenizer.json reads every text as `normalize` does."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers

from araclip.core.installed_models import bundled
from araclip.errors import ModelMismatch
from araclip.models.tokenizer_file import check_tokenizer
from araclip.text.normalization import MAX_MARKS, normalize, without_surrogates
from araclip.text.tokenizer_normalizer import prepend_normalizer
from strange_texts import anything, stacked, troublesome

ALONE = Tokenizer.from_str(prepend_normalizer(Tokenizer(models.BPE()).to_str())).normalizer
# The tokenizers library has an older Unicode than Python: marks that are younger than its tables are not sorted by it.
MARKS = [chr(code) for code in range(0x3000) if unicodedata.ucd_3_2_0.combining(chr(code))]


def written_out(text: str) -> str:
    return str(ALONE.normalize_str(without_surrogates(text)))


@settings(max_examples=400)
@given(st.one_of(anything, troublesome, stacked.map(lambda parts: "".join(base + marks for base, marks in parts))))
@example("e\u200d\u0301")
@example("\u0627\u200d\u0653")
@example("\u2329\u200d👩")
@example("\ufe70\u200d\ufe70")
@example("👩\u200d\u200d🚀")
@example("قطة\udcff")
@example("ﷺ ﻷ ٣٫١٤ ١٬٠٠٠")
def test_the_written_out_steps_give_what_normalize_gives(text: str) -> None:
    assert written_out(text) == normalize(text)


def test_every_arabic_mark_and_glyph_alone_and_after_a_letter() -> None:
    for code in (*range(0x600, 0x900), *range(0x2000, 0x2070), *range(0xFB50, 0xFF00)):
        for text in (chr(code), f"ا{chr(code)}", f"{chr(code)}ب"):
            assert written_out(text) == normalize(text), ascii(text)


@pytest.mark.parametrize("letter", ["", "a", "é", "ǖ", "أ", "ا\u0640", "👩", "\u0958", "\u0344", "\u0f73"])
def test_marks_beyond_the_bound_go_in_the_same_order(letter: str) -> None:
    drawn = random.Random(letter)
    for count in (MAX_MARKS - 3, MAX_MARKS - 1, MAX_MARKS, MAX_MARKS + 1, 2 * MAX_MARKS):
        text = letter + "".join(drawn.choices([*MARKS, "\u200d", "\u0344", "\u0f73"], k=count)) + "ب\u0654"
        assert written_out(text) == normalize(text), ascii(text)


def test_a_tokenizers_own_steps_give_the_ids_of_normalized_text() -> None:
    path = next(iter(bundled().values())) / "tokenizer.json"
    plain = Tokenizer.from_file(str(path))
    written = Tokenizer.from_str(prepend_normalizer(path.read_text(encoding="utf-8")))
    for text in ("قِطّةٌ جـالسة", "ﻻ يوجد ٣ قطط", " a\u00a0CAT\n", "", "كلب\u200f أسود", "👩‍🚀"):
        assert written.encode(text).ids == plain.encode(normalize(text)).ids


def test_a_tokenizer_that_has_the_steps_stays_as_it_is() -> None:
    once = prepend_normalizer(Tokenizer(models.BPE()).to_str())
    assert prepend_normalizer(once) == once
    assert len(json.loads(once)["normalizer"]["normalizers"]) > 700


def test_steps_of_another_pythons_unicode_are_not_written_twice() -> None:
    once = prepend_normalizer(Tokenizer(models.BPE()).to_str())
    other = json.loads(once)
    for step in other["normalizer"]["normalizers"]:
        if "\u08ca" in step.get("pattern", {}).get("Regex", ""):  # a mark since Unicode 14
            step["pattern"]["Regex"] = step["pattern"]["Regex"].replace("\u08ca", "\u08d3")
    assert other != json.loads(once)
    written = json.dumps(other)
    assert prepend_normalizer(written) == written


@pytest.mark.parametrize("steps", [[], [normalizers.Replace(Regex(" {2,}"), " ")]])  # SentencePiece's, as exported
def test_the_written_out_steps_pass_the_tokenizer_checks(steps: list[normalizers.Normalizer], tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(steps)
    path = tmp_path / "tokenizer.json"
    path.write_text(prepend_normalizer(tokenizer.to_str()), encoding="utf-8")
    check_tokenizer(path)


def test_the_bundled_model_s_tokenizer_passes_them_too(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    theirs = (bundled()["araclip-mini"] / "tokenizer.json").read_text(encoding="utf-8")
    path.write_text(prepend_normalizer(theirs), encoding="utf-8")
    check_tokenizer(path)


@pytest.mark.parametrize(
    "steps",
    [
        [("a", "b" * 60), ("b", "c" * 60)],  # what one step wrote, the next one replaces
        [("a", "b" * 60), None, ("c", "d" * 60)],  # between them anything may happen to a letter
        [("ab", "c" * 90), ("d", "e" * 60)],
    ],
)
def test_replacements_that_may_act_on_each_other_multiply(steps: list[tuple[str, str] | None], tmp_path: Path) -> None:
    entries = [
        {"type": "Replace", "pattern": {"String": step[0]}, "content": step[1]} if step else {"type": "NFKC"}
        for step in steps
    ]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"normalizer": {"type": "Sequence", "normalizers": entries}}))
    with pytest.raises(ModelMismatch, match="times longer"):
        check_tokenizer(path)
