"""Writes the steps of `normalize` into a tokenizer.json, so that other libraries normalise text in the same way.

tokenizers, AutoTokenizer, fastembed and transformers.js apply the normalisers of a tokenizer.json and do not know
`araclip.normalize`. The steps and their order are those of `normalization.normalize`; the patterns work in Oniguruma
(tokenizers) and in JavaScript (transformers.js). Two things differ, but do not occur in text that people type: special
tokens in a text, such as "</s>", are recognised before normalisation; and the caller must replace lone surrogates,
which no tokenizer accepts (`normalization.without_surrogates`).
"""

import json
import re
import unicodedata
from functools import cache
from typing import Any

from araclip.text.normalization import DIGITS, LAYOUT, MAX_MARKS, PRESENTATION_FORMS, STRAY_JOINER

Normalizer = dict[str, Any]
_END = 0x30000  # the characters from here on (Han, selectors, private use) are not looked at: no step changes them


def prepend_normalizer(tokenizer: str) -> str:
    """Return a tokenizer's JSON with the steps of `normalize` put first; unchanged if it has them already."""
    parsed = json.loads(tokenizer)
    theirs = parsed.get("normalizer")
    steps = theirs["normalizers"] if theirs and theirs["type"] == "Sequence" else [theirs] if theirs else []
    # A tokenizer that has these two steps has all steps of `normalize`. The other steps are not compared, because they
    # vary with Python's Unicode version.
    ours = (_removal(LAYOUT), _removal(STRAY_JOINER))
    if all(step in steps for step in ours):
        return tokenizer
    parsed["normalizer"] = {"type": "Sequence", "normalizers": [*normalizer_steps(), *steps]}
    return json.dumps(parsed, ensure_ascii=False)


@cache
def normalizer_steps() -> list[Normalizer]:
    """Return the steps of `normalize` as normalisers of the tokenizers library."""
    several, bounded = _limit_marks()
    composed = [*bounded, {"type": "NFC"}]
    return [
        *_presentation_forms(),
        _removal(LAYOUT),
        *(_replace_text(chr(digit), chr(ascii_form)) for digit, ascii_form in DIGITS.items()),
        *several,
        *composed,
        _removal(STRAY_JOINER),
        *composed,  # composes again: a removed joiner may have stood between a letter and its mark
        _replace(f"[{_character_class(character for character in _all_characters() if character.isspace())}]+", " "),
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]


def _presentation_forms() -> list[Normalizer]:
    """Return steps that replace presentation forms (glyphs with a code of their own) by their letters.

    There is one step for each glyph, which is faster than a character class for each of the 370 letters.
    """
    glyphs = filter(PRESENTATION_FORMS.match, _all_characters())
    letters = ((glyph, unicodedata.normalize("NFKC", glyph)) for glyph in glyphs)
    return [_replace_text(glyph, letter) for glyph, letter in letters if letter != glyph]


def _limit_marks() -> tuple[list[Normalizer], list[Normalizer]]:
    """Return two lists of steps: to split characters that consist of several marks, and to limit a letter's marks.

    The second steps remove all marks of a letter after the first MAX_MARKS; marks that are part of the letter count,
    too. NFC never composes the split characters again.
    """
    own: dict[int, list[str]] = {}  # number of marks → the letters that contain so many
    marks, several = [], []
    for character in _all_characters():
        parts = unicodedata.normalize("NFD", character)
        count = sum(unicodedata.combining(part) > 0 for part in parts)
        if count == len(parts) > 1:  # a character of several marks: U+0344 and three more
            several.append((character, parts))
        elif unicodedata.combining(character):
            marks.append(character)
        elif count:
            own.setdefault(count, []).append(character)
    mark, with_own = _character_class(marks), "".join(_character_class(letters) for letters in own.values())
    before = ["^", f"[^{mark}{with_own}]", *(f"[{_character_class(own[count])}]" for count in sorted(own))]
    most = [MAX_MARKS, MAX_MARKS, *(MAX_MARKS - count for count in sorted(own))]
    bounded = [
        _replace(f"(?<={start}[{mark}]{{{count}}})[{mark}]+", "") for start, count in zip(before, most, strict=True)
    ]
    return [_replace_text(character, parts) for character, parts in several], bounded


@cache
def _all_characters() -> tuple[str, ...]:
    return tuple(chr(code) for code in range(_END) if not 0xD800 <= code < 0xE000)


def _character_class(characters: Any) -> str:
    """Return the inside of a character class, with ranges for neighbours and backslashes before special characters."""
    codes = sorted(map(ord, characters))
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(_escape(first) if first == last else f"{_escape(first)}-{_escape(last)}" for first, last in ranges)


def _escape(code: int) -> str:
    return re.sub(r"[\\\]\[^&-]", r"\\\g<0>", chr(code))


def _removal(pattern: re.Pattern[str]) -> Normalizer:
    return _replace(pattern.pattern, "")


def _replace(pattern: str, content: str) -> Normalizer:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _replace_text(text: str, content: str) -> Normalizer:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}
