"""What decoding one picture may cost in memory and time, judged before a pixel is decoded.

A few kilobytes can claim 150 megapixels, or go over a picture a thousand times. What a header claims is therefore held
against fixed limits and against the memory that is free now; large pictures take turns, so that threads which decode
ahead never add up.
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
LARGE = 400_000_000  # bytes: what takes more to decode does so alone; pictures of most cameras take less
MAX_SCANNED = (
    3_000_000_000  # pixels times passes of a JPEG: 6 seconds when it is made for this; 150 MP in 20 passes fit
)
MAX_EXIF = 64  # segments; Pillow joins them one by one, in time that grows with the square of their number
SPARE = 0.5  # of the free memory one picture may take; the rest is for the model and for everybody else
BYTES_PER_PIXEL = 17  # at the peak, in the worst case (WebP; 16-bit grey in full); measured by tests/fuzz/peaks.py
COEFFICIENTS = 6  # bytes a pixel: of a JPEG in passes libjpeg holds every coefficient, even to decode at a fraction
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG with more pictures behind it
_CHUNK = 1 << 20
_CGROUP, _GROUP_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

_turn = threading.Lock()


def check_stream(stream: IO[bytes], name: str) -> None:
    """Refuse a JPEG whose very header would take minutes to read. The stream stands where it stood.

    Raises:
        UnreadableImage: it has more EXIF segments than any camera writes.
    """
    found = count(stream, b"Exif\0\0") if _begins(stream, b"\xff\xd8") else 0
    if found > MAX_EXIF:
        raise UnreadableImage(
            f"{name}: damaged ({found:,} EXIF blocks, {MAX_EXIF} at most). Restore it from a copy, or remove it."
        )


def check_header(image: Image.Image, name: str) -> int:
    """Refuse what claims too much; returns the bytes that the decoder will hold besides the picture that it fills.

    Raises:
        ImageTooLarge: too many pixels, or too many passes over them; the message has both numbers.
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
            "passes. Save it anew and index that."
        )
    return stored * COEFFICIENTS if passes > 1 else 0


@contextlib.contextmanager
def decoding(image: Image.Image, held: int, name: str) -> Iterator[None]:
    """The right to decode a picture; a large one waits here for the one before it.

    Args:
        held: what `check_header` answered.

    Raises:
        ImageTooLarge: too little memory is free; the message has both numbers.
    """
    needed = held + image.width * image.height * BYTES_PER_PIXEL
    if needed <= LARGE:
        yield
        return
    with _turn:
        free = free_memory()
        if needed > free * SPARE:
            raise ImageTooLarge(
                f"{name}: {image.width} × {image.height} takes {needed / 1e9:.1f} GB to decode, and of "
                f"{free / 1e9:.1f} GB of free memory {SPARE:.0%} may be used. Close other programs, or save a smaller "
                "copy and index that."
            )
        yield


def _stored(image: Image.Image) -> int:
    """Pixels that the decoder holds at once: those of the picture, or of one tile of a TIFF if that claims more."""
    tags = getattr(image, "tag_v2", {})
    tile = [tags.get(tag, 0) for tag in (322, 323)]  # TileWidth, TileLength
    area = tile[0] * tile[1] if all(isinstance(side, int) for side in tile) else 0
    return max(image.width * image.height, area)


def count(stream: IO[bytes], pattern: bytes) -> int:
    """How often a pattern occurs in a stream, which stands afterwards where it stood."""
    start, found, tail = stream.tell(), 0, b""
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        found += (tail + chunk).count(pattern)
        tail = (tail + chunk)[1 - len(pattern) :]
    stream.seek(start)
    return found


def _begins(stream: IO[bytes], magic: bytes) -> bool:
    start = stream.tell()
    head = stream.read(len(magic))
    stream.seek(start)
    return head == magic


@cache
def silence_libtiff() -> None:
    """libtiff writes a line on stderr for each damaged row of a picture; the one line that we say is enough.

    Pillow silences its warnings, not its errors. Where Pillow brings no libtiff of its own, it goes on talking.
    """
    home = Path(Image.__file__).parent
    for library in (*home.parent.glob("pillow.libs/libtiff*.so*"), *home.glob(".dylibs/libtiff*.dylib")):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


def free_memory() -> int:
    """Bytes that this process can still have: of the machine, and of its container if that has a limit."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError):  # no Linux, no cgroups v2, no limit ("max")
        group = _CGROUP / _GROUP_OF_PROCESS.read_text().split("::")[1].strip().lstrip("/")
        reclaimable = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        used = int((group / "memory.current").read_text()) - int(reclaimable)
        free = min(free, int((group / "memory.max").read_text()) - used)
    return max(free, 0)
