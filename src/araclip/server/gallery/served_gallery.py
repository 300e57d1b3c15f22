"""The gallery of a server: its reader, and what the page shows of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.errors import InputError
from araclip.gallery.catalog.connection import may_write
from araclip.gallery.catalog.records import Overview
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.locations import Location
from araclip.gallery.open import open_reader
from araclip.gallery.queries.reference_queries import EVERYDAY
from araclip.gallery.reader import GalleryReader, Snapshot
from araclip.gallery.relevance import STRONG
from araclip.server.gallery.browsing import ServedBrowsing
from araclip.server.gallery.example_queries import SHORT

SUGGESTED = 8  # queries
FOLDERS = 50  # entries of a menu


class ServedGallery:
    """The gallery of a server; thread-safe."""

    def __init__(self, location: Location, model: Encoder, *, create: bool = False) -> None:
        """Open the gallery at a location.

        Args:
            create: create it if it does not exist.

        Raises:
            InputError, GalleryError: it cannot be opened.
        """
        self.location = location
        self._left: list[GalleryReader] = []  # of models before; requests may still read through them
        self._read(open_reader(location, model, create=create))
        self._overview: tuple[str, Overview] | None = None  # with its generation
        self._examples: tuple[str, tuple[str, ...]] | None = None
        self._finding: tuple[str, dict[str, bool]] = "", {}
        self.refresh()

    def _read(self, reader: GalleryReader) -> None:
        self._reader, self.model, self.browsing = reader, reader.model, ServedBrowsing(reader.browsing)

    def adopt(self, model: Encoder) -> None:
        """Go on with the model that the gallery was re-embedded with.

        Raises:
            InputError, GalleryError: it cannot be opened.
        """
        reader = open_reader(self.location, model)
        reader.refresh(prepared=True)
        self._left.append(self._reader)
        self._read(reader)

    def writer(self, patience: float) -> tuple[Store, Turn]:
        """As `GalleryReader.writer`."""
        return self._reader.writer(patience)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that searches use."""
        return self._reader.snapshot

    @property
    def store(self) -> Store:
        """The gallery's store, for use in this thread."""
        return self._reader.store

    def refresh(self) -> bool:
        """Switch to a new snapshot, if the gallery has changed; returns whether it did.

        Raises:
            WidthMismatch: the gallery was re-embedded with another model; the old snapshot stays.
        """
        return self._reader.refresh(prepared=True)

    def overview(self) -> Overview:
        """Counts of the current generation, cached."""
        store, cached = self.store, self._overview
        generation = store.generation
        if cached is None or cached[0] != generation:
            cached = self._overview = generation, store.overview()
        return cached[1]

    def examples(self) -> tuple[str, ...]:
        """Queries that find something in the snapshot, cached by generation."""
        snapshot, cached = self.snapshot, self._examples
        if cached is None or cached[0] != snapshot.generation:
            queries = suggestions(snapshot.reference.everyday, snapshot.sample)
            cached = self._examples = snapshot.generation, queries
        return cached[1]

    def finds(self, query: str, vector: NDArray[np.float32]) -> bool:
        """Whether a query with this vector (D,) has a strong hit in a sample of the snapshot, cached by generation;
        False in a gallery of a few pictures, whose scores say nothing.
        """
        snapshot, (generation, known) = self.snapshot, self._finding
        if generation != snapshot.generation:
            known = {}
            self._finding = snapshot.generation, known
        if query not in known:
            scale = snapshot.scale
            best = float((snapshot.sample @ vector).max()) if scale else 0.0
            known[query] = scale is not None and scale.relevance(vector, len(query.split()))(best) >= STRONG
        return known[query]

    def close(self) -> None:
        """Close every connection."""
        for reader in (*self._left, self._reader):
            reader.close()


def check_writable(gallery: Location, folders: Iterable[Path]) -> None:
    """Refuse to index folders, or to take uploads, where that could only fail.

    Raises:
        InputError: a folder does not exist, or the gallery is read-only.
    """
    for folder in folders:
        checked_root(folder)
    if isinstance(gallery, Path) and gallery.exists() and not may_write(gallery / FILE_NAME):
        raise InputError(
            f"{gallery} cannot be written, so nothing can be added to it. Leave --index and --uploads off, or check "
            "its permissions."
        )


def suggestions(everyday: NDArray[np.float32], pictures: NDArray[np.float32]) -> tuple[str, ...]:
    """Everyday queries, short enough for a button, that suit some picture better than other queries do.

    Args:
        everyday: vectors of EVERYDAY, (E, D).
        pictures: vectors of (a sample of) the gallery, (n, D).
    """
    if not len(pictures):
        return ()
    scores = everyday @ pictures.T  # (E, n)
    best = (scores - scores.mean(axis=0)).max(axis=1)  # (E,); centred, since some pictures are near to every query
    short = [int(row) for row in np.argsort(-best) if len(EVERYDAY[row]) <= SHORT]
    return tuple(EVERYDAY[row] for row in short[:SUGGESTED])


def busiest(folders: Mapping[str, int]) -> list[str]:
    """Names of folders for a menu, those with the most pictures first."""
    return sorted(folders, key=lambda name: (-folders[name], name))[:FOLDERS]
