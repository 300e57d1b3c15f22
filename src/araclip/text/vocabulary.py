"""Words that captions use, with counts: what a query's words are compared with. Immutable, pure."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import is_arabic, words

OWN = 10  # occurrences in captions that one in a text of the gallery stands for
KEPT = 0.1  # a spelling that makes up this share of its word's occurrences is a spelling, not a mistake

# و and then; ال the; ب with; ل to; ك like. What a word may begin with, the longest first.
PROCLITICS = ("وبال", "وكال", "فبال", "وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ل", "ك")
ENDINGS = ("يه", "هما", "كما", "هم", "هن", "ها", "نا", "كم", "ات", "ان", "ين", "ون", "وا", "ه", "ي", "ا", "ك", "ت", "ن")
MIN_STEM = 3  # letters


class Vocabulary:
    """Words with their counts, as they are spelled; found by their folded form.

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
        """With the words of further texts (a gallery's captions, names), of at most `most` different ones.

        A word of theirs counts as much as one that captions use often: it is known to be in the gallery.
        """
        counts = dict(self.counts)
        room = len(counts) + most
        for text in texts:
            for match in words(normalize(text)):
                word = match.group()
                if 2 <= len(word) <= 30 and not word.isdigit() and (word in counts or len(counts) < room):
                    counts[word] = counts.get(word, 0) + OWN
        return Vocabulary(counts)

    def knowing(self, everyday: Iterable[str]) -> "Vocabulary":
        """With everyday words, which count as much as one that captions use now and then."""
        rare = {word: OWN for word in everyday if " " not in word and self.counts.get(word, 0) < OWN}
        known = Vocabulary({})
        known.counts = self.counts | rare
        known._spellings = self._spellings | {  # only theirs: to sort and fold all takes every process 30 ms
            key: sorted({*self._spellings.get(key, ()), *spelled}, key=known._usual_first)
            for key, spelled in Vocabulary(rare)._spellings.items()
        }
        return known

    @cached_property
    def folded(self) -> dict[str, int]:
        """Folded word → the count of all its spellings."""
        return {key: sum(self.counts[word] for word in spelled) for key, spelled in self._spellings.items()}

    @cached_property
    def total(self) -> int:
        """How many words were counted."""
        return sum(self.counts.values())

    def count(self, word: str) -> int:
        """How often the word occurs, in any spelling."""
        return self.folded.get(fold(word), 0)

    def spelling(self, word: str) -> str | None:
        """The usual spelling of a word; the word itself where it is one; None where it is unknown in every spelling."""
        spelled = self._spellings.get(fold(word))
        if spelled is None:
            return None
        total = self.folded[fold(word)]
        return word if self.counts.get(word, 0) >= KEPT * total else spelled[0]

    def spelling_of_parts(self, word: str) -> str | None:
        """As `spelling`, of a word whose stem is known without what it begins with: والشاطى → والشاطئ."""
        for prefix, stem in split_proclitics(word):
            if (spelled := self.spelling(stem)) is not None:
                return prefix + spelled
        return None

    def knows(self, word: str) -> bool:
        """Whether the word, or its stem without common beginnings and endings, is known."""
        if self.count(word):
            return True
        stems = [word, *(stem for _, stem in split_proclitics(word))]
        for stem in stems:
            if self.count(stem):
                return True
            folded = fold(stem)
            for ending in ENDINGS:
                bare = folded.removesuffix(ending)
                if bare != folded and len(bare) >= MIN_STEM and (bare in self.folded or bare + "ه" in self.folded):
                    return True
        return False


def split_proclitics(word: str) -> Iterable[tuple[str, str]]:
    """(beginning, stem) pairs of an Arabic word, the longest beginning first; stems have three letters and more."""
    if is_arabic(word):
        for prefix in PROCLITICS:
            if word.startswith(prefix) and len(word) - len(prefix) >= MIN_STEM:
                yield prefix, word[len(prefix) :]
