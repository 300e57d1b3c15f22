"""Interprets a query's words: turns misspellings, dialect and Arabizi into words that captions use. Pure.

Each word may be read in several ways, with confidences. The readings of the whole text are the likeliest combinations,
mostly with the text as typed among them. A search encodes all readings and adds their vectors, weighted by confidence
(benchmarks/understanding.py).
"""

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Literal

from araclip.text.dialects import SURE, VERY_OFTEN, Dialects, raise_by_evidence
from araclip.text.folding import fold
from araclip.text.latin import LEAST_CONFIDENCE, Change, Latin
from araclip.text.lexicon import Lexicon
from araclip.text.negation import NEGATIONS, WALKING
from araclip.text.normalization import normalize
from araclip.text.script import is_arabic, script_of, words
from araclip.text.spelling import Spelling
from araclip.text.vocabulary import MIN_STEM, Vocabulary, split_proclitics
from araclip.text.word_lists import read_entries

Language = Literal["ar", "en", "arabizi", "mixed", "other"]

MAX_WORDS = 40  # only the first MAX_WORDS words of a text are interpreted; models read about as many
# A word with more letters than this is not interpreted, nor is any word after it: every ending of it would be tried.
MAX_LETTERS = 60
MAX_READINGS = 5  # limit: readings of a text (texts that it may mean), with the text as typed
MAX_CHOICES = 3  # limit: changes of one word (to words that it may mean) from which readings are made
LEAST_WEIGHT = 0.04  # a reading is dropped if its weight is less than this share of the likeliest reading's
MAX_SUGGESTED = 12  # limit: words of a text that gets a suggestion, which a person should read at a glance


@dataclass(frozen=True)
class Reading:
    """A text that a typed text may mean; the weights of all readings of a typed text add up to 1."""

    text: str
    weight: float
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class TextInterpretation:
    """A text's language, and its readings (texts that it may mean), likeliest first.

    The text as typed may be one of the readings.
    """

    text: str
    language: Language
    readings: tuple[Reading, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of words in the likeliest reading that differs from the typed text; empty if no reading does."""
        return next((reading.changes for reading in self.readings if reading.changes), ())


class Interpreter:
    """Finds the readings of a text: what a dialect, a typo or Arabizi (Arabic in Latin letters) may stand for.

    Immutable; shared between threads.

    Args:
        lexicon: words of dialects and their standard Arabic.
        vocabulary: the words of captions, with their counts.
        english: returns the English words, in lower case. An English word is never read as Arabizi, unless Arabizi
            words stand beside it.
        names: names and everyday words that captions lack. No such word is taken for a typo of another word.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        vocabulary: Vocabulary,
        english: Callable[[], frozenset[str]],
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.lexicon, self.vocabulary, self._english, self._unfolded_names = lexicon, vocabulary, english, names
        self._names = frozenset(map(fold, names))
        self._longest_name = max((name.count(" ") + 1 for name in names), default=1)
        everyday = (*(entry.standard for entry in lexicon.entries), *read_entries("words: whole"))
        self.spelling = Spelling(vocabulary.with_everyday_words(everyday))
        self.dialects = Dialects(lexicon, vocabulary, self._names)
        self.latin = Latin(lexicon, vocabulary, english, self._names)

    def extended(self, texts: Iterable[str] = (), lexicon: Lexicon | None = None) -> "Interpreter":
        """Return an interpreter that also has the words of these texts (a gallery's captions and names).

        The meanings in a further lexicon take precedence over those in the present one.
        """
        vocabulary = self.vocabulary.extended(texts)
        joined = self.lexicon.join(lexicon) if lexicon else self.lexicon
        return Interpreter(joined, vocabulary, self._english, self._unfolded_names)

    def interpret(self, text: str) -> TextInterpretation:
        """Return a text's language and its readings, the texts that it may mean, with weights.

        Takes milliseconds: only the first MAX_WORDS words are interpreted.
        """
        normal = _without_punctuation(normalize(text))
        found = _words_to_interpret(words(normal))
        typed = [match.group() for match in found]
        slots = self._read_words(typed)
        readings = self._readings(normal, [match.span() for match in found], slots)
        language = self._language_of(normal, slots)
        return TextInterpretation(text, language, readings or (Reading(text, 1.0),))

    def suggestion(self, text: str) -> str | None:
        """Return the text with unknown Arabic words replaced by the nearest known words, to ask "did you mean …".

        Return None if no unknown word has a known word near it, or if the text has more than MAX_SUGGESTED words. A
        suggestion changes up to two letters of a word. `interpret` changes fewer, because nobody can decline its
        changes.
        """
        normal = normalize(text)
        found = _words_to_interpret(words(normal))
        if len(found) > MAX_SUGGESTED:
            return None
        parts, end, changed = [], 0, False
        for match in found:
            word = match.group()
            nearest = None if self._knows(word) else self.spelling.nearest(word)
            parts += [normal[end : match.start()], nearest or word]
            end, changed = match.end(), changed or nearest is not None
        return "".join((*parts, normal[end:])) if changed else None

    def knows_all(self, text: str) -> bool:
        """True if every Arabic word of a text is in the vocabulary or the lexicon, perhaps with prefix or ending."""
        return all(self._knows(match.group()) for match in words(normalize(text)))

    def _knows(self, word: str) -> bool:
        known = not is_arabic(word) or self.vocabulary.knows(word) or self.lexicon.find(word)
        return bool(known) or self._is_standard(word)

    def is_name(self, word: str) -> bool:
        """True if a word is the name of a person or a place."""
        return fold(word) in self._names

    def is_english(self, word: str) -> bool:
        """True if a word in Latin letters is a common English word."""
        return word.casefold() in self._english()

    def phrase_width(self, typed: Sequence[str], at: int) -> int:
        """Return how many words the known phrase at word `at` has: 2 for «لقطة شاشة» (screenshot); else 1."""
        for width in range(min(self.lexicon.longest, len(typed) - at), 1, -1):
            phrase = fold(" ".join(typed[at : at + width])).removeprefix("ال")
            if phrase in self.lexicon.standard or self.lexicon.find(phrase):
                return width
        return self._width_of_name(typed, at) or 1

    def begins_with_and(self, word: str) -> bool:
        """True if the و that a word begins with means "and", as in وقطط (and cats) and unlike in واقفة (standing).

        It means "and" before an article, before أ, إ and آ, and before standard words. If captions have the word, with
        or without the و, it means "and" if the word without the و is the more frequent one. It also means "and" before
        other known words, and before unknown words of more than MIN_STEM letters that do not begin with ا (which makes
        participles).
        """
        rest, standard = word[1:], self.lexicon.standard
        if not word.startswith("و") or len(rest) < MIN_STEM or fold(word) in standard or self.is_name(word):
            return False
        # والد (father) does not begin with و and an article
        article = rest.startswith("ال") and not rest.startswith("الد")
        if article or rest[0] in "أإآ" or fold(rest) in standard:
            return True
        alone, whole = self.vocabulary.count(rest), self.vocabulary.count(word)
        if alone or whole or self.lexicon.find(word):
            return alone > whole
        return self.vocabulary.knows(rest) or (len(rest) > MIN_STEM and not rest.startswith("ا"))

    # ------------------------------------------------------------------ words

    def _read_words(self, typed: Sequence[str]) -> list[tuple[int, list[Change]]]:
        """Find the words, and groups of words, that may mean other words.

        Return for each word or group the index of its first word, and the changes that may be made to it.
        """
        if len(typed) == 1 and (alone := self.lexicon.alone.get(fold(typed[0]))):
            return [(0, [Change(typed[0], alone, "dialect", SURE)])]
        widths = [self._width_of_name(typed, at) for at in range(len(typed))]
        latin = self.latin.read(typed, {place for at, width in enumerate(widths) for place in range(at, at + width)})
        slots: list[tuple[int, list[Change]]] = []
        at = 0
        while at < len(typed):
            if of_name := widths[at]:
                at += of_name
                continue
            changes = latin.get(at) if at in latin else self._read_arabic(typed, at) if is_arabic(typed[at]) else []
            if changes:
                slots.append((at, changes))
            at += max((change.width for change in changes or ()), default=1)
        judged = raise_by_evidence([changes for _, changes in slots])
        likely = [[c for c in changes if c.confidence >= LEAST_CONFIDENCE][:MAX_CHOICES] for changes in judged]
        return [(at, changes) for (at, _), changes in zip(slots, likely, strict=True) if changes]

    def _width_of_name(self, typed: Sequence[str], at: int) -> int:
        """Return how many words, two or more, the known name that begins at word `at` has; 0 if none begins there."""
        for width in range(min(self._longest_name, len(typed) - at), 1, -1):
            first, *others = typed[at : at + width]
            for stem in (first, *(stem for _, stem in split_proclitics(first))):
                if fold(" ".join((stem, *others))) in self._names:
                    return width
        return 0

    def _read_arabic(self, typed: Sequence[str], at: int) -> list[Change]:
        """Return what the Arabic word at `at` may stand for: a word torn in two, a dialect word, another spelling."""
        word, following = typed[at], typed[at + 1] if at + 1 < len(typed) else ""
        if is_arabic(following) and (whole := self.spelling.join_halves(word, following)):
            return [whole]
        changes = self.dialects.phrase(typed, at) or self.dialects.word(typed, at)
        if not any(c.confidence >= LEAST_CONFIDENCE for c in changes) and (usual := self.spelling.usual(word)):
            # عمرة and منى are names as they are written; but علي is far more often "on" (على) than the name Ali
            named = word in self._unfolded_names and (
                word.endswith("ى") or self.vocabulary.count(usual.target) < VERY_OFTEN
            )
            changes = changes if named else [usual, *changes]
        # Before another word, as in «مش كلب» (not a dog), مش means "not", and never "cat" as in Morocco.
        if following and (folded := fold(word)) in NEGATIONS:
            walks = folded == WALKING  # «ماشي» is "walking" here: where it means "not", it was removed before
            changes = [change for change in changes if (fold(change.target) in NEGATIONS) is not walks]
        if not changes and len(word) > 1 and not self.vocabulary.knows(word) and not self._is_standard(word):
            changes = self.spelling.correct(word)
            changes = [self._as_standard_word(change) for change in changes]
        return changes

    def _is_standard(self, word: str) -> bool:
        """True if a word, or its stem after a beginning such as «ال», is a standard word of the lexicon or a name."""
        stems = [fold(stem) for stem in (word, *(stem for _, stem in split_proclitics(word)))]
        return any(stem in self.lexicon.standard or stem in self._names for stem in stems)

    def _as_standard_word(self, change: Change) -> Change:
        """If a correction is a dialect word, return it as the standard word; otherwise return it unchanged."""
        if " " in change.target or not (forms := self.lexicon.find(change.target)) or forms[0].ambiguous:
            return change
        return Change(
            change.source, forms[0].standard, "dialect", change.confidence * 0.9, forms[0].labels, change.width
        )

    # ------------------------------------------------------------------ the whole text

    def _readings(
        self, text: str, spans: Sequence[tuple[int, int]], slots: Sequence[tuple[int, list[Change]]]
    ) -> tuple[Reading, ...]:
        """Return the likeliest readings of a text (texts that it may mean), by beam search.

        Args:
            spans: the words' positions in the text, each as (start, end).
            slots: the result of `_read_words`: words that may mean others, each with its possible changes. A reading
                makes at most one of the changes of each word.
        """
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
            read = _rewrite(
                text, spans, [(at, change) for (at, _), change in zip(slots, chosen, strict=True) if change]
            )
            if read:
                before = merged.get(read)
                made = before[1] if before else tuple(change for change in chosen if change)
                merged[read] = (weight + (before[0] if before else 0.0), made)
        total = sum(weight for weight, _ in merged.values())
        readings = (Reading(read, weight / total, made) for read, (weight, made) in merged.items())
        return tuple(sorted(readings, key=lambda reading: -reading.weight))

    def _language_of(self, text: str, slots: Sequence[tuple[int, list[Change]]]) -> Language:
        if any(changes[0].kind == "arabizi" for _, changes in slots):
            return "arabizi"
        script = script_of(text)
        return "ar" if script == "arabic" else "en" if script == "latin" else script


# Punctuation before and after words. Captions have none, and models read it: the vectors of «شاطئ؟» and «شاطئ» (beach)
# have a cosine of .81. A run of marks is matched only from its beginning, because else it would take quadratic time.
_ENDS = "[؟?!.…,،;؛:»\"“”')]"
_MARKS = re.compile(f"(?<!\\S)[«\"“”'(]+|(?<!{_ENDS}){_ENDS}++(?!\\S)")


def _words_to_interpret(found: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    """Return the words to interpret: the first MAX_WORDS, up to the first word of more than MAX_LETTERS letters."""
    return list(takewhile(lambda match: len(match.group()) <= MAX_LETTERS, islice(found, MAX_WORDS)))


def _without_punctuation(text: str) -> str:
    """Return a text without punctuation before and after its words; unchanged if it is only punctuation."""
    bare = " ".join(_MARKS.sub("", text).split())
    return bare or text


# "\0" after an Arabizi prefix such as «bel» ("in the") joins the prefix to the next word; this finds a "\0" that stands
# before a word in Latin letters.
_PREFIX_OF_LATIN = re.compile("\0 (?=[A-Za-z0-9])")


def _rewrite(text: str, spans: Sequence[tuple[int, int]], changes: Sequence[tuple[int, Change]]) -> str:
    """Return a text with some words changed.

    Args:
        spans: the words' positions in the text, each as (start, end).
        changes: each change, after the index of the first word that it replaces.
    """
    parts, end = [], 0
    for at, change in changes:
        parts += [text[end : spans[at][0]], change.target]
        end = spans[at + change.width - 1][1]
    joined = _PREFIX_OF_LATIN.sub(" ", "".join((*parts, text[end:])))
    joined = joined.replace("\0 ", "").replace("\0", "")
    return " ".join(joined.split())
