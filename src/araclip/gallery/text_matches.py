"""Find the pictures whose texts (names, metadata, captions, OCR) match a query, rate the matches, and mark them. Pure.

Each word of a query counts by its rarity in the gallery: 1 if a single picture has the word, nearly 0 if all have it.
Coverage is the share of the query's words that a picture's texts contain, weighted by rarity. Strength is coverage
times (the sum of squared rarities of the words found / the sum of rarities of all words): near 1 if every word is found
and rare, near 0 if only one of several words is found. A word found only as a part of a longer word counts half.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np

from araclip.core.display import undirected
from araclip.errors import InputError
from araclip.gallery.results import Match
from araclip.models.vectors import Floats, Ids
from araclip.text.script import is_arabic
from araclip.text.words import Word, asked_words, words

MAX_TEXT_WEIGHT = 10.0
PART = 0.5  # a word found inside a longer word counts as half a word
# Relevance by texts alone is SURELY * strength, at most the coverage. With 1.9, finding half of a query's words, or its
# only word inside a longer one («فيل», elephant, in «الفيلم», the film), is not enough for a strong hit.
SURELY = 1.9
FEW = 10  # a word is looked for inside longer words only if fewer pictures than this have it as a whole word
COMMON = 0.1  # a word tells nothing and is ignored if more than this share of the pictures, and more than MANY, have it
MANY = 10_000
MOST = 2_000  # limit: pictures whose rank is raised because of their texts
AT_ONCE = 10_000  # limit: ids (some 100 kB) in one request that asks PostgreSQL which pictures pass the filters
MAX_WORDS = 64  # limit: words of a query that are looked for, in up to two index look-ups each
BEFORE, AFTER = 40, 80  # letters that a snippet shows before and after the first word found
FIELDS = {"names": "name", "metadata": "metadata", "captions": "caption", "ocr": "ocr"}


class TextIndex(Protocol):
    """An index of the words in pictures' texts; its methods are explained in `gallery.catalog.word_index.WordIndex`."""

    def with_stems(self, stems: Sequence[str], most: int) -> list[Ids]:
        """For each stem, return the ids of at most `most` + 1 pictures whose texts have a word with that stem."""

    def with_parts(self, folded: Sequence[str], most: int) -> list[Ids]:
        """For each text, return the ids of at most `most` + 1 pictures with a word that contains the text.

        For a short text, no id is returned.
        """


@dataclass(frozen=True)
class TextQuery:
    """What to look for in pictures' texts: words, words that must not be there, and how much matches count.

    `typed` lists words that were typed in Latin letters: the stem of the Arabic word that each may mean (سلم), with the
    typed word (salma). Texts with either of them match, because the typed word may be a name.
    """

    words: tuple[Word, ...]
    unwanted: tuple[tuple[Word, ...], ...] = ()  # the words of each term after a minus
    weight: float = 1.0
    typed: tuple[tuple[str, Word], ...] = ()

    @classmethod
    def of(cls, wanted: Sequence[str], unwanted: Sequence[str], weight: float) -> "TextQuery | None":
        """Make a query from the texts of plus and minus terms; None if there is no word to look for, or `weight` is 0.

        Only the first MAX_WORDS different words of the plus terms count, and only the first minus terms that together
        have at most MAX_WORDS words: this bounds the work for an endless query.

        Raises:
            InputError: the weight is out of range.
        """
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_TEXT_WEIGHT:
            raise InputError(
                f"text_weight is {weight!r:.40}; it goes from 0 (pictures alone) to {MAX_TEXT_WEIGHT:.0f}, 1 is usual."
            )
        found = tuple(asked_words(" ".join(wanted)))[:MAX_WORDS]
        minus = tuple(filter(None, (tuple(asked_words(text)) for text in unwanted)))
        # Leave out whole minus terms: all words of a term must match, so a shortened term would exclude more pictures.
        short = sum(total <= MAX_WORDS for total in accumulate(map(len, minus)))
        return cls(found, minus[:short], float(weight)) if found and weight else None

    @property
    def in_arabic(self) -> bool:
        """True if a word of the query has Arabic letters.

        Then a description in another script cannot hold the query's words, so that their absence says nothing."""
        return any(is_arabic(word.folded) for word in self.words)


@dataclass(frozen=True)
class TextMatches:
    """The pictures whose texts match a query: their ids (n,) ascending, with strength and coverage (n,) in 0…1.

    Coverage is the share of the query's words that the texts contain, weighted by rarity; strength is lower if these
    words are common (see the module). `answered`: True if any picture's texts match, even if the filters leave it out.
    """

    ids: Ids
    strength: Floats
    coverage: Floats  # share of the query's words that the texts contain, weighted by rarity
    answered: bool = False

    def among(self, allowed: Ids | None) -> "TextMatches":
        """Keep the matches with an id in `allowed` (None: all ids); of these, keep the strongest, at most MOST."""
        keep = np.ones(len(self.ids), bool) if allowed is None else np.isin(self.ids, allowed, assume_unique=True)
        rows = np.flatnonzero(keep)
        rows = np.sort(rows[np.lexsort((self.ids[rows], -self.strength[rows]))[:MOST]])
        return TextMatches(self.ids[rows], self.strength[rows], self.coverage[rows], self.answered)

    def among_passing(self, passing: Callable[[list[int]], Sequence[int]]) -> "TextMatches":
        """If there are more than MOST matches, keep the MOST strongest of those that pass the filters.

        Fewer matches are all kept; the caller leaves out pictures that do not pass.

        Args:
            passing: returns which of the given ids pass the filters. It is called with AT_ONCE ids at a time, the
                strongest matches first, until MOST pictures have passed.
        """
        if len(self.ids) <= MOST:
            return self  # no need to ask which pictures pass: the caller leaves out the others
        strongest = self.ids[np.lexsort((self.ids, -self.strength))]
        allowed: list[int] = []
        for start in range(0, len(strongest), AT_ONCE):
            allowed += passing(strongest[start : start + AT_ONCE].tolist())
            if len(allowed) >= MOST:
                break
        return self.among(np.array(allowed, np.int64))

    def relevance(self) -> Floats:
        """Return each picture's relevance judged by its texts alone: (n,) in 0…1."""
        return np.minimum(self.coverage, SURELY * self.strength)

    def match_of(self, content: int) -> tuple[float, float]:
        """Return strength, and relevance by texts alone, of one picture's match; (0, 0) if its texts do not match."""
        row = int(np.searchsorted(self.ids, content))
        found = row < len(self.ids) and self.ids[row] == content
        return (float(self.strength[row]), float(self.relevance()[row])) if found else (0.0, 0.0)


NO_MATCHES = TextMatches(np.empty(0, np.int64), np.empty(0), np.empty(0))


def text_matches(index: TextIndex, query: TextQuery, pictures: int) -> TextMatches:
    """Find the pictures whose texts have a word of the query. `pictures` is the number of pictures in the gallery."""
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
    # For each word: its rarity, the pictures with it as a whole word, and those with it inside a longer word.
    counted: list[tuple[float, Ids, Ids]] = []
    for word, whole in zip(query.words, wholes, strict=True):
        part = np.setdiff1d(with_part.get(word.folded, whole[:0]), whole, assume_unique=True)
        if len(whole) <= most:
            counted.append((rarity(len(whole) or len(part), pictures), whole, part if len(part) <= most else part[:0]))
    total = sum(weight for weight, *_ in counted)
    if not total:
        return NO_MATCHES
    every = np.sort(np.concatenate([each for _, *both in counted for each in both]))
    ids = every[np.diff(every, prepend=-1) > 0]  # each id once (np.unique would import numpy.ma, 20 ms)
    strength, coverage = np.zeros(len(ids)), np.zeros(len(ids))
    for weight, whole, part in counted:
        there = np.isin(ids, whole, assume_unique=True) + PART * np.isin(ids, part, assume_unique=True)
        strength += there * weight**2 / total
        coverage += there * weight / total
    strength *= coverage
    for minus in query.unwanted:
        has_all = np.ones(len(ids), bool)
        for found in index.with_stems([word.stem for word in minus], pictures):
            has_all &= np.isin(ids, found, assume_unique=True)
        strength[has_all] = 0
    kept = strength > 0
    return TextMatches(ids[kept], strength[kept], coverage[kept], bool(kept.any()))


def rarity(pictures_with: int, pictures: int) -> float:
    """Return the rarity of a word: 1 if one picture or none has the word, falling to nearly 0 if all have it."""
    return float(np.clip(np.log((pictures + 1) / max(pictures_with, 1)) / np.log(pictures + 1), 0, 1))


def where_found(document: Mapping[str, Sequence[str]], query: TextQuery) -> tuple[Match, ...]:
    """For each of a picture's fields (captions, names …), return the one text with most of the query's words.

    The text is cut short, with the positions of the words; fields without any of the words are left out.
    """
    stems = {word.stem for word in (*query.words, *(typed for _, typed in query.typed))}
    parts = [word.folded for word in query.words if len(word.folded) > 2]
    found: list[Match] = []
    for field, name in FIELDS.items():
        best: tuple[list[tuple[int, int]], str] = [], ""  # (start, end) of each found word in a text, and the text
        for text in map(undirected, document.get(field, ())):
            marks = [
                (word.start, word.end)
                for word in words(text, names=field == "names")
                if word.stem in stems or any(part in word.folded for part in parts)
            ]
            best = (marks, text) if len(marks) > len(best[0]) else best
        if best[0]:
            found.append(_snippet(name, best[1], best[0]))
    return tuple(found)


def _snippet(field: str, text: str, marks: Sequence[tuple[int, int]]) -> Match:
    """Cut a text to the surroundings of the first found word, on one line; move `marks` (where words are) with it."""
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
