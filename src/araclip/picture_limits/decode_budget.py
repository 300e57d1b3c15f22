"""Shared budgets of memory for reading and decoding pictures, and a limit of processor time for each picture.

Threads hold a share of a budget before they read, parse or decode, so that large pictures wait for each other and the
sum stays below `PEAK` whatever the pictures and the number of threads. The three budgets are always taken in this
order: a thread that waits for decoding holds no memory that another one needs to finish.

    READING ─► PARSING ─► DECODING
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from araclip.core.libraries import trim_heap
from araclip.errors import ImageTooLarge

PEAK = 1_500_000_000  # bytes above the model's that reading pictures takes at most; measured by tests/trials
PARSE_SECONDS = 3.0  # of processor time, for a header: ordinary ones take milliseconds
TRIM = 100_000_000  # bytes freed at once, from which it is worth a millisecond
DECODE_SECONDS = 30.0  # of processor time, for the pixels: 150 megapixels take 1 to 6 on one core


class ByteBudget:
    """A number of bytes that threads share; those who wait get their share in the order in which they came."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold so many bytes inside the block; a larger amount than the total holds all of it, alone."""
        amount, ticket = min(amount, self.total), object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._free >= amount)
                self._free -= amount
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


READING = ByteBudget(190_000_000)  # files read into memory
PARSING = ByteBudget(60_000_000)  # what a header unpacks to: texts, profiles, directories
DECODING = ByteBudget(1_150_000_000)  # pixels; the rest of PEAK is what allocators and finished pictures keep


def return_freed_memory(freed: int) -> None:
    """Return what was freed to the system, where that is glibc's habit to keep: an arena for each thread."""
    if freed > TRIM:
        trim_heap()


class TimedStream:
    """A stream whose reader is stopped once its thread has used too much processor time.

    Pillow's parsers, and its decoders except those of libtiff and libwebp, ask for 64 kB at most each time, so they end
    soon after the limit. Those two are limited by the size that a header claims.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name
        self.seek, self.tell = stream.seek, stream.tell
        if hasattr(stream, "getvalue"):  # Pillow passes it to libtiff without a copy
            self.getvalue = stream.getvalue
        self.allow(PARSE_SECONDS)

    def allow(self, seconds: float) -> None:
        """Allow so many further seconds."""
        self._seconds, self._end = seconds, time.thread_time() + seconds

    def read(self, size: int = -1) -> bytes:
        """Read as the stream does.

        Raises:
            ImageTooLarge: the time is over.
        """
        if time.thread_time() > self._end:
            raise ImageTooLarge(
                f"{self._name}: takes more than {self._seconds:.0f} s of processor time to read. "
                "Save a smaller or plainer copy."
            )
        return self._stream.read(size)
