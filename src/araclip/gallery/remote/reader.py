"""Reading a gallery on a server, which holds index and catalogue.

A search reads the current generation. The snapshot holds what is derived from one generation (scale, count), which may
be slightly older. After the gallery is re-embedded with another model, searches are refused: the old vectors may be
deleted.
"""

from abc import abstractmethod
from contextlib import AbstractContextManager

from araclip.encoder import Encoder
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.locations import reference_home
from araclip.gallery.queries.exclusion import exclusion_of
from araclip.gallery.queries.reference_queries import reference_vectors
from araclip.gallery.queries.text_matches import TextQuery, text_matches, where_found
from araclip.gallery.ranking import Page
from araclip.gallery.reader import Snapshot, Vectors
from araclip.gallery.remote.ranking import ServerSearch
from araclip.gallery.remote.rows import Row, record_of, texts_of
from araclip.gallery.results import Hit, Match


class RemoteSnapshot(Snapshot):
    """A generation of a gallery on a server."""

    def __init__(self, generation: str, model: Encoder) -> None:
        super().__init__(generation, lambda: reference_vectors(reference_home(), model))
        self._width = model.width

    @abstractmethod
    def searching(self) -> AbstractContextManager[ServerSearch]:
        """Searches in the current generation, for the length of a `with` block."""

    @abstractmethod
    def by_id(self, content: int) -> Row:
        """A picture by its number."""

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

    def near(self, content: int, filters: Filters, most: int) -> list[tuple[PictureRecord, Hit]]:
        """The near-duplicates of a picture, where the server can compare hashes."""
        row = self.by_id(content)
        with self.searching() as search:
            return [(record_of(each), hit) for each, hit in search.near(row, self._width, filters, most)]

    def _ranked(
        self, vector: Vectors, page: Page, relevance: bool, exclude: int | None, text: TextQuery | None
    ) -> list[tuple[Row, Hit]]:
        exclusion = exclusion_of(page.excluded, self.scale) if page.excluded is not None else None
        scale, hybrid = self.scale if relevance else None, self.hybrid(vector, text)
        pictures = self.pictures if hybrid else 0
        with self.searching() as search:
            return search.ranked(vector, page, scale, exclude, exclusion, hybrid, pictures)

    def by_texts(self, content: int, text: TextQuery) -> tuple[tuple[Match, ...], float]:
        """The texts of a picture that match, and the relevance that they give it."""
        with self.searching() as search:
            matches = text_matches(search.words, text, self.pictures)
        return where_found(self.document(content), text), matches.relevance_of(content)

    def document(self, content: int) -> Document:
        """The texts of a picture by field; a gallery on a server has none from OCR."""
        return texts_of(self.by_id(content))
