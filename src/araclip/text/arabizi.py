"""Finds the Arabic words that a word in Arabizi (Arabic in Latin letters and digits, as 7abibi) may stand for.

A Latin word is split into sounds. Arabic words with the same skeleton (its consonants, without those that are often
confused or left out) are candidates; the cost of matching sounds with letters decides.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import product

from araclip.text.word_lists import read_entries, read_mapping

COSTS: dict[str, dict[str, float]] = {
    "a": {"ا": 0.03, "أ": 0.0, "آ": 0.1, "ى": 0.15, "ة": 0.0, "ع": 0.45, "ه": 0.2, "إ": 0.3, "ء": 0.3},
    "aa": {"ا": 0.0, "آ": 0.0, "ى": 0.1, "أ": 0.1, "ع": 0.4},
    "e": {"ي": 0.25, "إ": 0.1, "ة": 0.05, "ه": 0.2, "ا": 0.25, "أ": 0.2, "ى": 0.25, "ئ": 0.3, "ع": 0.5},
    "ee": {"ي": 0.0, "ئ": 0.3}, "ei": {"ي": 0.0}, "ai": {"ي": 0.05}, "ay": {"ي": 0.0}, "ey": {"ي": 0.0},
    "i": {"ي": 0.05, "إ": 0.1, "ى": 0.15, "ئ": 0.2, "ا": 0.4, "ع": 0.5, "ة": 0.3},
    "o": {"و": 0.05, "أ": 0.25, "ؤ": 0.2, "ع": 0.5, "ا": 0.4, "ه": 0.35},
    "oo": {"و": 0.0}, "ou": {"و": 0.0, "أ": 0.2}, "ow": {"و": 0.0},
    "u": {"و": 0.05, "أ": 0.25, "ؤ": 0.2, "ا": 0.4},
    "y": {"ي": 0.0, "ى": 0.1, "ئ": 0.25}, "w": {"و": 0.0, "ؤ": 0.2},
    "b": {"ب": 0.0}, "p": {"ب": 0.1}, "t": {"ت": 0.0, "ط": 0.06, "ة": 0.25, "ث": 0.3}, "6": {"ط": 0.0},
    "6'": {"ظ": 0.0},
    "th": {"ث": 0.0, "ذ": 0.2, "ظ": 0.3}, "s": {"س": 0.0, "ص": 0.06, "ث": 0.25}, "9": {"ص": 0.0, "ق": 0.1},
    "9'": {"ض": 0.0},
    "j": {"ج": 0.0}, "g": {"ج": 0.1, "ق": 0.2, "غ": 0.25, "ك": 0.5}, "dj": {"ج": 0.0},
    "7": {"ح": 0.0}, "h": {"ه": 0.0, "ح": 0.06, "ة": 0.1, "خ": 0.8}, "kh": {"خ": 0.0}, "5": {"خ": 0.0},
    "7'": {"خ": 0.0},
    "x": {"خ": 0.1, "ش": 0.4}, "d": {"د": 0.0, "ض": 0.06, "ذ": 0.2, "ظ": 0.35}, "dh": {"ذ": 0.0, "ض": 0.05, "ظ": 0.05},
    "z": {"ز": 0.0, "ظ": 0.15, "ذ": 0.15, "ض": 0.4}, "r": {"ر": 0.0}, "sh": {"ش": 0.0}, "ch": {"ش": 0.05, "ك": 0.4},
    "$": {"ش": 0.0}, "3": {"ع": 0.0}, "3'": {"غ": 0.0}, "gh": {"غ": 0.0}, "8": {"غ": 0.05, "ق": 0.05, "ه": 0.4},
    "f": {"ف": 0.0}, "v": {"ف": 0.1}, "q": {"ق": 0.0, "ك": 0.5}, "k": {"ك": 0.0, "ق": 0.25}, "c": {"ك": 0.2, "س": 0.3},
    "2": {"ء": 0.0, "أ": 0.0, "إ": 0.0, "ؤ": 0.0, "ئ": 0.0, "آ": 0.0, "ق": 0.05, "ا": 0.15},
    "l": {"ل": 0.0}, "m": {"م": 0.0}, "n": {"ن": 0.0}, "'": {},
}  # fmt: skip
SOUNDS = tuple(COSTS)

OTHER_SKIP = 1.4  # cost of a typed sound or Arabic letter without a counterpart, if no table below has its cost
SOUND_SKIPS = {
    "a": 0.08, "e": 0.1, "i": 0.12, "o": 0.12, "u": 0.12, "aa": 0.5, "ee": 0.5, "oo": 0.5, "ou": 0.3, "ei": 0.3,
    "ai": 0.3,
    "ay": 0.4, "ey": 0.4, "ow": 0.5, "y": 0.7, "w": 0.7, "2": 0.5, "3": 0.9, "'": 0.0,
}  # fmt: skip  # short vowels are not written in Arabic
LETTER_SKIPS = {
    "ا": 0.22, "أ": 0.22, "إ": 0.22, "آ": 0.3, "ى": 0.22, "و": 0.28, "ي": 0.28, "ة": 0.2, "ء": 0.15, "ئ": 0.28,
    "ؤ": 0.28,
    "ع": 0.6, "ه": 0.9, "ق": 0.6,
}  # fmt: skip  # long vowels are often left out

# Letters and sounds that are often confused share a class. A skeleton is made of classes; "" leaves the letter out.
_CLASS_OF_LETTER = {
    "ب": "b", "ت": "t", "ط": "t", "ح": "h", "خ": "x", "د": "d", "ض": "d", "ر": "r", "ز": "z", "س": "s", "ص": "s",
    "ش": "S",
    "ف": "f", "ل": "l", "م": "m", "ن": "n", "ج": "g", "غ": "g",
}  # fmt: skip
LETTER_CLASSES: dict[str, tuple[str, ...]] = {
    **{letter: (name,) for letter, name in _CLASS_OF_LETTER.items()},
    "ث": ("t", "s"), "ذ": ("d", "z"), "ظ": ("d", "z"), "ق": ("k", "", "g"), "ك": ("k", "g"), "ه": ("h", ""),
}  # fmt: skip
SOUND_CLASSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("a", "aa", "e", "ee", "ei", "ai", "ay", "ey", "i", "o", "oo", "ou", "ow", "u", "y", "w", "2",
    "3", "'"), ("",)),
    "b": ("b",), "p": ("b",), "t": ("t",), "6": ("t",), "6'": ("z", "d"), "th": ("t", "d", "z"), "s": ("s",),
    "9": ("s", "k"),
    "9'": ("d",), "j": ("g",), "dj": ("g",), "g": ("g",), "7": ("h",), "h": ("h", ""), "kh": ("x",), "5": ("x",),
    "7'": ("x",), "x": ("x", "S"), "d": ("d",), "dh": ("d", "z"), "z": ("z",), "r": ("r",), "sh": ("S",), "ch": ("S",
    "k"), "$": ("S",),
    "3'": ("g",), "gh": ("g",), "8": ("g", "k", "h"), "f": ("f",), "v": ("f",), "q": ("k",), "k": ("k",),
    "c": ("k", "s"),
    "l": ("l",), "m": ("m",), "n": ("n",),
}  # fmt: skip


# Arabizi words before a noun or a verb, such as "el" (the) → the Arabic prefix that stands for them, such as ال.
PREFIXES = read_mapping("arabizi: prefixes")
ARTICLES = frozenset(typed for typed, prefix in PREFIXES.items() if prefix.endswith(("ال", "لل")) and len(typed) > 1)
VERB_PREFIXES = ("b", "bi", "k", "ka")
WORDS = read_mapping("arabizi: function words")
# Words for "sitting"; before a verb they only say that the action goes on: walad ga3ed yel3ab, "a boy is playing".
SITTING = frozenset(read_entries("arabizi: sitting"))
# Everyday words that would otherwise be taken for others: otta is قطة (cat), not أتى (came); 7elwa جميلة, not حلوى.
USUAL = read_mapping("arabizi: usual")


MAX_COST = 1.3  # an Arabic word whose letters match the typed sounds at a higher cost is no candidate
STEEPNESS = 6.0  # a candidate's weight falls with exp(−STEEPNESS · cost)
COMMONNESS = 0.45  # a candidate's weight rises with this power of its count in captions
BUCKET = 50  # limit: words of equal skeleton (consonants) that are compared, commonest first, besides everyday words
SHORT_COUNT = 30  # a word of two letters is compared if captions use it at least this often, or if it is everyday
MOST_SKELETONS = 12  # limit: skeletons (consonants, as classes of similar letters) that are made of one word
MOST = 3  # limit: Arabic words that one Latin word may stand for
LENGTHS = range(2, 16)
FINAL_VOWEL = 0.6  # cost of a final ي or ى that was not typed, which is rare: walad is ولد (a boy), not ولدي (my boy)
# A first vowel stands for a letter of the Arabic word, often for a ع that was typed without its 3: aroosa is عروسة.
INITIAL_VOWELS = ("a", "e", "i", "o")
INITIAL_VOWEL, INITIAL_AYN = 0.25, 0.2  # cost of skipping a word's first vowel; cost of reading it as ع
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z2356789])\1+")
_SOUND = re.compile("|".join(map(re.escape, sorted(SOUNDS, key=len, reverse=True))))
# A digit beside a letter stands for an Arabic letter (2otta, so8ayyar), but not in names: mp3, 4k, ps5, img2019.
_DIGIT = re.compile(r"[a-z'][2356789]'?|[2356789]'?[a-z]")
_NAME = re.compile(
    r"[a-z]{1,4}\d+|\d{1,3}(k|d|g|p|x|mm|cm|km|m|kg|ml|l|th|st|nd|rd|gb|mb|fps|px)|\d{2,}[a-z]*|[a-z]+\d{2,}[a-z]*|v\d"
)
_SHORT_NAME = re.compile(r"[a-z]2[a-z]|(mp|ps|h|x|g|a|b|i|p|t|v|gt|bmw|r|s)\d")


def has_digits(word: str) -> bool:
    """True if a digit of the word stands for an Arabic letter."""
    word = word.lower()
    if not _DIGIT.search(word) or _SHORT_NAME.fullmatch(word):
        return False
    return _NAME.fullmatch(word) is None or bool(re.fullmatch(r"[a-z]{2,4}[23789]", word))


class Arabizi:
    """An index of a vocabulary's words by their skeletons: their consonants, of which similar ones count as one.

    Args:
        counts: Arabic word → how common it is.
        known: the everyday words of the vocabulary, which are always compared, even if they are short or rare.
    """

    def __init__(self, counts: Mapping[str, int], known: Collection[str] = ()) -> None:
        self._counts, self._known = counts, known
        self._cached_candidates = lru_cache(maxsize=4096)(self._candidates)

    def read(self, word: str) -> list[tuple[str, float]]:
        """Return (Arabic word, confidence from 0 to 1) for at most MOST words that a Latin word may mean, best first.

        The confidences add up to at most 1. Empty if no word is near.
        """
        return list(self._cached_candidates(word.lower().replace("\u2019", "'")))

    def _candidates(self, word: str) -> tuple[tuple[str, float], ...]:
        """Return (Arabic word, confidence) for what a word in lower case may mean, see `read`."""
        if len(word) not in LENGTHS:
            return ()
        sounds = _split_into_sounds(word)
        keys = _skeletons([SOUND_CLASSES[sound] for sound in sounds])
        rated = _matching_costs(sounds, {candidate for key in keys for candidate in self._by_skeleton.get(key, ())})
        if not rated:
            return ()
        weights = {
            candidate: math.exp(-STEEPNESS * cost) * self._counts[candidate] ** COMMONNESS
            for candidate, cost in rated.items()
        }
        best = sorted(weights, key=lambda candidate: -weights[candidate])[:MOST]
        total = sum(weights[candidate] for candidate in best)
        # lowers all confidences if even the nearest word costs much
        sure = math.exp(-2 * max(min(rated.values()) - 0.3, 0.0))
        return tuple((candidate, sure * weights[candidate] / total) for candidate in best)

    @cached_property
    def _by_skeleton(self) -> dict[str, list[str]]:
        """Skeleton (consonants) → the words that have it, commonest first: BUCKET words, and all everyday words."""
        buckets: dict[str, list[str]] = {}
        for word in sorted(self._counts, key=lambda word: -self._counts[word]):
            everyday = word in self._known
            if " " in word or (len(word) < 3 and self._counts[word] < SHORT_COUNT and not everyday):
                continue
            for key in _skeletons([LETTER_CLASSES.get(letter, ("",)) for letter in word]):
                bucket = buckets.setdefault(key, [])
                if everyday or len(bucket) < BUCKET:
                    bucket.append(word)
        return buckets


def _split_into_sounds(word: str) -> list[str]:
    """Split a word into sounds, doubled consonants once: so8ayyara → s o 8 ay a r a, 3arabeyya → 3 a r a b ey a."""
    sounds: list[str] = []
    for match in _SOUND.finditer(_DOUBLED.sub(r"\1", word)):
        sound = match.group()
        if not sounds or sound != sounds[-1]:
            sounds.append(sound)
    return sounds


def _skeletons(classes: Iterable[tuple[str, ...]]) -> list[str]:
    """Return at most MOST_SKELETONS skeletons of a word: strings in which each class of similar letters has one sign.

    A class that follows itself is written once. `classes` has the classes that each letter or sound of the word may
    have; the class "" leaves the letter out.
    """
    options = [options for options in classes if options != ("",)]
    while math.prod(len(choice) for choice in options) > MOST_SKELETONS:
        widest = max(range(len(options)), key=lambda place: len(options[place]))
        options[widest] = options[widest][: len(options[widest]) - 1]
    keys: dict[str, None] = {}
    for letters in product(*options):
        key = ""
        for letter in letters:
            if letter and key[-1:] != letter:
                key += letter
        keys[key] = None
    return list(keys)


def _matching_costs(sounds: list[str], words: Iterable[str]) -> dict[str, float]:
    """Return word → the least cost of matching the typed sounds with the word's letters; only costs up to MAX_COST.

    Dynamic programming with a row for each letter. Rows are reused for the next word with the same beginning. If all
    entries of a row exceed MAX_COST, all words with this beginning are skipped, since costs only grow.
    """
    skipped = [SOUND_SKIPS.get(sound, OTHER_SKIP) for sound in sounds]
    if sounds[-1:] == ["h"]:
        skipped[-1] = 0.2
    vowel_first = bool(sounds) and sounds[0] in INITIAL_VOWELS
    if vowel_first:
        skipped[0] = INITIAL_VOWEL
    matches: dict[str, list[float]] = {}  # Arabic letter → the cost of matching each sound with it
    rows = [[0.0]]
    for skip in skipped:
        rows[0].append(rows[0][-1] + skip)
    found: dict[str, float] = {}
    before, dead = "", "\0"
    for word in sorted(words):
        if word.startswith(dead):
            continue
        last = len(word) - 1
        at = _shared_letters(before, word, len(rows) - 1)
        del rows[at + 1 :]
        row, least = rows[at], 0.0
        while at <= last and least <= MAX_COST:
            letter = word[at]
            skip = LETTER_SKIPS.get(letter, OTHER_SKIP)
            if at == last and letter in "ةه":
                skip = 0.12
            elif at == last and letter in "يى":
                skip = FINAL_VOWEL
            elif not at and letter == "ا":
                skip = 0.15
            costs = matches.get(letter)
            if costs is None:
                costs = matches[letter] = [COSTS[sound].get(letter, math.inf) for sound in sounds]
                if letter == "ع" and vowel_first:
                    costs[0] = INITIAL_AYN
            if letter == "ة" and at != last:
                costs = [cost + 1.0 for cost in costs]
            row, least = _next_row(row, costs, skip, skipped)
            if at != last:
                rows.append(row)
            at += 1
        before = word
        # If the costs are too high at an inner letter of the word, no word with the same beginning can match. If only
        # the last letter makes them too high, longer words may match, as inner letters have other costs.
        if at <= last:
            dead = word[:at]
        elif row[-1] <= MAX_COST:
            found[word] = row[-1]
    return found


def _next_row(row: list[float], costs: list[float], skip: float, skipped: list[float]) -> tuple[list[float], float]:
    """Return the row of costs for one more letter, and the least of them; entry i is for matching the first i sounds.

    `row` is the row without this letter. `costs` has the cost of matching the letter with each sound, `skipped` that of
    skipping each sound; `skip` is the cost of skipping the letter.
    """
    diagonal = row[0]
    left = least = diagonal + skip
    new = [left]
    for above, match, sound in zip(row[1:], costs, skipped, strict=True):
        best = above + skip
        if (other := left + sound) < best:
            best = other
        if (other := diagonal + match) < best:
            best = other
        least = min(least, best)
        new.append(best)
        left, diagonal = best, above
    return new, least


def _shared_letters(one: str, other: str, most: int) -> int:
    """Return how many first letters two words share, at most `most`.

    The last letter of either word does not count, since a letter at the end has other costs.
    """
    most = min(most, len(one) - 1, len(other) - 1)
    for at in range(most):
        if one[at] != other[at]:
            return at
    return max(most, 0)
