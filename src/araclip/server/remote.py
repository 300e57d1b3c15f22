"""A gallery on a Qdrant server, searched from many threads: the server keeps index and catalogue, this only asks.

It is read: pictures come in by `araclip index` or `araclip watch` from wherever they lie. What a search sees is the
generation of that moment; the snapshot holds what is derived from one, and may be a second behind. Once the gallery was
given another model, searches are refused: the vectors that they are for may be gone.
"""

import os

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.gallery.locations import background_home
from araclip.gallery.opened import SAMPLE
from araclip.gallery.ranking import Page
from araclip.gallery.reference_queries import background
from araclip.gallery.relevance import scale_of
from araclip.gallery.remote.catalog import RemoteCatalog
from araclip.gallery.remote.conditions import visible, where
from araclip.gallery.remote.connection import connected
from araclip.gallery.remote.nearest import Search, sample
from araclip.gallery.remote.overview import overview
from araclip.gallery.remote.rows import Row
from araclip.gallery.results import Hit
from araclip.server.library import Copy, Library, Numbers, Picture, Snapshot, busiest, suggestions


class RemoteLibrary(Library):
    """A gallery at an address such as qdrant://HOST:6333/COLLECTION."""

    def __init__(self, address: str, model: AraCLIP) -> None:
        named = connected(address)
        if not named.exists():
            raise named.not_found()
        self._catalog = RemoteCatalog(named, model)
        super().__init__(model)

    @property
    def catalog(self) -> RemoteCatalog:
        """One for all threads."""
        return self._catalog

    def _generation(self) -> str:
        return self._catalog.state().generation

    def _build(self, before: Snapshot | None) -> Snapshot:
        state, connection = self._catalog.state(), self._catalog.connection
        everyday, meaningless = background(background_home(), self.model)
        some = sample(connection, state.number, state.width, SAMPLE)
        count = connection.count(visible(state.number))
        return Snapshot(state.generation, count, scale_of(some, everyday, meaningless), suggestions(everyday, some))

    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, exclude: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page."""
        search = Search(self._catalog.connection, self._catalog.state().number)
        found = search.ranked(vector, page, snapshot.scale if judged else None, exclude)
        return [(_picture(row), hit) for row, hit in found]

    def find(self, identity: str) -> Picture | None:
        """A picture by its id."""
        row = self._catalog.row(where("first", identity))
        return _picture(row) if row else None

    def _count(self) -> Numbers:
        seen = overview(self._catalog.connection, self._catalog.state().number)
        return Numbers(seen.files, seen.formats, busiest(seen.folders), seen.taken)

    def close(self) -> None:
        """Close the connection."""
        self._catalog.named.close()


def _picture(row: Row) -> Picture:
    kind, width, height, taken = (f.format, f.width, f.height, f.taken) if (f := row.facts) else (None,) * 4
    held = sorted(row.files, key=lambda each: os.fsencode(each.file.path))
    copies = tuple(Copy(each.file.path, each.file.size, each.metadata) for each in held)
    return Picture(row.id, row.digest, kind, width, height, taken, row.added, copies)
