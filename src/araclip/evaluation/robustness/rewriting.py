"""A caption rewritten as speakers of a dialect would say it, or in Latin letters (Arabizi). Pure; seeded."""

import random
import re
from collections.abc import Callable

from araclip.evaluation.robustness.lexicon import ARABIZI, PREFIXES, Entry, held_out, lexicon

_WORD = re.compile("[\u0621-\u063a\u0641-\u064a\u0671-\u06d3]+")
_ARTICLE = {"ال": "el ", "وال": "w el ", "بال": "bel ", "فال": "fel ", "كال": "kal ", "لل": "lel ", "ولل": "w lel "}
_JOINED = {"": "", "و": "w ", "ف": "f", "ب": "b", "ل": "l", "ك": "k", "وب": "w b", "ول": "w l", **_ARTICLE}

# Two habits of writing Arabic in Latin letters, of Egypt and of the Levant and the Gulf; one a caption.
_SHARED = {
    **dict.fromkeys("اأآ", "a"), "إ": "e", "ى": "a", "ة": "a", "ء": "2", "ؤ": "2", "ئ": "2", "ب": "b", "ت": "t",
    "ج": "g", "ح": "7", "خ": "kh", "د": "d", "ذ": "z", "ر": "r", "ز": "z", "س": "s", "ش": "sh", "ص": "s", "ض": "d",
    "ط": "t", "ظ": "z", "ع": "3", "غ": "gh", "ف": "f", "ق": "2", "ك": "k", "ل": "l", "م": "m", "ن": "n", "ه": "h",
    "ث": "s", "پ": "p", "چ": "ch", "ڤ": "v", "گ": "g",
}  # fmt: skip
_HABITS = (
    _SHARED,
    {**_SHARED, "ج": "j", "خ": "5", "ق": "q", "ث": "th", "ذ": "th", "ص": "9", "ط": "6", "غ": "3'"},
)
_RESPELT = (("kh", "5"), ("gh", "3'"), ("g", "j"))  # what the second habit changes in the lexicon's spellings


def in_dialect(text: str, dialect: str, *, only_held_out: bool = False) -> str:
    """`text` with every word that the lexicon has in `dialect` replaced; the same object of words that it has not.

    Args:
        dialect: one of `lexicon.DIALECTS`.
        only_held_out: replace only words of the held-out third.
    """

    def replaced(prefix: str, entry: Entry | None, stem: str) -> str:
        word = entry.forms.get(dialect) if entry and (entry.held_out or not only_held_out) else None
        return prefix + (stem if word is None else word)

    return _rewritten(text, replaced)


def in_latin_letters(text: str, draw: random.Random, *, only_held_out: bool = False) -> str:
    """`text` in Arabizi: words of the lexicon as people write them, others letter by letter with guessed vowels."""
    habit = draw.randrange(len(_HABITS))

    def replaced(prefix: str, entry: Entry | None, stem: str) -> str:
        if only_held_out and not (entry.held_out if entry else held_out(stem)):
            return prefix + stem
        known = entry.forms.get(ARABIZI) if entry else None
        if known is None:
            known = _letter_by_letter(stem, habit, draw)
        elif habit:
            for usual, other in _RESPELT:
                known = known.replace(usual, other)
        return _JOINED[prefix] + known

    return _rewritten(text, replaced)


def _rewritten(text: str, replaced: Callable[[str, Entry | None, str], str]) -> str:
    """`text` with each word, or two that the lexicon has together, replaced: prefix, entry (or None) and stem."""
    out, at = [], 0
    words = list(_WORD.finditer(text))
    i = 0
    while i < len(words):
        first = words[i]
        if first.start() < at:  # the second of two
            i += 1
            continue
        out.append(text[at : first.start()])
        pair = None
        if i + 1 < len(words) and text[first.end() : words[i + 1].start()] == " ":
            pair = _split(text[first.start() : words[i + 1].end()])
        prefix, entry, stem = pair or _split(first.group()) or _bare(first.group())
        out.append(replaced(prefix, entry, stem))
        at = words[i + 1].end() if pair else first.end()
        i += 1
    return "".join(out) + text[at:]


def _split(word: str) -> tuple[str, Entry, str] | None:
    """Prefix, entry and stem of a word, or of two, that the lexicon has."""
    words = lexicon()
    for prefix in PREFIXES:
        stem = word[len(prefix) :]
        for known in (stem, stem.removesuffix("ا")):  # قميصا, in the accusative
            if word.startswith(prefix) and (entry := words.get(known)):
                return prefix, entry, stem
    return None


def _bare(word: str) -> tuple[str, None, str]:
    """An unknown word, parted from an article: at least three letters stay."""
    prefix = next((p for p in _ARTICLE if word.startswith(p) and len(word) >= len(p) + 3), "")
    return prefix, None, word[len(prefix) :]


def _letter_by_letter(word: str, habit: int, draw: random.Random) -> str:
    """Consonants by the habit's letters, long vowels as written, a guessed short vowel where two consonants meet."""
    out, after_consonant = "", False
    for i, letter in enumerate(word):
        if letter in "وي" and i and (after_consonant or i + 1 == len(word)):  # a long vowel
            out += draw.choice(("o", "oo", "ou") if letter == "و" else ("i", "ee"))
            after_consonant = False
            continue
        latin = {"و": "w", "ي": "y"}.get(letter) or _HABITS[habit].get(letter, letter)
        is_vowel = latin in ("a", "e")
        if after_consonant and not is_vowel and not (i + 1 == len(word) and i > 1 and draw.random() < 0.3):
            out += draw.choice("aaei")
        out += latin
        after_consonant = not is_vowel
    return out
