"""Folds text for search, so that all spellings of a word become one string. Idempotent, versioned.

There are three levels of Arabic normalisation. `normalize` (level 1) prepares text for models and never folds letters.
`fold` (level 2) prepares words for comparison: in full text, lexicon and file names. It loses information (فأر and فار
become equal), so folded text is never shown or encoded. Skeletons (`araclip.text.arabizi`, level 3) keep only
consonants.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from araclip.text.normalization import SHORT, normalize
from araclip.text.script import words

FOLDING_VERSION = 1  # stored beside folded text; raise it when fold() changes its output

_LETTERS = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"),  # alef with hamza, madda, wasla
        **dict.fromkeys("ىیئېۍےے", "ي"),  # alef maqsura, Persian ya, ya with hamza
        **dict.fromkeys("ةۀەہھۃ", "ه"),  # ta marbuta, Persian and Urdu ha
        "ؤ": "و",
        "ک": "ك",
        "گ": "ك",
        "پ": "ب",
        "چ": "ج",
        "ڤ": "ف",
        "ژ": "ز",
        "ـ": None,
    }
)
_PLAIN = re.compile("[a-z\u0621-\u063a\u0641-\u064a]+(?: [a-z\u0621-\u063a\u0641-\u064a]+)*")
STOPS = frozenset(",،;؛")
_HAMZA_ABOVE = re.compile("[\u0653-\u0655]")  # hamza and madda that did not become one character with their letter
# A final ء is dropped after three letters or more, so that سماء = سما (sky). A shorter word keeps it: ماء (water) ≠ ما.
_FINAL_HAMZA = re.compile(r"(?<=[\u0621-\u064a]{3})ء+(?![^\W\d_])")


def fold(text: str) -> str:
    """Return `text` as text search compares it: normalised, in lower case, with variants of letters made equal.

    أ إ آ ٱ → ا, ى ئ ی → ي, ة ۀ → ه, ؤ → و, ک گ → ك, پ → ب, چ → ج, ڤ → ف, ژ → ز. A ء that ends a word is removed if
    three letters or more stand before it. Tashkeel, tatweel, digits and white space change as in `normalize`.
    `fold(fold(t)) == fold(t)`.

    Raises:
        InputError: `text` is not a string.
    """
    return _fold_cached(text) if isinstance(text, str) and len(text) <= SHORT else _fold_uncached(text)


def _fold_uncached(text: str) -> str:
    # fast path: plain letters, which `normalize` and lower case do not change
    if isinstance(text, str) and _PLAIN.fullmatch(text):
        folded = text.translate(_LETTERS)
        return _FINAL_HAMZA.sub("", folded) if "ء" in folded else folded
    text = normalize(normalize(text).casefold())
    text = _HAMZA_ABOVE.sub("", text).translate(_LETTERS)
    return normalize(_FINAL_HAMZA.sub("", text))


_fold_cached = lru_cache(1 << 12)(_fold_uncached)


@dataclass(frozen=True)
class FoldedWords:
    """The words of a text: the normalised text, and for each word its place there and its folded form (see `fold`)."""

    normal: str
    spans: tuple[tuple[int, int], ...]
    folded: tuple[str, ...]

    def part(self, first: int, end: int) -> str:
        """Return the text from word `first` up to, but not including, word `end`."""
        return self.normal[self.spans[first][0] : self.spans[end - 1][1]]

    def begins_after_stop(self, at: int) -> bool:
        """True if a comma or semicolon stands between word `at` and the word before it."""
        return at > 0 and not STOPS.isdisjoint(self.normal[self.spans[at - 1][1] : self.spans[at][0]])

    def without(self, first: int, end: int) -> str:
        """Return the text without its words from `first` up to, but not including, `end`."""
        return cut_out(self.normal, self.spans[first][0], self.spans[end - 1][1])


def folded_words(text: str) -> FoldedWords:
    """Normalise a text, and find and fold its words."""
    normal = normalize(text)
    found = [(match.span(), fold(match.group())) for match in words(normal)]
    return FoldedWords(normal, tuple(span for span, _ in found), tuple(word for _, word in found))


def cut_out(text: str, begin: int, end: int) -> str:
    """Return a text without text[begin:end], with single spaces, and without a space, comma or stop at its ends."""
    return " ".join((text[:begin] + " " + text[end:]).split()).strip(" ،,.;؛")
