"""Text from outside, made safe to show: file names, model names, captions."""

JOINERS = "\u200c\u200d"  # Persian and emoji need them; the other invisible marks only hide something


def shown(text: str) -> str:
    """One line that hides nothing: control and bidi-override marks, and bytes of a file name that are no UTF-8, become
    visible escapes."""
    return "".join(c if c.isprintable() or c in JOINERS else _escape(ord(c)) for c in text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out: names of models and pictures differ at both ends."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def _escape(code: int) -> str:
    undecoded = 0xDC80 <= code <= 0xDCFF  # how Python keeps a byte that is no UTF-8
    return f"\\x{code - 0xDC00:02x}" if undecoded else f"\\u{code:04x}"
