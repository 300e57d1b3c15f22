"""The gallery of a server: its reader, its lock, and what pages show of it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import Overview
from araclip.gallery.catalog.store import Store
from araclip.gallery.locations import Location
from araclip.gallery.open import open_reader
from araclip.gallery.reader import Snapshot
from araclip.gallery.reference_queries import EVERYDAY
from araclip.server.writer_lock import WriterLock

SUGGESTED = 8  # queries
SHORT = 18  # characters
FOLDERS = 50  # as many as a menu takes


class ServedGallery:
    """The gallery of a server. Any thread may use it."""

    def __init__(self, location: Location, model: Encoder, *, create: bool = False) -> None:
        """Open the gallery at a location.

        Args:
            create: make it if it is not there and lies in a folder.

        Raises:
            InputError, GalleryError: it cannot be opened.
        """
        self.location = location
        self.model = model
        self._writer_lock = WriterLock(location) if isinstance(location, Path) else None
        self._reader = open_reader(location, model, create=create)
        self._overview: tuple[str, Overview] | None = None  # of a generation
        self._examples: tuple[str, tuple[str, ...]] | None = None
        self.refresh()

    @property
    def snapshot(self) -> Snapshot:
        """What searches use now."""
        return self._reader.snapshot

    @property
    def store(self) -> Store:
        """The gallery's store, as this thread may use it."""
        return self._reader.store

    def writable(self) -> tuple[Catalog, WriterLock]:
        """This thread's catalogue and the lock for what changes it; settings allow that for a folder alone."""
        assert self._writer_lock is not None
        assert isinstance(self.store, Catalog)
        return self.store, self._writer_lock

    def refresh(self) -> bool:
        """Switch to a new snapshot, if the gallery has changed; returns whether it did.

        Raises:
            WidthMismatch: the gallery belongs to another model now; the old snapshot stays.
        """
        return self._reader.refresh(prepared=True)

    def overview(self) -> Overview:
        """The present generation in numbers, counted once a generation."""
        store, known = self.store, self._overview
        generation = store.generation
        if known is None or known[0] != generation:
            known = self._overview = generation, store.overview()
        return known[1]

    def examples(self) -> tuple[str, ...]:
        """Queries that find something in the snapshot, chosen once a generation."""
        snapshot, known = self.snapshot, self._examples
        if known is None or known[0] != snapshot.generation:
            found = suggestions(snapshot.reference.everyday, snapshot.sample)
            known = self._examples = snapshot.generation, found
        return known[1]

    def close(self) -> None:
        """Close every connection."""
        self._reader.close()


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


def busiest(folders: Mapping[str, int]) -> list[str]:
    """Names of folders for a menu, those with most pictures first."""
    return sorted(folders, key=lambda name: (-folders[name], name))[:FOLDERS]
