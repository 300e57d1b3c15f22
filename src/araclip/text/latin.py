"""Finds the Arabic words for a query's words in Latin letters (Arabizi).

Also defines `Change`, a change of words, for `spelling`, `dialects` and `interpretation`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from araclip.text.arabizi import (
    ARTICLES,
    MOST,
    PREFIXES,
    SITTING,
    USUAL,
    VERB_PREFIXES,
    WORDS,
    Arabizi,
    has_digits,
)
from araclip.text.folding import fold
from araclip.text.lexicon import Lexicon
from araclip.text.script import is_latin
from araclip.text.vocabulary import Vocabulary

LEAST_CONFIDENCE = 0.2  # a change of a word (to another word that it may mean) is dropped if its confidence is less

Kind = Literal["spelling", "dialect", "arabizi", "typo"]


@dataclass(frozen=True)
class Change:
    """A change of typed words (`source`) into words that models know (`target`), with a confidence.

    An empty `target` means that the word is left out. `dialects` are the lexicon's labels of the typed form; `width` is
    the number of typed words.
    """

    source: str
    target: str
    kind: Kind
    confidence: float  # 0…1: how likely the target is what was meant
    dialects: tuple[str, ...] = ()
    width: int = 1
    ambiguous: bool = False  # True if the typed form has another common meaning


LATIN = 0.75  # confidence that a word in Latin letters that is not English is Arabizi; it may also be a name
IN_CONTEXT = 0.93  # confidence of Arabizi if a word has a digit for a letter (7elwa) or several words look like Arabizi
# For Arabizi, every word of the lexicon counts as this frequent at least; more frequent words are likelier. A standard
# word gets STANDARD_COUNT, a dialect's form FORM_COUNT for each dialect that uses it.
FORM_COUNT, STANDARD_COUNT = 4, 80
# How probable the dialect meaning of an Arabizi word is, if the word also has a standard meaning: EITHER; or THING if
# that is an adjective in «ية», which would follow a noun: 3arabeya is "a car" (dialect) or "Arabic" (standard).
EITHER, THING = 0.5, 0.65
ADJECTIVE = fold("ية")  # how adjectives made of nouns end, folded: عربية (Arabic), شخصية (personal)
_CONTRACTION = re.compile("[a-z]+'(?:s|t|re|ve|ll|d|m)")  # an English word with an apostrophe, such as don't


class Latin:
    """Finds the Arabic words that words in Latin letters (Arabizi) may be; see `Interpreter` for the arguments."""

    def __init__(
        self, lexicon: Lexicon, vocabulary: Vocabulary, english: Callable[[], frozenset[str]], names: Collection[str]
    ) -> None:
        self.lexicon, self.vocabulary, self._english, self._names = lexicon, vocabulary, english, names

    def read(self, typed: Sequence[str], named: Collection[int] = ()) -> dict[int, list[Change]]:
        """Find the Arabic words that the Latin words among `typed` may stand for.

        Return a mapping from the index of a Latin word to the changes, one for each Arabic word that it may stand for.

        An English word of three letters or more is read as Arabizi only if the text has Arabizi words, too. The names
        given to the class, and the words at the indexes `named`, are never read as Arabizi.
        """
        latin = [at for at, word in enumerate(typed) if is_latin(word) and not word.isdigit()]
        lower = {at: typed[at].lower().replace("\u2019", "'") for at in latin}
        names = {at for at in latin if at in named or self._is_name(lower[at])}
        places = [at for at in latin if at not in names]
        if not places:
            return {}
        evident = {
            at for at in places if has_digits(lower[at]) and lower[at] not in PREFIXES and lower[at] not in WORDS
        }
        foreign = {at for at in places if at not in evident and self._may_be_arabic(typed[at], lower[at])}
        read = {at: self._read_word(lower[at]) for at in evident | foreign}
        certain = {at for at in evident | foreign if read[at]}
        english = [
            at
            for at in latin
            if lower[at] in self._english() and lower[at] not in PREFIXES | WORDS and len(lower[at]) > 2
        ]
        # English-looking words after an Arabic article: "sham" in "el sham" (Damascus)
        joined = {at for at in english if lower.get(at - 1) in ARTICLES}
        evidence = certain | joined | (names - set(english) if certain else set())
        context = any(map(has_digits, lower.values())) or (len(evidence) >= 2 and len(certain) >= len(english))
        found: dict[int, list[Change]] = {}
        for at in sorted(certain, reverse=True):  # the last word first: a word before a verb depends on the verb
            sure = IN_CONTEXT if context else LATIN * (0.6 if typed[at][0].isupper() else 1.0)
            found[at] = self._changes_to_standard(typed[at], read[at], sure)
            # A word for "sitting" is left out before a verb (which begins with ي or ت), or before another word for
            # "sitting" that was left out (whose target is empty).
            if lower[at] in SITTING and any(change.target[:1] in ("ي", "ت", "") for change in found.get(at + 1, ())):
                found[at] = [Change(typed[at], "", "arabizi", IN_CONTEXT)]
        if context:
            for at in reversed(places):  # the last word first: a prefix depends on the word after it
                if at in found:
                    continue
                if lower[at] in WORDS:
                    found[at] = [Change(typed[at], WORDS[lower[at]], "arabizi", IN_CONTEXT)]
                elif lower[at] in PREFIXES and at + 1 in found and found[at + 1]:
                    found[at] = [Change(typed[at], PREFIXES[lower[at]] + "\0", "arabizi", IN_CONTEXT)]
                elif at in english and len(english) <= len(certain) and (options := self._read_word(lower[at])):
                    found[at] = self._changes_to_standard(typed[at], options, 0.6)
        return {at: changes for at, changes in found.items() if changes}

    def _is_name(self, lower: str) -> bool:
        """True if a word is a name and nothing else.

        False for a name that is also an English word, or a word or prefix of Arabizi, as "al" in "eid al fitr".
        """
        return lower in self._names and not any(lower in each for each in (self._english(), PREFIXES, WORDS, USUAL))

    def _may_be_arabic(self, word: str, lower: str) -> bool:
        """True if a word in Latin letters may be Arabizi, though it has no digit for a letter.

        It must not be English (`lower` is the word in lower case), and not look like a name (iPhone, mp3).
        """
        known = lower in self._english() or lower in WORDS or lower in PREFIXES or _CONTRACTION.fullmatch(lower)
        return not known and len(lower) > 2 and lower.replace("'", "").isalpha() and word[1:] == lower[1:]

    def _read_word(self, word: str) -> list[tuple[str, float]]:
        """Return the Arabic words that a Latin word, which may have a prefix, can stand for, each with a confidence."""
        if word in USUAL:
            return [(USUAL[word], 1.0)]
        if word in SITTING:
            return [("جالسة" if word.endswith("a") else "جالس", 1.0)]
        options = self._index.read(word)
        for typed, prefix in PREFIXES.items():
            stem = word.removeprefix(typed).lstrip("-")
            if len(typed) > 1 and stem != word and len(stem) > 2:
                options += [(prefix + target, share * 0.9) for target, share in self._index.read(stem)]
        for typed in VERB_PREFIXES:
            stem = word.removeprefix(typed)
            # a verb is read without the dialect's prefix for the present tense: by2fz (jumps), kayl3ab (plays)
            if stem != word and len(stem) > 3 and stem[0] in "yt":
                options += [(target, share * 0.9) for target, share in self._index.read(stem) if target[0] in "يت"]
        return sorted(options, key=lambda option: -option[1])[:MOST]

    def _changes_to_standard(self, typed: str, options: Sequence[tuple[str, float]], sure: float) -> list[Change]:
        """Return the changes of a Latin word into standard words.

        `options` are the Arabic words, with confidences, that the Latin word may be; those of a dialect are replaced by
        their standard words. `sure` is the confidence that the word is Arabizi at all.
        """
        merged: dict[str, float] = {}
        for target, share in options:
            for standard, part in self._standard_words(target):
                merged[standard] = merged.get(standard, 0.0) + share * part * sure
        return [
            Change(typed, target, "arabizi", share)
            for target, share in sorted(merged.items(), key=lambda pair: -pair[1])
            if share >= LEAST_CONFIDENCE / 2
        ]

    def _standard_words(self, word: str) -> tuple[tuple[str, float], ...]:
        """Return what a word may be in standard Arabic, with probabilities: itself, its standard word, or both."""
        if fold(word) in self.lexicon.standard or self.vocabulary.count(word) > STANDARD_COUNT:
            return ((word, 1.0),)
        if not (forms := self.lexicon.find(word)):
            return ((word, 1.0),)
        standard, part = forms[0].standard, THING if fold(word).endswith(ADJECTIVE) else EITHER
        return ((word, 1 - part), (standard, part)) if forms[0].ambiguous else ((standard, 1.0),)

    @cached_property
    def _index(self) -> Arabizi:
        """The index that finds the Arabic words which a word in Latin letters may stand for.

        Its Arabic words are those of the vocabulary and of the lexicon.
        """
        counts = dict(self.vocabulary.counts)
        labels = Counter(form for entry in self.lexicon.entries for _, form, _ in entry.forms)
        for form, several in labels.items():
            counts[form] = max(counts.get(form, 0), FORM_COUNT * several)
        for entry in self.lexicon.entries:
            counts[entry.standard] = max(2 * counts.get(entry.standard, 0), STANDARD_COUNT)
        return Arabizi(counts, known=labels)
