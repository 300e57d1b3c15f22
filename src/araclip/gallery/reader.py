"""The read side of a gallery: a snapshot of one generation, which one thread or many search.

`Gallery`, `RemoteGallery` and the server all read through it. When the gallery has changed, a new snapshot is built
while searches go on with the old one, and then takes its place.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.gallery.catalog import history
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.catalog.store import Store
from araclip.gallery.index.rabitq import FEW
from araclip.gallery.index.scan_index import MANY, ScanIndex
from araclip.gallery.ranking import Page, ranked
from araclip.gallery.reference_queries import reference_vectors
from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale
from araclip.gallery.results import Hit

SAMPLE = 4096  # pictures; their covariance is as good as that of all, and takes milliseconds

Vectors = NDArray[np.float32]


class Snapshot(ABC):
    """One generation of a gallery as searches use it. What is derived from it is computed when it is first needed."""

    def __init__(self, generation: str, reference: Callable[[], ReferenceVectors]) -> None:
        self.generation = generation
        self._reference = reference

    @cached_property
    def pictures(self) -> int:
        """How many there are."""
        return self._count()

    @cached_property
    def reference(self) -> ReferenceVectors:
        """Vectors of the reference queries."""
        return self._reference()

    @cached_property
    def sample(self) -> Vectors:
        """Vectors (n, D) of about SAMPLE pictures, or of all."""
        return self._draw()

    @cached_property
    def scale(self) -> RelevanceScale | None:
        """What scores are measured against; None for a gallery of a few pictures."""
        return relevance_scale(self.sample, self.reference)

    def prepare(self) -> None:
        """Compute now what searches would compute."""
        _ = self.pictures, self.scale

    @abstractmethod
    def search(self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None) -> list[Hit]:
        """One page of the pictures nearest to a unit vector (D,), best first.

        Args:
            relevance: whether the vector is that of a text, so that hits get a relevance.
            exclude: the store's number of a picture to leave out.
        """

    @abstractmethod
    def search_records(
        self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None
    ) -> list[tuple[PictureRecord, Hit]]:
        """As `search`, each hit with its picture. Of a picture's copies, that of the hit's path is there."""

    @abstractmethod
    def _count(self) -> int: ...

    @abstractmethod
    def _draw(self) -> Vectors: ...


class GalleryReader(ABC):
    """The snapshot in use, and the store it came from."""

    def __init__(self, model: Encoder) -> None:
        self.model = model
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot in use: that of the last `refresh`."""
        if self._snapshot is None:
            self._snapshot = self._take(None)
        return self._snapshot

    def refresh(self, *, prepared: bool = False) -> bool:
        """Switch to a new snapshot if the gallery has changed; returns whether it did.

        Args:
            prepared: prepare the new snapshot before it takes the old one's place, so that no search waits for it.

        Raises:
            WidthMismatch: the gallery belongs to another model now; the old snapshot stays.
        """
        if self._snapshot is not None and self.store.generation == self._snapshot.generation:
            return False
        new = self._take(self._snapshot)
        if prepared:
            new.prepare()
        self._snapshot = new
        return True

    def latest(self) -> Snapshot:
        """A snapshot of what is committed now."""
        self.refresh()
        return self.snapshot

    def drop(self) -> None:
        """Forget the snapshot: what it was derived from was replaced."""
        self._snapshot = None

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store, as this thread may use it."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def _take(self, before: Snapshot | None) -> Snapshot:
        """A snapshot of what is committed now, made from the one before where that is quicker."""


class FolderSnapshot(Snapshot):
    """A generation of a catalogue, with its index."""

    def __init__(
        self, index: ScanIndex, catalog: Callable[[], Catalog], reference: Callable[[], ReferenceVectors]
    ) -> None:
        super().__init__(index.generation, reference)
        self.index = index
        self._catalog = catalog

    def search(self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None) -> list[Hit]:
        """One page of hits."""
        return ranked(self._catalog(), self.index, self.scale if relevance else None, vector, page, exclude)

    def search_records(
        self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None
    ) -> list[tuple[PictureRecord, Hit]]:
        """One page of hits with their pictures; without those that were removed meanwhile."""
        hits = self.search(vector, page, relevance=relevance, exclude=exclude)
        records = self._catalog().records_at([hit.path for hit in hits])
        return [(records[hit.path], hit) for hit in hits if hit.path in records]

    def _count(self) -> int:
        return len(self.index)

    def _draw(self) -> Vectors:
        return self.index.sample(SAMPLE)


class FolderReader(GalleryReader):
    """Reads a gallery in a folder. The index belongs to a generation of the catalogue."""

    def __init__(
        self, catalog: Callable[[], Catalog], model: Encoder, close: Callable[[], None] = lambda: None
    ) -> None:
        """Take what gives the calling thread its catalogue, and what closes all of them."""
        super().__init__(model)
        self._catalog = catalog
        self._close = close

    @classmethod
    def open(cls, folder: Path, model: Encoder) -> "FolderReader":
        """Read the gallery in a folder from any thread: each gets a catalogue connection of its own.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery, WidthMismatch: it cannot be used.
        """
        pool = _CatalogPool(folder, model)
        return cls(pool.catalog, model, pool.close)

    @property
    def store(self) -> Catalog:
        """The catalogue, through this thread's connection."""
        return self._catalog()

    def settle(self) -> None:
        """At a writer's end: derive what the next search needs, store the index, cut the log of changes."""
        catalog = self._catalog()
        snapshot = self._snapshot
        if not isinstance(snapshot, FolderSnapshot) or snapshot.generation != catalog.generation:
            self._snapshot = snapshot = self._take(snapshot, MANY)
        snapshot.index.keep(catalog)
        history.forget_before(catalog, snapshot.index.anchor)
        snapshot.prepare()

    def close(self) -> None:
        """Close every connection."""
        self._close()

    def _take(self, before: Snapshot | None, many: int = FEW) -> FolderSnapshot:
        catalog = self._catalog()
        catalog.check_model(self.model.name, self.model.fingerprint)
        index = before.index if isinstance(before, FolderSnapshot) else None
        index = ScanIndex.of(catalog, lambda: self._reference().everyday, index, many)
        return FolderSnapshot(index, self._catalog, self._reference)

    def _reference(self) -> ReferenceVectors:
        return reference_vectors(self._catalog().folder, self.model)


class _CatalogPool:
    """One catalogue connection for each thread: SQLite serves one request at a time on each."""

    def __init__(self, folder: Path, model: Encoder) -> None:
        self._folder, self._model = folder, model
        self._local = threading.local()
        self._opened: list[Catalog] = []
        self._lock = threading.Lock()

    def catalog(self) -> Catalog:
        found: Catalog | None = getattr(self._local, "catalog", None)
        if found is None:
            model = self._model
            found = Catalog.open(self._folder, model.name, model.fingerprint, model.width)
            self._local.catalog = found
            with self._lock:
                self._opened.append(found)
        return found

    def close(self) -> None:
        with self._lock:
            while self._opened:
                self._opened.pop().close()
