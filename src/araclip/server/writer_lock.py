"""The gallery's single-writer lock, shared inside one server."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryLocked


class WriterLock:
    """The gallery's single-writer lock, shared by this server's indexing process, uploads and removals.

    An upload only adds, in one transaction, so it may run beside the indexing process; the lock excludes other
    programs, such as a re-embedding.
    """

    def __init__(self, gallery: Path) -> None:
        self._path = gallery / "lock"
        self._count = 0
        self._guard = threading.Lock()
        self._held = ExitStack()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for the length of a `with` block, shared within this server.

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
        """Hold it exclusively, also within this server: files must not be removed during an indexing run.

        Raises:
            GalleryLocked: the lock is held.
        """
        with self._guard:
            if self._count:
                raise GalleryLocked(f"{self._path.parent} is being indexed by this server. Try again when it is done.")
            with atomic.single_writer(self._path):
                yield
