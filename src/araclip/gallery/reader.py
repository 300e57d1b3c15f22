"""Read a gallery through snapshots, which any number of threads can search. Galleries and the server read this way.

A snapshot shows one generation of the gallery: its state after one commit. When the gallery has changed, a new
snapshot is built while searches continue on the old one, and then replaces the old one.
"""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from araclip.gallery.catalog.catalog import Catalog, CatalogPool
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.photos import HIDDEN
from araclip.gallery.catalog.store import Store
from araclip.gallery.folder_search import FolderSearch
from araclip.gallery.index.rabitq import EXACT_UP_TO
from araclip.gallery.index.scan_index import REBUILD_AFTER, ScanIndex
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.near_hashes import HashTable
from araclip.gallery.ranking import Hybrid, Page, Relevance, StoreSearch, exclusion_of, near_hits, rank_page
from araclip.gallery.reference_queries import reference_vectors
from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale
from araclip.gallery.results import Hit, Match
from araclip.gallery.text_matches import TextQuery, where_found
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors
from araclip.text.places import names_by_key

# limit: number of cached values derived from the gallery's state, such as timelines (27 bytes for each picture)
MOST_VALUES = 12
SAMPLE = 4096  # pictures in a sample: enough to estimate the covariance of vectors within milliseconds

T = TypeVar("T")
Catalogs = Callable[[], Catalog]  # returns the calling thread's own catalogue


class Snapshot(ABC):
    """A gallery as it was after one commit (a generation), for searching.

    Values derived from the generation, such as the scale of relevance, are computed when first used.
    """

    def __init__(self, generation: str, store: Callable[[], Store], reference: Callable[[], ReferenceVectors]) -> None:
        """Prepare a snapshot of the state after a commit (`generation`). `store` returns the calling thread's store."""
        self.generation = generation
        self._store, self._reference = store, reference

    @property
    @abstractmethod
    def pictures(self) -> int: ...

    @cached_property
    def shown(self) -> int:
        """The number of pictures that are not hidden."""
        return self.pictures - self._store().hidden_pictures.count()

    @property
    @abstractmethod
    def sample(self) -> Vectors:
        """The vectors (n, D) of about SAMPLE pictures that are not hidden; of all of them if there are fewer."""

    @cached_property
    def reference(self) -> ReferenceVectors:
        """The vectors of the reference queries, with which relevance is calibrated."""
        return self._reference()

    @cached_property
    def scale(self) -> RelevanceScale | None:
        """The scale that turns cosines into relevance (0 to 1); None if the gallery has too few pictures."""
        return relevance_scale(self.sample, self.reference)

    def prepare(self) -> None:
        """Compute now what the first search would otherwise have to compute."""
        _ = self.shown, self.scale

    def hybrid(self, vector: Vectors, text: TextQuery | None) -> Hybrid | None:
        """Return the `Hybrid` with which a search for a unit vector (D,) also looks for `text` in the pictures' texts.

        None if there is no text to look for, or the gallery is empty.
        """
        if text is None or not len(self.sample):
            return None
        meaning = self.scale.meaning(vector) if self.scale else 1.0
        return Hybrid(text, meaning, float(self.average @ vector))

    @cached_property
    def average(self) -> Vectors:
        """The mean of the pictures' vectors, (D,)."""
        mean: Vectors = self.sample.mean(axis=0)
        return mean

    def search(
        self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None, text: TextQuery | None = None
    ) -> list[Hit]:
        """Return one page of the pictures nearest to a unit vector (D,), best first.

        Args:
            relevance: True if the vector is a text's; only then do hits get a relevance.
            exclude: the store's id of a picture to leave out.
            text: words to look for in the pictures' texts as well.
        """
        scale = self.scale if relevance else None
        exclusion = None
        if page.excluded is not None:
            exclusion = exclusion_of(page.excluded, self.scale, alone=page.alone)
        with self._open_search(vector, page) as search:
            return search.with_pictures(
                rank_page(search, vector, page, scale, exclude, self.hybrid(vector, text), exclusion)
            )

    def near(self, content: int, filters: Filters, most: int) -> list[Hit]:
        """Return the near-duplicates of a picture that pass the filters, the most similar first."""
        vector = self.vector(content)
        with self._open_search(vector, Page(most, 0, filters)) as search:
            return search.with_pictures(near_hits(search, content, filters, most))

    @abstractmethod
    def _open_search(self, vector: Vectors, page: Page) -> AbstractContextManager[StoreSearch]:
        """Open a search of the gallery's database, for the length of a `with` block."""

    def match_texts(
        self, content: int, text: TextQuery, vector: Vectors, score: float, relevance: Relevance
    ) -> tuple[tuple[Match, ...], float | None]:
        """Tell how a picture's texts match a query.

        Args:
            vector: the query's vector, (D,).
            score: the picture's cosine with the query.
            relevance: turns a cosine with the query into the probability that a hit is right; None if unknown.

        Returns:
            The texts in which words of the query occur, and the relevance that a search gives this picture (None:
            unknown).
        """
        hybrid = self.hybrid(vector, text)
        with self._open_search(vector, Page(1, 0, Filters(hidden=None))) as search:
            matches, best = search.matches(text), search.best_score()
            strength, surely = matches.match_of(content)
            described = matches.answered and content in search.with_description([content], in_arabic=text.in_arabic)
        rated = None
        if relevance:
            rated = relevance(hybrid.lower_cosine(score, best) if hybrid and described else score)
            rated = hybrid.raise_relevance(rated, strength, surely) if hybrid else rated
        return where_found(self.document(content), text), rated

    def vector(self, content: int) -> Vectors:
        """Return the vector (D,) of a picture; raise WidthMismatch if the gallery has another model's vectors now."""
        return self._store().vector(content)

    def document(self, content: int) -> Document:
        """Return a picture's texts by field name; an empty mapping if the picture was removed."""
        return self._store().documents([content]).get(content, {})


class GalleryReader(ABC):
    """Gives access to a gallery: holds the current snapshot, and builds a new one when the gallery has changed."""

    def __init__(self, model: Encoder) -> None:
        self.model = model
        self._snapshot: Snapshot | None = None
        self._values: OrderedDict[tuple[str, str], object] = OrderedDict()  # (token of a commit, name) → cached value
        self._lock = threading.Lock()

    def cached_value(self, generation: str, name: str, make: Callable[[], T]) -> T:
        """Return the value called `name` that is derived from a generation: from the cache, or else from `make()`.

        A generation is the token of a commit. Only values of one generation are cached: the MOST_VALUES last used.
        """
        key = generation, name
        with self._lock:  # if two threads ask for one value, only the first computes it, and the second waits
            if key not in self._values:
                self._values = OrderedDict((old, value) for old, value in self._values.items() if old[0] == generation)
                self._values[key] = make()
                while len(self._values) > MOST_VALUES:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            value: T = self._values[key]  # type: ignore[assignment]
        return value

    def place_names(self, generation: str) -> Mapping[str, str]:
        """Return the gallery's place names, by the keys under which a query's words are looked up (`text.places`)."""
        return self.cached_value(generation, "place names", lambda: names_by_key(tuple(self.store.values("place"))))

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot, as of the last `refresh`; made now if there is none."""
        if self._snapshot is None:
            self._snapshot = self._new_snapshot(None)
        return self._snapshot

    def refresh(self, *, prepared: bool = False) -> bool:
        """Make a new snapshot if there is none yet or the gallery has changed; return True if a new one was made.

        Args:
            prepared: prepare the new snapshot before it replaces the old one, so that no search waits.

        Raises:
            WidthMismatch: the gallery was re-embedded with another model; the old snapshot stays.
        """
        if self._snapshot is not None and self.store.generation == self._snapshot.generation:
            return False
        new = self._new_snapshot(self._snapshot)
        if prepared:
            new.prepare()
        self._snapshot = new
        return True

    def latest(self) -> Snapshot:
        """Return a snapshot of the last commit."""
        self.refresh()
        return self.snapshot

    def discard_snapshot(self) -> None:
        """Discard the snapshot; called after the data that it shows was replaced."""
        self._snapshot = None

    @property
    @abstractmethod
    def store(self) -> Store:
        """The gallery's store, through the connection of the calling thread if each thread has its own."""

    @abstractmethod
    def writer(self, patience: float) -> tuple[Store, Turn]:
        """Return a store for one thread to write a few pictures, and a function that locks the gallery for one commit.

        That function raises GalleryLocked if others write for longer than `patience` seconds, and WidthMismatch if the
        gallery was re-embedded with another model.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def _new_snapshot(self, before: Snapshot | None) -> Snapshot:
        """Build a snapshot of the last commit, from the changes since `before` if possible."""


class FolderSnapshot(Snapshot):
    """A snapshot of a gallery in a folder: the catalogue's state after one commit, with the index."""

    def __init__(
        self, index: ScanIndex, catalog: Catalogs, model: Encoder, reference: Callable[[], ReferenceVectors]
    ) -> None:
        super().__init__(index.generation, catalog, reference)
        self.index = index
        self._catalog, self._model = catalog, model

    def vector(self, content: int) -> Vectors:
        found = super().vector(content)
        # raises an error if the gallery was re-embedded: the index still holds the old model's vectors
        self._catalog().check_model(self._model)
        return found

    def _open_search(self, vector: Vectors, page: Page) -> AbstractContextManager[StoreSearch]:
        return nullcontext(FolderSearch(self._catalog(), self.index, lambda: self.hashes, vector, page))

    @cached_property
    def hashes(self) -> HashTable:
        """The perceptual hashes of all pictures: 1.6 MB and 0.1 s for 100,000."""
        return HashTable(*self._catalog().phashes())

    def prepare(self) -> None:
        super().prepare()
        _ = self.hashes

    @cached_property
    def pictures(self) -> int:
        return len(self.index)

    @cached_property
    def sample(self) -> Vectors:
        hidden = self._catalog().rows(HIDDEN)
        return self.index.sample(SAMPLE, np.fromiter((content for (content,) in hidden), np.int64, len(hidden)))


class FolderReader(GalleryReader):
    """Reads a gallery in a folder through its catalogue and scan index."""

    def __init__(self, catalog: Catalogs, model: Encoder, close: Callable[[], None] = lambda: None) -> None:
        """Make a reader. `catalog` returns the calling thread's catalogue, `close` closes every thread's catalogue."""
        super().__init__(model)
        self._catalog, self._close = catalog, close

    @classmethod
    def open(cls, folder: Path, model: Encoder) -> "FolderReader":
        """Return a reader of the gallery in a folder; any thread can use it, through a connection of its own."""
        pool = CatalogPool(folder, model)
        return cls(pool.catalog, model, pool.close)

    @property
    def store(self) -> Catalog:
        return self._catalog()

    def writer(self, patience: float) -> tuple[Store, Turn]:
        catalog = self._catalog()
        return catalog, lambda: catalog.turn(self.model, patience)

    def finish_writing(self) -> None:
        """After a write, build and save the index, truncate the change log, and prepare a snapshot."""
        catalog = self._catalog()
        snapshot = self._snapshot
        if not isinstance(snapshot, FolderSnapshot) or snapshot.generation != catalog.generation:
            self._snapshot = snapshot = self._new_snapshot(snapshot, REBUILD_AFTER)
        snapshot.index.save(catalog)
        catalog.history.forget_before(snapshot.index.file_generation)
        snapshot.prepare()

    def close(self) -> None:
        self._close()

    def _new_snapshot(self, before: Snapshot | None, rebuild_after: int = EXACT_UP_TO) -> FolderSnapshot:
        catalog = self._catalog()
        catalog.check_model(self.model)
        index = before.index if isinstance(before, FolderSnapshot) else None
        index = ScanIndex.of(catalog, lambda: self._reference().everyday, index, rebuild_after)
        return FolderSnapshot(index, self._catalog, self.model, self._reference)

    def _reference(self) -> ReferenceVectors:
        return reference_vectors(self._catalog().folder, self.model)
