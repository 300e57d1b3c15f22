"""Changes Arabic texts the way people type them: dropped hamza, typos, dialect and English words.

A student trained on such texts understands them, so that queries need no folding of letters, which loses information.
Each kind of noise takes a text and a random generator, and changes Arabic letters only: Latin words, digits,
punctuation and emoji stay, and no text becomes empty. Generators of equal state give equal noise.
"""

import hashlib
import random
import re
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial

from araclip.text.folding import fold
from araclip.text.lexicon import DIALECTS
from araclip.text.normalization import normalize
from araclip.text.resources import default_interpreter
from araclip.text.script import words

LETTER = "[\u0621-\u063a\u0641-\u064a\u0671-\u06d3\u0750-\u077f]"  # any Arabic letter, also چ پ ڤ گ
_ANY_LETTER, _WORD = re.compile(LETTER), re.compile(f"{LETTER}+")
_FINAL_HAMZA = re.compile(f"(?<={LETTER}{LETTER})ء(?!{LETTER})")
_GAP = re.compile(f"(?<={LETTER}{LETTER}) (?={LETTER}{LETTER})")
_BARE = str.maketrans("أإآٱؤئ", "اااا\u0648\u064a")  # a letter with hamza → the letter without it
_PERSIAN = str.maketrans("كيى", "\u06a9\u06cc\u06cc")
_TASHKEEL = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652"

Noise = Callable[[str, random.Random], str]


def drop_hamza(text: str, rng: random.Random) -> str:
    """Drop hamzas: أحمر → احمر, مؤمن → مومن, سماء → سما. A final ء is dropped from words of three letters or more."""
    return _FINAL_HAMZA.sub("", text.translate(_BARE))


def swap_final(text: str, rng: random.Random, swap: Mapping[str, str]) -> str:
    """Exchange the final letter as `swap` says, in about half of the words of three letters or more: قطة ↔ قطه."""

    def swapped(found: re.Match[str]) -> str:
        word = found.group()
        return word[:-1] + swap[word[-1]] if len(word) > 2 and word[-1] in swap and rng.random() < 0.5 else word

    return _WORD.sub(swapped, text)


def drop_space(text: str, rng: random.Random) -> str:
    """Drop one space between two Arabic words of two letters or more: كلب أسود → كلبأسود."""
    gaps = [gap.start() for gap in _GAP.finditer(text)]
    if not gaps:
        return text
    at = rng.choice(gaps)
    return text[:at] + text[at + 1 :]


def add_tashkeel(text: str, rng: random.Random) -> str:
    """Add a random vowel mark, right or wrong, after about a third of the letters: قط → قِطُ.

    `araclip.normalize` removes the marks again, so this serves only students whose texts are not normalised.
    """
    return _ANY_LETTER.sub(lambda found: found.group() + (rng.choice(_TASHKEEL) if rng.random() < 1 / 3 else ""), text)


def slip(text: str, rng: random.Random) -> str:
    """Make a typo: inside one word of five letters or more, drop a letter, double it, or swap it with the next."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 4]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)  # neither the first letter nor the last changes
    letter, following = text[at], text[at + 1]
    return text[:at] + rng.choice([following, letter * 2 + following, following + letter]) + text[at + 2 :]


def split_word(text: str, rng: random.Random) -> str:
    """Put a space into one word of five letters or more, at least two letters from either end: سيارة → سيا رة."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 4]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 2, word.end() - 1)
    return f"{text[:at]} {text[at:]}"


def stretch(text: str, rng: random.Random) -> str:
    """Repeat one letter of a word of three letters or more, so that it stands three to five times: جميل → جمييييل."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 2]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end())
    return text[:at] + text[at] * rng.randint(2, 4) + text[at:]


def persian_letters(text: str, rng: random.Random) -> str:
    """Replace kaf, ya and alef maqsura by letters of Persian and Urdu keyboards: كرسي → کرسی."""
    return text.translate(_PERSIAN)


NOISES: Mapping[str, tuple[float, Noise]] = {  # kind of noise → its chance, and its function
    "hamza": (0.5, drop_hamza),  # half of all people who type leave hamzas out
    "ha": (0.3, partial(swap_final, swap={"ة": "ه", "ه": "ة"})),  # swaps final ta marbuta and ha
    "ya": (0.3, partial(swap_final, swap={"ى": "ي", "ي": "ى"})),  # swaps final alef maqsura and ya
    "space": (0.1, drop_space),
    "slip": (0.15, slip),
    "split": (0.05, split_word),
    "stretch": (0.05, stretch),
    "persian": (0.05, persian_letters),
    "tashkeel": (0.1, add_tashkeel),  # done last: the other kinds of noise do not find words with vowel marks
}


def noisy(text: str, rng: random.Random) -> str:
    """Make the mistakes that people make when they type: apply each kind in `NOISES` (typo, dropped hamza …) by chance.

    About one text in seven gets no mistake. The result is empty only if `text` is.
    """
    for chance, noise in NOISES.values():
        if rng.random() < chance:
            text = noise(text, rng)
    return text


def fingerprint() -> str:
    """Twelve hex digits: a hash of all that noise is drawn from: the kinds and their chances, dialect forms, glosses.

    A further kind or word shifts the random numbers of all that follow, so a run that resumes would see other texts.
    """
    kinds = [(name, chance) for name, (chance, _) in NOISES.items()]
    return hashlib.sha256(repr((kinds, _forms(), _glosses())).encode()).hexdigest()[:12]


HELD_EVERY = 5
SYNONYMS = "sy"  # the lexicon's label of synonyms, which are used here like one more dialect
# prefixes that stay when the rest of a word is replaced: والكلب (and the dog) → والجرو (and the puppy)
_PREFIXES = ("وال", "بال", "ال", "و")

Forms = Mapping[str, Mapping[str, tuple[str, ...]]]


def is_held(text: str) -> bool:
    """True if this dialect form is kept out of training, to test whether students understand unseen forms.

    A fifth of all forms are kept out, chosen by a hash of the form, spelling variants made equal.
    """
    return zlib.crc32(fold(text).encode()) % HELD_EVERY == 0


def in_dialect(text: str, rng: random.Random) -> str:
    """Draw a dialect (or the synonyms), and replace every word for which it has a form.

    Example: سيارة في الشارع → عربية في الشارع.
    """
    forms = _forms()[rng.choice((*DIALECTS, SYNONYMS))]
    return _rewritten(text, lambda word: rng.choice(forms[word]) if word in forms else None)


def with_english(text: str, rng: random.Random) -> str:
    """Replace one word that has an English gloss, and its prefix, by the gloss: كلب في الحديقة → dog في الحديقة."""
    glosses = _glosses()
    places = [
        number for number, word in enumerate(words(text)) if fold(_split_prefix(word.group(), glosses)[1]) in glosses
    ]
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
        prefix, stem = _split_prefix(match.group(), known)
        found = other(fold(stem))
        # The word is not replaced if prefix and form together make a form that training must not see, as ال and هوا do.
        if found is not None and not (prefix and fold(prefix + found) in _held_forms()):
            out += [text[at : match.start()], prefix if prefixed else "", found]
            at = match.end()
    return "".join([*out, text[at:]])


def _split_prefix(word: str, known: Mapping[str, object]) -> tuple[str, str]:
    """Split a word that is not known into a prefix of _PREFIXES and a known rest.

    Otherwise return an empty prefix and the word.
    """
    if fold(word) not in known:
        for prefix in _PREFIXES:
            if word.startswith(prefix) and fold(word[len(prefix) :]) in known:
                return prefix, word[len(prefix) :]
    return "", word


@cache
def _forms() -> Forms:
    """Return dialect (or SYNONYMS) → standard word (folded) → its forms in that dialect, for `in_dialect`.

    Left out are forms that have another common meaning, forms kept out of training (`is_held`), and entries whose
    standard form has several words.
    """
    found: dict[str, dict[str, list[str]]] = {label: {} for label in (*DIALECTS, SYNONYMS)}
    for entry in default_interpreter().lexicon.entries:
        for label, form, ambiguous in entry.forms:
            if label in found and not ambiguous and " " not in entry.standard and not is_held(form):
                found[label].setdefault(fold(entry.standard), []).append(normalize(form))
    return {label: {word: tuple(forms) for word, forms in known.items()} for label, known in found.items()}


@cache
def _held_forms() -> frozenset[str]:
    """Return the lexicon's forms that training never uses (see `is_held`), with spelling variants made equal."""
    entries = default_interpreter().lexicon.entries
    return frozenset(fold(form) for entry in entries for _, form, _ in entry.forms if is_held(form))


@cache
def _known() -> Mapping[str, object]:
    return {word: True for known in _forms().values() for word in known}


@cache
def _glosses() -> Mapping[str, str]:
    """Return standard word (in folded spelling) → its English translation, for the lexicon's single words."""
    entries = default_interpreter().lexicon.entries
    return {fold(entry.standard): entry.english for entry in entries if entry.english and " " not in entry.standard}
