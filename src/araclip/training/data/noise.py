"""Arabic with the variations that people type. A student trained on it needs no lossy folding of letters in queries.

Each kind of noise is a function of a text and a random generator, and changes Arabic letters only: Latin words, digits,
punctuation and emoji stay, and no text becomes empty. Generators of equal state give equal noise.
"""

import random
import re
from collections.abc import Callable, Mapping

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
