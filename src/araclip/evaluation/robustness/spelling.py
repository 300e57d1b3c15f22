"""Ways in which people mistype Arabic: one function a kind, text → text. Pure; random ones take their generator.

A text that a kind cannot change comes back as it is.
"""

import random
import re

from araclip.text.normalization import normalize

_LETTER = "\u0621-\u063a\u0641-\u064a\u0671-\u06d3a-zA-Z"
_WORD = re.compile(f"[{_LETTER}]+")
_ARABIC = re.compile("[\u0621-\u063a\u0641-\u064a]")
_SEATS = str.maketrans("أإآؤئ", "اااوي")
_PERSIAN = str.maketrans("كيى", "کیی")
_VOWELS = "\u064e\u064f\u0650\u0652"  # fatha, damma, kasra, sukun
_ROWS = ("ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ", "qwertyuiop", "asdfghjkl", "zxcvbnm")  # of the keyboard
_BESIDE = {letter: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _ROWS for i, letter in enumerate(row)}


def without_hamza(text: str) -> str:
    """احمر for أحمر, شاطي for شاطئ, سما for سماء."""
    return re.sub(f"(?<=[{_LETTER}])ء(?![{_LETTER}])", "", text.translate(_SEATS))


def ha_for_ta_marbuta(text: str) -> str:
    """قطه for قطة."""
    return text.replace("ة", "ه")


def alef_maqsura_for_ya(text: str) -> str:
    """صبى for صبي, at the end of a word, as in Egyptian print."""
    return re.sub(f"ي(?![{_LETTER}])", "ى", text)


def persian_letters(text: str) -> str:
    """ک and ی, which look like ك and ي: of a Persian or Urdu keyboard."""
    return text.translate(_PERSIAN)


def without_tashkeel(text: str) -> str:
    """Marks of vocalisation left out, and tatweel; captions of this package's sets have none."""
    return normalize(text)


def with_tashkeel(text: str, draw: random.Random) -> str:
    """A mark after most letters. The marks are random: what is tested is that a reader looks past them."""
    return _ARABIC.sub(lambda letter: letter.group() + (draw.choice(_VOWELS) if draw.random() < 0.7 else ""), text)


def joined_words(text: str, draw: random.Random) -> str:
    """Two words without the space between them."""
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    if not spaces:
        return text
    at = draw.choice(spaces)
    return text[:at] + text[at + 1 :]


def split_word(text: str, draw: random.Random) -> str:
    """A space inside a word of four letters or more."""
    word = _drawn(text, 4, draw)
    if word is None:
        return text
    at = word.start() + draw.randrange(2, len(word.group()) - 1)
    return f"{text[:at]} {text[at:]}"


def repeated_letter(text: str, draw: random.Random) -> str:
    """A letter inside or at the end of a word two to four times: جمييل, كللللب."""
    word = _drawn(text, 3, draw)
    if word is None:
        return text
    at = word.start() + draw.randrange(1, len(word.group()))
    return text[:at] + text[at] * draw.randrange(1, 4) + text[at:]


def typo(text: str, draw: random.Random) -> str:
    """One letter of a word of three or more left out, doubled by a neighbouring key, replaced by one, or swapped."""
    word = _drawn(text, 3, draw)
    if word is None:
        return text
    while True:
        at = word.start() + draw.randrange(len(word.group()))
        letter = text[at]
        beside = _BESIDE.get(letter.lower(), "") or letter
        change = draw.choice(("left out", "added", "replaced", "swapped"))
        if change == "left out":
            mistyped = text[:at] + text[at + 1 :]
        elif change == "added":
            mistyped = text[: at + 1] + draw.choice(beside) + text[at + 1 :]
        elif change == "replaced":
            mistyped = text[:at] + draw.choice(beside) + text[at + 1 :]
        else:
            at = min(at, word.end() - 2)
            mistyped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        if mistyped != text:
            return mistyped


def _drawn(text: str, letters: int, draw: random.Random) -> re.Match[str] | None:
    """One of the words of so many letters or more."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) >= letters]
    return draw.choice(words) if words else None
