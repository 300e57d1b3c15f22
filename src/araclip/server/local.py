"""A gallery in a folder, searched from many threads at once: a catalogue connection for each, one index for all.

The index belongs to a generation of the catalogue. When the catalogue changes, a new index is made in the background
and put in the old one's place; until then searches use the old one, so none waits.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.errors import WidthMismatch
from araclip.gallery import upkeep
from araclip.gallery.catalog.catalog import KEPT, Catalog
from araclip.gallery.index.scan_index import ScanIndex
from araclip.gallery.opened import SAMPLE
from araclip.gallery.ranking import Page, ranked
from araclip.gallery.reference_queries import background
from araclip.gallery.relevance import scale_of
from araclip.gallery.results import Hit
from araclip.server.indexing.writing import WriterLock
from araclip.server.library import Copy, Library, Numbers, Picture, Snapshot, busiest, suggestions

_PICTURES = (
    "SELECT content, hash, format, width, height, taken, added, path, size, metadata "
    "FROM files JOIN contents ON contents.id = files.content"
)


@dataclass(frozen=True)
class Indexed(Snapshot):
    """A generation with its index."""

    index: ScanIndex


class LocalLibrary(Library):
    """A gallery in a folder; what changes it takes its `pen`."""

    def __init__(self, folder: Path, model: AraCLIP) -> None:
        self.folder = folder
        self.writer_lock = WriterLock(folder)
        self._local = threading.local()
        self._opened: list[Catalog] = []
        self._lock = threading.Lock()
        super().__init__(model)

    @property
    def catalog(self) -> Catalog:
        """This thread's own connection: SQLite serves one request at a time on each."""
        found: Catalog | None = getattr(self._local, "catalog", None)
        if found is None:
            config = self.model.config
            found = Catalog.open(self.folder, config.name, config.fingerprint, config.width)
            self._local.catalog = found
            with self._lock:
                self._opened.append(found)
        return found

    def _generation(self) -> str:
        return self.catalog.generation

    def _build(self, before: Snapshot | None) -> Indexed:
        catalog, config = self.catalog, self.model.config
        if catalog.meta("fingerprint") != config.fingerprint:
            raise WidthMismatch(
                f"gallery {self.folder} was given the vectors of {catalog.meta('model')} while it is served with "
                f"{config.name}. Start the server again with that model."
            )
        everyday, meaningless = background(self.folder, self.model)
        index = ScanIndex.of(catalog, lambda: everyday, before.index if isinstance(before, Indexed) else None)
        some = index.sample(SAMPLE)
        scale = scale_of(some, everyday, meaningless)
        return Indexed(index.generation, len(index), scale, suggestions(everyday, some), index)

    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, exclude: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page."""
        assert isinstance(snapshot, Indexed)
        hits = ranked(self.catalog, snapshot.index, snapshot.scale if judged else None, vector, page, exclude)
        pictures = self._holding([hit.path for hit in hits])
        return [(pictures[hit.path], hit) for hit in hits if hit.path in pictures]

    def _holding(self, paths: Sequence[str]) -> dict[str, Picture]:
        """The picture that each path holds; of its copies that one only."""
        rows = self.catalog.rows(
            f"{_PICTURES} WHERE path IN ({', '.join('?' * len(paths))})", [os.fsencode(path) for path in paths]
        )
        return {os.fsdecode(row[7]): _picture([row]) for row in rows}

    def find(self, identity: str) -> Picture | None:
        """A picture by its id."""
        first = bytes.fromhex(identity)
        ends = (first, first + b"\xff" * 16)
        rows = self.catalog.rows(f"{_PICTURES} WHERE hash BETWEEN ? AND ? ORDER BY path", ends)
        return _picture(rows) if rows else None

    def _count(self) -> Numbers:
        stats = upkeep.stats(self.catalog)
        paths = (row[0] for row in self.catalog.rows("SELECT path FROM files"))
        counted = Counter(os.path.dirname(raw) for raw in paths if not raw.startswith(KEPT.encode()))  # noqa: PTH120
        folders = busiest({os.fsdecode(name): count for name, count in counted.items()})
        return Numbers(stats.files, stats.formats, folders, stats.taken)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for catalog in self._opened:
                catalog.close()
            self._opened.clear()


def _picture(rows: Sequence[tuple[Any, ...]]) -> Picture:
    """A picture from its rows, one a path."""
    content, digest, kind, width, height, taken, added = rows[0][:7]
    copies = tuple(Copy(os.fsdecode(path), size, json.loads(about)) for *_, path, size, about in rows)
    return Picture(content, digest, kind, width, height, taken, added, copies)
