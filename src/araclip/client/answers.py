"""What a server answers, as the client gives it; docs/server.md says what each field means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from araclip.errors import ServerError

Answer = TypeVar("Answer")


class NotOurs(ServerError):
    """What answers is no `araclip serve`."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message.rstrip('.')}. Is that the address of an `araclip serve`?")


class Answered(dict[str, Any]):
    """The object that a server answered."""

    def __missing__(self, name: str) -> Any:
        raise NotOurs(f"the server's answer has no field '{name}'")


@dataclass(frozen=True)
class Result:
    """One picture found; see docs/server.md for each field."""

    id: str
    score: float
    relevance: float | None
    weak: bool
    name: str
    folder: str
    width: int | None
    height: int | None
    placeholder: str | None
    copies: int
    time: float | None = None
    matched: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Results:
    """A page of results, best first; `nothing_found`: no result, or only weak ones."""

    query: str
    results: tuple[Result, ...]
    offset: int
    more: bool
    nothing_found: bool
    took_ms: float
    generation: str
    interpretation: Mapping[str, Any] | None = None  # how the words were understood; docs/server.md


@dataclass(frozen=True)
class Added:
    """A picture that was added."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Suggestion:
    """A query that begins with what was typed, of kind folder, word, query or file."""

    text: str
    kind: str


@dataclass(frozen=True)
class WordShare:
    """A word of a query, and the cosine that a picture's score loses without it."""

    word: str
    share: float


@dataclass(frozen=True)
class Month:
    """A month, YYYY-MM, or None for pictures without a date; how many pictures were taken in it."""

    month: str | None
    pictures: int


@dataclass(frozen=True)
class Listed:
    """A picture of a list."""

    id: str
    name: str
    folder: str
    width: int | None
    height: int | None
    captured_at: str | None
    placeholder: str | None
    copies: int
    time: float | None = None


@dataclass(frozen=True)
class Album:
    """A folder: `key` for `folders(inside=key)` and `where="album=KEY"`; pictures in it and below it."""

    key: str
    name: str
    pictures: int
    albums: int
    cover: str | None


@dataclass(frozen=True)
class Place:
    """Pictures taken near each other: their mean place, the newest one's id, and south, west, north, east."""

    latitude: float
    longitude: float
    pictures: int
    cover: str | None
    box: Sequence[float]


def read(kind: type[Answer], values: object) -> Answer:
    """A dataclass from a response; unknown fields, of a later server, are ignored.

    Raises:
        ServerError: there is no such object, or it lacks a field.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in dict(values).items() if name in names})  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise NotOurs(f"the server's answer holds no {kind.__name__}") from None
