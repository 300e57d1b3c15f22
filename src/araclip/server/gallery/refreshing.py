"""Refreshing a server's snapshot of its gallery in a background thread."""

import threading
import time
from collections.abc import Callable

from araclip.gallery.reader import Snapshot
from araclip.server.gallery.served_gallery import ServedGallery

CHECK_SECONDS = 1.0  # between checks for another process's commits; one small query
MAX_PAUSE_SECONDS = 30.0


class Refresher:
    """Refreshes a served gallery's snapshot in a background thread.

    After a refresh it pauses nine times as long as the refresh took, so that refreshing takes at most a tenth of a core
    while an indexing run commits every few seconds.
    """

    def __init__(
        self, gallery: ServedGallery, *, changed: Callable[[Snapshot], None], failed: Callable[[Exception], None]
    ) -> None:
        self._gallery = gallery
        self._changed = changed
        self._failed = failed
        self._failure = ""  # the last one; it may last for hours, and is said once
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Check for a new generation now."""
        self._wake.set()

    def stop(self) -> None:
        """Stop the thread, and wait for it."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(CHECK_SECONDS)
            self._wake.clear()
            began = time.monotonic()
            try:
                if self._gallery.refresh():
                    self._changed(self._gallery.snapshot)
                self._failure = ""
            except Exception as error:  # may be transient; the old snapshot stays in use
                if self._failure != str(error):
                    self._failed(error)
                self._failure = str(error)
            self._stop.wait(min(9 * (time.monotonic() - began), MAX_PAUSE_SECONDS))
