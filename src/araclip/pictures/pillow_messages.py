"""What Pillow and its libraries would print: kept off the terminal, and collected for our own messages."""

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

MOST, MANY = 200, 3  # characters of a message, and how many are kept


class PillowMessages(logging.Handler):
    """Collects Pillow's warnings and log lines of threads inside `collected`; those of other packages pass.

    `catch_warnings` in every thread would leave the filters changed for good: overlapping threads restore each other's.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lock = threading.Lock()
        self._inside = 0
        self._of_thread = threading.local()

    @contextlib.contextmanager
    def collected(self) -> Iterator[list[str]]:
        """What Pillow says to this thread inside the block."""
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
        elif not issubclass(category, Image.DecompressionBombWarning):  # its limit is not ours
            self._note(str(message))

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a log line; outside of the blocks Python prints it as it would without this handler."""
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
    """Stop libtiff from writing a line to stderr for each damaged row; our own error is enough.

    Pillow silences its warnings but not its errors. Has no effect where Pillow uses the system's libtiff.
    """
    for library in (*_PILLOW.parent.glob("pillow.libs/libtiff*.so*"), *_PILLOW.glob(".dylibs/libtiff*.dylib")):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
