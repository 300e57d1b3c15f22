"""Other words for the same things: captions rewritten with the package's lexicon, as people of one place type them.

A fifth of the forms is never used, so that what a model does with words it never saw can be measured.
"""

import random
import zlib
from collections.abc import Callable, Mapping
from functools import cache

from araclip.text.folding import fold
from araclip.text.lexicon import DIALECTS
from araclip.text.normalization import normalize
from araclip.text.resources import default_interpreter
from araclip.text.script import words

HELD_EVERY = 5
SYNONYMS = "sy"
_PREFIXES = ("وال", "بال", "ال", "و")  # kept before another form: والكلب → والجرو

Forms = Mapping[str, Mapping[str, tuple[str, ...]]]


def is_held(text: str) -> bool:
    """Whether a form is one of the fifth that is never used; the same for all spellings that fold alike."""
    return zlib.crc32(fold(text).encode()) % HELD_EVERY == 0


def in_dialect(text: str, rng: random.Random) -> str:
    """سيارة في الشارع → عربية في الشارع: every word that has a form in one dialect, or a synonym."""
    forms = _forms()[rng.choice((*DIALECTS, SYNONYMS))]
    return _rewritten(text, lambda word: rng.choice(forms[word]) if word in forms else None)


def with_english(text: str, rng: random.Random) -> str:
    """كلب في الحديقة → dog في الحديقة: one word that has an English gloss is English."""
    glosses = _glosses()
    places = [number for number, word in enumerate(words(text)) if fold(_parted(word.group(), glosses)[1]) in glosses]
    if not places:
        return text
    chosen, number = rng.choice(places), -1

    def english(word: str) -> str | None:
        nonlocal number
        number += 1
        return glosses.get(word) if number == chosen else None

    return _rewritten(text, english, glosses, prefixed=False)


def _rewritten(
    text: str, other: Callable[[str], str | None], known: Mapping[str, object] | None = None, *, prefixed: bool = True
) -> str:
    known = _known() if known is None else known
    out, at = [], 0
    for match in words(text):
        prefix, stem = _parted(match.group(), known)
        found = other(fold(stem))
        if found is not None and not (prefix and fold(prefix + found) in _held()):  # ال + هوا is a form of its own
            out += [text[at : match.start()], prefix if prefixed else "", found]
            at = match.end()
    return "".join([*out, text[at:]])


def _parted(word: str, known: Mapping[str, object]) -> tuple[str, str]:
    """A word's prefix and the rest, where the rest is known and the word itself is not."""
    if fold(word) not in known:
        for prefix in _PREFIXES:
            if word.startswith(prefix) and fold(word[len(prefix) :]) in known:
                return prefix, word[len(prefix) :]
    return "", word


@cache
def _forms() -> Forms:
    """Label → folded standard word → its forms of one word that have no other common meaning and are not held."""
    found: dict[str, dict[str, list[str]]] = {label: {} for label in (*DIALECTS, SYNONYMS)}
    for entry in default_interpreter().lexicon.entries:
        for label, form, ambiguous in entry.forms:
            if label in found and not ambiguous and " " not in entry.standard and not is_held(form):
                found[label].setdefault(fold(entry.standard), []).append(normalize(form))
    return {label: {word: tuple(forms) for word, forms in known.items()} for label, known in found.items()}


@cache
def _held() -> frozenset[str]:
    """The held forms, folded."""
    entries = default_interpreter().lexicon.entries
    return frozenset(fold(form) for entry in entries for _, form, _ in entry.forms if is_held(form))


@cache
def _known() -> Mapping[str, object]:
    return {word: True for known in _forms().values() for word in known}


@cache
def _glosses() -> Mapping[str, str]:
    """Folded standard word → its English gloss."""
    entries = default_interpreter().lexicon.entries
    return {fold(entry.standard): entry.english for entry in entries if entry.english and " " not in entry.standard}
