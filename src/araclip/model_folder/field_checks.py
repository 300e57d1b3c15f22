"""What a field of a configuration may be: questions about one value of a JSON file."""

from collections.abc import Callable
from math import isfinite

Check = Callable[[object], bool]


def is_text(value: object) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_texts(value: object) -> bool:
    """Whether it is a sequence of texts."""
    return isinstance(value, tuple) and all(map(is_text, value))


def is_bool(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_printable(longest: int) -> Check:
    """A text of 1 to `longest` characters that a terminal can show, and that stays on one line."""
    return lambda value: isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and isfinite(value)


def is_rgb(value: object) -> bool:
    """Whether it is one number for each colour channel."""
    return isinstance(value, tuple) and len(value) == 3 and all(map(is_number, value))


def whole_number(least: int, most: int) -> Check:
    """A whole number of that range."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def one_of(*known: str | None) -> Check:
    """One of these texts."""
    return lambda value: isinstance(value, str | None) and value in known


def are_prefixes(found: object, width: int) -> bool:
    """Whether these are different numbers from 1 to `width`, rising."""
    if not isinstance(found, tuple) or not all(type(number) is int for number in found):
        return False
    return list(found) == sorted(set(found)) and (not found or 1 <= found[0] <= found[-1] <= width)


def is_short_texts(most: int, longest: int) -> Check:
    """Nothing, or an object of at most `most` texts, names and values printable and of at most `longest` characters."""
    fits = is_printable(longest)
    return lambda value: (
        value is None
        or (
            isinstance(value, dict)
            and len(value) <= most
            and all(fits(text) for pair in value.items() for text in pair)
        )
    )


def is_languages(most: int) -> Check:
    """Nothing, or 1 to `most` codes of languages."""
    fits = is_printable(20)
    return lambda value: (
        value is None or (isinstance(value, tuple) and 0 < len(value) <= most and all(fits(code) for code in value))
    )
