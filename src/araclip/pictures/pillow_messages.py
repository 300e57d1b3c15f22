"""Keep the messages of Pillow and its libraries off the terminal, and collect them for araclip's own messages."""

import contextlib
import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TextIO

from PIL import Image

MOST, MANY = 200, 3  # limits: characters of a message; messages that are kept for one picture


class PillowMessages(logging.Handler):
    """Collects the warnings and log lines of Pillow, and of no other package, in threads that are inside `collect`.

    `catch_warnings` does not work here: threads that overlap would restore each other's filters, and leave the filters
    changed for good.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lock = threading.Lock()
        self._inside = 0
        self._of_thread = threading.local()

    @contextlib.contextmanager
    def collect(self) -> Iterator[list[str]]:
        """Yield a list that collects Pillow's messages to this thread during the `with` block."""
        outer, own = getattr(self._of_thread, "texts", None), list[str]()
        self._enter()
        self._of_thread.texts = own
        try:
            yield own
        finally:
            self._of_thread.texts = outer
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("always", module=r"PIL\b")
                self._show, warnings.showwarning = warnings.showwarning, self._collect
            self._inside += 1

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)

    def _collect(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if Path(filename).parent != _PILLOW:
            self._show(message, category, filename, lineno, file, line)
        # ignored: Pillow warns above 89 megapixels, but `limits` allows 150
        elif not issubclass(category, Image.DecompressionBombWarning):
            self._note(str(message))

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a log line; outside `collect`, print it as Python would without this handler."""
        if getattr(self._of_thread, "texts", None) is not None:
            self._note(record.getMessage())
        elif logging.lastResort and not logging.getLogger().handlers:
            logging.lastResort.handle(record)

    def _note(self, text: str) -> None:
        texts: list[str] | None = getattr(self._of_thread, "texts", None)
        if texts is not None and len(texts) < MANY:
            texts.append(" ".join(text.split())[:MOST])


_PILLOW = Path(Image.__file__).parent
PILLOW_MESSAGES = PillowMessages()
logging.getLogger("PIL").addHandler(PILLOW_MESSAGES)


@cache
def silence_libtiff() -> None:
    """Stop libtiff from writing a line to stderr for each damaged row; araclip's own error is enough.

    Pillow silences libtiff's warnings, but not its errors. Has no effect if Pillow uses the system's libtiff.
    """
    for library in (*_PILLOW.parent.glob("pillow.libs/libtiff*.so*"), *_PILLOW.glob(".dylibs/libtiff*.dylib")):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
