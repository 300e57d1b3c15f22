"""What a server asks of its gallery, be it in a folder or on a Qdrant server. Any thread may ask."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.display import shown
from araclip.encoder import AraCLIP
from araclip.gallery.background import EVERYDAY
from araclip.gallery.catalog import KEPT
from araclip.gallery.filters import Filters
from araclip.gallery.ranking import Page
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Hit

ID_DIGITS = 32
SUGGESTED = 8  # queries
SHORT = 18  # characters
FOLDERS = 50  # as many as a menu takes


@dataclass(frozen=True)
class Snapshot:
    """What searches use: one generation, its scale, and how many pictures there are."""

    generation: str
    pictures: int
    scale: Scale | None
    suggestions: tuple[str, ...]  # queries that find something here


@dataclass(frozen=True)
class Copy:
    """A path that holds a picture, with its bytes and what was said of it."""

    path: str
    size: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether the gallery itself holds the pixels, and no file."""
        return self.path.startswith(KEPT)

    @property
    def name(self) -> str:
        """The file's, or the one that a picture was sent with; to be shown."""
        return shown(str((self.kept and self.metadata.get("name")) or Path(self.path).name))

    @property
    def folder(self) -> str:
        """The name of the folder it lies in, to be shown; empty where there is none."""
        return "" if self.kept else shown(Path(self.path).parent.name)


@dataclass(frozen=True)
class Picture:
    """A picture of the gallery: its id over HTTP, and what is known of it. `content` is the gallery's own number."""

    id: str
    content: int
    digest: bytes
    format: str | None
    width: int | None
    height: int | None
    taken: str | None
    added: str
    copies: tuple[Copy, ...]  # in order of the bytes of their paths


@dataclass(frozen=True)
class Numbers:
    """A generation in numbers: files, pictures of each format, names of folders (those with most pictures first), first
    and last date taken."""

    files: int
    formats: dict[str, int]
    folders: list[str]
    taken: tuple[str, str] | None


class Library(Protocol):
    """A gallery as many threads read it."""

    model: AraCLIP

    @property
    def snapshot(self) -> Snapshot:
        """What searches use now."""

    def refresh(self) -> bool:
        """Take up what changed since the last time; returns whether anything did.

        Raises:
            WidthMismatch: the gallery belongs to another model now; searches go on with what they have.
        """

    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, but: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page for a unit vector (D,), with their pictures.

        Args:
            judged: whether to say how far to trust each.
            but: the number of a picture to leave out.
        """

    def find(self, identity: str) -> Picture | None:
        """A picture by its id."""

    def vector(self, picture: Picture) -> NDArray[np.float32]:
        """Its vector (D,)."""

    def kept(self, picture: Picture) -> bytes | None:
        """The pixels that the gallery keeps of a picture without a file, as a JPEG."""

    def numbers(self) -> Numbers:
        """What there is, counted once a generation."""

    def close(self) -> None:
        """Close every connection."""


def served_filters(wishes: Iterable[str], *, collapse: bool) -> Filters:
    """Filters as strangers give them, KEY=VALUE each: a folder by its name alone, at any depth, and never by a path.

    A path would be looked up on the disk, and so tell where links lead.

    Raises:
        InputError: as for `Filters.read`.
    """
    read = Filters.read(wishes, collapse=collapse)
    return read if read.folder is None else replace(read, folder=None, folder_name=Path(read.folder).name)


def suggestions(everyday: NDArray[np.float32], pictures: NDArray[np.float32]) -> tuple[str, ...]:
    """Everyday queries, short enough for a button, that some picture fits better than it fits other queries.

    Args:
        everyday: vectors of EVERYDAY, (E, D).
        pictures: vectors of (a sample of) the gallery, (n, D).
    """
    if not len(pictures):
        return ()
    scores = everyday @ pictures.T  # (E, n)
    best = (scores - scores.mean(axis=0)).max(axis=1)  # (E,); some pictures are near to every query
    short = [int(row) for row in np.argsort(-best) if len(EVERYDAY[row]) <= SHORT]
    return tuple(EVERYDAY[row] for row in short[:SUGGESTED])


def busiest(counted: Mapping[str, int]) -> list[str]:
    """Names of folders for a menu, from how many pictures lie directly in each folder (path → number)."""
    named: Counter[str] = Counter()
    for folder, number in counted.items():
        named[os.path.basename(folder)] += number  # noqa: PTH119  (names that are not UTF-8 stay text)
    return sorted(named, key=lambda name: (-named[name], name))[:FOLDERS]
