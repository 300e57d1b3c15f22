"""Arabizi: Arabic typed in Latin letters and digits (2otta, 7elwa, sayara, klb) → words of the vocabulary. Pure.

A word is looked up by its skeleton, the consonants without what Arabizi confuses or leaves out, and then compared
letter by letter: each pair of a sound and a letter has a cost, and vowels may be missing on either side.
"""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import product

from araclip.text.sounds import COSTS, LETTER_CLASSES, LETTER_SKIPS, OTHER_SKIP, SOUND_CLASSES, SOUND_SKIPS, SOUNDS

MAX_COST = 1.3  # of a word that is still taken for the one that was typed
STEEPNESS = 6.0  # of the fall of confidence with the cost
COMMONNESS = 0.45  # power of a word's count in its weight beside others
BUCKET = 90  # words of one skeleton that are compared, the most common first
SHORT_COUNT = 30  # occurrences of a word of two letters that is among them
KEYS = 12  # skeletons of one word at most
MOST = 3  # words that one Latin word is read as
LENGTHS = range(2, 16)
_SOUND = re.compile("|".join(map(re.escape, sorted(SOUNDS, key=len, reverse=True))))
# A digit beside a letter stands for one (2otta, so8ayyar), but not in names of things: mp3, 4k, ps5, img2019.
_DIGIT = re.compile(r"[a-z'][2356789]'?|[2356789]'?[a-z]")
_NAME = re.compile(
    r"[a-z]{1,4}\d+|\d{1,3}(k|d|g|p|x|mm|cm|km|m|kg|ml|l|th|st|nd|rd|gb|mb|fps|px)|\d{2,}[a-z]*|[a-z]+\d{2,}[a-z]*|v\d"
)
_SHORT_NAME = re.compile(r"(mp|ps|h|x|g|a|b|i|p|t|v|gt|bmw|r|s)\d")


def has_digits(word: str) -> bool:
    """Whether a digit of the word stands for an Arabic letter."""
    word = word.lower()
    if not _DIGIT.search(word) or _SHORT_NAME.fullmatch(word):
        return False
    return _NAME.fullmatch(word) is None or bool(re.fullmatch(r"[a-z]{2,4}[23789]", word))


class Arabizi:
    """Words of a vocabulary by their skeletons.

    Args:
        counts: Arabic word → how common it is.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts
        self._read = lru_cache(maxsize=4096)(self._candidates)

    def read(self, word: str) -> list[tuple[str, float]]:
        """The Arabic words that a Latin one may stand for, with confidences that sum up to at most 1, likeliest
        first."""
        return list(self._read(word.lower().replace("\u2019", "'")))

    def _candidates(self, word: str) -> tuple[tuple[str, float], ...]:
        if len(word) not in LENGTHS:
            return ()
        sounds = _sounds(word)
        rated: dict[str, float] = {}
        for key in _keys([SOUND_CLASSES[sound] for sound in sounds]):
            for candidate in self._buckets.get(key, ()):
                if candidate not in rated and (cost := _cost(sounds, candidate)) <= MAX_COST:
                    rated[candidate] = cost
        if not rated:
            return ()
        weights = {
            candidate: math.exp(-STEEPNESS * cost) * self._counts[candidate] ** COMMONNESS
            for candidate, cost in rated.items()
        }
        best = sorted(weights, key=lambda candidate: -weights[candidate])[:MOST]
        total = sum(weights[candidate] for candidate in best)
        sure = math.exp(-2 * max(min(rated.values()) - 0.3, 0.0))  # the nearest one may still be far
        return tuple((candidate, sure * weights[candidate] / total) for candidate in best)

    @cached_property
    def _buckets(self) -> dict[str, list[str]]:
        buckets: dict[str, list[str]] = {}
        for word in sorted(self._counts, key=lambda word: -self._counts[word]):
            if " " in word or (len(word) < 3 and self._counts[word] < SHORT_COUNT):
                continue
            for key in _keys([LETTER_CLASSES.get(letter, ("",)) for letter in word]):
                bucket = buckets.setdefault(key, [])
                if len(bucket) < BUCKET:
                    bucket.append(word)
        return buckets


def _sounds(word: str) -> list[str]:
    """The sounds of a word, doubled consonants once: so8ayyara → s o 8 a y a r a."""
    sounds: list[str] = []
    for match in _SOUND.finditer(word):
        sound = match.group()
        if not sounds or sound != sounds[-1]:
            sounds.append(sound)
    return sounds


def _keys(classes: Iterable[tuple[str, ...]]) -> list[str]:
    """The skeletons of a word: one class for each letter, equal neighbours once; at most KEYS of them."""
    options = [options for options in classes if options != ("",)]
    while math.prod(len(choice) for choice in options) > KEYS:
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


def _cost(sounds: list[str], word: str) -> float:
    """The least cost of matching sounds with an Arabic word's letters, in order (dynamic programming)."""
    last = len(word) - 1
    skips = [LETTER_SKIPS.get(letter, OTHER_SKIP) for letter in word]
    if word.endswith(("ة", "ه")):
        skips[-1] = 0.12
    if word.startswith("ا"):
        skips[0] = 0.15
    row = [0.0]
    for skip in skips:
        row.append(row[-1] + skip)
    for place, sound in enumerate(sounds):
        costs, skip_sound = COSTS[sound], SOUND_SKIPS.get(sound, OTHER_SKIP)
        if sound == "h" and place == len(sounds) - 1:
            skip_sound = 0.2
        new = [row[0] + skip_sound]
        for at, letter in enumerate(word):
            best = min(row[at + 1] + skip_sound, new[at] + skips[at])
            if (match := costs.get(letter)) is not None:
                if letter == "ة" and at != last:
                    match += 1.0
                best = min(best, row[at] + match)
            new.append(best)
        if min(new) > MAX_COST:  # costs only grow
            return MAX_COST + 1
        row = new
    return row[-1]
