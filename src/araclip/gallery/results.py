"""What a gallery's methods return: hits, and reports of what was done or found. Also the JSON answers of the server,
which `araclip.client` reads back. Needs the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from araclip.gallery.catalog.records import Copy, PictureRecord
from araclip.pictures.video.scenes import AtPath

STRONG, WEAK = 0.5, 0.2  # Relevance at least STRONG: a strong hit, more likely right than not. Below WEAK: a weak hit.
# If the mean relevance of the first FIRST_ROW hits is below FITTING, no hit fits the query; chosen on judged pairs.
FIRST_ROW, FITTING = 5, 0.22
TEXT_WEIGHT = 1.0  # how much words in a picture's texts count beside the picture itself; 0: not at all


def strength(relevance: float | None) -> str | None:
    """Return a relevance (0 to 1) as a word: "strong", "fair" or "weak"; None for an unknown relevance (None)."""
    if relevance is None:
        return None
    return "strong" if relevance >= STRONG else "fair" if relevance >= WEAK else "weak"


def fits_nothing(relevances: Sequence[float | None], *, by_date: bool = False) -> bool:
    """True if the first hits' relevances (0 to 1) say that nothing fits the query: a low mean, and none is strong.

    `relevances` is ordered best first. If all are None (unknown), return False. `by_date`: True if the hits are sorted
    by date. Such hits include weak ones only if nothing fits, so a single weak hit is enough for True.
    """
    if by_date:
        return any(each is not None and each < WEAK for each in relevances)
    row = [each for each in relevances[:FIRST_ROW] if each is not None]
    return bool(row) and sum(row) / len(row) < FITTING and max(row) < STRONG


@dataclass(frozen=True)
class Match:
    """A text of a picture that contains words of the query. It is untrusted: escape it for display.

    `field`: name (of a file or folder), metadata, caption, or ocr (letters in the picture). `text`: a part of
    it, around the first word found. `marks`: start and end of each word found in `text`, in characters.
    """

    field: str
    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Hit(AtPath):
    """One picture found: `score` is its cosine (−1…1), `rank` counts from 1, `copies` are paths of identical files.

    `matched` lists the picture's texts that contain words of the query; such a hit may precede hits of a higher score.
    `relevance` is the probability that the picture shows what the query says (see `gallery.relevance`); None if the
    query contains a picture or a vector or says nothing that pictures show, or the gallery has too few pictures.
    `near` counts the picture's near-duplicates, if only the best of these is shown; 0 in a gallery in PostgreSQL.
    `path` begins with `picture:` if the gallery stores the pixels itself (`Gallery.picture` returns their bytes). The
    path of a scene in a video ends with its time, `clip.mp4#t=00083.200`: `file` and `time` are the parts of the path.
    `picture` is what the gallery knows about the picture; `captured_at`, `width`, `height`, `bytes` and `folder` are
    taken from it.
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
        """When the picture was taken, YYYY-MM-DDTHH:MM:SS; None if that is not known."""
        return self.picture.captured_at if self.picture else None

    @property
    def width(self) -> int | None:
        """The width of the upright picture in pixels; None if it is not known."""
        return self.picture.width if self.picture else None

    @property
    def height(self) -> int | None:
        """The height of the upright picture in pixels; None if it is not known."""
        return self.picture.height if self.picture else None

    @property
    def bytes(self) -> int | None:
        """The size of the file at `path`, in bytes; None if it is not known."""
        return self._copy_at_path.size if self._copy_at_path else None

    @property
    def folder(self) -> str:
        """The name of the folder of the file at `path`; empty if there is no file."""
        return self._copy_at_path.folder if self._copy_at_path else ""

    @property
    def _copy_at_path(self) -> Copy | None:
        return next((each for each in self.picture.copies if each.path == self.path), None) if self.picture else None

    @property
    def weak(self) -> bool:
        """True if the picture probably does not show what the query says; False if the relevance is unknown."""
        return self.relevance is not None and self.relevance < WEAK

    @property
    def strength(self) -> str | None:
        """The relevance as a word: "strong", "fair" or "weak"; None if the relevance is unknown."""
        return strength(self.relevance)


@dataclass
class Update:
    """What one update did, counted in files. The gallery then has `pictures` different pictures in `files` files.

    `skipped` has a line for each file that could not be used. `unread` counts, by kind, the files that look like
    pictures or videos but cannot be read here, among the files that the update looked at. `hidden` counts the new
    files that were hidden, because they seem to be edited versions of hidden pictures.
    """

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[str] = field(default_factory=list)
    pictures: int = 0
    files: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    hidden: int = 0


@dataclass
class Filled:
    """Result of `add_embedded`: how many pictures were read, and how many of them were new.

    `row_seconds` is the time in which groups were read and rows and words were written; `index_seconds` is the time in
    which the index was written.
    """

    read: int = 0
    added: int = 0
    row_seconds: float = 0.0
    index_seconds: float = 0.0


@dataclass(frozen=True)
class Addition:
    """Result of `add`: the path of each picture in the given order, None for a skipped picture.

    `skipped` has a line for each skipped picture, which says why it was skipped.
    """

    paths: tuple[str | None, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stats:
    """A gallery in numbers. `stored` counts the pictures without a file, whose pixels the gallery stores itself.

    `file_bytes` is the size of all indexed files, `catalogue_bytes` that of the catalogue file (of the tables on a
    server). `captured_at` and `added` hold the first and the last date, written as in Filters.
    `recall` is the index's recall at 10 for text queries: 1 in small galleries, where every vector is compared;
    measured on everyday queries in large ones, where short codes are compared; None if there is no index yet, or if
    a server searches with its graph (HNSW).
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
    """A fault found by `verify`: where it is, what is wrong, what to do. `repairable`: True if `repair` fixes it."""

    where: str
    what: str
    remedy: str
    repairable: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


@dataclass(frozen=True)
class Group:
    """A group of duplicates. `kind`: "exact" (same bytes), "near" (same picture) or "semantic" (same scene).

    The largest picture comes first; `spare_bytes` is the disk space that the other pictures take. `uncompared` names
    pictures of a near group that have near perceptual hashes but could not be compared, because a file is away or
    cannot be read; they are not counted in `spare_bytes`.
    """

    kind: str
    paths: tuple[str, ...]
    spare_bytes: int
    uncompared: tuple[str, ...] = ()


# ------------------------------------------------------------------ answers over HTTP, which never contain a path


FilterPart = Literal["date", "folder", "place", "kind", "order"]  # the parts of a query that become filters


def _described(description: str) -> dict[str, str]:
    """Return dataclass metadata that describes a field in the server's OpenAPI document."""
    return {"description": description}


_TIME = _described("Of a scene in a video, seconds from its start; else null.")


@dataclass(frozen=True)
class Result:
    """One picture found."""

    id: str
    score: float = field(metadata=_described("Cosine of query and picture, -1 to 1."))
    relevance: float | None = field(metadata=_described("0 to 1; null where it is unknown."))
    weak: bool
    name: str
    folder: str
    width: int | None
    height: int | None
    placeholder: str | None
    copies: int = field(metadata=_described("Number of further files with the same bytes."))
    near: int = field(default=0, metadata=_described("With collapse=near: how many near-duplicates the picture has."))
    time: float | None = field(default=None, metadata=_TIME)
    matched: Sequence[Match] = field(default=(), metadata=_described("Where words of the query stand in its texts."))


@dataclass(frozen=True)
class ReadText:
    """A text that was searched as a likely meaning of a part of the query; `weight`: share of this meaning, 0 to 1."""

    text: str
    weight: float


@dataclass(frozen=True)
class ReadFilter:
    """A filter that was read from words of the query.

    `applied` is false if the filter was left out, because no picture passes it together with the other filters.
    """

    part: FilterPart
    words: str
    where: list[str] = field(
        metadata=_described("KEY=VALUE, as the parameter `where` takes it; an order is sort=date or oldest.")
    )
    applied: bool


@dataclass(frozen=True)
class QueryInterpretation:
    """How the query's words were understood. `literal` takes all words as typed, `ignore` some words."""

    language: str = field(metadata=_described("ar, en, arabizi, mixed or other."))
    literal: bool
    also: list[str] = field(metadata=_described("Words that were searched beside, or in place of, those typed."))
    readings: list[ReadText]
    excluded: list[str]
    qualities: list[str] = field(
        metadata=_described("Colours and the like that the query excludes; their pictures remain.")
    )
    filters: list[ReadFilter]
    suggestion: str | None = field(
        metadata=_described("«هل تقصد»: a query spelled as captions are, where little was found.")
    )


@dataclass(frozen=True)
class Listed:
    """A picture in a list, such as an album or a month."""

    id: str
    name: str
    folder: str
    width: int | None
    height: int | None
    captured_at: str | None
    placeholder: str | None
    copies: int = field(metadata=_described("Number of further files with the same bytes."))
    time: float | None = field(default=None, metadata=_TIME)


@dataclass(frozen=True)
class Added:
    """A picture that was added to the gallery over HTTP."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class WordShare:
    """A word of the query, and what it adds to a picture's score."""

    word: str
    share: float = field(metadata=_described("The cosine that the picture loses without it; below 0: it would gain."))


@dataclass(frozen=True)
class Suggestion:
    """A suggested query. It may be made from names and texts of the gallery, which are untrusted: escape it."""

    text: str
    kind: Literal["folder", "place", "word", "query", "file"]


@dataclass(frozen=True)
class Month:
    """A month, and how many pictures were taken in it."""

    month: str | None = field(metadata=_described("YYYY-MM; null for pictures without a date."))
    pictures: int


@dataclass(frozen=True)
class Album:
    """A folder that holds pictures, or folders with pictures."""

    key: str = field(metadata=_described("For `where=album=KEY`, and for `in` of this route."))
    name: str
    pictures: int = field(metadata=_described("In it and below it."))
    albums: int = field(metadata=_described("Albums directly in it."))
    cover: str | None = field(metadata=_described("The id of its newest picture."))


@dataclass(frozen=True)
class Place:
    """Pictures that were taken near each other."""

    latitude: float = field(metadata=_described("Their mean."))
    longitude: float
    pictures: int
    cover: str | None = field(metadata=_described("The id of the newest."))
    box: tuple[float, float, float, float] = field(
        metadata=_described("South, west, north, east; across the date line, west is greater than east.")
    )
    name: str | None = field(
        default=None, metadata=_described("Town, region and country, in Arabic · in English; null far from any.")
    )
