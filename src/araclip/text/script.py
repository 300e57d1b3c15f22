"""Tells the script of a text and splits it into words. Pure."""

import re
from collections.abc import Iterator
from typing import Literal

Script = Literal["arabic", "latin", "mixed", "other"]

ARABIC_LETTERS = "\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f"
_ARABIC = re.compile(f"[{ARABIC_LETTERS}]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_OTHER = re.compile("[^\\W\\d_A-Za-z\u00c0-\u024f\u0600-\u06ff\u0750-\u077f]")
# A word is a run of letters and digits; 3' and 7' are letters of Arabizi. `normalize` has removed vowel marks.
_WORD = re.compile(f"[{ARABIC_LETTERS}]+|[A-Za-z0-9\u00c0-\u024f]+(?:['\u2019][A-Za-z0-9]*)*|\\d+|[^\\W_]+")


def script_of(text: str) -> Script:
    """Return the script of a text's letters; "other" if they are neither Arabic nor Latin, or if there are none."""
    arabic, latin, other = (bool(letters.search(text)) for letters in (_ARABIC, _LATIN, _OTHER))
    if arabic and latin:
        return "mixed"
    if other and not arabic and not latin:
        return "other"
    return "arabic" if arabic else "latin" if latin else "other"


def words(text: str, start: int = 0, end: int | None = None) -> Iterator[re.Match[str]]:
    """Yield the words of a normalised text, or of a part of it, as matches.

    `match.group()` is the word, `match.span()` its place.
    """
    return _WORD.finditer(text, start, len(text) if end is None else end)


def is_arabic(word: str) -> bool:
    """True if a word begins with an Arabic letter."""
    return bool(_ARABIC.match(word))


def is_latin(word: str) -> bool:
    """True if a word has a Latin letter."""
    return bool(_LATIN.search(word))


DESCRIPTION = 3  # a picture has a description if its texts have at least this many words of one script


def describes(texts: str, *, in_arabic: bool) -> bool:
    """True if a picture's captions and metadata have enough words of one script to describe the picture.

    Only words in Arabic letters are counted or, if `in_arabic` is False, only words in other letters.
    """
    return sum(is_arabic(word) == in_arabic and word[0].isalpha() for word in texts.split()) >= DESCRIPTION
