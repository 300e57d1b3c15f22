"""Pictures that were embedded elsewhere → a store, in groups that are a commit each."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Protocol

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.embedded_pictures import EmbeddedPictures
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.results import Filled
from araclip.pictures.images import map_ahead

WORDED = 16_384  # pictures whose words are one commit: half a second


class EmbeddedGroups(Protocol):
    """Pictures that were embedded elsewhere, in groups that a commit takes each."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many pictures each group has, at least one."""

    def read(self, number: int) -> EmbeddedPictures:
        """The pictures of a group."""


def add_embedded(catalog: Store, groups: EmbeddedGroups, turn: Turn, progress: Callable[[int], None]) -> Filled:
    """Commit each group, and read the next one meanwhile; see `BaseGallery.add_embedded`."""
    report, begin = Filled(), time.perf_counter()
    with catalog.large_writes() if isinstance(catalog, Catalog) else nullcontext():
        for size, new in zip(groups.sizes, _added(catalog, groups, turn), strict=True):
            report.read += size
            report.added += new
            progress(report.read)
        report.row_seconds, begin = time.perf_counter() - begin, time.perf_counter()
        waiting = True
        while waiting and isinstance(catalog, Catalog):
            with turn():
                waiting = catalog.index_words(WORDED)
        report.word_seconds = time.perf_counter() - begin
    return report


def _added(catalog: Store, groups: EmbeddedGroups, turn: Turn) -> Iterator[int]:
    for _, group in map_ahead(groups.read, range(len(groups.sizes)), threads=1, most=2):
        with turn(), catalog.writing():
            new = catalog.put_embedded(group)
        yield new
