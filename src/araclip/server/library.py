"""What a server asks of its gallery, be it in a folder or on a Qdrant server. Any thread may ask."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.display import shown
from araclip.encoder import AraCLIP
from araclip.gallery.catalog.catalog import KEPT
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.store import Store
from araclip.gallery.ranking import Page
from araclip.gallery.reference_queries import EVERYDAY
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Hit, identity_of

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
    """What is known of a picture. `content` is the gallery's own number for it."""

    content: int
    digest: bytes
    format: str | None
    width: int | None
    height: int | None
    taken: str | None
    added: str
    copies: tuple[Copy, ...]  # in order of the bytes of their paths

    @property
    def id(self) -> str:
        """Its name over HTTP."""
        return identity_of(self.digest)


@dataclass(frozen=True)
class Numbers:
    """A generation in numbers: files, pictures of each format, names of folders (those with most pictures first), first
    and last date taken."""

    files: int
    formats: dict[str, int]
    folders: list[str]
    taken: tuple[str, str] | None


class Library(ABC):
    """A gallery as many threads read it: what `LocalLibrary` and `RemoteLibrary` share, over the store of each."""

    def __init__(self, model: AraCLIP) -> None:
        self.model = model
        self._numbers: tuple[str, Numbers] | None = None  # of a generation
        self._snapshot = self._build(None)

    @property
    def snapshot(self) -> Snapshot:
        """What searches use now."""
        return self._snapshot

    def refresh(self) -> bool:
        """Take up what changed since the last time; returns whether anything did.

        Raises:
            WidthMismatch: the gallery belongs to another model now; the snapshot stays.
        """
        if self._generation() == self._snapshot.generation:
            return False
        self._snapshot = self._build(self._snapshot)
        return True

    def numbers(self) -> Numbers:
        """What there is, counted once a generation."""
        generation, known = self._generation(), self._numbers
        if known is None or known[0] != generation:
            known = self._numbers = generation, self._count()
        return known[1]

    def vector(self, picture: Picture) -> NDArray[np.float32]:
        """The vector (D,) of a picture."""
        return self.catalog.vector(picture.content)

    def kept(self, picture: Picture) -> bytes | None:
        """The pixels that the gallery keeps of a picture without a file, as a JPEG."""
        return self.catalog.kept(picture.content)

    @property
    @abstractmethod
    def catalog(self) -> Store:
        """What this thread may ask."""

    @abstractmethod
    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, exclude: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page for a unit vector (D,), with their pictures.

        Args:
            judged: whether to say how far to trust each.
            but: the number of a picture to leave out.
        """

    @abstractmethod
    def find(self, identity: str) -> Picture | None:
        """A picture by its id."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def _generation(self) -> str:
        """The gallery's present one."""

    @abstractmethod
    def _build(self, before: Snapshot | None) -> Snapshot:
        """What searches shall use from now on."""

    @abstractmethod
    def _count(self) -> Numbers:
        """What there is now."""


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
