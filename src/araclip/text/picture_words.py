"""Knows which words only ask for pictures («كل الصور») or name qualities («أحمر»), and the kinds of a general word.
Pure.

A text tower places a general word («ناس», people) near pictures of crowds, not near a picture of one man. So if a query
only excludes such a word, its kinds (man, woman, child …) are excluded as well. Animals were tried and left out:
«حيوانات» already finds them, and their kinds exclude too much.
"""

import unicodedata

from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import words
from araclip.text.word_lists import folded, listed

PICTURE_WORDS = folded("pictures: asking")


def shows_nothing(text: str) -> bool:
    """True if a text says nothing that a picture could show: «كل الصور», or neither words nor emoji at all."""
    if any(unicodedata.category(letter) == "So" for letter in text):
        return False
    return all(fold(match.group()) in PICTURE_WORDS for match in words(normalize(text)))


_QUALITIES = folded("qualities")


def is_quality(text: str) -> bool:
    """True if a text has only qualities (colour, material, size) and names no thing."""
    return all(_bare(match.group()) in _QUALITIES for match in words(normalize(text)))


_PEOPLE = listed("kinds: people")
_NAMES_OF_PEOPLE = listed("kinds: words for people")
_KINDS = {fold(name): _PEOPLE for name in _NAMES_OF_PEOPLE}
_ARTICLE = fold("ال")


def kinds_of(word: str) -> tuple[str, ...]:
    """Return the things that a general word stands for, as texts to encode; empty for any other word."""
    return _KINDS.get(fold(word).strip(), ()) or _KINDS.get(_bare(word), ())


def _bare(word: str) -> str:
    """Return the folded word without its article."""
    return fold(word).strip().removeprefix(_ARTICLE)
