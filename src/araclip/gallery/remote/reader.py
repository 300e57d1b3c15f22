"""Reading a gallery on a server, which holds index and catalogue.

A search reads the current generation. The snapshot holds what is derived from one generation (scale, count), which may
be slightly older. After the gallery is re-embedded with another model, searches are refused: the old vectors may be
deleted.
"""

from araclip.encoder import Encoder
from araclip.gallery.browsing.browsing import Browsing
from araclip.gallery.catalog.full_text.documents import Document
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.exclusion import exclusion_of
from araclip.gallery.locations import Address, reference_home
from araclip.gallery.ranking import Page
from araclip.gallery.reader import SAMPLE, GalleryReader, Snapshot, Vectors
from araclip.gallery.reference_queries import reference_vectors
from araclip.gallery.remote.browsing import RemoteBrowsing
from araclip.gallery.remote.catalog import RemoteCatalog
from araclip.gallery.remote.conditions import visible
from araclip.gallery.remote.connection import connection_to
from araclip.gallery.remote.nearest import Search, sample
from araclip.gallery.remote.rows import Row, record_of, texts_of
from araclip.gallery.remote.state import State
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import TextQuery


class RemoteSnapshot(Snapshot):
    """A generation of a collection."""

    def __init__(self, catalog: RemoteCatalog, state: State, model: Encoder, exact: bool) -> None:
        super().__init__(state.generation, lambda: reference_vectors(reference_home(), model))
        self._catalog, self._state, self._exact = catalog, state, exact

    def search(
        self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None, text: TextQuery | None = None
    ) -> list[Hit]:
        """One page of hits."""
        return [hit for _, hit in self._ranked(vector, page, relevance, exclude, text)]

    def search_records(
        self, vector: Vectors, page: Page, *, relevance: bool, exclude: int | None = None, text: TextQuery | None = None
    ) -> list[tuple[PictureRecord, Hit]]:
        """One page of hits with their pictures."""
        return [(record_of(row), hit) for row, hit in self._ranked(vector, page, relevance, exclude, text)]

    def _ranked(
        self, vector: Vectors, page: Page, relevance: bool, exclude: int | None, text: TextQuery | None
    ) -> list[tuple[Row, Hit]]:
        search = Search(self._catalog.connection, self._catalog.state().number, self._exact)
        exclusion = exclusion_of(page.excluded, self.scale) if page.excluded is not None else None
        scale, hybrid = self.scale if relevance else None, self.hybrid(vector, text)
        return search.ranked(vector, page, scale, exclude, exclusion, hybrid, self.pictures if hybrid else 0)

    def document(self, content: int) -> Document:
        """The texts of a picture by field; a gallery on a server has none from OCR."""
        return texts_of(self._catalog.by_id(content))

    def _count_pictures(self) -> int:
        return self._catalog.connection.count(visible(self._state.number))

    def _draw_sample(self) -> Vectors:
        return sample(self._catalog.connection, self._state.number, self._state.width, SAMPLE)


class RemoteReader(GalleryReader):
    """Reads a gallery on a Qdrant server; one connection for all threads."""

    def __init__(self, catalog: RemoteCatalog, model: Encoder, *, exact: bool = True) -> None:
        super().__init__(model)
        self._catalog, self._exact = catalog, exact

    @classmethod
    def open(cls, address: Address, model: Encoder) -> "RemoteReader":
        """Read the gallery at an address.

        Raises:
            GalleryNotFound: there is none.
            GalleryUnreachable: the server does not answer.
        """
        alias = connection_to(address)
        if not alias.exists():
            raise alias.not_found()
        return cls(RemoteCatalog(alias, model), model)

    @property
    def store(self) -> RemoteCatalog:
        """The collection."""
        return self._catalog

    @property
    def browsing(self) -> Browsing:
        """Reads the collection."""
        return RemoteBrowsing(self._catalog)

    def close(self) -> None:
        """Close the connection."""
        self._catalog.alias.close()

    def _new_snapshot(self, before: Snapshot | None) -> RemoteSnapshot:
        return RemoteSnapshot(self._catalog, self._catalog.state(), self.model, self._exact)
