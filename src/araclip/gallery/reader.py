"""Reading a gallery: a snapshot of one generation, which any number of threads search.

Galleries and the server all read through it. When the gallery has changed, a new snapshot is built
while searches continue on the old one, and then replaces it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

from araclip.gallery.browsing import Browsing, FolderBrowsing
from araclip.gallery.catalog.catalog import Catalog, CatalogPool
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.folder_search import FolderSearch
from araclip.gallery.index.rabitq import EXACT_UP_TO
from araclip.gallery.index.scan_index import REBUILD_AFTER, ScanIndex
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.near_hashes import HashTable
from araclip.gallery.ranking import Hybrid, Page, StoreSearch, exclusion_of, near_hits, ranked
from araclip.gallery.reference_queries import reference_vectors
from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale
from araclip.gallery.results import Hit, Match
from araclip.gallery.text_matches import TextQuery, where_found
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors

SAMPLE = 4096  # pictures: enough for their covariance, which then takes milliseconds

Catalogs = Callable[[], Catalog]  # the calling thread's


class Snapshot(ABC):
    """One generation of a gallery as searches use it; derived values are computed on first use."""

    def __init__(self, generation: str, reference: Callable[[], ReferenceVectors]) -> None:
        self.generation = generation
        self._reference = reference

    @property
    @abstractmethod
    def pictures(self) -> int: ...

    @property
    @abstractmethod
    def sample(self) -> Vectors:
        """Vectors (n, D) of about SAMPLE pictures, or of all."""

    @cached_property
    def reference(self) -> ReferenceVectors:
        """Vectors of the reference queries."""
        return self._reference()

    @cached_property
    def scale(self) -> RelevanceScale | None:
        """The scale of relevance; None for a gallery of a few pictures."""
        return relevance_scale(self.sample, self.reference)

    def prepare(self) -> None:
        """Compute what the first search would compute."""
        _ = self.pictures, self.scale

    def hybrid(self, vector: Vectors, text: TextQuery | None) -> Hybrid | None:
        """A search in texts beside that for a unit vector (D,); None without a text query or pictures."""
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
        """One page of the pictures nearest to a unit vector (D,), best first.

        Args:
            relevance: whether the vector is that of a text, so that hits get a relevance.
            exclude: the store's id of a picture to leave out.
            text: words to look for in the pictures' texts, too.
        """
        scale = self.scale if relevance else None
        exclusion = None
        if page.excluded is not None:
            exclusion = exclusion_of(page.excluded, self.scale, alone=page.by_date)
        with self._searching(vector, page) as search:
            return search.with_pictures(
                ranked(search, vector, page, scale, exclude, self.hybrid(vector, text), exclusion)
            )

    def near(self, content: int, filters: Filters, most: int) -> list[Hit]:
        """The near-duplicates of a picture that pass the filters, the likest first."""
        vector = self._vector(content)
        with self._searching(vector, Page(most, 0, filters)) as search:
            return search.with_pictures(near_hits(search, content, filters, most))

    @abstractmethod
    def _searching(self, vector: Vectors, page: Page) -> AbstractContextManager[StoreSearch]:
        """A search of the store, for the length of a `with` block."""

    @abstractmethod
    def _vector(self, content: int) -> Vectors:
        """The vector (D,) of a picture."""

    def by_texts(
        self, content: int, text: TextQuery, vector: Vectors, score: float
    ) -> tuple[tuple[Match, ...], Callable[[Callable[[float], float]], float]]:
        """The texts of a picture in which words of a query of a unit vector (D,) stand, and what makes of the query's
        relevance, and of the picture's cosine, the relevance that a search gives it."""
        hybrid = self.hybrid(vector, text)
        with self._searching(vector, Page(1, 0, Filters(hidden=None))) as search:
            matches, best = search.matches(text), search.best_score()
            strength, surely = matches.of(content)
            doubted = matches.answered and content in search.described([content], in_arabic=text.in_arabic)

        def rated(relevance: Callable[[float], float]) -> float:
            if hybrid is None:
                return relevance(score)
            return hybrid.lifted(relevance(hybrid.lowered(score, best) if doubted else score), strength, surely)

        return where_found(self.document(content), text), rated

    def document(self, content: int) -> Document:
        """The texts of a picture by field; none where it is gone."""
        return {}


class GalleryReader(ABC):
    """The current snapshot, and the store that it reads."""

    def __init__(self, model: Encoder) -> None:
        self.model = model
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot, as of the last `refresh`."""
        if self._snapshot is None:
            self._snapshot = self._new_snapshot(None)
        return self._snapshot

    def refresh(self, *, prepared: bool = False) -> bool:
        """Switch to a new snapshot if the gallery has changed; returns whether it did.

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
        """A snapshot of the last commit."""
        self.refresh()
        return self.snapshot

    def drop(self) -> None:
        """Discard the snapshot, when its data was replaced."""
        self._snapshot = None

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store; a connection of this thread's own where that is needed."""

    @abstractmethod
    def writer(self, patience: float) -> tuple[Store, Turn]:
        """The store to write a few pictures in, from one thread, and the turn that locks it for a commit; that raises
        GalleryLocked when others write for longer than `patience` seconds, and WidthMismatch."""

    @property
    @abstractmethod
    def browsing(self) -> Browsing:
        """The gallery without a query, for any thread."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def _new_snapshot(self, before: Snapshot | None) -> Snapshot:
        """A snapshot of the last commit, built incrementally from `before` where possible."""


class FolderSnapshot(Snapshot):
    """A generation of a catalogue, with its index."""

    def __init__(self, index: ScanIndex, catalog: Catalogs, reference: Callable[[], ReferenceVectors]) -> None:
        super().__init__(index.generation, reference)
        self.index = index
        self._catalog = catalog

    def _searching(self, vector: Vectors, page: Page) -> AbstractContextManager[StoreSearch]:
        return nullcontext(FolderSearch(self._catalog(), self.index, lambda: self.hashes, vector, page))

    def _vector(self, content: int) -> Vectors:
        return self._catalog().vector(content)

    @cached_property
    def hashes(self) -> HashTable:
        """The perceptual hashes of all pictures: 1.6 MB and 0.1 s for 100,000."""
        return HashTable(*self._catalog().phashes())

    def prepare(self) -> None:
        super().prepare()
        _ = self.hashes

    def document(self, content: int) -> Document:
        return WordIndex(self._catalog()).documents([content]).get(content, {})

    @cached_property
    def pictures(self) -> int:
        return len(self.index)

    @cached_property
    def sample(self) -> Vectors:
        return self.index.sample(SAMPLE)


class FolderReader(GalleryReader):
    """Reads a gallery in a folder through its catalogue and scan index."""

    def __init__(self, catalog: Catalogs, model: Encoder, close: Callable[[], None] = lambda: None) -> None:
        """`catalog` returns the calling thread's catalogue; `close` closes all of them."""
        super().__init__(model)
        self._catalog, self._close = catalog, close

    @classmethod
    def open(cls, folder: Path, model: Encoder) -> "FolderReader":
        """Read the gallery in a folder from any thread: each gets a catalogue connection of its own."""
        pool = CatalogPool(folder, model)
        return cls(pool.catalog, model, pool.close)

    @property
    def store(self) -> Catalog:
        """The catalogue, through this thread's connection."""
        return self._catalog()

    @property
    def browsing(self) -> Browsing:
        return FolderBrowsing(self._catalog)

    def writer(self, patience: float) -> tuple[Store, Turn]:
        catalog = self._catalog()
        return catalog, lambda: catalog.turn(self.model, patience)

    def finish_writing(self) -> None:
        """After a write: build and save the index, truncate the change log, prepare the snapshot."""
        catalog = self._catalog()
        snapshot = self._snapshot
        if not isinstance(snapshot, FolderSnapshot) or snapshot.generation != catalog.generation:
            self._snapshot = snapshot = self._new_snapshot(snapshot, REBUILD_AFTER)
        snapshot.index.save(catalog)
        catalog.forget_changes_before(snapshot.index.file_generation)
        snapshot.prepare()

    def close(self) -> None:
        self._close()

    def _new_snapshot(self, before: Snapshot | None, rebuild_after: int = EXACT_UP_TO) -> FolderSnapshot:
        catalog = self._catalog()
        catalog.check_model(self.model.name, self.model.fingerprint)
        index = before.index if isinstance(before, FolderSnapshot) else None
        index = ScanIndex.of(catalog, lambda: self._reference().everyday, index, rebuild_after)
        return FolderSnapshot(index, self._catalog, self._reference)

    def _reference(self) -> ReferenceVectors:
        return reference_vectors(self._catalog().folder, self.model)
