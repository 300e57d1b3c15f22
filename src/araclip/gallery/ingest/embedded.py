"""Pictures that were embedded elsewhere → any store: rows first, which makes them searchable, then the words of all."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.embedded.insert import put_embedded
from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.full_text import indexing
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.results import Filled

LARGE = {"cache_size": -200_000, "wal_autocheckpoint": 50_000}  # kB; pages of 4 kB in the log, 200 MB
WORDED = 16_384  # pictures whose words are one commit: half a second


@runtime_checkable
class TakesGroups(Store, Protocol):
    """A store that takes many pictures at once."""

    def put_embedded(self, group: EmbeddedPictures) -> int:
        """Store them inside `writing()`; a known one gets a further path. Returns how many were new."""


def add_embedded(
    catalog: Store, groups: Iterable[EmbeddedPictures], turn: Turn, progress: Callable[[int], None]
) -> Filled:
    """Commit each group; see `BaseGallery.add_embedded`."""
    report, begin = Filled(), time.perf_counter()
    with _large_writes(catalog):
        for group in _read_ahead(groups):
            with turn():
                report.added += _put(catalog, group)
            report.read += len(group)
            progress(report.read)
        report.row_seconds, begin = time.perf_counter() - begin, time.perf_counter()
        while isinstance(catalog, Catalog) and indexing.is_behind(catalog.connection):
            with turn(), catalog.writing(visible=False, words=False):
                indexing.index_changed(catalog.connection, WORDED)
        report.word_seconds = time.perf_counter() - begin
    return report


def _read_ahead(groups: Iterable[EmbeddedPictures]) -> Iterator[EmbeddedPictures]:
    """The groups, each read in a thread while the one before it is stored."""
    remaining = iter(groups)
    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(next, remaining, None)
        while (group := coming.result()) is not None:
            coming = reader.submit(next, remaining, None)
            yield group


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
    if isinstance(catalog, Catalog):
        with catalog.writing(words=False):
            return put_embedded(catalog, group)
    if isinstance(catalog, TakesGroups):
        with catalog.writing():
            return catalog.put_embedded(group)
    added = 0
    with catalog.writing():
        for row, (digest, phash) in enumerate(zip(group.digests, group.phashes, strict=True)):
            content = catalog.content(digest)
            if content is None:
                content = catalog.add_content(digest, group.vectors[row])
                catalog.put_facts(content, group.facts(row), phash)
                added += 1
            catalog.put_file(group.file(row), content, group.metadata[row] or None)
    return added
