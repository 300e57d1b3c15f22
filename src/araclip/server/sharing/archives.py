"""Several originals as one ZIP archive, read from their files while it is sent.

Each original is opened and checked as for `GET /images/{id}`, so that an archive holds only bytes that were indexed.
Nothing is kept in memory or on the disk.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar
from zlib import crc32

from araclip.display import shown
from araclip.gallery.catalog.records import PictureRecord
from araclip.server.http.problem_details import Problem
from araclip.server.http.request_body import Aborted
from araclip.server.originals import Original
from araclip.server.sharing.zip_format import Entry, Names, directory

MAX_PICTURES = 1_000
KEPT = 200  # prepared archives, each a list of ids
SECONDS = 600  # from preparing to the start of the download
MISSING = "not-included.txt"

T = TypeVar("T")
InThread = Callable[[Callable[[], T]], Awaitable[T]]
Opener = Callable[[PictureRecord], Original | None]


class Archives:
    """Archives that were prepared and may be downloaded for a while; thread-safe.

    Two steps, since a browser saves what a link gives while it arrives, and a link has no room for a thousand ids.
    """

    def __init__(self, *, most_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._now = now
        self._prepared: OrderedDict[str, tuple[float, tuple[PictureRecord, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, records: Sequence[PictureRecord]) -> tuple[str, int]:
        """Its key and the bytes of its pictures.

        Raises:
            Problem: "large-archive".
        """
        sizes = {record.copies[0].file: record.copies[0].size for record in records}  # a video once, not for each scene
        size = sum(sizes.values())
        if size > self._most_bytes:
            raise Problem("large-archive", size=_megabytes(size), limit=_megabytes(self._most_bytes))
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._prepared[key] = self._now() + SECONDS, tuple(records)
            while len(self._prepared) > KEPT:
                self._prepared.popitem(last=False)
        return key, size

    def pictures(self, key: str) -> tuple[PictureRecord, ...]:
        """The pictures of an archive.

        Raises:
            Problem: "no-archive", there is none, or it was prepared too long ago.
        """
        with self._lock:
            until, records = self._prepared.get(key, (0.0, ()))
        if self._now() > until:
            raise Problem("no-archive")
        return records


async def zipped(
    records: Sequence[PictureRecord], opened: Opener, in_thread: InThread[bytes], opening: InThread[Original | None],
    most_bytes: int,
) -> AsyncIterator[bytes]:  # fmt: skip
    """The bytes of an archive; what is gone or changed since is left out, and named in a text file inside."""
    names, entries, missing, videos = Names(), list[Entry](), list[str](), set[str]()
    offset = 0
    for record in records:
        original = await opening(lambda record=record: opened(record))  # type: ignore[misc]
        if original is None or offset + original.size > most_bytes:
            if original:
                original.close()
            missing.append(record.copies[0].name)
            continue
        with original:
            if original.time is not None and original.path in videos:  # another scene of the same video
                continue
            if await opening(lambda original=original: _summed(original)) is None:  # type: ignore[misc]
                missing.append(record.copies[0].name)
                continue
            videos.add(original.path)
            name = names.free(shown(original.name))
            entry = Entry(name, record.captured_at or record.added or "", original.crc, original.size, offset)
            head = entry.head()
            yield head
            async for piece in original.pieces(0, original.size, in_thread):
                yield piece
            offset += len(head) + original.size
            entries.append(entry)
    if missing:
        text = "".join(f"{name}\r\n" for name in missing).encode("utf-8-sig")  # Windows' editor wants the mark
        entry = Entry(names.free(MISSING), "", crc32(text), len(text), offset)
        yield entry.head() + text
        offset += len(entry.head()) + len(text)
        entries.append(entry)
    yield directory(entries, offset)


def _summed(original: Original) -> Original | None:
    """An original whose checksum is known, or None if its file is written meanwhile. For a thread: of a video, all
    bytes are read for it.
    """
    try:
        _ = original.crc
    except (OSError, Aborted):
        return None
    return original


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
