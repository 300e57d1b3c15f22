"""The original bytes of a picture.

A path may lead to another file by now, for example through a link put in its place. So what is read is hashed, and sent
only if the hash is the picture's: no path or link can make the server send a file that it did not index.
"""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass

from araclip.errors import UnreadableImage
from araclip.gallery.catalog.records import STORED_PREFIX, PictureRecord
from araclip.gallery.catalog.store import Store

MAX_BYTES = 300_000_000  # read into memory; larger files are not sent
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}


@dataclass(frozen=True)
class Original:
    """A picture's bytes, their media type and the path they come from."""

    data: bytes
    media_type: str
    path: str


def read_original(store: Store, identity: str) -> Original | None:
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
            with contextlib.suppress(OSError, UnreadableImage):
                data = _read(copy.path)
                if hashlib.sha256(data).digest() == picture.digest:
                    return Original(data, TYPES.get(picture.format or "", "application/octet-stream"), copy.path)
    return None


def _stored(store: Store, picture: PictureRecord) -> Original | None:
    pixels = store.stored_pixels(picture.content)
    return None if pixels is None else Original(pixels, "image/jpeg", f"{STORED_PREFIX}{picture.id}")


def _read(path: str) -> bytes:
    # Non-blocking, since a named pipe in place of the picture would block the thread.
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(opened, "rb") as stream:  # noqa: PTH123  (closes what was opened)
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_BYTES:
            raise UnreadableImage(f"{path}: not a file that can be sent.")
        return stream.read(MAX_BYTES)
