"""Parse queries such as «قطة + سجادة حمراء - كلب» and compute their vectors. Pure; docs/queries.md is the guide.

query  = [sign] term { space sign term }        sign: + - − –, with a space (or the beginning) before it
term   = [weight :] (text | picture)            weight: 2 or 0.5, digits of any script
text   = anything; inside "…", «…» and “…” signs and weights are ordinary characters; so is a character after \\
picture = ./… ../… /… ~/… C:/… (a file), picture:… (a picture whose pixels the gallery stores)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from araclip.core.messages import message
from araclip.errors import InputError
from araclip.models.encoder_base import MAX_LETTERS
from araclip.text.normalization import normalize

MAX_TERMS = 16
MIN_WEIGHT, MAX_WEIGHT = 0.01, 100.0
MINUS = 0.5  # a term after a minus counts half of one after a plus; docs/log/2026-11.md, benchmarks/composition.py
# A picture beside text counts half: its cosines to pictures are higher than a text's, so it would outweigh the text.
PICTURE_BESIDE_TEXT = 0.5

_SIGNS = {"+": 1.0, "-": -1.0, "\u2212": -1.0, "\u2013": -1.0}  # the last sign is the dash that telephones make of "--"
_QUOTES = {'"': '"', "«": "»", "“": "”"}
_LAYOUT = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # invisible direction marks
_ESCAPABLE = frozenset("\\:./~") | _SIGNS.keys() | _QUOTES.keys() | set(_QUOTES.values())
_WEIGHT = re.compile(r"(\d+(?:[.,٫]\d+)?|[.,٫]\d+)\s*:")

Kind = Literal["text", "file", "stored"]
_BEGINNINGS: dict[Kind, re.Pattern[str]] = {
    "file": re.compile(r"\.{1,2}[\\/]|/|~[\\/]|[A-Za-z]:[\\/]"),
    "stored": re.compile("picture:"),
}
EXAMPLE = "قطة على طاولة"


@dataclass(frozen=True)
class Term:
    """One part of a query. The weight is negative after a minus; a `quoted` term is searched exactly as typed."""

    kind: Kind
    value: str
    weight: float = 1.0
    quoted: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        weight = "" if abs(self.weight) == 1 else f"{abs(self.weight)!r}:".replace(".0:", ":")
        written = _escape(self.value, self.kind)
        return weight + (f'"{written}"' if self.quoted and self.kind == "text" else written)


@dataclass(frozen=True)
class Query:
    """A parsed query: at least one term has a positive weight, or else all terms exclude.

    `parse(str(query)) == query`.
    """

    terms: tuple[Term, ...]

    @property
    def of_texts(self) -> bool:
        """True if every term is a text; only then do hits get a relevance."""
        return all(term.kind == "text" for term in self.terms)

    @property
    def words(self) -> int:
        """Count the words of all texts that are not after a minus."""
        return sum(len(term.value.split()) for term in self.terms if term.kind == "text" and term.weight > 0)

    def __str__(self) -> str:
        return " ".join(f"{'-' if term.weight < 0 else '+'} {term}" for term in self.terms).removeprefix("+ ")


def parse(text: str, *, files: bool = False) -> Query:
    """Parse the text of a query.

    Args:
        files: True to let a term name a picture file on this machine. Off by default, so that a service never
            opens files that its clients name.

    Raises:
        InputError: the query or a term is empty, a weight is invalid, a quotation mark is left open, all terms are
            minus terms and one of them is too light to exclude, there are too many terms or letters, a letter is no
            valid Unicode, or a term names a file although `files` is False.
    """
    if not isinstance(text, str):
        raise InputError(f"a query is a text, got {type(text).__name__}. Type what the picture shows: {EXAMPLE}")
    if len(text) > MAX_LETTERS:  # The length is checked first, because parsing looks at each letter.
        raise InputError(message("query letters", letters=len(text), most=MAX_LETTERS))
    terms = tuple(_parse_term(characters, sign, text, files) for sign, characters in _split_terms(text))
    if len(terms) > MAX_TERMS:
        raise InputError(message("query terms", terms=len(terms), most=MAX_TERMS))
    query = Query(terms)
    if all(term.weight < 0 for term in terms) and len(excluding_terms(query)) < len(terms):
        raise InputError(message("query only minus", query=text.strip(), example=f"{EXAMPLE} - 0.5:كلب"))
    return query


def with_terms(terms: str, text: str) -> str:
    """Join some signed terms and a query into one query text; the query may be empty or begin with a sign."""
    first = next((letter for letter in text if not _is_space(letter)), None)
    if first is None:
        return terms
    return f"{terms} {text}" if first in _SIGNS else f"{terms} + {text}"


@dataclass(frozen=True)
class _Character:
    letter: str
    quoted: bool = False
    escaped: bool = False


def _split_terms(text: str) -> list[tuple[float, list[_Character]]]:
    """Split a query into terms: pairs of a sign (1, -1, or 0 if none was typed) and the term's characters."""
    parts: list[tuple[float, list[_Character]]] = [(0.0, [])]  # sign 0: no sign was typed
    closing, i = "", 0
    while i < len(text):
        letter, characters = text[i], parts[-1][1]
        fresh = not characters or _is_blank(characters[-1])
        if letter == "\\" and i + 1 < len(text) and text[i + 1] in _ESCAPABLE:
            i += 1
            characters.append(_Character(text[i], bool(closing), escaped=True))
        elif closing:
            closing = "" if letter == closing else closing
            characters.append(_Character(letter, quoted=True))
        elif letter in _QUOTES and (fresh or _WEIGHT.fullmatch(_hide_quoted(characters))):
            closing = _QUOTES[letter]
            characters.append(_Character(letter, quoted=True))
        elif letter in _SIGNS and fresh:
            parts.append((_SIGNS[letter], []))
        else:
            characters.append(_Character(letter))
        i += 1
    if closing:
        raise InputError(message("query quotation", query=text.strip(), closing=closing))
    if _hide_quoted(parts[0][1]) == "" and len(parts) > 1:
        del parts[0]  # the query begins with a sign, so nothing stands before it
    return parts


def _parse_term(characters: list[_Character], sign: float, text: str, files: bool) -> Term:
    characters = list(dropwhile(_is_blank, characters))
    while characters and _is_blank(characters[-1]):
        characters.pop()
    weight = 1.0
    if match := _WEIGHT.match(_hide_quoted(characters)):  # a weight before the term, as in "2:text"
        weight = float(match[1].replace(",", ".").replace("٫", "."))
        if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
            raise InputError(message("query weight", weight=match[1], least=MIN_WEIGHT, most=MAX_WEIGHT))
        characters = list(dropwhile(_is_blank, characters[match.end() :]))
    if quoted := _is_in_quotation_marks(characters):
        characters = characters[1:-1]
    value = "".join(character.letter for character in characters)
    kind: Kind = "text"
    for name, beginning in _BEGINNINGS.items():
        match = beginning.match(value)
        if match and not any(c.escaped and c.letter != "\\" for c in characters[: match.end()]):
            kind = name
            break
    if not normalize(value):
        if not normalize(text):
            raise InputError(message("query empty", example=EXAMPLE))
        raise InputError(message("query part", query=text.strip()))
    # refuse surrogates, because no tokenizer accepts them
    if kind == "text" and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(message("query encoding", query=text.strip()))
    if kind == "file" and not files:
        raise InputError(message("query file", file=value))
    return Term(kind, value.strip(), (sign or 1.0) * weight, quoted)


def _hide_quoted(characters: list[_Character]) -> str:
    """Join characters to a text, with NUL in place of quoted and escaped ones, so that these match no syntax."""
    letters = ("\0" if character.quoted or character.escaped else character.letter for character in characters)
    return "".join(letters).strip(_LAYOUT + " \t\n")


def _is_in_quotation_marks(characters: list[_Character]) -> bool:
    """True if one pair of quotation marks encloses all characters of a term."""
    if len(characters) < 2 or not all(character.quoted for character in characters):
        return False
    first, last = characters[0], characters[-1]
    inside = [character.letter for character in characters[1:-1] if not character.escaped]
    closing = _QUOTES.get(first.letter)
    return not first.escaped and not last.escaped and last.letter == closing and closing not in inside


def _is_blank(character: _Character) -> bool:
    return _is_space(character.letter) and not character.quoted


def _is_space(letter: str) -> bool:
    return letter.isspace() or letter in _LAYOUT


def _escape(value: str, kind: Kind) -> str:
    """Return the value with a backslash before each character that `parse` would take for syntax."""
    out: list[str] = []
    for i, letter in enumerate(value):
        if letter in _SIGNS:
            special = i == 0 or _is_space(value[i - 1])
        elif letter == "\\":
            special = i + 1 == len(value) or value[i + 1] in _ESCAPABLE
        elif letter in ":./~":
            special = kind == "text" and (i == 0 or letter == ":")
        else:
            special = letter in _ESCAPABLE
        out.append("\\" + letter if special else letter)
    return "".join(out)


def excluding_terms(query: Query) -> list[int]:
    """Return the positions of the terms that exclude: texts after a minus with a weight of 1 or more.

    A lighter minus (- 0.5:كلب) excludes nothing: it only pushes the query's vector away from its text. A picture after
    a minus also only pushes away, because the likeness of two pictures is not calibrated.
    """
    return [i for i, term in enumerate(query.terms) if term.kind == "text" and term.weight <= -1]


def combine(vectors: NDArray[np.float32], query: Query, *, subtract: bool = False) -> NDArray[np.float32]:
    """Return the query's unit vector (D,): the weighted sum of its terms' unit vectors (n, D), scaled to length 1.

    The weight of a term after a minus, which is negative, is halved, and so is the weight of a picture beside text.
    Texts after a minus with a weight of 1 or more (`excluding_terms`) are left out of the sum, because they decide
    which hits are dropped, not how the remaining hits rank. Centring texts and pictures first, to close the modality
    gap, was measured and did not help; docs/log/2026-11.md.

    Args:
        subtract: True to add excluding terms to the sum with negative weight, for a gallery with too few pictures to
            decide which hits to drop.

    Raises:
        InputError: the terms cancel each other out.
    """
    mixed = len({term.kind == "text" for term in query.terms}) > 1
    weights = [
        term.weight * (MINUS if term.weight < 0 else 1) * (PICTURE_BESIDE_TEXT if mixed and term.kind != "text" else 1)
        for term in query.terms
    ]
    for row in () if subtract else excluding_terms(query):
        weights[row] = 0.0
    return unit_sum(vectors, weights)


def unit_sum(vectors: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float32]:
    """Return the weighted sum of vectors (n, D), scaled to length 1: (D,).

    Raises:
        InputError: the sum is (nearly) zero.
    """
    total = np.asarray(weights, np.float64) / np.abs(weights).max() @ vectors.astype(np.float64)  # one vector
    length = float(np.linalg.norm(total))
    if length < 1e-3:
        raise InputError(message("query cancels"))
    unit: NDArray[np.float32] = (total / length).astype(np.float32)
    return unit
