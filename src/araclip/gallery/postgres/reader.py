"""Reading a gallery in PostgreSQL: each search is one read transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from araclip.encoder import Encoder
from araclip.gallery.addresses import PostgresAddress
from araclip.gallery.browsing.browsing import Browsing
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.postgres.browsing import PostgresBrowsing
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.search import Search
from araclip.gallery.reader import SAMPLE, GalleryReader, Snapshot, Vectors
from araclip.gallery.remote.reader import RemoteSnapshot
from araclip.gallery.remote.rows import Row


class PostgresSnapshot(RemoteSnapshot):
    """A generation of a gallery."""

    def __init__(self, catalog: PostgresCatalog, model: Encoder, exact: bool) -> None:
        super().__init__(catalog.generation, model)
        self._catalog, self._exact = catalog, exact

    @contextmanager
    def searching(self) -> Iterator[Search]:
        """In a read transaction."""
        with self._catalog.database.reading():
            yield Search(self._catalog, self._exact)

    def by_id(self, content: int) -> Row:
        """A picture by its number."""
        return self._catalog.by_id(content)

    def _count_pictures(self) -> int:
        return self._catalog.counts()[1]

    def _draw_sample(self) -> Vectors:
        with self._catalog.database.reading():  # hashes are random
            return self._catalog.vectors_where("shown ORDER BY hash LIMIT ?", (SAMPLE,))


class PostgresReader(GalleryReader):
    """Reads a gallery in PostgreSQL, from any thread."""

    def __init__(self, catalog: PostgresCatalog, model: Encoder, *, exact: bool = False) -> None:
        super().__init__(model)
        self._catalog, self._exact = catalog, exact

    @classmethod
    def open(cls, address: PostgresAddress, model: Encoder) -> "PostgresReader":
        """Read the gallery at an address.

        Raises:
            GalleryNotFound: there is none.
            GalleryUnreachable: the server does not answer.
        """
        catalog = PostgresCatalog(Database(address), model)
        with catalog.database.closed_on_error():
            catalog.state()
        return cls(catalog, model)

    @property
    def store(self) -> PostgresCatalog:
        """The gallery's catalogue."""
        return self._catalog

    def writer(self, patience: float) -> tuple[Store, Turn]:
        """The gallery's catalogue, and its lock."""
        catalog = PostgresCatalog(self._catalog.database, self.model)
        return catalog, lambda: catalog.turn(patience)

    @property
    def browsing(self) -> Browsing:
        """Reads the gallery."""
        return PostgresBrowsing(self._catalog)

    def close(self) -> None:
        """Close the connections."""
        self._catalog.database.close()

    def _new_snapshot(self, before: Snapshot | None) -> PostgresSnapshot:
        return PostgresSnapshot(self._catalog, self.model, self._exact)
