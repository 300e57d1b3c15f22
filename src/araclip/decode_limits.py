"""Limits on the memory and time of decoding one picture, checked before a pixel is decoded.

A file of a few kilobytes can claim 150 megapixels, or a thousand progressive scans. So the header is checked against
fixed limits and against the free memory; large pictures are decoded one at a time, so that decoding threads do not add
up.
"""

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

import psutil
from PIL import Image

from araclip.errors import ImageTooLarge, UnreadableImage

MAX_PIXELS = 150_000_000  # the largest consumer cameras (100–150 MP) still fit
LARGE = 400_000_000  # bytes: a picture that takes more is decoded alone; those of most cameras take less
MAX_SCANNED = (
    3_000_000_000  # pixels times passes of a JPEG: 6 seconds when it is made for this; 150 MP in 20 passes fit
)
MAX_EXIF = 64  # segments; Pillow concatenates them, in time quadratic in their number
USABLE = 0.5  # share of the free memory that one picture may take
BYTES_PER_PIXEL = 17  # at the peak, in the worst case (WebP; 16-bit grey in full); measured by tests/fuzz/peaks.py
COEFFICIENTS = 6  # bytes a pixel: libjpeg holds all coefficients of a progressive JPEG, even for scaled decoding
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG followed by further pictures
_CHUNK = 1 << 20
_CGROUP, _GROUP_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

_large = threading.Lock()  # held while a large picture is decoded


def check_stream(stream: IO[bytes], name: str) -> None:
    """Refuse a JPEG whose header would take minutes to read. The stream's position is restored.

    Raises:
        UnreadableImage: it has more EXIF segments than any camera writes.
    """
    blocks = count(stream, b"Exif\0\0") if _begins(stream, b"\xff\xd8") else 0
    if blocks > MAX_EXIF:
        raise UnreadableImage(
            f"{name}: damaged ({blocks:,} EXIF blocks, {MAX_EXIF} at most). Restore it from a copy, or remove it."
        )


def check_header(image: Image.Image, name: str) -> int:
    """Refuse a picture beyond the limits; returns the bytes that the decoder needs besides the decoded picture.

    Raises:
        ImageTooLarge: too many pixels, or too many progressive scans; the message has both numbers.
    """
    pixels, stored = image.width * image.height, _stored(image)
    if stored > MAX_PIXELS:
        raise ImageTooLarge(
            f"{name}: {image.width} × {image.height} is {stored / 1e6:.0f} megapixels, the limit is "
            f"{MAX_PIXELS / 1e6:.0f}. Save a smaller copy and index that."
        )
    stream = getattr(image, "fp", None)
    if image.format not in JPEGS or stream is None:
        return 0
    passes = count(stream, b"\xff\xda")
    if passes * pixels > MAX_SCANNED:
        raise ImageTooLarge(
            f"{name}: {pixels / 1e6:.0f} megapixels in {passes:,} passes, the limit is {MAX_SCANNED // pixels:,} "
            "passes. Save it again and index that."
        )
    return stored * COEFFICIENTS if passes > 1 else 0


@contextlib.contextmanager
def decoding(image: Image.Image, decoder_bytes: int, name: str) -> Iterator[None]:
    """Decode a picture inside the block; large pictures wait for each other.

    Args:
        decoder_bytes: result of `check_header`.

    Raises:
        ImageTooLarge: too little memory is free; the message has both numbers.
    """
    needed = decoder_bytes + image.width * image.height * BYTES_PER_PIXEL
    if needed <= LARGE:
        yield
        return
    with _large:
        free = free_memory()
        if needed > free * USABLE:
            raise ImageTooLarge(
                f"{name}: {image.width} × {image.height} takes {needed / 1e9:.1f} GB to decode, and of "
                f"{free / 1e9:.1f} GB of free memory {USABLE:.0%} may be used. Close other programs, or save a smaller "
                "copy and index that."
            )
        yield


def _stored(image: Image.Image) -> int:
    """Pixels in the decoder's memory: those of the picture, or of one tile of a TIFF if that is larger."""
    tags = getattr(image, "tag_v2", {})
    tile = [tags.get(tag, 0) for tag in (322, 323)]  # TileWidth, TileLength
    area = tile[0] * tile[1] if all(isinstance(side, int) for side in tile) else 0
    return max(image.width * image.height, area)


def count(stream: IO[bytes], pattern: bytes) -> int:
    """How often a pattern occurs in a stream, whose position is restored."""
    start, total, tail = stream.tell(), 0, b""
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        total += (tail + chunk).count(pattern)
        tail = (tail + chunk)[1 - len(pattern) :]
    stream.seek(start)
    return total


def _begins(stream: IO[bytes], magic: bytes) -> bool:
    start = stream.tell()
    head = stream.read(len(magic))
    stream.seek(start)
    return head == magic


@cache
def silence_libtiff() -> None:
    """Stop libtiff from writing a line to stderr for each damaged row; our own error is enough.

    Pillow silences its warnings but not its errors. Has no effect where Pillow uses the system's libtiff.
    """
    home = Path(Image.__file__).parent
    for library in (*home.parent.glob("pillow.libs/libtiff*.so*"), *home.glob(".dylibs/libtiff*.dylib")):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


def free_memory() -> int:
    """Bytes that this process can still allocate: of the machine, or of its container if that has a lower limit."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(
        OSError, ValueError, IndexError, KeyError
    ):  # not Linux, no cgroups v2, or no limit ("max")
        group = _CGROUP / _GROUP_OF_PROCESS.read_text().split("::")[1].strip().lstrip("/")
        reclaimable = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        used = int((group / "memory.current").read_text()) - int(reclaimable)
        free = min(free, int((group / "memory.max").read_text()) - used)
    return max(free, 0)
