"""Read a gallery in PostgreSQL, which holds both index and catalogue; each search is one read transaction.

A search reads the current generation. The snapshot holds values derived from one generation (scale, number of
pictures), which may be slightly older. After the gallery was re-embedded with another model, searches are refused,
because the old vectors may be deleted.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from araclip.gallery.browsing import Browsing, Positions, Timeline, positions_of
from araclip.gallery.catalog.counting import LATER_SCENES
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.locations import Address, reference_home
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.schema import record_of, texts_of
from araclip.gallery.postgres.search import PostgresSearch, condition_of
from araclip.gallery.ranking import Page, StoreSearch
from araclip.gallery.reader import SAMPLE, GalleryReader, Snapshot
from araclip.gallery.reference_queries import reference_vectors
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors


class PostgresSnapshot(Snapshot):
    """A snapshot of a gallery on a server."""

    def __init__(self, catalog: PostgresCatalog, model: Encoder, exact: bool) -> None:
        super().__init__(catalog.generation, lambda: reference_vectors(reference_home(), model))
        self._catalog, self._exact = catalog, exact

    def document(self, content: int) -> Document:
        """Return a picture's texts by field; a gallery on a server has no OCR texts."""
        return texts_of(self._catalog.by_id(content))

    @contextmanager
    def _searching(self, vector: Vectors, page: Page) -> Iterator[StoreSearch]:
        """Open a search of the current generation, in one read transaction."""
        with self._catalog.database.reading():
            yield PostgresSearch(self._catalog, self._exact, lambda: self.pictures, vector, page)

    def _vector(self, content: int) -> Vectors:
        return self._catalog.vector(content)

    @cached_property
    def pictures(self) -> int:
        return self._catalog.counts()[1]

    @cached_property
    def sample(self) -> Vectors:
        with self._catalog.database.reading():  # ordering by hash draws a random sample
            return self._catalog.vectors_where("shown ORDER BY hash LIMIT ?", (SAMPLE,))


class PostgresBrowsing(Browsing):
    """Browses a gallery on a server."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    @property
    def generation(self) -> str:
        return self._catalog.generation

    def timeline(self, filters: Filters) -> Timeline:
        """Return the pictures that pass the filters, the newest first.

        Of a video, only the first scene is returned, unless the filters ask for every scene.
        """
        condition, values = condition_of(filters)
        if not filters.every_scene:
            condition += f" AND id NOT IN ({LATER_SCENES})"
        rows = self._catalog.database.rows(f"SELECT id, coalesce(taken, '') FROM contents WHERE {condition}", values)
        return Timeline(np.array([number for number, _ in rows], np.int64), [date for _, date in rows])

    def has(self, filters: Filters) -> bool:
        condition, values = condition_of(filters)
        return bool(self._catalog.database.rows(f"SELECT 1 FROM contents WHERE {condition} LIMIT 1", values))

    def values(self, name: str) -> list[str]:
        if name == "folder":
            return sorted(self._catalog.overview().folders)
        if name == "place":
            sql = (
                "SELECT DISTINCT substr(place_words[1], 2) FROM contents WHERE NOT hidden AND place_words[1] LIKE '@%'"
            )
            return sorted(value for (value,) in self._catalog.database.rows(sql) if value)
        rows = self._catalog.database.rows(
            f"SELECT DISTINCT photo::json->>'{name}' FROM contents WHERE NOT hidden UNION "
            f"SELECT DISTINCT files.photo::json->>'{name}' FROM files JOIN contents ON id = content WHERE NOT hidden"
        )
        return sorted(value for (value,) in rows if value)

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        wanted = [int(each) for each in contents]
        return {row.id: record_of(row) for row in self._catalog.rows("shown AND id = ANY(?)", (wanted,))}

    def files(self) -> Iterable[tuple[str, int, str | None]]:
        rows = self._catalog.database.rows(
            "SELECT path, content, taken FROM files JOIN contents ON contents.id = files.content "
            f"WHERE NOT hidden AND content NOT IN ({LATER_SCENES}) ORDER BY path"
        )
        return ((os.fsdecode(raw), content, date) for raw, content, date in rows)

    def positions(self) -> Positions | None:
        rows = self._catalog.database.rows(
            "SELECT id, latitude, longitude FROM contents WHERE shown AND latitude IS NOT NULL "
            f"AND id NOT IN ({LATER_SCENES}) ORDER BY id"
        )
        return positions_of([(content, latitude, longitude) for content, latitude, longitude in rows])


class PostgresReader(GalleryReader):
    """Reads a gallery in PostgreSQL, from any thread."""

    def __init__(self, catalog: PostgresCatalog, model: Encoder, *, exact: bool = False) -> None:
        super().__init__(model)
        self._catalog, self._exact = catalog, exact

    @classmethod
    def open(cls, address: Address, model: Encoder) -> "PostgresReader":
        """Return a reader of the gallery at an address."""
        catalog = PostgresCatalog(Database(address), model)
        with catalog.database.closed_on_error():
            catalog.state()
        return cls(catalog, model)

    @property
    def store(self) -> PostgresCatalog:
        return self._catalog

    def writer(self, patience: float) -> tuple[Store, Turn]:
        catalog = PostgresCatalog(self._catalog.database, self.model)
        return catalog, lambda: catalog.turn(patience)

    @property
    def browsing(self) -> Browsing:
        return PostgresBrowsing(self._catalog)

    def close(self) -> None:
        self._catalog.database.close()

    def _new_snapshot(self, before: Snapshot | None) -> PostgresSnapshot:
        return PostgresSnapshot(self._catalog, self.model, self._exact)
