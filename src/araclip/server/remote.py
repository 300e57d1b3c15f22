"""A gallery on a Qdrant server, searched from many threads: the server keeps index and catalogue, this only asks.

It is read: pictures come in by `araclip index` or `araclip watch` from wherever they lie. What a search sees is the
generation of that moment; the snapshot holds what is derived from one, and may be a second behind.
"""

import os

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.gallery.background import background
from araclip.gallery.opened import SAMPLE
from araclip.gallery.places import background_home
from araclip.gallery.ranking import Page
from araclip.gallery.relevance import scale_of
from araclip.gallery.remote.catalog import RemoteCatalog
from araclip.gallery.remote.conditions import visible, where
from araclip.gallery.remote.connection import connected
from araclip.gallery.remote.nearest import Search, sample
from araclip.gallery.remote.overview import overview
from araclip.gallery.remote.rows import Row
from araclip.gallery.results import Hit
from araclip.server.library import ID_DIGITS, Copy, Numbers, Picture, Snapshot, busiest, suggestions


class RemoteLibrary:
    """`Library` over an address such as qdrant://HOST:6333/COLLECTION."""

    def __init__(self, address: str, model: AraCLIP) -> None:
        self.model = model
        named = connected(address)
        if not named.exists():
            raise named.not_found()
        self._catalog = RemoteCatalog(named, model)
        self._counted: tuple[str, Numbers] | None = None  # of a generation
        self._snapshot = self._build()

    @property
    def snapshot(self) -> Snapshot:
        """What searches use now."""
        return self._snapshot

    def refresh(self) -> bool:
        """As `Library` says; so do the others."""
        if self._catalog.state().generation == self._snapshot.generation:
            return False
        self._snapshot = self._build()
        return True

    def _build(self) -> Snapshot:
        state, connection = self._catalog.state(), self._catalog.connection
        everyday, meaningless = background(background_home(), self.model)
        some = sample(connection, state.number, state.width, SAMPLE)
        count = connection.count(visible(state.number))
        return Snapshot(state.generation, count, scale_of(some, everyday, meaningless), suggestions(everyday, some))

    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, but: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page."""
        search = Search(self._catalog.connection, self._catalog.state().number)
        found = search.ranked(vector, page, snapshot.scale if judged else None, but)
        return [(_picture(row), hit) for row, hit in found]

    def find(self, identity: str) -> Picture | None:
        """A picture by its id."""
        row = self._catalog.row(where("first", identity))
        return _picture(row) if row else None

    def vector(self, picture: Picture) -> NDArray[np.float32]:
        """Its vector (D,)."""
        return self._catalog.vector(picture.content)

    def kept(self, picture: Picture) -> bytes | None:
        """The pixels of a picture without a file."""
        return self._catalog.kept(picture.content)

    def numbers(self) -> Numbers:
        """What there is."""
        state, known = self._catalog.state(), self._counted
        if known is None or known[0] != state.generation:
            seen = overview(self._catalog.connection, state.number)
            numbers = Numbers(seen.files, seen.formats, busiest(seen.folders), seen.taken)
            known = self._counted = state.generation, numbers
        return known[1]

    def close(self) -> None:
        """Close the connection."""
        self._catalog.named.close()


def _picture(row: Row) -> Picture:
    kind, width, height, taken = (f.format, f.width, f.height, f.taken) if (f := row.facts) else (None,) * 4
    held = sorted(row.files, key=lambda each: os.fsencode(each.file.path))
    copies = tuple(Copy(each.file.path, each.file.size, each.metadata) for each in held)
    return Picture(row.digest.hex()[:ID_DIGITS], row.id, row.digest, kind, width, height, taken, row.added, copies)
