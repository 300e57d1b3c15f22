"""Results of a gallery's methods: hits, and reports of what was done or found; and hits and lists as a server tells
them, which `araclip.client` reads back. Needs the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from araclip.gallery.catalog.records import Copy, PictureRecord
from araclip.pictures.video.scenes import AtPath

STRONG, WEAK = 0.5, 0.2  # from STRONG on a hit is strong: more likely right than not; below WEAK it is weak
FIRST_ROW, FITTING = 5, 0.22  # first hits, and the mean relevance below which nothing fits; chosen on judged pairs
TEXT_WEIGHT = 1.0  # of words found in a picture's texts, beside the picture itself; see docs/log/2026-11.md


def strength(relevance: float | None) -> str | None:
    """ "strong", "fair" or "weak"; None where relevance is unknown."""
    if relevance is None:
        return None
    return "strong" if relevance >= STRONG else "fair" if relevance >= WEAK else "weak"


def fits_nothing(relevances: Sequence[float | None]) -> bool:
    """Whether the first of some relevances, best first, say that nothing fits: their mean is low and none is strong.

    False where relevance is unknown.
    """
    row = [each for each in relevances[:FIRST_ROW] if each is not None]
    return bool(row) and sum(row) / len(row) < FITTING and max(row) < STRONG


@dataclass(frozen=True)
class Match:
    """A text of a picture in which words of the query stand.

    `field`: name (of a file or folder), metadata, caption, or ocr (letters in the picture). `text`: one line of it;
    `marks`: start and end of each word found there, in characters. The text is a stranger's: escape it for display.
    """

    field: str
    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Hit(AtPath):
    """One picture found: cosine in −1…1, rank from 1, and other paths that hold the very same file.

    `matched` says which of the picture's texts the query's words stand in; a hit with one may stand before others of a
    higher score.
    `relevance` is the probability that it shows what the query says (see `gallery.relevance`); None when the query
    contains a picture, or the gallery has only a few.
    `near` counts the near-duplicates that were left out for it, where they are collapsed.
    `path` begins with `picture:` when the gallery stores the pixels itself (`Gallery.picture` gives their bytes). Of a
    scene in a video it ends with the time, `clip.mp4#t=00083.200`: `file` and `time` are its parts.
    `picture` is what the gallery knows of it; `captured_at`, `width`, `height`, `bytes` and `folder` are taken from it.
    """

    path: str
    score: float
    rank: int
    copies: tuple[str, ...] = ()
    relevance: float | None = None
    matched: tuple[Match, ...] = ()
    near: int = 0
    picture: PictureRecord | None = field(default=None, repr=False, compare=False)

    @property
    def captured_at(self) -> str | None:
        """The date of its taking, YYYY-MM-DDTHH:MM:SS; None where it is not known."""
        return self.picture.captured_at if self.picture else None

    @property
    def width(self) -> int | None:
        """Pixels of the upright picture's width."""
        return self.picture.width if self.picture else None

    @property
    def height(self) -> int | None:
        """Pixels of the upright picture's height."""
        return self.picture.height if self.picture else None

    @property
    def bytes(self) -> int | None:
        """Of its file."""
        return self._copy.size if self._copy else None

    @property
    def folder(self) -> str:
        """The name of the folder it lies in; empty without a file."""
        return self._copy.folder if self._copy else ""

    @property
    def _copy(self) -> Copy | None:
        return next((each for each in self.picture.copies if each.path == self.path), None) if self.picture else None

    @property
    def weak(self) -> bool:
        """Whether the picture probably does not show what the query says; False where relevance is unknown."""
        return self.relevance is not None and self.relevance < WEAK

    @property
    def strength(self) -> str | None:
        """The relevance in a word: "strong", "fair" or "weak"; None where it is unknown."""
        return strength(self.relevance)


@dataclass
class Update:
    """Counts of one update, in files; `pictures` are all in the gallery now, in so many `files`.

    `unread` counts files that look like pictures or videos and are of a kind that is not read here, by that kind: those
    below the folders, or of an update at some paths among these.
    """

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[str] = field(default_factory=list)
    pictures: int = 0
    files: int = 0
    unread: dict[str, int] = field(default_factory=dict)


@dataclass
class Filled:
    """Result of `add_embedded`: pictures read and those that were new; seconds for rows, for words that did not come
    with their rows (of known pictures, on servers), and for the index."""

    read: int = 0
    added: int = 0
    row_seconds: float = 0.0
    word_seconds: float = 0.0
    index_seconds: float = 0.0


@dataclass(frozen=True)
class Addition:
    """Result of `add`: the path of each picture in the order given, None where it was skipped; and the reasons."""

    paths: tuple[str | None, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stats:
    """A gallery in numbers. `stored` counts pictures without a file, whose pixels are stored. Bytes are those of the
    indexed files and of the catalogue file; dates are the first and the last, as in Filters.

    `recall` is the index's recall at 10 for texts: 1 for an exact scan, as in small galleries; measured on everyday
    queries where codes are scanned; None while there is no index, or where a server's graph (HNSW) answers.
    """

    folder: str
    model: str
    width: int
    generation: str
    files: int
    pictures: int
    stored: int
    file_bytes: int
    catalogue_bytes: int
    formats: dict[str, int]
    captured_at: tuple[str, str] | None
    added: tuple[str, str] | None
    recall: float | None


@dataclass(frozen=True)
class Fault:
    """A fault found by `verify`: where, what is wrong, what to do; `repairable`: `repair` fixes it."""

    where: str
    what: str
    remedy: str
    repairable: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


@dataclass(frozen=True)
class Group:
    """Duplicates: `kind` is exact (the same bytes), near (the same picture) or semantic (the same
    scene). The largest picture comes first; `spare_bytes` is what the others take on the disk."""

    kind: str
    paths: tuple[str, ...]
    spare_bytes: int


# ------------------------------------------------------------------ over HTTP, where nobody learns a path


def _said(description: str) -> dict[str, str]:
    """Of a field, for the server's OpenAPI document."""
    return {"description": description}


_TIME = _said("Of a scene in a video, seconds from its start; else null.")


@dataclass(frozen=True)
class Result:
    """One picture found."""

    id: str
    score: float = field(metadata=_said("Cosine of query and picture, -1 to 1."))
    relevance: float | None = field(metadata=_said("0 to 1; null where it is unknown."))
    weak: bool
    name: str
    folder: str
    width: int | None
    height: int | None
    placeholder: str | None
    copies: int = field(metadata=_said("Number of further files with the same bytes."))
    near: int = field(default=0, metadata=_said("With collapse=near: how many near-duplicates it stands for."))
    time: float | None = field(default=None, metadata=_TIME)
    matched: Sequence[Match] = field(default=(), metadata=_said("Where words of the query stand in its texts."))


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
    copies: int = field(metadata=_said("Number of further files with the same bytes."))
    time: float | None = field(default=None, metadata=_TIME)


@dataclass(frozen=True)
class Added:
    """A picture that was added."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class WordShare:
    """A word of the query as it was read."""

    word: str
    share: float = field(metadata=_said("The cosine that the picture loses without it; below 0: it would gain."))


@dataclass(frozen=True)
class Suggestion:
    """A query that may be meant; from names and texts of the gallery, so a stranger's: escape it for display."""

    text: str
    kind: Literal["folder", "word", "query", "file"]


@dataclass(frozen=True)
class Month:
    """A month, and how many pictures were taken in it."""

    month: str | None = field(metadata=_said("YYYY-MM; null for pictures without a date."))
    pictures: int


@dataclass(frozen=True)
class Album:
    """A folder that holds pictures, or folders with pictures."""

    key: str = field(metadata=_said("For `where=album=KEY`, and for `in` of this route."))
    name: str
    pictures: int = field(metadata=_said("In it and below it."))
    albums: int = field(metadata=_said("Albums directly in it."))
    cover: str | None = field(metadata=_said("The id of its newest picture."))


@dataclass(frozen=True)
class Place:
    """Pictures that were taken near each other."""

    latitude: float = field(metadata=_said("Their mean."))
    longitude: float
    pictures: int
    cover: str | None = field(metadata=_said("The id of the newest."))
    box: tuple[float, float, float, float] = field(metadata=_said("South, west, north, east; for `where=box=…`."))
