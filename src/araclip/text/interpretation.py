"""How a query's words are read: spelling, dialect and Arabizi folded toward what captions use. Pure.

Each word has readings with confidences; the readings of the whole text are the likeliest combinations, and the text
as it was typed is one of them. A search encodes all of them and adds their vectors, weighted by confidence
(benchmarks/understanding.py).
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from araclip.text.folding import fold
from araclip.text.lexicon import Lexicon
from araclip.text.negation import NEGATIONS
from araclip.text.normalization import normalize
from araclip.text.readings.arabizi import Arabizi, has_digits
from araclip.text.readings.arabizi_words import ARTICLES, PREFIXES, SITTING, USUAL, VERB_PREFIXES, WORDS
from araclip.text.readings.changes import Change
from araclip.text.readings.dialects import Dialects, with_evidence
from araclip.text.readings.spelling import Spelling
from araclip.text.script import is_arabic, is_latin, script_of, words
from araclip.text.vocabulary import Vocabulary, split_proclitics

Language = Literal["ar", "en", "arabizi", "mixed", "other"]

MAX_WORDS = 40  # that are interpreted; models read about as many
MAX_READINGS = 5  # of a text, with the one as typed
MAX_CHOICES = 3  # of a word
LEAST_WEIGHT = 0.04  # of a reading, as a share of the likeliest one's
LEAST_CONFIDENCE = 0.2  # of a choice
LATIN = 0.75  # of a Latin word that is no English, and may be a name
IN_CONTEXT = 0.93  # of one that has a digit for a letter, or stands beside such words
# Occurrences that the lexicon's words are given at least, for Arabizi: a form for each label that has it (بنت is said
# everywhere, بينط in the east), a standard word.
FORM_COUNT, STANDARD_COUNT = 4, 80
EITHER = 0.5  # of the share of an Arabizi word that means two things (3arabeya: عربية, سيارة), which each gets


@dataclass(frozen=True)
class Reading:
    """One way to read a text; the weights of a text's readings sum up to 1."""

    text: str
    weight: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class TextInterpretation:
    """A text's language and its readings, the likeliest first; the text as typed is one of them, if likely enough."""

    text: str
    language: Language
    readings: tuple[Reading, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What the likeliest reading changes that is not the text as typed."""
        return next((reading.changes for reading in self.readings if reading.changes), ())


class Interpreter:
    """Reads texts with a lexicon, a vocabulary and a list of English words. Immutable; shared between threads.

    Args:
        english: gives the words that are English, in lower case; they are never taken for Arabizi on their own.
    """

    def __init__(self, lexicon: Lexicon, vocabulary: Vocabulary, english: Callable[[], frozenset[str]]) -> None:
        self.lexicon, self.vocabulary, self._english = lexicon, vocabulary, english
        self.spelling = Spelling(vocabulary)
        self.dialects = Dialects(lexicon, vocabulary)

    def extended(self, texts: Iterable[str] = (), lexicon: Lexicon | None = None) -> "Interpreter":
        """With the words of further texts (a gallery's captions and names), or a further lexicon, which has
        priority."""
        vocabulary = self.vocabulary.extended(texts)
        return Interpreter(self.lexicon.joined(lexicon) if lexicon else self.lexicon, vocabulary, self._english)

    def interpret(self, text: str) -> TextInterpretation:
        """The readings of one text. Takes time linear in its length, and a few milliseconds at most."""
        normal = normalize(text)
        found = list(words(normal))[:MAX_WORDS]
        typed = [match.group() for match in found]
        slots = self._slots(typed)
        readings = self._readings(normal, [match.span() for match in found], slots)
        language = self._language(normal, slots)
        return TextInterpretation(text, language, readings or (Reading(text, 1.0),))

    def suggestion(self, text: str) -> str | None:
        """The text with unknown Arabic words replaced by the nearest known ones, for «هل تقصد»; None if none is near.

        It goes further than `interpret`, up to two letters a word, and is meant for a person who may decline it.
        """
        normal = normalize(text)
        found = list(words(normal))[:MAX_WORDS]
        parts, end, changed = [], 0, False
        for match in found:
            word = match.group()
            known = (
                not is_arabic(word) or self.vocabulary.knows(word) or self.lexicon.find(word) or self._is_standard(word)
            )
            nearest = None if known else self.spelling.nearest(word)
            parts += [normal[end : match.start()], nearest or word]
            end, changed = match.end(), changed or nearest is not None
        return "".join((*parts, normal[end:])) if changed else None

    def knows_all(self, text: str) -> bool:
        """Whether every Arabic word of a text is a known one."""
        return all(self._knows(match.group()) for match in words(normalize(text)))

    def _knows(self, word: str) -> bool:
        known = not is_arabic(word) or self.vocabulary.knows(word) or self.lexicon.find(word)
        return bool(known) or self._is_standard(word)

    # ------------------------------------------------------------------ words

    def _slots(self, typed: Sequence[str]) -> list[tuple[int, list[Change]]]:
        """(place of the first word, what it may be) for the words or groups of words that may be something else."""
        latin = self._latin(typed)
        slots: list[tuple[int, list[Change]]] = []
        at = 0
        while at < len(typed):
            changes = latin.get(at) if at in latin else self._arabic(typed, at) if is_arabic(typed[at]) else []
            if changes:
                slots.append((at, changes))
            at += max((change.width for change in changes or ()), default=1)
        judged = with_evidence([changes for _, changes in slots])
        likely = [[c for c in changes if c.confidence >= LEAST_CONFIDENCE][:MAX_CHOICES] for changes in judged]
        return [(at, changes) for (at, _), changes in zip(slots, likely, strict=True) if changes]

    def _arabic(self, typed: Sequence[str], at: int) -> list[Change]:
        word, following = typed[at], typed[at + 1] if at + 1 < len(typed) else ""
        if is_arabic(following) and (whole := self.spelling.torn(word, following)):
            return [whole]
        changes = self.dialects.phrase(typed, at) or self.dialects.word(typed, at)
        if not any(c.confidence >= LEAST_CONFIDENCE for c in changes) and (usual := self.spelling.usual(word)):
            changes = [usual, *changes]
        if following and fold(word) in NEGATIONS:  # «مش كلب» is no Moroccan cat
            changes = [change for change in changes if fold(change.target) in NEGATIONS]
        if not changes and len(word) > 1 and not self.vocabulary.knows(word) and not self._is_standard(word):
            changes = self.spelling.repaired(word)
            changes = [self._standard(change) for change in changes]
        return changes

    def _is_standard(self, word: str) -> bool:
        return any(fold(stem) in self.lexicon.standard for stem in (word, *(s for _, s in split_proclitics(word))))

    def _standard(self, change: Change) -> Change:
        """A correction that is a dialect word, as the standard one."""
        if " " in change.target or not (forms := self.lexicon.find(change.target)) or forms[0].ambiguous:
            return change
        return Change(
            change.source, forms[0].standard, "dialect", change.confidence * 0.9, forms[0].labels, change.width
        )

    # ------------------------------------------------------------------ Arabizi

    def _latin(self, typed: Sequence[str]) -> dict[int, list[Change]]:
        """What the Latin words may be in Arabic, by place; English words are left alone, unless others are Arabizi."""
        places = [at for at, word in enumerate(typed) if is_latin(word) and not word.isdigit()]
        if not places:
            return {}
        lower = {at: typed[at].lower().replace("\u2019", "'") for at in places}
        evident = {
            at for at in places if has_digits(lower[at]) and lower[at] not in PREFIXES and lower[at] not in WORDS
        }
        foreign = {at for at in places if at not in evident and self._may_be_arabic(typed[at], lower[at])}
        read = {at: self._read(lower[at]) for at in evident | foreign}
        certain = {at for at in evident | foreign if read[at]}
        english = [
            at
            for at in places
            if lower[at] in self._english() and lower[at] not in PREFIXES | WORDS and len(lower[at]) > 2
        ]
        joined = {at for at in english if lower.get(at - 1) in ARTICLES}  # ghroub el shams
        context = any(map(has_digits, lower.values())) or (len(certain | joined) >= 2 and len(certain) >= len(english))
        found: dict[int, list[Change]] = {}
        for at in sorted(certain, reverse=True):  # the word before a verb needs to know it
            sure = IN_CONTEXT if context else LATIN * (0.6 if typed[at][0].isupper() else 1.0)
            found[at] = self._arabizi(typed[at], read[at], sure)
            if lower[at] in SITTING and any(change.target[0] in "يت" for change in found.get(at + 1, ())):
                found[at] = [Change(typed[at], "", "arabizi", IN_CONTEXT)]
        if context:
            for at in reversed(places):  # a prefix needs to know the word after it
                if at in found:
                    continue
                if lower[at] in WORDS:
                    found[at] = [Change(typed[at], WORDS[lower[at]], "arabizi", IN_CONTEXT)]
                elif lower[at] in PREFIXES and at + 1 in found and found[at + 1]:
                    found[at] = [Change(typed[at], PREFIXES[lower[at]] + "\0", "arabizi", IN_CONTEXT)]
                elif (
                    lower[at] in self._english() and len(english) <= len(certain) and (options := self._read(lower[at]))
                ):
                    found[at] = self._arabizi(typed[at], options, 0.6)
        return {at: changes for at, changes in found.items() if changes}

    def _may_be_arabic(self, word: str, lower: str) -> bool:
        """Whether a word without telling digits is no English word and does not look like a name (iPhone, mp3)."""
        known = lower in self._english() or lower in WORDS or lower in PREFIXES
        return not known and len(lower) > 2 and lower.replace("'", "").isalpha() and word[1:] == lower[1:]

    def _read(self, word: str) -> list[tuple[str, float]]:
        """Words that a Latin one may stand for, with its article or preposition: elbahr → البحر."""
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
            if (
                stem != word and len(stem) > 3 and stem[0] in "yt"
            ):  # by2fz, kayl3ab: the verb without the dialect's letter
                options += [(target, share * 0.9) for target, share in self._index.read(stem) if target[0] in "يت"]
        return sorted(options, key=lambda option: -option[1])[:MAX_CHOICES]

    def _arabizi(self, typed: str, options: Sequence[tuple[str, float]], sure: float) -> list[Change]:
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
        """What a word is in the standard language, with shares; both where it has another meaning too."""
        if fold(word) in self.lexicon.standard or self.vocabulary.count(word) > STANDARD_COUNT:
            return ((word, 1.0),)
        if not (forms := self.lexicon.find(word)):
            return ((word, 1.0),)
        standard = forms[0].standard
        return ((word, 1 - EITHER), (standard, EITHER)) if forms[0].ambiguous else ((standard, 1.0),)

    @cached_property
    def _index(self) -> Arabizi:
        counts = dict(self.vocabulary.counts)
        labels = Counter(form for entry in self.lexicon.entries for _, form, _ in entry.forms)
        for form, several in labels.items():
            counts[form] = max(counts.get(form, 0), FORM_COUNT * several)
        for entry in self.lexicon.entries:
            counts[entry.standard] = max(2 * counts.get(entry.standard, 0), STANDARD_COUNT)
        return Arabizi(counts, known=labels)

    # ------------------------------------------------------------------ the whole text

    def _readings(
        self, text: str, spans: Sequence[tuple[int, int]], slots: Sequence[tuple[int, list[Change]]]
    ) -> tuple[Reading, ...]:
        """The likeliest combinations of the words' choices: a beam over the slots."""
        beam: list[tuple[float, tuple[Change | None, ...]]] = [(1.0, ())]
        for _, changes in slots:
            stays = max(1.0 - sum(change.confidence for change in changes), 0.02)
            options: list[tuple[float, Change | None]] = [(stays, None), *((c.confidence, c) for c in changes)]
            grown = [(weight * share, (*chosen, option)) for weight, chosen in beam for share, option in options]
            beam = heapq.nlargest(MAX_READINGS, grown, key=lambda pair: pair[0])
        least = beam[0][0] * LEAST_WEIGHT
        merged: dict[str, tuple[float, tuple[Change, ...]]] = {}
        for weight, chosen in beam:
            if weight < least:
                continue
            read = _rewritten(
                text, spans, [(at, change) for (at, _), change in zip(slots, chosen, strict=True) if change]
            )
            if read:
                before = merged.get(read)
                made = before[1] if before else tuple(change for change in chosen if change)
                merged[read] = (weight + (before[0] if before else 0.0), made)
        total = sum(weight for weight, _ in merged.values())
        return tuple(Reading(read, weight / total, made) for read, (weight, made) in merged.items())

    def _language(self, text: str, slots: Sequence[tuple[int, list[Change]]]) -> Language:
        if any(changes[0].kind == "arabizi" for _, changes in slots):
            return "arabizi"
        script = script_of(text)
        return "ar" if script == "arabic" else "en" if script == "latin" else script


_PREFIX_OF_LATIN = re.compile("\0 (?=[A-Za-z0-9])")  # «bel mayy» whose word stays as typed: بال mayy


def _rewritten(text: str, spans: Sequence[tuple[int, int]], changes: Sequence[tuple[int, Change]]) -> str:
    parts, end = [], 0
    for at, change in changes:
        parts += [text[end : spans[at][0]], change.target]
        end = spans[at + change.width - 1][1]
    joined = _PREFIX_OF_LATIN.sub(" ", "".join((*parts, text[end:])))
    joined = joined.replace("\0 ", "").replace("\0", "")
    return " ".join(joined.split())
