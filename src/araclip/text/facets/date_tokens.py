"""A query's words as dates are read from them: numeric dates and names of files are one word each. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from araclip.text.facets.calendar_words import MONTH_WORDS, MONTHS, SEASONS
from araclip.text.folding import fold
from araclip.text.script import words

NUMERIC = re.compile(
    r"(?<![\d/.-])(?:(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?|(?:(\d{1,2})[-/.])?(\d{1,2})[-/.](\d{4}))"
    r"(?![\d/-]|\.\w)"
)
_CHUNK = re.compile(r"\S+")
_OF_IT = re.compile("['\u2019]s$")  # yesterday's photos
_FILE_NAME = re.compile(r"_\d|\d_|\d\.[A-Za-z]")  # IMG_2019, 2015.jpg: what counts there is no year
# «ويوليو», «لمارس» after another month or a number: where a span of dates goes on.
_JOINED = re.compile("[ول](?=..)")
_FIRST_WORDS = frozenset(name[0] for name in (*MONTHS, *MONTH_WORDS, *SEASONS))
_LAST_WORDS = frozenset(name[-1] for name in MONTHS)


@dataclass(frozen=True)
class Token:
    """A folded word and its place in the text."""

    folded: str
    start: int
    end: int


def tokens(normal: str) -> list[Token]:
    """The words of a normalised text."""
    found: list[Token] = []
    for token in _parts(normal):
        if (joined := _JOINED.match(token.folded)) and found and _goes_on(found[-1].folded, token.folded[1:]):
            middle = token.start + joined.end()
            found += [Token(joined.group(), token.start, middle), Token(token.folded[1:], middle, token.end)]
        else:
            found.append(token)
    return found


def _parts(normal: str) -> Iterator[Token]:
    for chunk in _CHUNK.finditer(normal):
        start, end = chunk.span()
        if _FILE_NAME.search(chunk.group()):
            yield Token(fold(chunk.group()), start, end)
            continue
        while date := NUMERIC.search(normal, start, end):
            yield from (
                Token(_OF_IT.sub("", fold(word.group())), *word.span()) for word in words(normal, start, date.start())
            )
            yield Token(date.group(), *date.span())
            start = date.end()
        yield from (Token(_OF_IT.sub("", fold(word.group())), *word.span()) for word in words(normal, start, end))


def _goes_on(before: str, name: str) -> bool:
    return name in _FIRST_WORDS and (before[-1:].isdigit() or before in _LAST_WORDS)
