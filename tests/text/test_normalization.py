"""normalize() over arbitrary text, over Arabic-heavy text, and on the cases people meet."""

import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from araclip.errors import InputError
from araclip.text import normalization
from araclip.text.normalization import MAX_MARKS, normalize
from strange_texts import (
    BIDI,
    DIGITS,
    EMOJI,
    LETTERS,
    PRESENTATION_FORMS,
    TASHKEEL,
    TATWEEL,
    ZERO_WIDTH,
    ZWJ,
    anything,
    stacked,
    troublesome,
)

words = st.text(st.sampled_from(LETTERS), min_size=1, max_size=8)


@given(st.one_of(anything, troublesome))
@example("e\u200d\u0301")  # the joiner goes, and only then letter and mark stand together
@example("\u0627\u200d\u0653")
@example("\u2329\u200d👩")  # NFC turns a pictograph into a bracket
@example("\u2adc\u200d👩")
@example("\ufe70\u200d\ufe70")
@example("👩\u200d\u200d🚀")
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once


@given(st.one_of(anything, troublesome))
def test_the_result_is_composed_encodable_and_single_spaced(text: str) -> None:
    result = normalize(text)
    assert unicodedata.is_normalized("NFC", result)
    assert result.encode("utf-8").decode("utf-8") == result
    assert result == " ".join(result.split())


@given(st.one_of(anything, troublesome))
def test_tatweel_tashkeel_and_arabic_digits_never_remain(text: str) -> None:
    assert not set(normalize(text)) & set(TATWEEL + TASHKEEL + BIDI + ZERO_WIDTH + DIGITS)


@given(troublesome)
def test_no_positional_glyph_of_a_letter_remains(text: str) -> None:
    assert all(unicodedata.normalize("NFKC", char) == char for char in normalize(text) if char in PRESENTATION_FORMS)


@given(troublesome, troublesome)
def test_the_words_of_a_text_are_normalized_independently(first: str, second: str) -> None:
    apart = f"{normalize(first)} {normalize(second)}".strip()
    assert normalize(f"{first} {second}") == apart


@given(words)
def test_letters_are_kept_as_they_are(word: str) -> None:
    assert normalize(word) == word


@given(words, st.data())
def test_tashkeel_and_tatweel_anywhere_do_not_matter(word: str, data: st.DataObject) -> None:
    marks = st.text(st.sampled_from(TASHKEEL + TATWEEL + BIDI + ZERO_WIDTH + ZWJ), max_size=3)
    decorated = "".join(letter + data.draw(marks) for letter in word)
    assert normalize(decorated) == word


@given(words, st.sampled_from(EMOJI), words)
def test_emoji_survive_whole_between_words(before: str, emoji: str, after: str) -> None:
    assert normalize(f"{before} {emoji} {after}") == f"{before} {emoji} {after}"
    assert normalize(before + emoji + after) == before + emoji + after


@pytest.mark.parametrize("emoji", EMOJI)
def test_an_emoji_alone_survives(emoji: str) -> None:
    assert normalize(emoji) == emoji


@given(st.integers(0, 10**12))
def test_arabic_indic_and_persian_digits_become_ascii(number: int) -> None:
    ascii_digits = "0123456789"
    for other in (DIGITS[:10], DIGITS[10:]):
        assert normalize(str(number).translate(str.maketrans(ascii_digits, other))) == str(number)


@pytest.mark.parametrize(("apart", "from_it"), [("أ", "ا"), ("إ", "ا"), ("آ", "ا"), ("ة", "ه"), ("ى", "ي"), ("ؤ", "و")])
def test_letters_that_people_confuse_stay_apart(apart: str, from_it: str) -> None:
    assert normalize(apart) == apart
    assert normalize(from_it) == from_it


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", ""),
        (" \t\n\u00a0\u200b", ""),
        ("ﻻ", "لا"),
        ("ﻷ", "لأ"),
        ("ﷲ", "الله"),
        ("ﷺ", "صلى الله عليه وسلم"),
        ("ﭘﭽﮔ", "پچگ"),
        ("ﹰ", ""),
        ("ا\u0654", "أ"),
        ("ا\u0655", "إ"),
        ("ا\u0653", "آ"),
        ("ا\u064e\u0654", "أ"),
        ("و\u0654", "ؤ"),
        ("ي\u0654", "ئ"),
        ("قِطّةٌ", "قطة"),
        ("جـــمـــيـــل", "جميل"),
        ("  قطة \n\t على\u00a0\u2003طاولة ", "قطة على طاولة"),
        ("٪٥٠", "%50"),
        ("٣٫١٤", "3.14"),
        ("١٬٠٠٠", "1,000"),
        ("cafe\u0301", "café"),
        ("a\u200db", "ab"),
        ("\u200d👩", "👩"),
        ("ه\u200d", "ه"),
        ("\u202bقطة\u202c", "قطة"),
        ("قطة\x00\x07", "قطة"),
        ("قطة\udcff", "قطة\ufffd"),
        ("قطة؟ نعم، كلب؛", "قطة؟ نعم، كلب؛"),
    ],
)
def test_what_people_write_becomes_what_the_model_reads(written: str, expected: str) -> None:
    assert normalize(written) == expected


# ------------------------------------------------------------------ runs of marks


def longest_run(text: str) -> int:
    """The most marks in a row, decomposed."""
    longest = run = 0
    for character in unicodedata.normalize("NFD", text):
        run = run + 1 if unicodedata.combining(character) else 0
        longest = max(longest, run)
    return longest


def unbounded(text: str) -> str:
    """What `normalize` was before runs of marks were bounded."""
    text = normalization.SURROGATES.sub("\ufffd", text)
    text = normalization.PRESENTATION_FORMS.sub(lambda glyphs: unicodedata.normalize("NFKC", glyphs.group()), text)
    text = normalization.LAYOUT.sub("", text).translate(normalization.DIGITS)
    text = normalization.STRAY_JOINER.sub("", unicodedata.normalize("NFC", text))
    return normalization._WHITE_SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()


@given(st.one_of(anything, troublesome, stacked.map(lambda parts: "".join(base + marks for base, marks in parts))))
@example("a" + "\u0301" * MAX_MARKS)
@example("a" + "\u0301" * (MAX_MARKS + 1))
@example("\u0958" + "\u0301\u0316" * MAX_MARKS)
@example(("a" + "\u0316" * 20 + "\u200d" + "\u0301" * 20) * 2)  # one run, once the joiner is gone
def test_runs_of_marks_are_bounded(text: str) -> None:
    result, before = normalize(text), unbounded(text)
    assert normalize(result) == result
    assert longest_run(result) <= MAX_MARKS
    if longest_run(before) <= MAX_MARKS:
        assert result == before


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0316\u0301\u200d", "\u0344\u0316"])
def test_the_time_for_a_run_of_marks_is_linear_in_its_length(marks: str) -> None:
    begun = time.process_time()
    assert longest_run(normalize("a" + marks * (200_000 // len(marks)))) <= MAX_MARKS
    assert time.process_time() - begun < 20  # quadratic, it took about a minute


@pytest.mark.parametrize("value", [5, None, b"text", ["text"], object()])
def test_what_is_no_text_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(InputError, match=f"normalize takes a string, got {type(value).__name__}"):
        normalize(value)
