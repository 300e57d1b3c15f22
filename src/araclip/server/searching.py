"""Searching from many threads at once: a catalogue connection for each, one index for all.

The index belongs to a generation of the catalogue. When the catalogue changes, a new index is made in the background
and put in the old one's place; until then searches use the old one, so none waits.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.errors import WidthMismatch
from araclip.gallery.ann import ScanIndex
from araclip.gallery.background import EVERYDAY, background
from araclip.gallery.catalog import KEPT, Catalog
from araclip.gallery.filters import Condition, Filters
from araclip.gallery.opened import SAMPLE
from araclip.gallery.ranking import Page, ranked
from araclip.gallery.relevance import Scale, scale_of
from araclip.gallery.results import Hit

ID_DIGITS = 32
SUGGESTED = 8  # queries
SHORT = 18  # characters
LOOK_SECONDS = 1.0  # how often to look for what another process changed; one tiny query
LONGEST_REST = 30.0
FOLDERS = 50  # as many as a menu takes


@dataclass(frozen=True)
class Snapshot:
    """What searches use: the index of one generation, its scale, and how many pictures there are."""

    generation: str
    index: ScanIndex
    scale: Scale | None
    suggestions: tuple[str, ...]  # queries that find something here


@dataclass(frozen=True)
class Picture:
    """A picture of the catalogue: its id over HTTP, and what a result says of it."""

    id: str
    content: int
    format: str | None
    width: int | None
    height: int | None
    name: str | None = None  # that it was sent with, if it was


@dataclass(frozen=True)
class ServedFilters(Filters):
    """Filters as strangers give them: a folder by its name alone, at any depth, and never by a path.

    A path would be looked up on the disk, and so tell where links lead.
    """

    folder_name: str | None = None

    @classmethod
    def of(cls, wishes: Iterable[str], *, collapse: bool) -> "ServedFilters":
        """Filters from KEY=VALUE each, as `Filters.read` takes them.

        Raises:
            InputError: as there.
        """
        read = Filters.read(wishes, collapse=collapse)
        name = None if read.folder is None else Path(read.folder).name
        fields = {field: getattr(read, field) for field in read.__dataclass_fields__ if field != "folder"}
        return cls(**fields, folder_name=name)

    def condition(self) -> Condition:
        """As for `Filters`."""
        rest = replace(self, folder_name=None)
        base = Filters.condition(rest)
        if self.folder_name is None:
            return base
        part = os.fsencode(f"{os.sep}{self.folder_name}{os.sep}")
        of_file = f"({base.of_file}) AND instr(path, ?) > 0"
        return replace(base, of_file=of_file, file_values=(*base.file_values, part))


class Library:
    """A gallery as many threads read it."""

    def __init__(self, folder: Path, model: AraCLIP) -> None:
        self.folder = folder
        self.model = model
        self._local = threading.local()
        self._opened: list[Catalog] = []
        self._lock = threading.Lock()
        self._snapshot = self._build(None)

    @property
    def snapshot(self) -> Snapshot:
        """What searches use now."""
        return self._snapshot

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

    def refresh(self) -> bool:
        """Take up what changed since the last time; returns whether anything did.

        Raises:
            WidthMismatch: the gallery belongs to another model now; searches go on with what they have.
        """
        if self.catalog.generation == self._snapshot.generation:
            return False
        self._snapshot = self._build(self._snapshot.index)
        return True

    def _build(self, before: ScanIndex | None) -> Snapshot:
        catalog, config = self.catalog, self.model.config
        if catalog.meta("fingerprint") != config.fingerprint:
            raise WidthMismatch(
                f"gallery {self.folder} was given the vectors of {catalog.meta('model')} while it is served with "
                f"{config.name}. Start the server again with that model."
            )
        everyday, meaningless = background(self.folder, self.model)
        index = ScanIndex.of(catalog, lambda: everyday, before)
        some = index.sample(SAMPLE)
        return Snapshot(index.generation, index, scale_of(some, everyday, meaningless), suggestions(everyday, some))

    def search(
        self, snapshot: Snapshot, vector: NDArray[np.float32], page: Page, *, judged: bool, but: int | None = None
    ) -> list[tuple[Picture, Hit]]:
        """The hits of one page for a unit vector (D,), with what a result says of their pictures."""
        hits = ranked(self.catalog, snapshot.index, snapshot.scale if judged else None, vector, page, but)
        pictures = self.pictures_of([hit.path for hit in hits])
        return [(pictures[hit.path], hit) for hit in hits if hit.path in pictures]

    def pictures_of(self, paths: Sequence[str]) -> dict[str, Picture]:
        """The pictures that paths hold."""
        marks = ", ".join("?" * len(paths))
        rows = self.catalog.rows(
            "SELECT path, hash, content, format, width, height, metadata ->> 'name' "
            "FROM files JOIN contents ON contents.id = files.content "
            f"WHERE path IN ({marks})",
            [os.fsencode(path) for path in paths],
        )
        return {
            os.fsdecode(path): Picture(digest.hex()[:ID_DIGITS], content, *facts)
            for path, digest, content, *facts in rows
        }

    def find(self, identity: str) -> tuple[Picture, bytes] | None:
        """A picture by its id, and its whole hash."""
        first = bytes.fromhex(identity)
        rows = self.catalog.rows(
            "SELECT id, hash, format, width, height FROM contents WHERE hash BETWEEN ? AND ?",
            (first, first + b"\xff" * 16),
        )
        if not rows:
            return None
        content, digest, *facts = rows[0]
        return Picture(identity, content, *facts), digest

    def paths_of(self, picture: Picture) -> list[str]:
        """Every path that holds a picture."""
        rows = self.catalog.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (picture.content,))
        return [os.fsdecode(raw) for (raw,) in rows]

    def folders(self) -> list[str]:
        """Names of the folders that hold pictures, those with most pictures first."""
        counted: dict[str, int] = {}
        for (raw,) in self.catalog.rows("SELECT path FROM files"):
            if not raw.startswith(KEPT.encode()):
                name = os.fsdecode(os.path.basename(os.path.dirname(raw)))  # noqa: PTH119, PTH120  (bytes)
                counted[name] = counted.get(name, 0) + 1
        return sorted(counted, key=lambda name: (-counted[name], name))[:FOLDERS]

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for catalog in self._opened:
                catalog.close()
            self._opened.clear()


def suggestions(everyday: NDArray[np.float32], pictures: NDArray[np.float32]) -> tuple[str, ...]:
    """Everyday queries, short enough for a button, that some picture fits better than it fits other queries.

    Args:
        everyday: vectors of EVERYDAY, (E, D).
        pictures: vectors of (a sample of) the gallery, (n, D).
    """
    if not len(pictures):
        return ()
    scores = everyday @ pictures.T  # (E, n)
    best = (scores - scores.mean(axis=0)).max(axis=1)  # (E,); some pictures are near to every query
    short = [int(row) for row in np.argsort(-best) if len(EVERYDAY[row]) <= SHORT]
    return tuple(EVERYDAY[row] for row in short[:SUGGESTED])


class Refresher:
    """Keeps a library's snapshot new, from a thread of its own.

    After a build it rests nine times as long as the build took: while an indexing run commits every few seconds, the
    builds take a tenth of a core's time and no more.
    """

    def __init__(
        self, library: Library, *, changed: Callable[[Snapshot], None], failed: Callable[[Exception], None]
    ) -> None:
        self._library = library
        self._changed = changed
        self._failed = failed
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            began = time.monotonic()
            try:
                if self._library.refresh():
                    self._changed(self._library.snapshot)
            except Exception as error:  # a disk that fails now may work again; the old snapshot still does
                self._failed(error)
            self._stop.wait(min(9 * (time.monotonic() - began), LONGEST_REST))
