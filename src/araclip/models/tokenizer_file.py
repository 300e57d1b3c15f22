"""Check a tokenizer.json before the tokenizers library opens it: how much it may lengthen a text, how slow it may be.

A normalizer may replace a letter by a thousand letters, and the next normalizer each of these by a thousand more. A
regular expression may try every way to cut a text. Both depend on the text, so a trial with examples proves nothing.
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

MAX_GROWTH = 64  # limit: factor by which all replacements may lengthen a text; SentencePiece swaps a space for one mark
MAX_CHARACTER = 256  # limit: bytes that a character map may write for one character; the longest in NFKC is ﷺ with 33
MAX_PREFIX = 1000  # limit: characters that a normalizer may put before each text
MAX_PATTERN = 2000  # limit: characters of a regular expression; that of GPT-4o's tokenizer has 350
_ONE_CLASS = re.compile(  # a pattern of one class, letter, digit or space, perhaps repeated; never matches empty text
    r"(?:\[(?:[^\[\]\\&]|\\[^pP])+\]|[^\W_]| )(?:\+|\{[1-9]\d*,?\d*\})?"
)
_SPACED = re.compile(r"\(\?(?:#|[a-zA-Z-]*x)")  # the beginning of a comment (?#…), or the option x
MANY_REPEATS = 100  # a part of a pattern that may be repeated more often than this counts as repeated endlessly


def check_tokenizer(path: Path) -> None:
    """Check how much longer a tokenizer.json can make a text, and that no regular expression repeats a repetition.

    Raises:
        ModelMismatch: the file is no JSON object, or is too large or too deep; its normalizers break a limit at the top
            of this module; a regular expression is too long, refers back to a group, or repeats a repetition.
    """
    check_rules(bounded_json.read(path, kind=dict, error=ModelMismatch), path)


def check_rules(raw: dict[str, Any], path: Path | str) -> None:
    """Make the checks of `check_tokenizer` on a tokenizer.json that was read; error messages name the file `path`."""
    growth = _total_growth(raw.get("normalizer"), path)
    if growth > MAX_GROWTH:
        raise ModelMismatch(
            f"{path}: its normalizers can make a text {growth:,.0f} times longer, the most is {MAX_GROWTH}. "
            "Take the tokenizer from another source."
        )
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for entry in _iterate_objects(raw.get(part)):
            # the expression stands under "Regex", in the object itself or in its "pattern"
            inner = entry.get("pattern")
            places = (entry.get("Regex"), inner.get("Regex") if isinstance(inner, dict) else None)
            pattern = next((found for found in places if isinstance(found, str)), None)
            if pattern is not None and (fault := _fault_of_pattern(pattern)):
                raise ModelMismatch(
                    f"{path}: the regular expression {shown(shortened(pattern, 100))} {fault}, so that some texts take "
                    "for ever. Take the tokenizer from another source."
                )


def _iterate_objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects inside a JSON value, in their order, except those under the key "pattern"."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed([part for key, part in value.items() if key != "pattern"]))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def _total_growth(normalizer: Any, path: Path | str) -> float:
    """Return how many times longer all normalizer steps together can make a text.

    The factors of the steps multiply. Steps in a row are an exception if each replaces one character that no earlier
    step in this row has written: they change a character at most once, so only their largest factor counts.
    """
    growth = longest = 1.0
    written: set[str] = set()
    for entry in _iterate_objects(normalizer):
        pattern, content = entry.get("pattern"), entry.get("content")
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        if isinstance(replaced, str) and len(replaced) == 1 and isinstance(content, str):
            if replaced in written:
                growth, longest, written = growth * longest, 1.0, set()
            longest = max(longest, len(content))
            written.update(content)
        else:
            growth, longest, written = growth * longest * _growth_of_step(entry, path), 1.0, set()
    return growth * longest


def _growth_of_step(normalizer: dict[str, Any], path: Path | str) -> float:
    """Return the factor by which one step's replacement can lengthen a text, in characters.

    Every step without a replacement counts as 1, because it has a bound of its own: a prefix has at most MAX_PREFIX
    characters, a character map writes at most MAX_CHARACTER bytes for a character, and the other steps are fixed.

    Raises:
        ModelMismatch: a prefix is longer than MAX_PREFIX, or an entry of a character map longer than MAX_CHARACTER.
    """
    content, pattern = normalizer.get("content"), normalizer.get("pattern")
    if isinstance(content, str) and isinstance(pattern, dict):
        replaced = pattern.get("String")
        if isinstance(replaced, str):
            return max(1.0, len(content) / len(replaced)) if replaced else inf
        if isinstance(expression := pattern.get("Regex"), str) and _ONE_CLASS.fullmatch(expression):
            return max(1.0, len(content))
        return 1.0 + len(content)  # the expression may match each letter, or the empty text between letters
    prefix, table = normalizer.get("prepend"), normalizer.get("precompiled_charsmap")
    if isinstance(prefix, str) and len(prefix) > MAX_PREFIX:
        raise ModelMismatch(f"{path}: a normalizer puts {len(prefix)} characters before each text. Take another.")
    if isinstance(table, str) and (longest := _longest_entry(table)) > MAX_CHARACTER:
        raise ModelMismatch(f"{path}: its character map writes {longest} bytes for a character. Take another.")
    return 1.0


def _longest_entry(table: str) -> int:
    """Return how many bytes the longest text in SentencePiece's character map has.

    The map holds the length of a trie (4 bytes), the trie, and texts that each end with NUL.
    """
    try:
        data = base64.b64decode(table)
        (length,) = struct.unpack_from("<I", data)
    except (binascii.Error, ValueError, struct.error):
        return 0  # no character map; the library `tokenizers` refuses it when it opens the file
    return max(map(len, data[4 + length :].split(b"\0")))


def _fault_of_pattern(pattern: str) -> str | None:
    """Return why a regular expression of Oniguruma is refused: too long, or perhaps exponential in time; else None."""
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters"
    repeats = [False]  # for each open group, outermost first: True if the group holds an endless repetition
    at = 0
    while at < len(pattern):
        character, inside = pattern[at], False
        if character == "\\":
            if pattern[at + 1 : at + 2] in "123456789kg":
                return "refers back to a group"
            at += 2
            # skip the braces of \p{L} or \x{61}, which are no quantifier
            if pattern[at - 1 : at] in "pPxo" and pattern[at : at + 1] == "{":
                at = pattern.find("}", at) + 1 or len(pattern)
        elif character == "[":
            at = _skip_class(pattern, at)
        elif character == "(":
            if _SPACED.match(pattern, at):  # Oniguruma would ignore what stands between a group and its quantifier
                return "has comments or free spacing"
            repeats.append(False)
            at += 2 if pattern[at + 1 : at + 2] == "?" else 1
            continue
        elif character == ")":
            inside = repeats.pop() if len(repeats) > 1 else False
            at += 1
        else:
            at += 1
        endless, at = _skip_quantifiers(pattern, at)
        if endless and inside:
            return "repeats a repetition"
        repeats[-1] |= endless or inside
    return None


def _skip_class(pattern: str, at: int) -> int:
    """Return the position after a class that begins at `at`, such as [a-z], [^]a] or [a&&[b]]."""
    depth = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"  # a "]" right after the "[" is a character of the class
        elif pattern[at] == "]":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at


def _skip_quantifiers(pattern: str, at: int) -> tuple[bool, int]:
    """Return whether the quantifiers that begin at `at` repeat endlessly, and the position after them."""
    endless = False
    while at < len(pattern):
        if pattern[at] in "*+?":
            endless |= pattern[at] != "?"
            at += 1
        elif pattern[at] == "{" and (end := pattern.find("}", at)) > 0:
            least, comma, most = pattern[at + 1 : end].partition(",")
            if not all(part.isascii() and part.isdigit() for part in (least, most) if part) or not (least or most):
                break  # this brace begins no quantifier, and stands for itself
            most = most or ("" if comma else least)
            endless |= not most or len(most) > 3 or int(most) > MANY_REPEATS
            at = end + 1
        else:
            break
    return endless, at
