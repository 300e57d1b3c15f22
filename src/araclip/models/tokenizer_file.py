"""Judges a tokenizer.json before the tokenizers library opens it: could it make texts huge, or take for ever?

A normalizer may replace a letter by a thousand letters, and the next normalizer each of these by a thousand. A regular
expression may try every way to split a text. Both depend on the text, so a trial with examples proves nothing.
"""

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.display import shortened, shown
from araclip.errors import ModelMismatch

MAX_GROWTH = 64  # all replacements together may make a text so many times longer; usual ones do not make it longer
MAX_CHARACTER = 256  # bytes that a character map may write for one character; NFKC's longest is ﷺ with 33
MAX_PREFIX = 1000  # characters that may be put before each text
MAX_PATTERN = 2000  # characters of a regular expression; GPT-4o's has 350
_ONE_CLASS = re.compile(  # a pattern of one class or letter, once or repeated, which matches at least one character
    r"(?:\[(?:[^\[\]\\&]|\\[^pP])+\]|[^\W_]| )(?:\+|\{[1-9]\d*,?\d*\})?"
)
MANY = 100  # more repetitions than this count as endless


def check_tokenizer(path: Path) -> None:
    """Check how much longer a tokenizer.json can make a text, and that its regular expressions cannot explode.

    Raises:
        ModelMismatch: the file is no JSON object, is too large or too deep, its normalizers make texts more than
            MAX_GROWTH times longer, or a regular expression repeats a repetition.
    """
    check_rules(bounded_json.read(path, kind=dict, error=ModelMismatch), path)


def check_rules(raw: dict[str, Any], path: Path | str) -> None:
    """Check the content of a tokenizer.json as `check_tokenizer` does; `path` names it in messages."""
    growth = _total_growth(raw.get("normalizer"), path)
    if growth > MAX_GROWTH:
        raise ModelMismatch(
            f"{path}: its normalizers can make a text {growth:,.0f} times longer, the most is {MAX_GROWTH}. "
            "Take the tokenizer from another source."
        )
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for entry in _objects(raw.get(part)):
            pattern = _expression(entry)
            if pattern is not None and (fault := _explosive(pattern)):
                raise ModelMismatch(
                    f"{path}: the regular expression {shown(shortened(pattern, 100))} {fault}, so that some texts take "
                    "for ever. Take the tokenizer from another source."
                )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in a JSON value, in order, except the patterns of replacements."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed([part for key, part in value.items() if key != "pattern"]))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def _total_growth(normalizer: Any, path: Path | str) -> float:
    """Return how many times longer all steps together can make a text.

    Usually the steps' factors multiply. But of consecutive steps that each replace one character, which no earlier one
    of them has written, every character of the text meets at most one; so only their largest factor counts.
    """
    growth = longest = 1.0
    written: set[str] = set()
    for entry in _objects(normalizer):
        character, content = _replaced(entry), entry.get("content")
        if character is None or not isinstance(content, str) or character in written:
            growth, longest, written = growth * longest, 1.0, set()
        if character is None or not isinstance(content, str):
            growth *= _growth(entry, path)
        else:
            longest = max(longest, len(content))
            written.update(content)
    return growth * longest


def _replaced(entry: dict[str, Any]) -> str | None:
    """Return the single character that a step replaces; None for any other step."""
    pattern = entry.get("pattern")
    replaced = pattern.get("String") if isinstance(pattern, dict) else None
    return replaced if isinstance(replaced, str) and len(replaced) == 1 else None


def _expression(entry: dict[str, Any]) -> str | None:
    """Return the regular expression of a step, which stands in the step or in its pattern; None if it has none."""
    pattern = entry.get("pattern")
    expressions = (entry.get("Regex"), pattern.get("Regex") if isinstance(pattern, dict) else None)
    return next((found for found in expressions if isinstance(found, str)), None)


def _growth(normalizer: dict[str, Any], path: Path | str) -> float:
    """Return how many times longer one step can make a text; 1 if it only adds a bounded number of characters."""
    content, pattern = normalizer.get("content"), normalizer.get("pattern")
    if isinstance(content, str) and isinstance(pattern, dict):
        replaced = pattern.get("String")
        if isinstance(replaced, str):
            return max(1.0, len(content) / len(replaced)) if replaced else inf
        if isinstance(expression := pattern.get("Regex"), str) and _ONE_CLASS.fullmatch(expression):
            return max(1.0, len(content))
        return 1.0 + len(content)  # a regular expression may match one letter, or none
    prefix, table = normalizer.get("prepend"), normalizer.get("precompiled_charsmap")
    if isinstance(prefix, str) and len(prefix) > MAX_PREFIX:
        raise ModelMismatch(f"{path}: a normalizer puts {len(prefix)} characters before each text. Take another.")
    if isinstance(table, str) and (longest := _longest_entry(table)) > MAX_CHARACTER:
        raise ModelMismatch(f"{path}: its character map writes {longest} bytes for a character. Take another.")
    return 1.0


def _longest_entry(table: str) -> int:
    """Return the bytes of the longest text in SentencePiece's character map.

    The map is: length of the trie, the trie, texts that end with NUL. 0 if the map is damaged.
    """
    try:
        data = base64.b64decode(table)
        (length,) = struct.unpack_from("<I", data)
    except (binascii.Error, ValueError, struct.error):
        return 0  # the library refuses it
    return max(map(len, data[4 + length :].split(b"\0")))


def _explosive(pattern: str) -> str | None:
    """Return what could make an Oniguruma expression take more than polynomial time; None if nothing does."""
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters"
    repeats = [False]  # for each open group, outermost first: true if it has an endless repetition inside
    at = 0
    while at < len(pattern):
        character, inside = pattern[at], False
        if character == "\\":
            if pattern[at + 1 : at + 2] in "123456789kg":
                return "refers back to a group"
            at = _after_escape(pattern, at)
        elif character == "[":
            at = _after_class(pattern, at)
        elif character == "(":
            repeats.append(False)
            at += 2 if pattern[at + 1 : at + 2] == "?" else 1
            continue
        elif character == ")":
            inside = repeats.pop() if len(repeats) > 1 else False
            at += 1
        else:
            at += 1
        endless, at = _quantifier(pattern, at)
        if endless and inside:
            return "repeats a repetition"
        repeats[-1] |= endless or inside
    return None


def _after_escape(pattern: str, at: int) -> int:
    r"""Return the place after an escape at `at`: \d, \p{L} or \x{61}."""
    at += 2
    if pattern[at - 1 : at] in "pPxo" and pattern[at : at + 1] == "{":
        return pattern.find("}", at) + 1 or len(pattern)
    return at


def _after_class(pattern: str, at: int) -> int:
    """Return the place after a character class at `at`: [a-z], [^]a] or [a&&[b]]."""
    depth = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"  # the first one is a character
        elif pattern[at] == "]":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at


def _quantifier(pattern: str, at: int) -> tuple[bool, int]:
    """Return whether the quantifiers at `at` repeat endlessly, and the place after them."""
    endless = False
    while at < len(pattern):
        if pattern[at] in "*+?":
            endless |= pattern[at] != "?"
            at += 1
        elif pattern[at] == "{" and (end := pattern.find("}", at)) > 0:
            least, comma, most = pattern[at + 1 : end].partition(",")
            if not all(part.isascii() and part.isdigit() for part in (least, most) if part) or not (least or most):
                break  # a brace as a character
            most = most or ("" if comma else least)
            endless |= not most or len(most) > 3 or int(most) > MANY
            at = end + 1
        else:
            break
    return endless, at
