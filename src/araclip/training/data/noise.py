"""Arabic with the variations that people type. A student trained on it needs no lossy folding of letters in queries.

Each kind of noise is a function of a text and a random generator, and changes Arabic letters only: Latin words, digits,
punctuation and emoji stay, and no text becomes empty. Generators of equal state give equal noise.
"""

import random
import re
import zlib
from collections.abc import Callable, Mapping
from functools import cache

from araclip.text.folding import fold
from araclip.text.lexicon import DIALECTS
from araclip.text.normalization import normalize
from araclip.text.resources import default_interpreter
from araclip.text.script import words

LETTER = "[\u0621-\u063a\u0641-\u064a\u0671-\u06d3\u0750-\u077f]"  # with چ پ ڤ گ and other letters of Arabic script
_WORD = re.compile(f"{LETTER}+")
_GAP = re.compile(f"(?<={LETTER}{LETTER}) (?={LETTER}{LETTER})")
_BARE = str.maketrans("أإآٱؤئ", "اااا\u0648\u064a")  # the carrier without its hamza
_PERSIAN = str.maketrans("كيى", "\u06a9\u06cc\u06cc")
_TASHKEEL = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652"

Noise = Callable[[str, random.Random], str]


def drop_hamza(text: str, rng: random.Random) -> str:
    """أحمر → احمر, مؤمن → مومن, سماء → سما: carriers lose their hamza, longer words a final one."""

    def bare(word: str) -> str:
        return word[:-1] if len(word) > 2 and word[-1] == "ء" else word

    return _each_word(text.translate(_BARE), bare)


def swap_final_ha(text: str, rng: random.Random) -> str:
    """قطة → قطه and back: ta marbuta and ha at the end of about half of the words."""
    return _swap_final(text, rng, {"ة": "ه", "ه": "ة"})


def swap_final_ya(text: str, rng: random.Random) -> str:
    """على → علي and back: alef maqsura and ya at the end of about half of the words."""
    return _swap_final(text, rng, {"ى": "ي", "ي": "ى"})


def drop_space(text: str, rng: random.Random) -> str:
    """كلب أسود → كلبأسود: one space between two Arabic words of two letters or more is lost."""
    gaps = [gap.start() for gap in _GAP.finditer(text)]
    if not gaps:
        return text
    at = rng.choice(gaps)
    return text[:at] + text[at + 1 :]


def add_tashkeel(text: str, rng: random.Random) -> str:
    """قط → قِطُ: a random vowel mark, right or wrong, after about a third of the letters.

    `araclip.normalize` removes the marks again: this is for students whose texts do not pass it.
    """

    def marked(word: str) -> str:
        return "".join(letter + (rng.choice(_TASHKEEL) if rng.random() < 1 / 3 else "") for letter in word)

    return _each_word(text, marked)


def slip(text: str, rng: random.Random) -> str:
    """A typo: one letter inside one word of five letters or more is lost, doubled, or swapped with the next."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 4]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)  # never the first letter nor the last
    letter, following = text[at], text[at + 1]
    return text[:at] + rng.choice([following, letter * 2 + following, following + letter]) + text[at + 2 :]


def split_word(text: str, rng: random.Random) -> str:
    """سيارة → سيا رة: a space inside one word of five letters or more, two letters from either end."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 4]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 2, word.end() - 1)
    return f"{text[:at]} {text[at:]}"


def stretch(text: str, rng: random.Random) -> str:
    """جميل → جمييييل: one letter inside a word of three letters or more is typed three to five times."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 2]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end())
    return text[:at] + text[at] * rng.randint(2, 4) + text[at:]


def persian_letters(text: str, rng: random.Random) -> str:
    """كرسي → کرسی: kaf and ya as Persian and Urdu keyboards have them."""
    return text.translate(_PERSIAN)


NOISES: Mapping[str, tuple[float, Noise]] = {  # the chance that a noisy text has it, and what it does
    "hamza": (0.5, drop_hamza),  # half of all typists leave it out everywhere
    "ha": (0.3, swap_final_ha),
    "ya": (0.3, swap_final_ya),
    "space": (0.1, drop_space),
    "slip": (0.15, slip),
    "split": (0.05, split_word),
    "stretch": (0.05, stretch),
    "persian": (0.05, persian_letters),
    "tashkeel": (0.1, add_tashkeel),  # last: the others find words by their letters
}


def noisy(text: str, rng: random.Random) -> str:
    """Text with each kind of `NOISES` applied at its chance, often none; never empty unless `text` is."""
    for chance, noise in NOISES.values():
        if rng.random() < chance:
            text = noise(text, rng)
    return text


def _each_word(text: str, change: Callable[[str], str]) -> str:
    return _WORD.sub(lambda word: change(word.group()), text)


def _swap_final(text: str, rng: random.Random, swap: Mapping[str, str]) -> str:
    def swapped(word: str) -> str:
        return word[:-1] + swap[word[-1]] if len(word) > 2 and word[-1] in swap and rng.random() < 0.5 else word

    return _each_word(text, swapped)


HELD_EVERY = 5
SYNONYMS = "sy"
_PREFIXES = ("وال", "بال", "ال", "و")  # kept before another form: والكلب → والجرو

Forms = Mapping[str, Mapping[str, tuple[str, ...]]]


def is_held(text: str) -> bool:
    """Whether a form is one of the fifth that is never used; the same for all spellings that fold alike."""
    return zlib.crc32(fold(text).encode()) % HELD_EVERY == 0


def in_dialect(text: str, rng: random.Random) -> str:
    """سيارة في الشارع → عربية في الشارع: every word that has a form in one dialect, or a synonym."""
    forms = _forms()[rng.choice((*DIALECTS, SYNONYMS))]
    return _rewritten(text, lambda word: rng.choice(forms[word]) if word in forms else None)


def with_english(text: str, rng: random.Random) -> str:
    """كلب في الحديقة → dog في الحديقة: one word that has an English gloss is English."""
    glosses = _glosses()
    places = [number for number, word in enumerate(words(text)) if fold(_parted(word.group(), glosses)[1]) in glosses]
    if not places:
        return text
    chosen, number = rng.choice(places), -1

    def english(word: str) -> str | None:
        nonlocal number
        number += 1
        return glosses.get(word) if number == chosen else None

    return _rewritten(text, english, glosses, prefixed=False)


def _rewritten(
    text: str, other: Callable[[str], str | None], known: Mapping[str, object] | None = None, *, prefixed: bool = True
) -> str:
    known = _known() if known is None else known
    out, at = [], 0
    for match in words(text):
        prefix, stem = _parted(match.group(), known)
        found = other(fold(stem))
        if found is not None and not (prefix and fold(prefix + found) in _held()):  # ال + هوا is a form of its own
            out += [text[at : match.start()], prefix if prefixed else "", found]
            at = match.end()
    return "".join([*out, text[at:]])


def _parted(word: str, known: Mapping[str, object]) -> tuple[str, str]:
    """A word's prefix and the rest, where the rest is known and the word itself is not."""
    if fold(word) not in known:
        for prefix in _PREFIXES:
            if word.startswith(prefix) and fold(word[len(prefix) :]) in known:
                return prefix, word[len(prefix) :]
    return "", word


@cache
def _forms() -> Forms:
    """Label → folded standard word → its forms of one word that have no other common meaning and are not held."""
    found: dict[str, dict[str, list[str]]] = {label: {} for label in (*DIALECTS, SYNONYMS)}
    for entry in default_interpreter().lexicon.entries:
        for label, form, ambiguous in entry.forms:
            if label in found and not ambiguous and " " not in entry.standard and not is_held(form):
                found[label].setdefault(fold(entry.standard), []).append(normalize(form))
    return {label: {word: tuple(forms) for word, forms in known.items()} for label, known in found.items()}


@cache
def _held() -> frozenset[str]:
    """The held forms, folded."""
    entries = default_interpreter().lexicon.entries
    return frozenset(fold(form) for entry in entries for _, form, _ in entry.forms if is_held(form))


@cache
def _known() -> Mapping[str, object]:
    return {word: True for known in _forms().values() for word in known}


@cache
def _glosses() -> Mapping[str, str]:
    """The English translation of each standard word in the lexicon, by the word in its folded spelling."""
    entries = default_interpreter().lexicon.entries
    return {fold(entry.standard): entry.english for entry in entries if entry.english and " " not in entry.standard}
