"""The gallery's lock, as one server holds it for its uploads, its removals and its indexing process."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryLocked


class WriterLock:
    """The gallery's single-writer lock, which this server's indexing process, uploads and removals share.

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
        """Hold it for the length of a `with` block, shared with others of this server.

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
        """Hold it exclusively, also within this server: indexing relies on the files it has seen staying known.

        Raises:
            GalleryLocked: it is held.
        """
        with self._guard:
            if self._count:
                raise GalleryLocked(f"{self._path.parent} is being indexed by this server. Try again when it is done.")
            with atomic.single_writer(self._path):
                yield
