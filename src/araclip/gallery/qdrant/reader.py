"""Reading a gallery on a Qdrant server."""

from collections.abc import Iterator
from contextlib import contextmanager

from araclip.encoder import Encoder
from araclip.gallery.addresses import QdrantAddress
from araclip.gallery.browsing.browsing import Browsing
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.qdrant.browsing import QdrantBrowsing
from araclip.gallery.qdrant.catalog import QdrantCatalog
from araclip.gallery.qdrant.conditions import visible
from araclip.gallery.qdrant.connection import connection_to
from araclip.gallery.qdrant.nearest import Search, sample
from araclip.gallery.reader import SAMPLE, GalleryReader, Snapshot, Vectors
from araclip.gallery.remote.reader import RemoteSnapshot
from araclip.gallery.remote.rows import Row
from araclip.gallery.remote.state import State


class QdrantSnapshot(RemoteSnapshot):
    """A generation of a collection."""

    def __init__(self, catalog: QdrantCatalog, state: State, model: Encoder, exact: bool) -> None:
        super().__init__(state.generation, model)
        self._catalog, self._state, self._exact = catalog, state, exact

    @contextmanager
    def searching(self) -> Iterator[Search]:
        """In the collection."""
        yield Search(self._catalog.connection, self._catalog.state().number, self._exact)

    def by_id(self, content: int) -> Row:
        """A picture by its number."""
        return self._catalog.by_id(content)

    def _count_pictures(self) -> int:
        return self._catalog.connection.count(visible(self._state.number))

    def _draw_sample(self) -> Vectors:
        return sample(self._catalog.connection, self._state.number, self._state.model.width, SAMPLE)


class QdrantReader(GalleryReader):
    """Reads a gallery on a Qdrant server; one connection for all threads."""

    def __init__(self, catalog: QdrantCatalog, model: Encoder, *, exact: bool = True) -> None:
        super().__init__(model)
        self._catalog, self._exact = catalog, exact

    @classmethod
    def open(cls, address: QdrantAddress, model: Encoder) -> "QdrantReader":
        """Read the gallery at an address.

        Raises:
            GalleryNotFound: there is none.
            GalleryUnreachable: the server does not answer.
        """
        alias = connection_to(address)
        if not alias.exists():
            raise alias.not_found()
        return cls(QdrantCatalog(alias, model), model)

    @property
    def store(self) -> QdrantCatalog:
        """The collection."""
        return self._catalog

    def writer(self, patience: float) -> tuple[Store, Turn]:
        """A catalogue of its own, which fetches what is to be changed, and its lease."""
        catalog = QdrantCatalog(self._catalog.alias, self.model)
        return catalog, lambda: catalog.session(few=True, patience=patience)

    @property
    def browsing(self) -> Browsing:
        """Reads the collection."""
        return QdrantBrowsing(self._catalog)

    def close(self) -> None:
        """Close the connection."""
        self._catalog.alias.close()

    def _new_snapshot(self, before: Snapshot | None) -> QdrantSnapshot:
        return QdrantSnapshot(self._catalog, self._catalog.state(), self.model, self._exact)
