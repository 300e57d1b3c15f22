"""Normalises Arabic text: safely, idempotently, versioned, and in the same way in training and in use.

It changes only what never changes the meaning: the *encoding* of letters, vowel marks, layout characters and digits.
Letters are never folded (أ and ا, ة and ه, ى and ي stay different): models learn such variants from noisy training
text instead. ڤ چ پ گ and emoji are kept.
"""

import re
import unicodedata
from functools import lru_cache

from araclip.errors import InputError

NORMALIZER_VERSION = 1  # stored in every model folder; raise it when normalize() changes its output

PRESENTATION_FORMS = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")  # Arabic letters coded as glyphs, such as ﻻ ﷲ ﷺ
LAYOUT = re.compile(
    "\u0640"  # tatweel, which only stretches a word
    "|[\u064b-\u0652\u0656-\u065f\u0670]"  # vowel marks; not U+0653–0655, which are part of letters such as آ and أ
    "|[\u0610-\u061a\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08d3-\u08e1\u08e3-\u08ff]"  # Quranic marks
    "|[\u00ad\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"  # invisible marks
    "|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]"  # control characters that are not white space
)
# lone surrogates come from undecodable file names; no tokenizer accepts them
SURROGATES = re.compile("[\ud800-\udfff]")
# A zero-width joiner belongs to an emoji (👩‍🚀) if pictographs stand on both sides; elsewhere it is removed.
STRAY_JOINER = re.compile(
    "(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
# NFC takes quadratic time to sort the marks of a letter, so their number is limited, as in Unicode's Stream-Safe Text
# Format. No writing system comes near this limit: models that were trained without it get the same texts as before, and
# NORMALIZER_VERSION stays.
MAX_MARKS = 30
# Only a run of 10 or more marks can exceed MAX_MARKS: a mark decomposes into 2 at most, a letter contains 3 at most.
_MAYBE_MARKS = re.compile(r"[^\w\s\x00-\x7f]{10,}")  # matches marks, pictographs and punctuation
SHORT = 100  # the normal form of a text of at most this many letters is cached: a query's words come many times
_WHITE_SPACE = re.compile(r"\s+")
DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٪٫٬", "01234567890123456789%.,")


def normalize(text: str) -> str:
    """Return `text` in the one form that models are trained on and queried with.

    Presentation forms become letters (NFKC), tatweel, tashkeel, bidi and zero-width marks go, Arabic-Indic digits
    become ASCII, letters are composed (NFC), white space is collapsed. Of the marks on one letter the first 30 stay.
    Takes time linear in the length. `normalize(normalize(t)) == normalize(t)`.

    Raises:
        InputError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise InputError(f"normalize takes a string, got {type(text).__name__}: {text!r:.80}. Pass one text.")
    return _normalize_cached(text) if len(text) <= SHORT else _normalize_uncached(text)


def _normalize_uncached(text: str) -> str:
    if text.isascii() and text.isprintable():  # fast path for ASCII, in which only spaces can change
        return " ".join(text.split())
    text = without_surrogates(text)
    text = PRESENTATION_FORMS.sub(lambda glyphs: unicodedata.normalize("NFKC", glyphs.group()), text)
    text = _compose(LAYOUT.sub("", text).translate(DIGITS))
    without = STRAY_JOINER.sub("", text)
    if without != text:  # compose again: a removed joiner may have stood between a letter and the letter's mark
        text = _compose(without)
    return _WHITE_SPACE.sub(" ", text).strip()


_normalize_cached = lru_cache(1 << 12)(_normalize_uncached)


def without_surrogates(text: str) -> str:
    """Replace each lone surrogate by U+FFFD: UTF-8 has none, and no tokenizer accepts them."""
    return SURROGATES.sub("\ufffd", text)


def _compose(text: str) -> str:
    """Compose letters with their marks (NFC), after all marks of a letter beyond MAX_MARKS are removed."""
    return unicodedata.normalize("NFC", _MAYBE_MARKS.sub(_limit_marks, text))


def _limit_marks(run: re.Match[str]) -> str:
    """Return a matched run of characters with at most MAX_MARKS marks on each letter, counted in decomposed form."""
    letter = unicodedata.normalize("NFD", run.string[max(run.start() - 1, 0) : run.start()])
    marks = sum(unicodedata.combining(character) > 0 for character in letter)
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in run.group())
    kept = []
    for character in decomposed:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept) if len(kept) < len(decomposed) else run.group()
