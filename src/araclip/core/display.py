"""Untrusted text made safe to display: file names, model names, captions."""

from collections.abc import Callable, Iterable
from itertools import accumulate

Log = Callable[[str], None]  # is told each step of something that takes long, in one line
Progress = Callable[[float], None]  # is told which share of something is done, 0 to 1

_HARMLESS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))  # direction marks that turn no other letter
JOINERS = "\u200c\u200d"  # needed by Persian and emoji; other invisible marks are escaped


def shown(text: str) -> str:
    """The text on one line, with control characters, bidirectional marks and bytes that are not UTF-8 escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else _escape(ord(c)) for c in text)


def shown_with_marks(text: str, marks: Iterable[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """As `shown`, with places in the text (start and end, in characters) moved along."""
    if text.isprintable():
        return text, list(marks)
    begins = [0, *accumulate(len(shown(character)) for character in text)]
    return shown(text), [(begins[start], begins[end]) for start, end in marks]


def undirected(text: str) -> str:
    """Prose (captions, OCR) without the direction marks that Tesseract puts around numbers and Latin words.

    Those that turn whole words (embeddings, overrides) stay, to be escaped: they can deceive.
    """
    return text.translate(_HARMLESS)


def shown_lines(text: str) -> str:
    """As `shown`, with line breaks kept."""
    return "\n".join(shown(line) for line in text.splitlines())


def json_shown(text: str) -> str:
    """JSON with what `shown` escapes in JSON's own notation: the same value after parsing, and valid UTF-8."""
    return "".join(c if c.isprintable() or c in JOINERS else _json_escape(c) for c in text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out: names of models and pictures differ at both ends."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def counted(count: int, what: str, several: str = "") -> str:
    """A count with its noun: 1 picture, 2,000 pictures, 2 queries (`several`, where it does not end in s)."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _escape(code: int) -> str:
    undecoded = 0xDC80 <= code <= 0xDCFF  # a lone surrogate: a byte that is not UTF-8 (surrogateescape)
    if undecoded:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
