"""Splits a text into words as full-text search compares them: folded and stemmed. Pure, versioned.

A stem is the result of Snowball for a folded word (Arabic or English). From an Arabic word, a leading و, the article,
and a final ة or ات are removed first, since Snowball keeps them on short words. A word that then begins with س is not
given to Snowball, which would take the س of سيارة for a future tense. Nor does a word of grammar.txt's list of whole
words lose its first letter, which would make a road of بطريق (penguin). Figures: benchmarks/hybrid.py,
docs/log/2026-11.md.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from araclip.text.folding import FOLDING_VERSION, fold
from araclip.text.word_lists import read_folded

WORDS_VERSION = f"{FOLDING_VERSION}.2"  # stored beside an index of stems; raise it when `words` changes its output
MAX_LETTERS = 64  # words longer than this (hashes, encoded data) are cut
_CACHED = 1 << 16  # number of words whose stems are cached; caching pays because file names repeat the same words

# Marks and joiners that may stand inside a word.
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u200c\u200d"
_WORD = re.compile(rf"[^\W\d_](?:[{_MARKS}]*[^\W\d_])*[{_MARKS}]*|\d+")
_HUMP = re.compile("(?<=[a-z])(?=[A-Z])")  # the position between the words of CamelCase, which occurs in file names
_ARTICLE = re.compile("(?:و(?=.{4}))?(?:(?:بال|كال|فال|لل|ال)(?=.{2}))?")
_FEMININE = re.compile("(?<=.{3})(?:ه|ات)$")
_ARABIC = re.compile("[\u0621-\u064a]+")
_ENGLISH = re.compile("[a-z]+")
_WHOLE = frozenset(_FEMININE.sub("", word) for word in read_folded("words: whole"))


def _stemmer(language: str) -> Any:
    """Load one stemmer of the package snowballstemmer, without importing the package itself.

    The package would import all its languages, which costs each start of a search a tenth of a second.
    """
    found = importlib.util.find_spec("snowballstemmer")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("snowballstemmer is not installed")
    package = ModuleType(f"{__name__}_snowball")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules.setdefault(package.__name__, package)
    module = importlib.import_module(f"{package.__name__}.{language}_stemmer")
    return getattr(module, f"{language.capitalize()}Stemmer")()


_arabic, _english = _stemmer("arabic"), _stemmer("english")

FUNCTION_WORDS = frozenset(fold(
    "في من على إلى عن مع و أو ثم هو هي هذا هذه ذلك تلك التي الذي الذين ما لا لم لن أن كان كانت قد كل بين عند إلا "
    "a an and are at by for from in is it of on or the this that to was with"
).split())  # folded function words; they count only in a query without other words  # fmt: skip


Forms = list[tuple[str, str]]  # for each word, the word with spelling variants made equal (folded), and its stem


class Word(NamedTuple):
    """A word: its position text[start:end], its folded form and its stem."""

    start: int
    end: int
    folded: str
    stem: str


def words(text: str, *, names: bool = False) -> Iterator[Word]:
    """Yield the words of a text; letters and digits are separate words (IMG2019 is two words).

    Args:
        names: true for file names, in which CamelCase is two words.
    """
    for match in _WORD.finditer(text):
        start = match.start()
        for part in _HUMP.split(match.group()) if names else (match.group(),):
            folded, stem = _form_and_stem(part[:MAX_LETTERS])
            if stem:
                yield Word(start, start + len(part), folded, stem)
            start += len(part)


def forms(text: str, *, names: bool = False) -> Forms:
    """Return (folded form, stem) of each word that `words` yields, in a third of the time that `words` takes."""
    parts = _WORD.findall(text)
    if names:
        parts = [part for word in parts for part in _HUMP.split(word)]
    return [form for part in parts if (form := _form_and_stem(part[:MAX_LETTERS]))[1]]


def has_humps(text: str) -> bool:
    """True if a text has CamelCase, which `words` splits into two words in a file name, but not in other texts."""
    return _HUMP.search(text) is not None


def asked_words(text: str) -> list[Word]:
    """Return a query's words, one for each stem. Function words are left out unless the query has no other words."""
    found = list({word.stem: word for word in words(text)}.values())
    return [word for word in found if word.folded not in FUNCTION_WORDS] or found


def _form_and_stem(word: str) -> tuple[str, str]:
    """Return the folded word and its stem. An ASCII number is its own stem and is not cached, as most occur once."""
    return (word, word) if word.isascii() and word.isdigit() else _form_and_stem_of_letters(word)


@lru_cache(maxsize=_CACHED)
def _form_and_stem_of_letters(word: str) -> tuple[str, str]:
    folded = fold(word)
    if _ARABIC.fullmatch(folded):
        bare = _FEMININE.sub("", folded)
        if bare not in _WHOLE:  # «بالون» is no «ون» with an article
            bare = _FEMININE.sub("", _ARTICLE.sub("", folded, count=1))
        stem = bare if bare.startswith("س") else _arabic.stemWord(bare)
        if bare in _WHOLE and not bare.startswith(stem[:2]):
            stem = bare[: max(bare.find(stem[:2]), 0)] + stem
        return folded, stem
    if _ENGLISH.fullmatch(folded):
        return folded, _english.stemWord(folded)
    return folded, folded
