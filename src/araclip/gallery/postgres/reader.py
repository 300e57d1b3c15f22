"""Read a gallery in PostgreSQL, which holds both index and catalogue; each search is one read transaction.

A search reads the current generation. The snapshot holds values derived from one generation (the
scale of relevance, the number of pictures), which may be slightly older. After the gallery was re-embedded with another
model, searches are refused, because the old vectors may be deleted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.catalog.store import Store
from araclip.gallery.locations import Address, reference_home
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.search import PostgresSearch
from araclip.gallery.ranking import Page, StoreSearch
from araclip.gallery.reader import SAMPLE, GalleryReader, Snapshot
from araclip.gallery.reference_queries import reference_vectors
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors


class PostgresSnapshot(Snapshot):
    """Searches a gallery in PostgreSQL; a search sees the newest commit.

    The number of pictures and the scale of relevance are computed once, when first used.
    """

    def __init__(self, catalog: PostgresCatalog, model: Encoder, exact: bool) -> None:
        super().__init__(catalog.generation, lambda: catalog, lambda: reference_vectors(reference_home(), model))
        self._catalog, self._exact = catalog, exact

    @contextmanager
    def _open_search(self, vector: Vectors, page: Page) -> Iterator[StoreSearch]:
        """Open a search of the gallery after the last commit, in one read transaction."""
        with self._catalog.database.reading():
            yield PostgresSearch(self._catalog, self._exact, lambda: self.pictures, vector, page)

    @cached_property
    def pictures(self) -> int:
        return self._catalog.counts()[1]

    @cached_property
    def sample(self) -> Vectors:
        with self._catalog.database.reading():  # ordering by SHA-256 draws a random sample
            return self._catalog.vectors_where("shown AND NOT hidden ORDER BY hash LIMIT ?", (SAMPLE,))[1]


class PostgresReader(GalleryReader):
    """Reads a gallery in PostgreSQL, from any thread."""

    def __init__(self, catalog: PostgresCatalog, model: Encoder, *, exact: bool = False) -> None:
        super().__init__(model)
        self._catalog, self._exact = catalog, exact

    @classmethod
    def open(cls, address: Address, model: Encoder) -> "PostgresReader":
        catalog = PostgresCatalog(Database(address), model)
        with catalog.database.close_on_error():
            catalog.state()
        return cls(catalog, model)

    @property
    def store(self) -> PostgresCatalog:
        return self._catalog

    def writer(self, patience: float) -> tuple[Store, Turn]:
        catalog = PostgresCatalog(self._catalog.database, self.model)
        return catalog, lambda: catalog.turn(patience)

    def close(self) -> None:
        self._catalog.database.close()

    def _new_snapshot(self, before: Snapshot | None) -> PostgresSnapshot:
        return PostgresSnapshot(self._catalog, self.model, self._exact)
