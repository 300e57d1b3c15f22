"""Open the original file of a picture, or of a scene's video, and read its bytes.

A path may lead to another file by now, for example through a link put in its place. So the file is opened once, hashed,
and sent through the same descriptor only if the hash is the picture's: no path or link can make the server send a file
that it did not index. It is read in pieces, so that slow clients of large pictures hold no memory.
"""

import contextlib
import hashlib
import io
import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from araclip.errors import UnreadableImage
from araclip.gallery.catalog.records import STORED_PREFIX, PictureRecord
from araclip.gallery.catalog.store import Store
from araclip.pictures.formats import SHOWN_BY_BROWSERS
from araclip.pictures.images import open_file
from araclip.pictures.video.decoder import still
from araclip.pictures.video.formats import MEDIA_TYPES
from araclip.pictures.video.scenes import file_hash, scene_digest
from araclip.server.http.limits import Aborted

MAX_BYTES = 300_000_000  # pictures with more bytes are not sent; videos of any size are, and are read in ranges
PIECE = 1 << 18  # bytes read at a time: the memory that a slow client takes
MAX_SENT = 128  # originals that are sent at a time: each holds a file open
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "JPEG2000": "image/jp2",
    "HEIF": "image/heic",
    "JXL": "image/jxl",
    "RAW": "image/x-dcraw",
}
# media types that are converted before a browser shows them
CONVERTED = frozenset(kind for name, kind in TYPES.items() if name not in SHOWN_BY_BROWSERS)
STILL_SIDE = 1600  # pixels of the longer side of a scene's JPEG: the size of the largest preview
OTHER_TYPE = "application/octet-stream"
InThread = Callable[[Callable[[], bytes]], Awaitable[bytes]]


class Original:
    """An open file with the bytes of a picture, or of a scene's video. `size` is the number of bytes.

    `time` is the time of a scene in seconds; None for a picture. `name` is the name to save the bytes under: the file's
    name or, for a stored JPEG, the uploaded name with the suffix .jpg; it is not made safe to display.
    """

    def __init__(
        self, stream: IO[bytes], size: int, media_type: str, path: str, time: float | None = None, name: str = ""
    ) -> None:
        self.size = size
        self.media_type = media_type
        self.path = path
        self.time = time
        self.name = name or Path(path).name
        self._stream = stream
        self._state = _size_and_time(stream)
        self._crc: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def digest(self) -> bytes:
        """Return the SHA-256 of the bytes; for a scene, the digest of the scene (`scene_digest`)."""
        if self.time is not None:
            return scene_digest(file_hash(cast(BinaryIO, self._stream), self.path), self.time)
        sha256, crc = hashlib.sha256(), 0
        for start in range(0, self.size, PIECE):
            data = self.read(start, PIECE)
            sha256.update(data)
            crc = zlib.crc32(data, crc)
        self._crc = crc
        return sha256.digest()

    @property
    def crc(self) -> int:
        """The CRC-32 of the bytes. It is computed at first use or, for a picture's own file, already by `digest`."""
        if self._crc is None:
            self._crc = 0
            for start in range(0, self.size, PIECE):
                self._crc = zlib.crc32(self.read(start, PIECE), self._crc)
        return self._crc

    def read(self, start: int, length: int) -> bytes:
        """Return at most `length` bytes from `start` on; raise Aborted if the file has changed since it was opened."""
        length = min(length, self.size - start)
        self._stream.seek(start)
        data = self._stream.read(length)
        if len(data) != length or _size_and_time(self._stream) != self._state:
            raise Aborted
        return data

    def picture(self) -> bytes:
        """Return an encoded picture: all bytes of the file or, for a scene, the scene as JPEG."""
        if self.time is None:
            return self.read(0, self.size)
        if _size_and_time(self._stream) != self._state:
            raise Aborted
        return still(self._stream, self.name, self.time, STILL_SIDE)  # clients see the name in errors, but no path

    async def pieces(self, start: int, stop: int, in_thread: InThread) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to `stop` in pieces; `in_thread` runs a function in a thread."""
        for at in range(start, stop, PIECE):
            yield await in_thread(lambda at=at: self.read(at, min(PIECE, stop - at)))  # type: ignore[misc]


def open_original(store: Store, picture: PictureRecord) -> Original | None:
    """Open the file of a picture, or the JPEG that the store has for a picture without a file.

    Return None if no file holds the picture any more; files of more than MAX_BYTES do not count, unless they are
    videos. A video is hashed when first opened: a second for each gigabyte.
    """
    media_type = (TYPES | MEDIA_TYPES).get(picture.format or "", OTHER_TYPE)
    for copy in picture.copies:
        if not copy.stored:
            with contextlib.suppress(OSError, UnreadableImage, Aborted), contextlib.ExitStack() as stack:
                stream = stack.enter_context(open_file(copy.file))
                size = os.fstat(stream.fileno()).st_size
                if size > MAX_BYTES and copy.time is None:
                    continue
                original = Original(stream, size, media_type, copy.file, copy.time)
                if original.digest() == picture.digest:
                    stack.pop_all()
                    return original
    pixels = store.stored_pixels(picture.content)
    if pixels is None:
        return None
    copy = next((copy for copy in picture.copies if copy.stored), picture.copies[0])
    name = f"{Path(copy.name.removeprefix(STORED_PREFIX)).stem}.jpg"  # a JPEG is stored, whatever was uploaded
    return Original(io.BytesIO(pixels), len(pixels), "image/jpeg", f"{STORED_PREFIX}{picture.id}", name=name)


def _size_and_time(stream: IO[bytes]) -> tuple[int, ...] | None:
    """Return the size and the time of change of an open file; None for bytes in memory. A rename changes neither."""
    if isinstance(stream, io.BytesIO):
        return None
    about = os.fstat(stream.fileno())
    return about.st_size, about.st_mtime_ns
