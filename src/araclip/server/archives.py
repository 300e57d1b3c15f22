"""Send several originals (pictures' own files) as one ZIP archive, which is made while it is sent.

Each original is opened and checked as for `GET /images/{id}`, so that only bytes that were indexed are sent. A text
file in the archive names the pictures that were left out. No archive is kept in memory or on the disk, only the list of
its pictures for some minutes. Archives have no compression.
"""

import re
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from zipfile import ZipFile, ZipInfo
from zlib import crc32

from araclip.core.display import shown
from araclip.gallery.catalog.records import PictureRecord
from araclip.server.http.errors import Problem
from araclip.server.http.limits import Aborted
from araclip.server.originals import Original

MAX_PICTURES = 1_000
MAX_PREPARED = 200  # how many lists of pictures are kept
PREPARED_SECONDS = 600  # limit: seconds between preparing an archive and the start of its download
MISSING_FILE = "not-included.txt"
MAX_NAME = 180  # limit: bytes of a file's name in UTF-8, with suffix; file systems allow 255, unpacking may add some
_UTF8 = 0x800
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)

T = TypeVar("T")
InThread = Callable[[Callable[[], T]], Awaitable[T]]
Opener = Callable[[str], tuple[PictureRecord, Original] | None]


class Archives:
    """Keeps lists of pictures that may be downloaded as a ZIP archive, each under a key, for a while; thread-safe.

    A download takes two requests: a browser can save the answer to a GET request while it arrives, but the address of
    such a request is too short for a thousand ids. So a POST request sends the ids first, and gets a key for the
    address. The archive itself is made while it is sent.
    """

    def __init__(self, *, most_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._now = now
        self._prepared: OrderedDict[str, tuple[float, dict[str, str]]] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, records: Sequence[PictureRecord]) -> tuple[str, int]:
        """Store a list of pictures to download; return the archive's key, and how many bytes the pictures have.

        Raises:
            Problem: the pictures have more bytes than an archive may have.
        """
        sizes = {record.copies[0].file: record.copies[0].size for record in records}  # two scenes of a video count once
        size = sum(sizes.values())
        if size > self._most_bytes:
            raise Problem("large-archive", size=_in_megabytes(size), limit=_in_megabytes(self._most_bytes))
        key, names = secrets.token_urlsafe(16), {record.id: record.copies[0].name for record in records}
        with self._lock:
            self._prepared[key] = self._now() + PREPARED_SECONDS, names
            while len(self._prepared) > MAX_PREPARED or next(iter(self._prepared.values()))[0] < self._now():
                self._prepared.popitem(last=False)
        return key, size

    def pictures(self, key: str) -> dict[str, str]:
        """Return ids and names of the pictures of an archive; raise a Problem if no such archive is kept any more."""
        with self._lock:
            expires, names = self._prepared.get(key, (0.0, dict[str, str]()))
        if self._now() > expires:
            raise Problem("no-archive")
        return names


async def stream_zip(
    pictures: Mapping[str, str], open_picture: Opener, in_thread: InThread[bytes], in_other_thread: InThread[Any],
    most_bytes: int,
) -> AsyncIterator[bytes]:  # fmt: skip
    """Yield the bytes of a ZIP archive. A text file in it names the pictures left out: gone, changed, or too large.

    Args:
        pictures: the pictures' ids and names.
        open_picture: opens the original of the picture with an id; returns None if no file holds the picture any more.
        in_thread: runs a function in a thread; used to read a piece of a file.
        in_other_thread: the same, used for slow work: to open and hash a file.
        most_bytes: how many bytes the archive may have.
    """
    names, missing, videos, buffer = UniqueNames(), list[str](), set[str](), SendBuffer()
    archive = ZipFile(buffer, "w")  # type: ignore[call-overload]
    for identity, name_in_gallery in pictures.items():
        found = await in_other_thread(partial(open_picture, identity))
        if found is None:
            missing.append(name_in_gallery)
            continue
        record, original = found
        with original:
            # skip a scene whose original, the whole video, is in the archive already because of another scene
            if original.time is not None and original.path in videos:
                continue
            is_too_large = buffer.tell() + original.size > most_bytes
            if is_too_large or not await in_other_thread(partial(_compute_checksum, original)):
                missing.append(name_in_gallery)
                continue
            videos.add(original.path)
            name, date = names.reserve(shown(original.name)), record.captured_at or record.added or ""
            with archive.open(ZipEntry(name, date, original.crc, original.size), "w") as file:
                async for piece in original.pieces(0, original.size, in_thread):
                    file.write(piece)
                    yield buffer.take_bytes()
    if missing:
        # with a byte order mark, for Notepad on Windows
        text = "".join(f"{name}\r\n" for name in missing).encode("utf-8-sig")
        with archive.open(ZipEntry(names.reserve(MISSING_FILE), "", crc32(text), len(text)), "w") as file:
            file.write(text)
    archive.close()
    yield buffer.take_bytes()


class ZipEntry(ZipInfo):
    """A file of an archive whose CRC-32 and size are known before its bytes are written.

    CRC and size are written in front of the file's bytes, and the name is marked as UTF-8: so Windows Explorer, macOS,
    unzip and programs that unpack a stream can all read the archive. Archives stay below 4 GB, and need no ZIP64.
    """

    def __init__(self, name: str, date: str, crc: int, size: int) -> None:
        try:
            at = datetime.fromisoformat(date)
        except ValueError:
            at = datetime.min
        super().__init__(name, at.timetuple()[:6] if 1980 <= at.year <= 2107 else (1980, 1, 1, 0, 0, 0))
        self.create_system, self.external_attr = 3, 0o100644 << 16  # permissions rw-r--r--, as for a file made on Unix
        self._crc_and_size = crc, size

    def FileHeader(self, zip64: bool | None = None) -> bytes:  # noqa: N802  (zipfile's name)
        """Return the header that precedes the file's bytes."""
        self.CRC, self.file_size = self._crc_and_size
        self.compress_size, self.flag_bits = self.file_size, _UTF8
        return super().FileHeader(zip64)


class SendBuffer:
    """A file object to which `ZipFile` writes an archive. `take_bytes` takes out what was written, to send it.

    After writing a file, `ZipFile` goes back to write its header once more, with the checksum. For a `ZipEntry`, the
    second header equals the first, so it is dropped.
    """

    def __init__(self) -> None:
        self._at = self._end = 0
        self._new = bytearray()

    def tell(self) -> int:
        """Return the position in the archive at which the next byte is written."""
        return self._at

    def seek(self, at: int) -> int:
        """Set the position in the archive at which the next byte is written."""
        self._at = at
        return at

    def write(self, data: bytes) -> int:
        """Append bytes, to be fetched by `take_bytes`; bytes that are written a second time are dropped."""
        if self._at == self._end:
            self._new += data
            self._end += len(data)
        self._at += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing, because `write` holds back no bytes."""

    def take_bytes(self) -> bytes:
        """Return the bytes that were written since the last call."""
        data, self._new = bytes(self._new), bytearray()
        return data


class UniqueNames:
    """Makes the file names inside one archive: every system can write them, and no two are equal."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reserve(self, name: str) -> str:
        """Return `name`, or if another file has it, `name` with a number. Case is ignored, as on Windows and macOS."""
        stem, dot, suffix = _make_writable(name).rpartition(".")
        if not dot or len(suffix) > 10 or not stem:
            stem, dot, suffix = f"{stem}{dot}{suffix}", "", ""
        number, found = 1, _shorten(stem, dot + suffix)
        while found.casefold() in self._taken:
            number += 1
            found = _shorten(stem, f" ({number}){dot}{suffix}")
        self._taken.add(found.casefold())
        return found


def _make_writable(name: str) -> str:
    """Return a name that Windows accepts, in composed Unicode (NFC), which most systems use for names."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = _FORBIDDEN.sub("_", text).strip().rstrip(". ") or "picture"
    return f"_{text}" if _DEVICES.fullmatch(text) else text


def _shorten(stem: str, ending: str) -> str:
    """Return stem + ending, with the stem shortened so that the name has at most MAX_NAME bytes."""
    room = MAX_NAME - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip() + ending


def _compute_checksum(original: Original) -> bool:
    """Compute an original's CRC-32, perhaps of a whole video; return False if the file has changed or is unreadable."""
    try:
        _ = original.crc
    except (OSError, Aborted):
        return False
    return True


def _in_megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
