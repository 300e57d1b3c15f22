"""Limit what reading and decoding pictures may cost: check each header before decoding, and share memory budgets.

A file of a few kilobytes can claim 150 megapixels, or a thousand progressive scans. Headers are measured without
Pillow, because Pillow keeps all of a header in memory: a JPEG of 4 MB can hold a million segments, a PNG of 64 kB can
hold 64 MB of text, and a TIFF of 64 MB can list 16 million numbers, of 40 bytes each in Python.

Before a thread reads, parses or decodes, it takes a share of a budget. So large pictures wait for each other, and the
sum stays below `PEAK`, whatever the pictures and the number of threads. The three budgets are always taken in the
following order, so that a thread which waits for decoding holds no memory that another thread needs to finish.

    READING ─► PARSING ─► DECODING
"""

import re
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import ExifTags, Image

from araclip.core.messages import message
from araclip.core.system import free_memory
from araclip.errors import ImageTooLarge, UnreadableImage

MAX_PIXELS = 150_000_000  # limit: pixels of a picture: the largest consumer cameras (100–150 MP) still fit
MAX_OF_FORMAT = {  # lower limits for formats whose decoders take more memory or time for a pixel
    "WEBP": 65_000_000,  # the decoder libwebp holds the picture twice: 17 bytes for each pixel
    "HEIF": 65_000_000,
    "AVIF": 65_000_000,
    "JXL": 45_000_000,
    "JPEG2000": 40_000_000,
    "RAW, developed": 16_000_000,  # RAW is developed at half width and height: a sensor of 64 MP gives 16 MP
    "BMP, run-length encoded": 25_000_000,  # Pillow decodes it in slow Python: at most 3 seconds for so many pixels
}
LARGE = 400_000_000  # if a picture takes more bytes than this, the free memory is checked
# limit: pixels times passes of a JPEG: a hostile JPEG takes at most 6 s; 150 MP in 20 passes are allowed
MAX_SCANNED = 3_000_000_000
USABLE = 0.5  # the share of the free memory that one picture may take
FULL_BYTES = 17  # most bytes for each pixel at the peak (WebP, or 16-bit grey); measured by tests/fuzz/peaks.py
# Bytes for each pixel at the peak, where decoders take more than FULL_BYTES. JPEG 2000 was measured as in
# tests/fuzz/peaks.py, the others by hand.
BYTES_OF_FORMAT = {
    "JXL": 25,
    "JPEG2000": 28,  # with a margin: 25 were measured for RGBA, as the decoder holds 32 bits per channel
    "RAW, developed": 40,  # for each pixel of the developed picture, which has half the sensor's width and height
}
COEFFICIENTS = 6  # bytes for each pixel: libjpeg holds all coefficients of a progressive JPEG, even to decode it scaled
ROW_BYTES = 8  # bytes of Pillow's pointer to each row of pixels, which add up for a very high and narrow picture
STRIP_BYTES = 40_000_000  # memory of the strips in which `upright` reduces a picture
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG followed by further pictures
# bytes of a pixel in Pillow, by mode; other modes take 4
_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_RLE = (1, 2)  # the codes of run-length compression in a BMP header
_CHUNK = 1 << 20


def check_header(image: Image.Image, name: str) -> int:
    """Raise ImageTooLarge if a picture's header exceeds the limits.

    Return how many bytes the decoder needs besides the decoded picture.
    """
    pixels, kind = image.width * image.height, _limited_kind(image)
    stored = max(pixels, _pixels_of_tile(getattr(image, "tag_v2", {})))  # a TIFF's tile may be larger than the picture
    most = min(MAX_PIXELS, MAX_OF_FORMAT.get(kind, MAX_PIXELS))
    if stored > most:
        raise ImageTooLarge(
            message(
                "picture pixels of" if most < MAX_PIXELS else "picture pixels",
                name=name,
                format=kind,
                width=image.width,
                height=image.height,
                megapixels=stored / 1e6,
                most=most / 1e6,
            )
        )
    stream = getattr(image, "fp", None)
    if stream is None:
        return 0
    needed = _tiff_buffers(image, stream) if image.format == "TIFF" else 0
    if image.format not in JPEGS and image.info.get("compression") not in ("jpeg", "tiff_jpeg"):
        return needed
    passes = count_scans(stream) if image.format in JPEGS else count_pattern(stream, b"\xff\xda")
    if passes * pixels > MAX_SCANNED:
        raise ImageTooLarge(
            message("picture passes", name=name, megapixels=pixels / 1e6, passes=passes, most=MAX_SCANNED // pixels)
        )
    return stored * COEFFICIENTS if passes > 1 and image.format in JPEGS else needed


def bytes_to_decode(image: Image.Image, decoder_bytes: int, reduced: int) -> int:
    """Estimate the bytes that decoding a picture takes at its peak.

    Args:
        image: an image that is opened but not loaded; a JPEG is drafted to the size at which it will be decoded.
        decoder_bytes: the result of `check_header`.
        reduced: the number of pixels that remain after `upright` has reduced the picture.
    """
    pixels = image.width * image.height
    decoder_bytes += image.height * ROW_BYTES
    if _limited_kind(image) in (*MAX_OF_FORMAT, *BYTES_OF_FORMAT) or reduced == pixels:
        return decoder_bytes + pixels * BYTES_OF_FORMAT.get(_limited_kind(image), FULL_BYTES)
    turned = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation, 1) != 1
    stored = _STORED_BYTES.get(image.mode, 4) * (2 if image.format == "TIFF" and turned else 1)
    return decoder_bytes + pixels * stored + reduced * FULL_BYTES + STRIP_BYTES


def check_budget(image: Image.Image, needed: int, most: int, name: str) -> None:
    """Raise ImageTooLarge if a picture takes more than `most` bytes to decode."""
    if needed > most:
        raise ImageTooLarge(
            message("picture bytes", name=name, size=_size(image), gigabytes=needed / 1e9, most=most / 1e9)
        )


def check_free_memory(image: Image.Image, needed: int, name: str) -> None:
    """Raise ImageTooLarge if a large picture takes more than the share USABLE of the memory that is free now."""
    if needed > LARGE and needed > (free := free_memory()) * USABLE:
        raise ImageTooLarge(
            message(
                "picture memory", name=name, size=_size(image), gigabytes=needed / 1e9, free=free / 1e9, share=USABLE
            )
        )


def _size(image: Image.Image) -> str:
    return f"{image.width} × {image.height} ({image.width * image.height / 1e6:.0f} megapixels)"


def _limited_kind(image: Image.Image) -> str:
    """Return a picture's key in MAX_OF_FORMAT and BYTES_OF_FORMAT: the name of its format.

    Developed RAW and run-length encoded BMP have keys of their own, because they are slow.
    """
    if image.format == "RAW" and image.info.get("developed"):
        return "RAW, developed"
    rle = image.format == "BMP" and image.info.get("compression") in _RLE
    return "BMP, run-length encoded" if rle else image.format or ""


def _tiff_buffers(image: Image.Image, stream: IO[bytes]) -> int:
    """Return how many bytes the decoder of a TIFF holds: the file, and a strip or tile; 0 for an uncompressed TIFF."""
    if image.info.get("compression") == "raw":
        return 0
    tags = getattr(image, "tag_v2", {})
    bits = sum(_integers(tags.get(258, 8))) if 258 in tags else 8  # 258: the tag BitsPerSample
    samples, of_sample = max(_integers(tags.get(277, 1))), len(_integers(tags.get(258, 8)))  # 277: SamplesPerPixel
    depth = bits if of_sample >= samples else bits * samples
    rows = min(image.height, max(_integers(tags.get(278, image.height))))  # 278: the tag RowsPerStrip
    here = stream.tell()
    length = stream.seek(0, 2)
    stream.seek(here)
    return int(length + max(image.width * rows, _pixels_of_tile(tags)) * depth // 8)


def _pixels_of_tile(tags: Any) -> int:
    """Return the number of pixels in a TIFF's tile; 0 if it has no tiles."""
    sides = [tags.get(tag, 0) for tag in (322, 323)]  # the tags TileWidth, TileLength
    return int(sides[0] * sides[1]) if all(isinstance(side, int) for side in sides) else 0


def _integers(value: object) -> list[int]:
    """Return the whole numbers in the value of a TIFF's tag; [1] if there are none."""
    members = value if isinstance(value, tuple) else (value,)
    return [member for member in members if isinstance(member, int)] or [1]


def count_scans(stream: IO[bytes]) -> int:
    """Count the scans of a JPEG up to its end; what follows, such as the video of a motion photo, does not count.

    The stream's position is restored.
    """
    start, total, at, offset, chunk = stream.tell(), 0, 2, 0, b""
    while True:
        if not offset <= at <= offset + len(chunk) - 4:  # 4: two bytes of a marker, two bytes of its length
            stream.seek(at)
            offset, chunk = at, stream.read(_CHUNK)
            if len(chunk) < 4:
                break
        marker = _IN_SCAN.search(chunk, at - offset)
        if marker is None or marker.end() + 2 > len(chunk):
            at = offset + (len(chunk) - 1 if marker is None else marker.start())
            chunk = b""
        elif marker[0][1] == _END:
            break
        else:
            total += marker[0][1] == _SCAN
            length = chunk[marker.end() : marker.end() + 2]
            at = offset + marker.end() + max(2, int.from_bytes(length, "big"))
    stream.seek(start)
    return total


def count_pattern(stream: IO[bytes], pattern: bytes) -> int:
    """Count how often a pattern occurs in a stream; the stream's position is restored."""
    start, total, tail = stream.tell(), 0, b""
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        total += (tail + chunk).count(pattern)
        tail = (tail + chunk)[1 - len(pattern) :]
    stream.seek(start)
    return total


PEAK = 1_500_000_000  # limit: bytes of memory that reading pictures takes besides the model; measured by tests/trials
PARSE_SECONDS = 3.0  # processor time allowed for a header; ordinary headers take milliseconds
DECODE_SECONDS = 30.0  # processor time allowed for the pixels; 150 megapixels take 1 to 6 seconds on one core


class ByteBudget:
    """A number of bytes that threads share; threads that wait for a share get it in the order in which they came."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Take a share of `amount` bytes for the length of a `with` block; wait until so many are free.

        An amount above the total takes the whole budget.
        """
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


READING = ByteBudget(190_000_000)  # budget of all threads for reading files into memory
PARSING = ByteBudget(60_000_000)  # budget for unpacked headers: texts, profiles, directories
DECODING = ByteBudget(1_150_000_000)  # budget for pixels; allocators and finished pictures take the rest of PEAK


class TimedStream:
    """A stream whose `read` raises ImageTooLarge once the reading thread has used too much processor time.

    Pillow's parsers, and its decoders except libtiff and libwebp, read at most 64 kB each time, so they end soon after
    the limit. The work of libtiff and libwebp is limited by the size that the header claims.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name
        self.seek, self.tell = stream.seek, stream.tell
        if hasattr(stream, "getvalue"):  # Pillow uses `getvalue` to pass the bytes to libtiff without a copy
            self.getvalue = stream.getvalue
        self.allow(PARSE_SECONDS)

    def allow(self, seconds: float) -> None:
        """Allow `seconds` of processor time from now on; what was left of an earlier allowance is dropped."""
        self._seconds, self._end = seconds, time.thread_time() + seconds

    def read(self, size: int = -1) -> bytes:
        """Read from the stream; raise ImageTooLarge if the time is used up."""
        if time.thread_time() > self._end:
            raise ImageTooLarge(message("picture seconds", name=self._name, seconds=self._seconds))
        return self._stream.read(size)


MAX_EXIF = 64  # limit: EXIF segments of a JPEG; Pillow joins them, in time quadratic in their number
MAX_SEGMENTS = 10_000  # limit: segments of a JPEG before its first scan; cameras write less than 100
MAX_CHUNKS = 200_000  # limit: chunks of a PNG; 150 megapixels in chunks of 8 kB are 55,000
MAX_METADATA = 40_000_000  # limit: bytes of texts, profiles and segments, unpacked
MAX_ENTRIES = 65_535  # limit: entries of a TIFF's directory; the classic format cannot have more
MAX_NUMBERS = 1_000_000  # limit: numbers in a TIFF's directories; a strip for each of 65,535 rows needs 131,070
NUMBER_BYTES = 40  # bytes that a number takes in a Python list
INFLATED = 1_100_000  # limit: bytes to which one compressed text is unpacked; Pillow itself stops at a megabyte

_HEAD, _SCAN, _END = 1 << 18, 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")  # finds a JPEG marker that a length follows
_IN_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # within a scan: a marker with a length, or the picture's end
_UNITS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # TIFF type → bytes per number
_SUBDIRECTORIES = (0x8769, 0x8825, 0xA005)  # TIFF tags that point to the EXIF, GPS and interoperability data
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def unpacked_bytes(stream: IO[bytes], name: str) -> int:
    """Return how many bytes the header of a JPEG, PNG or TIFF unpacks to; 0 for other formats.

    The stream's position is restored.

    Raises:
        UnreadableImage: the header has too many parts or unpacks to too much.
    """
    start = stream.tell()
    stream.seek(0)
    magic = stream.read(8)
    try:
        if magic.startswith(b"\xff\xd8"):
            return _jpeg_header_bytes(stream, name)
        if magic == b"\x89PNG\r\n\x1a\n":
            return _png_header_bytes(stream, name)
        return _tiff_header_bytes(stream, magic, name) if magic[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else 0
    finally:
        stream.seek(start)


def _jpeg_header_bytes(stream: IO[bytes], name: str) -> int:
    """Return how many bytes the segments before a JPEG's pixels hold; UnreadableImage if they exceed a limit."""
    for limit in (_HEAD, MAX_METADATA):  # the header nearly always ends in the first _HEAD bytes
        stream.seek(0)
        head = stream.read(limit)
        segments = exif = size = 0
        for marker, begin, end in _jpeg_segments(head):
            segments, size = segments + 1, size + end - begin
            exif += marker == 0xE1 and head.startswith(b"Exif\0\0", begin)
            if segments > MAX_SEGMENTS:
                raise _structure_error(name, f"more than {MAX_SEGMENTS:,} segments before its pixels")
            if marker == _SCAN and exif > MAX_EXIF:
                raise _structure_error(name, f"{exif:,} EXIF blocks, {MAX_EXIF} at most")
            if marker == _SCAN:
                return size
        if len(head) < limit:
            return len(head)
    raise _structure_error(name, f"no pixels in its first {MAX_METADATA / 1e6:.0f} MB")


def _jpeg_segments(head: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the content of each segment of a JPEG, until its first scan."""
    at = 2
    while marker := _MARKER.search(head, at):
        begin = marker.end() + 2
        at = begin - 2 + max(2, int.from_bytes(head[begin - 2 : begin], "big"))
        yield marker[0][1], begin, at
        if marker[0][1] == _SCAN:
            return


def _png_header_bytes(stream: IO[bytes], name: str) -> int:
    """Return how many bytes a PNG's texts and profiles take unpacked; UnreadableImage if they exceed a limit."""
    size = 0
    for _ in range(MAX_CHUNKS):
        header = stream.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            return size
        length, kind, begin = int.from_bytes(header[:4], "big"), header[4:], stream.tell()
        if kind not in (b"IDAT", b"fdAT"):
            size += length
            if size <= MAX_METADATA and kind in _COMPRESSED:
                size += _inflated_bytes(kind, stream.read(length))
            if size > MAX_METADATA:
                raise _structure_error(name, f"texts and profiles of more than {MAX_METADATA / 1e6:.0f} MB")
        stream.seek(begin + length + 4)
    raise _structure_error(name, f"more than {MAX_CHUNKS:,} chunks")


def _inflated_bytes(kind: bytes, content: bytes) -> int:
    """Return how many bytes a compressed text or profile of a PNG unpacks to, at most INFLATED."""
    _, _, rest = content.partition(b"\0")  # zTXt and iCCP consist of keyword, NUL, method, data
    if kind == b"iTXt":  # iTXt: keyword, NUL, compressed or not, method, language, NUL, translated keyword, NUL, data
        if rest[:1] != b"\1":
            return 0
        rest = b"\0" + rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(memoryview(rest)[1:], INFLATED))
    except zlib.error:  # damaged data counts as 0 bytes, since Pillow ignores it
        return 0


def _tiff_header_bytes(stream: IO[bytes], magic: bytes, name: str) -> int:
    """Return how many bytes a TIFF's directories take in Python; UnreadableImage if they exceed a limit."""
    order, big = "<" if magic[:2] == b"II" else ">", b"+" in magic[:4]
    length = stream.seek(0, 2)
    stream.seek(8 if big else 4)
    numbers = 0
    waiting, seen = [_to_number(stream.read(8 if big else 4), order)], set[int]()
    while waiting:
        offset = waiting.pop()
        if offset in seen or offset >= length:
            continue
        seen.add(offset)
        stream.seek(offset)
        count = _to_number(stream.read(8 if big else 2), order)
        if count > MAX_ENTRIES:
            raise _structure_error(name, f"a directory of {count:,} entries, {MAX_ENTRIES:,} at most")
        width = 20 if big else 12
        entries = stream.read(count * width)
        for tag, kind, values, data in struct.iter_unpack(
            order + ("HHQ8s" if big else "HHI4s"), entries[: len(entries) // width * width]
        ):
            numbers += min(values, length // _UNITS[kind]) if kind in _UNITS else 0
            if tag in _SUBDIRECTORIES:
                waiting.append(_to_number(data, order))
        if numbers > MAX_NUMBERS:
            raise _structure_error(name, f"directories of more than {MAX_NUMBERS:,} numbers")
    return numbers * NUMBER_BYTES


def _to_number(content: bytes, order: str) -> int:
    return int.from_bytes(content, "little" if order == "<" else "big")


def _structure_error(name: str, reason: str) -> UnreadableImage:
    return UnreadableImage(message("picture structure", name=name, reason=reason))
