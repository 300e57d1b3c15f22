"""Holds the words of captions and their counts, with which a query's words are compared. Immutable, pure."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import is_arabic, words
from araclip.text.word_lists import read_folded

OWN = 10  # each occurrence of a word in the gallery's texts counts as this many occurrences in captions
KEPT = 0.1  # a spelling with at least this share of a word's occurrences is no mistake

# Beginnings of words, the longest first: و "and", ف "then", ال "the", ب "with", ل "to", ك "like", and combinations.
PROCLITICS = ("وبال", "وكال", "فبال", "وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ل", "ك")
ENDINGS = ("يه", "هما", "كما", "هم", "هن", "ها", "نا", "كم", "ات", "ان", "ين", "ون", "وا", "ه", "ي", "ا", "ك", "ت", "ن")
_WHOLE = read_folded("words: whole")  # their first letter is no proclitic
MIN_STEM = 3  # a stem has at least this many letters


class Vocabulary:
    """Words as captions spell them, with their counts; a word is also found by its spelling variants.

    Args:
        counts: word → how often captions use it.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = dict(counts)
        self._spellings: dict[str, list[str]] = {}
        for word in sorted(self.counts, key=self._usual_first):
            self._spellings.setdefault(fold(word), []).append(word)

    def _usual_first(self, word: str) -> tuple[int, str]:
        return -self.counts[word], word

    def __len__(self) -> int:
        return len(self.counts)

    def __contains__(self, word: str) -> bool:
        return word in self.counts

    def extended(self, texts: Iterable[str], *, most: int = 50_000) -> "Vocabulary":
        """Return a vocabulary that also has the words of further texts, such as a gallery's captions and names.

        Each occurrence in these texts counts as OWN occurrences in captions, because the word is known to be in the
        gallery. At most `most` new words are added; numbers, single letters and words of more than 30 letters are not.
        """
        counts = dict(self.counts)
        room = len(counts) + most
        for text in texts:
            for match in words(normalize(text)):
                word = match.group()
                if 2 <= len(word) <= 30 and not word.isdigit() and (word in counts or len(counts) < room):
                    counts[word] = counts.get(word, 0) + OWN
        return Vocabulary(counts)

    def with_everyday_words(self, everyday: Iterable[str]) -> "Vocabulary":
        """Return a vocabulary in which every everyday word counts at least OWN, as if captions used it so often."""
        rare = {word: OWN for word in everyday if " " not in word and self.counts.get(word, 0) < OWN}
        known = Vocabulary({})
        known.counts = self.counts | rare
        known._spellings = self._spellings | {  # only the new spellings are sorted: to sort all again would take 30 ms
            key: sorted({*self._spellings.get(key, ()), *spelled}, key=known._usual_first)
            for key, spelled in Vocabulary(rare)._spellings.items()
        }
        return known

    @cached_property
    def folded(self) -> dict[str, int]:
        """Word, folded → the count of all its spellings."""
        return {key: sum(self.counts[word] for word in spelled) for key, spelled in self._spellings.items()}

    @cached_property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(self.counts.values())

    def count(self, word: str) -> int:
        """Return how often captions use the word, in any spelling."""
        return self.folded.get(fold(word), 0)

    def spelling(self, word: str) -> str | None:
        """Return the commonest spelling of a word in captions; None if captions lack the word in any spelling.

        If captions use the spelling `word` in at least the share KEPT of the word's occurrences, `word` is returned.
        """
        spelled = self._spellings.get(fold(word))
        if spelled is None:
            return None
        total = self.folded[fold(word)]
        return word if self.counts.get(word, 0) >= KEPT * total else spelled[0]

    def spelling_of_parts(self, word: str) -> str | None:
        """Return the usual spelling of a word whose stem is known (والشاطى → والشاطئ); None if no stem is known."""
        for prefix, stem in split_proclitics(word):
            if (spelled := self.spelling(stem)) is not None:
                return prefix + spelled
        return None

    def knows(self, word: str) -> bool:
        """True if the vocabulary has the word, or its stem without common beginnings and endings."""
        if self.count(word):
            return True
        stems = [word, *(stem for _, stem in split_proclitics(word))]
        for stem in stems:
            if self.count(stem):
                return True
            folded = fold(stem)
            for ending in ENDINGS:
                bare = folded.removesuffix(ending)
                nouns = {bare, bare + "ه", bare.removesuffix("ت") + "ه"}  # لوحتي, "my picture", comes from لوحة
                if bare != folded and len(bare) >= MIN_STEM and any(each in self.folded for each in nouns):
                    return True
        return False


def split_proclitics(word: str) -> Iterable[tuple[str, str]]:
    """Yield splits of an Arabic word into beginning and stem (three letters or more), longest beginning first."""
    if is_arabic(word) and fold(word) not in _WHOLE:
        for prefix in PROCLITICS:
            if word.startswith(prefix) and len(word) - len(prefix) >= MIN_STEM:
                yield prefix, word[len(prefix) :]
