"""Script and language of a text, judged by its letters and a few words. Pure."""

import re
from collections.abc import Iterator
from typing import Literal

Script = Literal["arabic", "latin", "mixed", "other"]

ARABIC_LETTERS = "\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f"
_ARABIC = re.compile(f"[{ARABIC_LETTERS}]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_OTHER = re.compile("[^\\W\\d_A-Za-z\u00c0-\u024f\u0600-\u06ff\u0750-\u077f]")
# A word is a run of letters and digits; 3' and 7' are letters of Arabizi. Marks were removed by `normalize`.
_WORD = re.compile(f"[{ARABIC_LETTERS}]+|[A-Za-z0-9\u00c0-\u024f]+(?:['\u2019][A-Za-z0-9]*)*|\\d+|[^\\W_]+")


def script_of(text: str) -> Script:
    """The script of a text's letters; "other" where it has none of the two."""
    arabic, latin, other = (bool(letters.search(text)) for letters in (_ARABIC, _LATIN, _OTHER))
    if arabic and latin:
        return "mixed"
    if other and not arabic and not latin:
        return "other"
    return "arabic" if arabic else "latin" if latin else "other"


def words(text: str, start: int = 0, end: int | None = None) -> Iterator[re.Match[str]]:
    """The words of a normalised text, or of a part of it, in order, as matches: `match.group()` is the word,
    `match.span()` its place."""
    return _WORD.finditer(text, start, len(text) if end is None else end)


def is_arabic(word: str) -> bool:
    """Whether a word is written in Arabic letters."""
    return bool(_ARABIC.match(word))


def is_latin(word: str) -> bool:
    """Whether a word has a Latin letter."""
    return bool(_LATIN.search(word))


DESCRIPTION = 3  # words of one script make a description


def describes(texts: str, *, in_arabic: bool) -> bool:
    """Whether captions and metadata of a picture describe it, in Arabic letters or in others."""
    return sum(is_arabic(word) == in_arabic and word[0].isalpha() for word in texts.split()) >= DESCRIPTION
