"""How well the texts of pictures (names, metadata, captions, OCR) answer a query, and where they do. Pure.

A query's word counts by its rarity in the gallery, from 1 for a word of one picture to 0 for one of all. Coverage is
the share of the words that a picture's texts have, by rarity; strength is coverage times the sum of squared rarities of
the words found over the sum of all rarities: near 1 where every word is found and rare, near 0 for one of several. A
word that is only a part of a text's word counts half.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import undirected
from araclip.errors import InputError
from araclip.gallery.results import Match
from araclip.models.vectors import Floats, Ids
from araclip.text.script import is_arabic
from araclip.text.words import Word, asked_words, words

MAX_TEXT_WEIGHT = 10.0
PART = 0.5  # of a whole word
# Strength → relevance, at most the coverage. Half of a query's words, or a part of its one word («فيل» in «الفيلم»),
# stays below a strong hit.
SURELY = 1.9
FEW = 10  # pictures: where more have the whole word, parts of words are not looked for
COMMON = 0.1  # of the pictures, or MANY of them: a word of more tells nothing, and is left out
MANY = 10_000
MOST = 2_000  # pictures that a text can lift
AT_ONCE = 10_000  # ids of which a server is asked, in one request, which pass the filters: some 100 kB
MAX_WORDS = 64  # of a query that are looked for, with up to two questions to the index each; a model reads little more
BEFORE, AFTER = 40, 80  # letters of a snippet around the first word found
FIELDS = {"names": "name", "metadata": "metadata", "captions": "caption", "ocr": "ocr"}


class TextIndex(Protocol):
    """An index of the words of texts; documented in `gallery.catalog.word_index.WordIndex`."""

    def with_stems(self, stems: Sequence[str], most: int) -> list[Ids]:
        """For each stem, the ids of pictures with a word of it."""

    def with_parts(self, folded: Sequence[str], most: int) -> list[Ids]:
        """For each text, the ids of pictures with a word that contains it; none where the store cannot look for it."""


@dataclass(frozen=True)
class TextQuery:
    """What to look for in texts beside the vector: words, words that must not be there, and how much texts count.

    `typed`: stems of words that were read from Latin letters (سلم), each with the word as it was typed (salma), which
    is a name where texts have it.

    Raises:
        InputError: the weight is out of range.
    """

    words: tuple[Word, ...]
    unwanted: tuple[tuple[Word, ...], ...] = ()  # of each minus term
    weight: float = 1.0
    typed: tuple[tuple[str, Word], ...] = ()

    @classmethod
    def of(cls, wanted: Sequence[str], unwanted: Sequence[str], weight: float) -> "TextQuery | None":
        """From texts of plus and minus terms; None if there is nothing to look for.

        Of the different words of all plus terms the first MAX_WORDS count, and of the minus terms the first ones that
        have no more together: of an endless query, the work is bounded.
        """
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_TEXT_WEIGHT:
            raise InputError(
                f"text_weight is {weight!r:.40}; it goes from 0 (pictures alone) to {MAX_TEXT_WEIGHT:.0f}, 1 is usual."
            )
        found = tuple(asked_words(" ".join(wanted)))[:MAX_WORDS]
        minus = tuple(filter(None, (tuple(asked_words(text)) for text in unwanted)))
        short = sum(total <= MAX_WORDS for total in accumulate(map(len, minus)))  # whole terms: all words must be there
        return cls(found, minus[:short], float(weight)) if found and weight else None

    @property
    def in_arabic(self) -> bool:
        """Whether a word has Arabic letters; a description in another script says nothing about it."""
        return any(is_arabic(word.folded) for word in self.words)


@dataclass(frozen=True)
class TextMatches:
    """Pictures whose texts answer a query: ids (n,) ascending, strength and coverage (n,) in 0…1.

    `answered`: whether any picture's texts did, also one that the filters leave out.
    """

    ids: Ids
    strength: Floats
    coverage: Floats  # rarity-weighted share of the query's words that are there
    answered: bool = False

    def among(self, allowed: Ids | None) -> "TextMatches":
        """Those with an id in `allowed` (ascending), at most MOST, the strongest."""
        keep = np.ones(len(self.ids), bool) if allowed is None else np.isin(self.ids, allowed, assume_unique=True)
        rows = np.flatnonzero(keep)
        rows = np.sort(rows[np.lexsort((self.ids[rows], -self.strength[rows]))[:MOST]])
        return TextMatches(self.ids[rows], self.strength[rows], self.coverage[rows], self.answered)

    def among_passing(self, passing: Callable[[list[int]], Sequence[int]]) -> "TextMatches":
        """As `among`, where a server knows which pictures pass its filters.

        Args:
            passing: those of some ids that pass; it is called with AT_ONCE of them, the strongest first, until MOST do.
        """
        if len(self.ids) <= MOST:
            return self  # nothing to choose: whoever reads these pictures leaves out what does not pass
        strongest = self.ids[np.lexsort((self.ids, -self.strength))]
        allowed: list[int] = []
        for start in range(0, len(strongest), AT_ONCE):
            allowed += passing(strongest[start : start + AT_ONCE].tolist())
            if len(allowed) >= MOST:
                break
        return self.among(np.array(allowed, np.int64))

    def relevance(self) -> Floats:
        """(n,) 0…1: how surely a picture is meant, judged by its texts alone."""
        return np.minimum(self.coverage, SURELY * self.strength)

    def of(self, content: int) -> tuple[float, float]:
        """Strength and relevance of one picture; 0 where its texts do not match."""
        row = int(np.searchsorted(self.ids, content))
        found = row < len(self.ids) and self.ids[row] == content
        return (float(self.strength[row]), float(self.relevance()[row])) if found else (0.0, 0.0)


NO_MATCHES = TextMatches(np.empty(0, np.int64), np.empty(0), np.empty(0))


def text_matches(index: TextIndex, query: TextQuery, pictures: int) -> TextMatches:
    """The pictures with a word of the query, in a gallery of so many pictures."""
    most = max(MANY, int(COMMON * pictures))
    stems = [*(word.stem for word in query.words), *(typed.stem for _, typed in query.typed)]
    with_stem = dict(zip(stems, index.with_stems(stems, most), strict=True))
    wholes = []
    for word in query.words:
        whole = with_stem[word.stem]
        for typed in (typed for stem, typed in query.typed if stem == word.stem):
            whole = np.union1d(whole, with_stem[typed.stem])
        wholes.append(whole)
    rare = [word.folded for word, whole in zip(query.words, wholes, strict=True) if len(whole) < FEW]
    with_part = dict(zip(rare, index.with_parts(rare, most), strict=True))
    counted: list[tuple[float, Ids, Ids]] = []  # rarity of a word, pictures that have it, those that have it as a part
    for word, whole in zip(query.words, wholes, strict=True):
        part = np.setdiff1d(with_part.get(word.folded, whole[:0]), whole, assume_unique=True)
        if len(whole) <= most:
            counted.append((rarity(len(whole) or len(part), pictures), whole, part if len(part) <= most else part[:0]))
    total = sum(weight for weight, *_ in counted)
    if not total:
        return NO_MATCHES
    every = np.sort(np.concatenate([each for _, *found in counted for each in found]))
    ids = every[np.diff(every, prepend=-1) > 0]  # each once; np.unique would import numpy.ma, 20 ms
    strength, coverage = np.zeros(len(ids)), np.zeros(len(ids))
    for weight, whole, part in counted:
        there = np.isin(ids, whole, assume_unique=True) + PART * np.isin(ids, part, assume_unique=True)
        strength += there * weight**2 / total
        coverage += there * weight / total
    strength *= coverage
    for minus in query.unwanted:
        strength[_with_all(index, minus, ids, most)] = 0
    kept = strength > 0
    return TextMatches(ids[kept], strength[kept], coverage[kept], bool(kept.any()))


def rarity(pictures_with: int, pictures: int) -> float:
    """1 for a word of one picture of many, 0 for one of all; 1 for a word that no text has."""
    return float(np.clip(np.log((pictures + 1) / max(pictures_with, 1)) / np.log(pictures + 1), 0, 1))


def _with_all(index: TextIndex, asked: Sequence[Word], ids: Ids, most: int) -> NDArray[np.bool_]:
    """Which of the pictures have all these words in their texts."""
    there = np.ones(len(ids), bool)
    for found in index.with_stems([word.stem for word in asked], most):
        there &= np.isin(ids, found, assume_unique=True)
    return there


def where_found(document: Mapping[str, Sequence[str]], query: TextQuery) -> tuple[Match, ...]:
    """The texts of a picture in which words of the query stand, the best of each field."""
    found: list[Match] = []
    for field, name in FIELDS.items():
        texts = [undirected(text) for text in document.get(field, ())]
        marked = [(_marks(text, query, names=field == "names"), text) for text in texts]
        marks, text = max(marked, key=lambda each: len(each[0]), default=((), ""))
        if marks:
            found.append(_snippet(name, text, marks))
    return tuple(found)


def _marks(text: str, query: TextQuery, *, names: bool) -> tuple[tuple[int, int], ...]:
    stems = {word.stem for word in (*query.words, *(typed for _, typed in query.typed))}
    parts = [word.folded for word in query.words if len(word.folded) > 2]
    marks: list[tuple[int, int]] = []
    for word in words(text, names=names):
        if word.stem in stems or any(part in word.folded for part in parts):
            marks.append((word.start, word.end))
    return tuple(marks)


def _snippet(field: str, text: str, marks: Sequence[tuple[int, int]]) -> Match:
    """The surroundings of the first mark, on one line."""
    start = max(0, marks[0][0] - BEFORE)
    end = min(len(text), max(marks[0][1], start + BEFORE + AFTER))
    if start:
        start = text.find(" ", start, marks[0][0]) + 1 or start
    if end < len(text):
        end = max(text.rfind(" ", marks[0][1], end), marks[0][1]) if " " in text[marks[0][1] : end] else end
    inside = tuple((a - start, b - start) for a, b in marks if a >= start and b <= end)
    line = "".join(" " if letter.isspace() else letter for letter in text[start:end])
    before, after = "…" * (start > 0), "…" * (end < len(text))
    return Match(field, before + line + after, tuple((a + len(before), b + len(before)) for a, b in inside))
