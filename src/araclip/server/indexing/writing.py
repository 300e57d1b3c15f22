"""Changing a gallery from a server: pictures that were sent come in, pictures are forgotten."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from araclip import atomic
from araclip.encoder import AraCLIP
from araclip.errors import GalleryLocked, ImageError, WidthMismatch
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.ingest.intake import Intake, Loaded


class WriterLock:
    """The gallery's single-writer lock, held by this server for all its hands: indexing process, uploads, removals.

    An upload only adds, in one transaction, so it may come in while the indexing process works; the lock keeps out
    other programs, such as one that gives the gallery another model.
    """

    def __init__(self, gallery: Path) -> None:
        self._path = gallery / "lock"
        self._count = 0
        self._guard = threading.Lock()
        self._held = ExitStack()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for the length of a `with` block, together with whoever of this server holds it.

        Raises:
            GalleryLocked: another process holds it.
        """
        with self._guard:
            if self._count == 0:
                self._held.enter_context(atomic.single_writer(self._path))
            self._count += 1
        try:
            yield
        finally:
            with self._guard:
                self._count -= 1
                if self._count == 0:
                    self._held.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it while nobody else of this server does, nor begins to: indexing relies on what it has seen staying.

        Raises:
            GalleryLocked: somebody holds it.
        """
        with self._guard:
            if self._count:
                raise GalleryLocked(f"{self._path.parent} is being indexed by this server. Try again when it is done.")
            with atomic.single_writer(self._path):
                yield


def add(catalog: Catalog, model: AraCLIP, loaded: Loaded, metadata: dict[str, str], writer_lock: WriterLock) -> None:
    """Take in a picture that was sent. When this returns, it is on the disk.

    Raises:
        GalleryLocked: another process is writing.
        WidthMismatch: the gallery belongs to another model by now.
        OSError: the disk is full or read-only.
    """

    def refused(_: int, error: OSError | ImageError) -> None:
        raise error

    with writer_lock.held():
        if catalog.meta("fingerprint") != model.fingerprint:
            raise WidthMismatch(f"gallery {catalog.folder} has another model's vectors now. Serve it with that model.")
        Intake(catalog, model).take([loaded], refused, metadata=[metadata])


def forget(catalog: Catalog, paths: list[str], writer_lock: WriterLock) -> None:
    """Forget a picture by all of its paths. No file on the disk is touched.

    Raises:
        GalleryLocked: another process is writing, or this server's own indexes.
        OSError: as for `add`.
    """
    with writer_lock.alone(), catalog.writing():
        catalog.remove_files(paths)
