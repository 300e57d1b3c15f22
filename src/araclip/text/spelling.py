"""Corrects spelling variants and typos of Arabic words, by a vocabulary. Pure.

These corrections are tried, the surest first: the usual spelling of a known word (hamza, ة/ه, ى/ي, Persian letters);
letters typed several times; two words without a space; a word with a space in it; one letter missing, added, exchanged
or wrong.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from araclip.text.folding import fold
from araclip.text.latin import Change
from araclip.text.vocabulary import MIN_STEM, Vocabulary, split_proclitics
from araclip.text.word_lists import read_folded

# confidences (0…1): usual spelling of a word, of its stem; repeated letters; two words without a space
USUAL, USUAL_PART, REPEATED, RUN_TOGETHER = 0.97, 0.9, 0.92, 0.85
SLIP = 0.6  # confidence of all corrections of a typo together
LONG_ENOUGH = 4  # typos are corrected in words of at least this many letters; shorter words have too many neighbours
MAX_SLIPS = 2  # limit: corrections of one word
MIN_SLIP_COUNT = 10  # least count of the word to which a typo is corrected; a rarer word is no likelier than the typo
MIN_COUNT = 3  # least count of each of two words that were typed without a space
# How often a space is typed inside a word, relative to a space between two words: two words are joined only if the word
# that they make is so common that this rare mistake is likelier. Chosen on the captions of 600 training pictures; in
# 1,998 captions that the vocabulary has not seen, no words are joined wrongly (docs/log/2026-11.md).
RARELY_TORN = 1e-3
TORN_LEAST, TORN_SURE = 0.5, 0.95  # least and most confidence of a joined word
UNSEEN = 0.5  # a torn word's half that is in no caption counts as if it had been seen this often
# If a word is known only without its beginning («و», «ال» …), it counts as often as its stem, times this factor.
BY_STEM = 0.1
ARTICLE = "ال"
LOOSE = frozenset("وفبلكع")  # one-letter words that people write apart, as in «ف البحر», "in the sea"
_RUN_TOGETHER = read_folded("spelling: run together")
_RUN = re.compile(r"(.)\1+")
_MARKED = ("أإآؤئء", "آ")  # letters with hamza or madda, and those with madda
# letters that correct spelling never doubles, though people type شاطئئ
_NEVER_TWICE = re.compile("([ءئؤأإآةى])(?:\\1|ء)+")
SWAPPED_COUNT = 300  # least count of a word of three letters to which swapped letters are corrected: كبل → كلب (dog)
# Pairs of letters that are easily confused: neighbours in sound or on the keyboard.
_CONFUSED = frozenset(
    frozenset(pair)
    for pair in (
        "ضظ", "ذد", "ذز", "ثت", "ثس", "قك", "صس", "طت", "حه", "غع", "جح", "خح", "سش", "صض", "طظ", "رز", "عغ", "بي",
        "نت", "فق",
    )
)  # fmt: skip


class Spelling:
    """Corrects the spelling of words: finds the words of a vocabulary that may have been meant."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def usual(self, word: str) -> Change | None:
        """Return the usual spelling of a word; None if there is nothing to correct.

        Nothing is corrected if the word is unknown, if it has its usual spelling already, or if the usual spelling has
        fewer hamzas or maddas than the word. But آ may become أ.
        """
        once = _NEVER_TWICE.sub(r"\1", word)
        spelled, confidence = self.vocabulary.spelling(once), USUAL
        if spelled is None:
            spelled, confidence = self.vocabulary.spelling_of_parts(once), USUAL_PART
        if spelled is None or spelled == word:
            return None
        # A word with fewer hamzas or maddas is another word, no correction: إناء (a vessel) is not أنا (I), except that
        # people type آ for أ, its neighbour on the keyboard: آسد (أسد, lion).
        fewer = any(_count(spelled, each) < _count(once, each) for each in _MARKED)
        if fewer and (len(once) < MIN_STEM or spelled != once.replace("آ", "أ")):
            return None
        return Change(word, spelled, "spelling", confidence)

    def correct(self, word: str) -> list[Change]:
        """Return the corrections of an unknown word, the likeliest first; empty if no known word is near."""
        if target := self._without_repeated_letters(word):
            return [Change(word, target, "spelling", REPEATED)]
        if target := self._split_two_words(word):
            return [Change(word, target, "spelling", RUN_TOGETHER)]
        return list(self._correct_typo(word))

    def join_halves(self, word: str, following: str) -> Change | None:
        """Join `word` and the next word if they are halves of a word (أب يض → أبيض); None if two words are likelier."""
        if word == ARTICLE:
            whole = self._known_spelling(word + following) or (
                word + following if self.vocabulary.knows(following) else None
            )
            return Change(f"{word} {following}", whole, "spelling", USUAL, width=2) if whole else None
        whole = word + following
        if word in LOOSE and self.vocabulary.knows(following):
            return None
        if len(whole) < MIN_STEM or not (target := self._known_spelling(whole)):
            return None
        count: float = self.vocabulary.count(whole)
        if count < MIN_COUNT:
            count = BY_STEM * max(self.vocabulary.count(stem) for _, stem in split_proclitics(whole))
        halves = max(self.vocabulary.count(word), UNSEEN) * max(self.vocabulary.count(following), UNSEEN)
        odds = RARELY_TORN * count * self.vocabulary.total / halves
        sure = min(odds / (1 + odds), TORN_SURE)
        return Change(f"{word} {following}", target, "spelling", sure, width=2) if sure >= TORN_LEAST else None

    def nearest(self, word: str) -> str | None:
        """Return the first word that `correct` finds, or else the nearest common word at most two edits away.

        An edit adds, drops or replaces a letter, or exchanges two neighbours. Return None if neither word is found;
        the second is looked for only if `word` has more than LONG_ENOUGH letters.
        """
        if changes := self.correct(word):
            return changes[0].target
        folded = fold(word)
        if len(folded) <= LONG_ENOUGH:
            return None
        from symspellpy import Verbosity

        found = self._symspell.lookup(folded, Verbosity.TOP, max_edit_distance=2)
        return self.vocabulary.spelling(found[0].term) if found and found[0].count >= MIN_COUNT else None

    def _known_spelling(self, word: str) -> str | None:
        """Return the usual spelling of a word.

        If the word is rare, only its stem is spelled as usual, and its beginning (و, ال …) stays as it is. Return None
        if the stem is rare, too. A word is rare if its count is below MIN_COUNT.
        """
        if self.vocabulary.count(word) >= MIN_COUNT:
            return self.vocabulary.spelling(word)
        for prefix, stem in split_proclitics(word):
            if self.vocabulary.count(stem) >= MIN_COUNT:
                return prefix + (self.vocabulary.spelling(stem) or stem)
        return None

    def _without_repeated_letters(self, word: str) -> str | None:
        """Return the known word in which letters were typed several times (جمييييل → جميل); None if there is none."""
        if not _RUN.search(word):
            return None
        thrice = re.sub(r"(.)\1{2,}", r"\1\1", word)
        tried = [_RUN.sub(r"\1", word), thrice]
        tried += [thrice[: run.start()] + run[1] + thrice[run.end() :] for run in _RUN.finditer(thrice)]
        for attempt in tried:
            if attempt != word and len(attempt) > 1 and (spelled := self._known_spelling(attempt)):
                return spelled
        return None

    def _split_two_words(self, word: str) -> str | None:
        """Return the two known words that were typed without a space (كلبأسود → كلب أسود); None if there are none."""
        best, target = 0, None
        for at in range(2, len(word) - MIN_STEM + 1):
            first, second = word[:at], word[at:]
            if (at < MIN_STEM and fold(first) not in _RUN_TOGETHER) or first[:-1] == ARTICLE:
                continue  # the article begins a noun: المصيف (the resort) is not ألم صيف (pain, summer)
            weight = min(self.vocabulary.count(first), self.vocabulary.count(second))
            if weight >= MIN_COUNT and weight > best:
                spelled = (self.vocabulary.spelling(first), self.vocabulary.spelling(second))
                best, target = weight, " ".join(part for part in spelled if part)
        if target is None:
            for at in range(MIN_STEM, len(word) - MIN_STEM + 1):
                spelled_first, spelled_second = self._known_spelling(word[:at]), self._known_spelling(word[at:])
                if spelled_first and spelled_second:
                    return f"{spelled_first} {spelled_second}"
        return target

    def _correct_typo(self, word: str) -> Iterator[Change]:
        """Yield changes to the known words that differ in one letter from an unknown word or its stem, likeliest first.

        For a word shorter than LONG_ENOUGH, two neighbouring letters are exchanged instead (`_swap_letters`).
        """
        folded = fold(word)
        if len(folded) < LONG_ENOUGH:
            yield from self._swap_letters(word)
            return
        from symspellpy import Verbosity

        found = [
            (item.count * _likelihood(folded, item.term), item.term)
            for item in self._symspell.lookup(folded, Verbosity.CLOSEST, max_edit_distance=1)
            if item.count >= MIN_SLIP_COUNT
        ]
        found.sort(reverse=True)
        total = sum(weight for weight, _ in found)
        for weight, term in found[:MAX_SLIPS]:
            spelled = self.vocabulary.spelling(term) or term
            yield Change(word, spelled, "typo", SLIP * weight / total)
        if not found:
            for prefix, stem in split_proclitics(word):
                if len(stem) >= LONG_ENOUGH and prefix in ("ال", "وال", "بال", "و", "لل"):
                    for change in self._correct_typo(stem):
                        if prefix.endswith(("ال", "لل")) and change.target.startswith("ي"):
                            continue  # a word that begins with ي is probably a verb, and verbs take no article
                        yield Change(word, prefix + change.target, "typo", change.confidence * 0.9)
                    return

    def _swap_letters(self, word: str) -> Iterator[Change]:
        """Exchange two neighbouring letters of a word of three letters, and yield the most common word that results.

        Yield nothing if that word has fewer than SWAPPED_COUNT occurrences, or if `word` has another length.
        """
        swaps = (word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1))
        best = max(swaps, key=self.vocabulary.count, default=word)
        if len(word) == MIN_STEM and self.vocabulary.count(best) >= SWAPPED_COUNT:
            yield Change(word, self.vocabulary.spelling(best) or best, "typo", SLIP)

    @cached_property
    def _symspell(self) -> "SymSpell":  # type: ignore[name-defined]  # noqa: F821
        """SymSpell's index of the vocabulary's words (folded), built when the first typo is looked up."""
        from symspellpy import SymSpell

        index = SymSpell(max_dictionary_edit_distance=2, prefix_length=6)
        for word, count in self.vocabulary.folded.items():
            if len(word) >= MIN_STEM:
                index.create_dictionary_entry(word, count)
        return index


def _count(word: str, letters: str) -> int:
    return sum(letter in letters for letter in word)


def _likelihood(typed: str, meant: str) -> float:
    """Return a weight for how likely `meant` is typed as `typed`; exchanged and confused letters weigh most."""
    if len(typed) == len(meant):
        apart = [(one, other) for one, other in zip(typed, meant, strict=True) if one != other]
        if len(apart) == 2 and apart[0] == apart[1][::-1]:
            return 3.0
        if len(apart) == 1 and frozenset(apart[0]) in _CONFUSED:
            return 3.0
        return 1.0
    longer, shorter = (typed, meant) if len(typed) > len(meant) else (meant, typed)
    inside = longer[0] == shorter[0] and longer[-1] == shorter[-1]
    return 2.0 if inside else 0.7
