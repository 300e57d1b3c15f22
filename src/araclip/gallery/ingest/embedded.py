"""Pictures that were embedded elsewhere → any store; a catalogue takes them as fragments, with their words."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.embedded import fragment
from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.full_text import indexing
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.results import Filled
from araclip.pictures.images import map_ahead

LARGE = {"cache_size": -200_000, "wal_autocheckpoint": 50_000}  # kB; pages of 4 kB in the log, 200 MB
WORDED = 16_384  # pictures whose words are one commit: half a second


@runtime_checkable
class TakesGroups(Store, Protocol):
    """A store that takes many pictures at once."""

    def put_embedded(self, group: EmbeddedPictures) -> int:
        """Store them inside `writing()`; a known one gets a further path. Returns how many were new."""


class EmbeddedGroups(Protocol):
    """Pictures that were embedded elsewhere, in groups that a commit takes each."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many pictures each group has, at least one."""

    def read(self, number: int) -> EmbeddedPictures:
        """The pictures of a group."""

    def fragments(self, start: int, first: int) -> AbstractContextManager[Iterator[bytes]]:
        """The fragments (`catalog.embedded.fragment`) of the groups from `start` on, whose ids begin with `first`."""


def add_embedded(catalog: Store, groups: EmbeddedGroups, turn: Turn, progress: Callable[[int], None]) -> Filled:
    """Commit each group; see `BaseGallery.add_embedded`."""
    report, begin = Filled(), time.perf_counter()
    with _large_writes(catalog):
        if isinstance(catalog, Catalog) and fragment.AVAILABLE:
            added = _add_fragments(catalog, groups, turn)
        else:
            added = _add_groups(catalog, groups, turn)
        for size, new in zip(groups.sizes, added, strict=True):
            report.read += size
            report.added += new
            progress(report.read)
        report.row_seconds, begin = time.perf_counter() - begin, time.perf_counter()
        while isinstance(catalog, Catalog) and indexing.is_behind(catalog.connection):
            with turn(), catalog.writing(visible=False, words=False):
                indexing.index_changed(catalog.connection, WORDED)
        report.word_seconds = time.perf_counter() - begin
    return report


def _add_fragments(catalog: Catalog, groups: EmbeddedGroups, turn: Turn) -> Iterator[int]:
    """Commit each group with its words; yields how many of its pictures were new."""
    number = 0
    while number < len(groups.sizes):
        with groups.fragments(number, fragment.next_id(catalog)) as fragments:
            for each in fragments:
                with turn():
                    new = fragment.put_fragment(catalog, each)
                    taken = new is None  # others have added pictures: the fragments to come have their ids
                    if new is None:
                        own = fragment.fragment_of(groups.read(number), fragment.next_id(catalog))
                        new = fragment.put_fragment(catalog, own) or 0
                number += 1
                yield new
                if taken:
                    break


def _add_groups(catalog: Store, groups: EmbeddedGroups, turn: Turn) -> Iterator[int]:
    """The same for any store, whose words are indexed later; each group is read while the one before it is stored."""
    for _, group in map_ahead(groups.read, range(len(groups.sizes)), threads=1, most=2):
        with turn():
            yield _put(catalog, group)


@contextmanager
def _large_writes(catalog: Store) -> Iterator[None]:
    """More of SQLite's pages in memory, since hashes go to random places of an index, and fewer checkpoints, each of
    which copies these pages."""
    if not isinstance(catalog, Catalog):
        yield
        return
    usual = {name: catalog.rows(f"PRAGMA {name}")[0][0] for name in LARGE}
    for name, value in LARGE.items():
        catalog.rows(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        for name, value in usual.items():
            catalog.rows(f"PRAGMA {name} = {value}")


def _put(catalog: Store, group: EmbeddedPictures) -> int:
    with catalog.writing():
        if isinstance(catalog, TakesGroups):
            return catalog.put_embedded(group)
        added = 0
        for row, (digest, phash) in enumerate(zip(group.digests, group.phashes, strict=True)):
            content = catalog.content(digest)
            if content is None:
                content = catalog.add_content(digest, group.vectors[row])
                catalog.put_facts(content, group.facts(row), phash)
                added += 1
            catalog.put_file(group.file(row), content, group.metadata[row] or None)
    return added
