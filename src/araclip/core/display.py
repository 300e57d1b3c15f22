"""Untrusted text made safe to display: file names, model names, captions."""

from collections.abc import Callable, Iterable
from itertools import accumulate

Log = Callable[[str], None]  # called with one line for each step of a long task
Progress = Callable[[float], None]  # called with the share of a task that is done, 0 to 1

_HARMLESS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))  # direction marks that do not reorder text
JOINERS = "\u200c\u200d"  # invisible, but not escaped: Persian and emoji need them


def shown(text: str) -> str:
    """Return a text on one line; control characters, bidirectional marks and bytes that are not UTF-8 are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else _escape(ord(c)) for c in text)


def shown_with_marks(text: str, marks: Iterable[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Escape a text as `shown` does; also return `marks` (start and end, in characters) moved to the escaped text."""
    if text.isprintable():
        return text, list(marks)
    begins = [0, *accumulate(len(shown(character)) for character in text)]
    return shown(text), [(begins[start], begins[end]) for start, end in marks]


def undirected(text: str) -> str:
    """Remove the direction marks that Tesseract puts around numbers and Latin words in prose (captions, OCR).

    Unicode's embedding and override marks, which reorder whole words, can deceive; they are kept, and `shown` escapes
    them.
    """
    return text.translate(_HARMLESS)


def shown_lines(text: str) -> str:
    """Escape a text as `shown` does, but keep its line breaks."""
    return "\n".join(shown(line) for line in text.splitlines())


def json_shown(text: str) -> str:
    """Escape the characters that `shown` escapes, but in JSON's way: parsing the returned text gives the same value."""
    pieces = []
    for letter in text:
        if letter.isprintable() or letter in JOINERS:
            pieces.append(letter)
        else:
            units = letter.encode("utf-16-be", "surrogatepass").hex()
            pieces += [f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)]
    return "".join(pieces)


def shortened(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters by leaving out its middle: names often differ at both ends."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def counted(count: int, what: str, several: str = "") -> str:
    """Write a count with its noun: 1 picture, 2,000 pictures; `several` is an irregular plural, such as queries."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def _escape(code: int) -> str:
    undecoded = 0xDC80 <= code <= 0xDCFF  # a lone surrogate: a byte that is not UTF-8 (surrogateescape)
    if undecoded:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
