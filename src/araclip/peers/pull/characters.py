"""Which characters text in a language is made of, for cutting vocabularies: decided by script, not by a corpus.

All digits, punctuation, symbols, emoji, spaces and invisible marks of every script stay; of letters and their marks
those of the languages' scripts. English has the ASCII and Latin-1 letters (café, naïve).
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

from araclip.errors import InputError

Ranges = tuple[tuple[int, int], ...]

_COMMON: Ranges = (  # letters and marks that belong to no script
    (0x02B0, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x200B, 0x200F), (0x20D0, 0x20FF), (0x2100, 0x214F),
    (0xFE00, 0xFE0F), (0xFE20, 0xFE2F), (0xE0100, 0xE01EF),
)  # fmt: skip
_MATHEMATICAL: Ranges = ((0x1D400, 0x1D7FF),)  # 𝓗𝓮𝓵𝓵𝓸
_EMOJI: Ranges = ((0x1F000, 0x1FAFF),)  # newer ones are unknown to an older Python's tables
_SCRIPTS: dict[str, Ranges] = {
    "Arabic": (
        (0x0600, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x1EE00, 0x1EEFF),
    ),
    "basic Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xFF), (0xFB00, 0xFB06),
                    (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), *_MATHEMATICAL),
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0x24F), (0x1E00, 0x1EFF),
              (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), *_MATHEMATICAL),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Syriac": ((0x700, 0x74F), (0x860, 0x86F)),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Thai": ((0xE00, 0xE7F),),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF)),
    "Armenian": ((0x530, 0x58F), (0xFB13, 0xFB17)),
    "Ethiopic": ((0x1200, 0x139F), (0x2D80, 0x2DDF)),
    "Tifinagh": ((0x2D30, 0x2D7F),),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7FF), (0xA960, 0xA97F), (0xFFA0, 0xFFDC)),
    "kana": ((0x3005, 0x3007), (0x3031, 0x3035), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Han": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}  # fmt: skip
LANGUAGES: dict[str, tuple[str, ...]] = {  # code → scripts
    "en": ("basic Latin",),
    **dict.fromkeys(("ar", "arz", "ary", "fa", "ur", "ps", "ckb", "ug", "sd", "pa-arab"), ("Arabic",)),
    **dict.fromkeys(
        ("fr", "de", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "pl", "cs", "sk", "hu", "ro", "hr", "sl",
         "et", "lv", "lt", "tr", "az", "ku", "id", "ms", "vi", "sw", "so", "ha", "mt", "ca", "eu", "sq", "tl"),
        ("Latin",),
    ),
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk", "kk", "ky", "tg"), ("Cyrillic",)),
    "el": ("Greek",), "he": ("Hebrew",), "syr": ("Syriac",), "hi": ("Devanagari",), "ne": ("Devanagari",),
    "mr": ("Devanagari",), "bn": ("Bengali",), "pa": ("Gurmukhi",), "ta": ("Tamil",), "te": ("Telugu",),
    "ml": ("Malayalam",), "th": ("Thai",), "ka": ("Georgian",), "hy": ("Armenian",), "am": ("Ethiopic",),
    "zgh": ("Tifinagh",), "ko": ("Hangul",), "ja": ("kana", "Han"), "zh": ("Han",),
}  # fmt: skip
_LAST = 0x323B0  # letters end before; behind are marks without glyphs (E0100) and private use


def check_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """The codes as a tuple, each once.

    Raises:
        InputError: none is given, or one is not known.
    """
    codes = tuple(dict.fromkeys(languages))
    if unknown := [code for code in codes if code not in LANGUAGES]:
        raise InputError(
            f"the languages to keep hold {unknown[0]!r:.40}, known are {', '.join(sorted(LANGUAGES))}. "
            "Name some of them, or keep all."
        )
    if not codes:
        raise InputError("no language to keep is named. Name some, such as ar,en, or keep all.")
    return codes


@cache
def characters_of(languages: tuple[str, ...]) -> frozenset[str]:
    """Every character that a text in these languages may hold."""
    ranges = [*_COMMON, *(found for code in languages for script in LANGUAGES[code] for found in _SCRIPTS[script])]
    own = {chr(point) for first, last in ranges for point in range(first, last + 1)}
    emoji = {chr(point) for first, last in _EMOJI for point in range(first, last + 1)}
    return frozenset(own | emoji | {char for char in map(chr, range(_LAST)) if _is_neutral(char, own)})


def _is_neutral(char: str, own: set[str]) -> bool:
    """Neither letter nor mark, nor composed of letters of another script, as ㈱ is."""
    if not _is_bare(char):
        return False
    return all(_is_bare(part) or part in own for part in unicodedata.normalize("NFKC", char))


def _is_bare(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "NPSZ" or category in ("Cc", "Cf")
