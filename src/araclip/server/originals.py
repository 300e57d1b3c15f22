"""The original bytes of a picture.

A path may lead to another file by now, for example through a link put in its place. So the file is opened once, hashed,
and sent through the same descriptor only if the hash is the picture's: no path or link can make the server send a file
that it did not index. It is read in pieces, so that slow clients of large pictures hold no memory.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import IO, Self

from araclip.errors import UnreadableImage
from araclip.gallery.catalog.records import STORED_PREFIX, PictureRecord
from araclip.gallery.catalog.store import Store
from araclip.images import open_file
from araclip.server.http.request_body import Aborted

MAX_BYTES = 300_000_000  # larger files are not sent
PIECE = 1 << 18  # what a client that does not read keeps in memory
MAX_SENT = 128  # originals that are sent at a time: each holds a file open
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
OTHER_TYPE = "application/octet-stream"
Reading = Callable[[Callable[[], bytes]], Awaitable[bytes]]


class Original:
    """A picture's bytes in a file that is open, their number, media type and path."""

    def __init__(self, stream: IO[bytes], size: int, media_type: str, path: str) -> None:
        self.size = size
        self.media_type = media_type
        self.path = path
        self._stream = stream
        self._state = _state(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def digest(self) -> bytes:
        """The SHA-256 of the bytes."""
        found = hashlib.sha256()
        for start in range(0, self.size, PIECE):
            found.update(self.read(start, PIECE))
        return found.digest()

    def read(self, start: int, length: int) -> bytes:
        """Bytes from `start`, at most `length`.

        Raises:
            Aborted: the file has changed since it was opened.
        """
        length = min(length, self.size - start)
        self._stream.seek(start)
        data = self._stream.read(length)
        if len(data) != length or _state(self._stream) != self._state:
            raise Aborted
        return data

    async def pieces(self, start: int, stop: int, reading: Reading) -> AsyncIterator[bytes]:
        """Bytes `start` to `stop`; `reading` runs a function in a thread."""
        for at in range(start, stop, PIECE):
            yield await reading(lambda at=at: self.read(at, min(PIECE, stop - at)))  # type: ignore[misc]


def open_original(store: Store, identity: str) -> Original | None:
    """The picture with this id; None if there is none, or no file holds it any more.

    For a picture without a file, the stored JPEG.
    """
    picture = store.record(identity)
    if picture is None:
        return None
    return _from_files(picture) or _stored(store, picture)


def _from_files(picture: PictureRecord) -> Original | None:
    for copy in picture.copies:
        if not copy.stored:
            with contextlib.suppress(OSError, UnreadableImage, Aborted), contextlib.ExitStack() as stack:
                original = stack.enter_context(_opened(copy.path, TYPES.get(picture.format or "", OTHER_TYPE)))
                if original.digest() == picture.digest:
                    stack.pop_all()
                    return original
    return None


def _stored(store: Store, picture: PictureRecord) -> Original | None:
    pixels = store.stored_pixels(picture.content)
    if pixels is None:
        return None
    return Original(io.BytesIO(pixels), len(pixels), "image/jpeg", f"{STORED_PREFIX}{picture.id}")


def _opened(path: str, media_type: str) -> Original:
    stream = open_file(path)
    size = os.fstat(stream.fileno()).st_size
    if size > MAX_BYTES:
        stream.close()
        raise UnreadableImage(f"{path}: too large to be sent.")
    return Original(stream, size, media_type, path)


def _state(stream: IO[bytes]) -> tuple[int, ...] | None:
    """What differs after the file was written, and not after it was renamed; None for bytes in memory."""
    if isinstance(stream, io.BytesIO):
        return None
    about = os.fstat(stream.fileno())
    return about.st_size, about.st_mtime_ns
