"""Limits on what a picture's header may unpack to, checked without Pillow, which keeps all of it in memory.

A JPEG of 4 MB can hold a million segments, a PNG of 64 kB can hold 64 MB of text, and a TIFF of 64 MB can list 16
million numbers of 40 bytes each in Python.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import IO

from araclip.errors import UnreadableImage

MAX_EXIF = 64  # segments; Pillow concatenates them, in time quadratic in their number
MAX_SEGMENTS = 10_000  # of a JPEG before its first scan; cameras write less than 100
MAX_CHUNKS = 200_000  # of a PNG; 150 megapixels in chunks of 8 kB are 55,000
MAX_METADATA = 40_000_000  # bytes of texts, profiles and segments, unpacked
MAX_ENTRIES = 65_535  # of a TIFF's directory; the classic format cannot have more
MAX_NUMBERS = 1_000_000  # values in a TIFF's directories; a strip for each of 65,535 rows is 131,070
NUMBER_BYTES = 40  # of one such value in a Python list
INFLATED = 1_100_000  # bytes of one compressed text; Pillow itself stops at a megabyte

_HEAD, _SCAN = 1 << 18, 0xDA
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")  # of a JPEG, with a length; not padding, nor those without
_UNITS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # TIFF type → bytes
_SUBDIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def unpacked_bytes(stream: IO[bytes], name: str) -> int:
    """Bytes that the header of a JPEG, PNG or TIFF unpacks to, and 0 for other formats. Restores the position.

    Raises:
        UnreadableImage: more than any camera or program writes.
    """
    start = stream.tell()
    stream.seek(0)
    magic = stream.read(8)
    try:
        if magic.startswith(b"\xff\xd8"):
            return _jpeg(stream, name)
        if magic == b"\x89PNG\r\n\x1a\n":
            return _png(stream, name)
        return _tiff(stream, magic, name) if magic[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else 0
    finally:
        stream.seek(start)


def _jpeg(stream: IO[bytes], name: str) -> int:
    for limit in (_HEAD, MAX_METADATA):  # nearly always the first one is enough
        stream.seek(0)
        head = stream.read(limit)
        segments = exif = size = 0
        for marker, begin, end in _segments(head):
            segments, size = segments + 1, size + end - begin
            exif += marker == 0xE1 and head.startswith(b"Exif\0\0", begin)
            if segments > MAX_SEGMENTS:
                raise _refused(name, f"more than {MAX_SEGMENTS:,} segments before its pixels")
            if marker == _SCAN and exif > MAX_EXIF:
                raise _refused(name, f"{exif:,} EXIF blocks, {MAX_EXIF} at most")
            if marker == _SCAN:
                return size
        if len(head) < limit:
            return len(head)
    raise _refused(name, f"no pixels in its first {MAX_METADATA / 1e6:.0f} MB")


def _segments(head: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of the content of each segment of a JPEG, until its first scan."""
    at = 2
    while marker := _MARKER.search(head, at):
        begin = marker.end() + 2
        at = begin - 2 + max(2, int.from_bytes(head[begin - 2 : begin], "big"))
        yield marker[0][1], begin, at
        if marker[0][1] == _SCAN:
            return


def _png(stream: IO[bytes], name: str) -> int:
    size = 0
    for _ in range(MAX_CHUNKS):
        header = stream.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            return size
        length, kind, begin = int.from_bytes(header[:4], "big"), header[4:], stream.tell()
        if kind not in (b"IDAT", b"fdAT"):
            size += length
            if size <= MAX_METADATA and kind in _COMPRESSED:
                size += _inflated(kind, stream.read(length))
            if size > MAX_METADATA:
                raise _refused(name, f"texts and profiles of more than {MAX_METADATA / 1e6:.0f} MB")
        stream.seek(begin + length + 4)
    raise _refused(name, f"more than {MAX_CHUNKS:,} chunks")


def _inflated(kind: bytes, content: bytes) -> int:
    """Bytes that a text or profile unpacks to."""
    _, _, rest = content.partition(b"\0")  # keyword, NUL, method, data
    if kind == b"iTXt":  # keyword, NUL, flag, method, language, NUL, translated keyword, NUL, data
        if rest[:1] != b"\1":
            return 0
        rest = b"\0" + rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(memoryview(rest)[1:], INFLATED))
    except zlib.error:  # Pillow drops it
        return 0


def _tiff(stream: IO[bytes], magic: bytes, name: str) -> int:
    order, big = "<" if magic[:2] == b"II" else ">", b"+" in magic[:4]
    length = stream.seek(0, 2)
    stream.seek(8 if big else 4)
    numbers = 0
    waiting, seen = [_number(stream.read(8 if big else 4), order)], set[int]()
    while waiting:
        offset = waiting.pop()
        if offset in seen or offset >= length:
            continue
        seen.add(offset)
        stream.seek(offset)
        count = _number(stream.read(8 if big else 2), order)
        if count > MAX_ENTRIES:
            raise _refused(name, f"a directory of {count:,} entries, {MAX_ENTRIES:,} at most")
        width = 20 if big else 12
        entries = stream.read(count * width)
        for tag, kind, values, data in struct.iter_unpack(
            order + ("HHQ8s" if big else "HHI4s"), entries[: len(entries) // width * width]
        ):
            numbers += min(values, length // _UNITS[kind]) if kind in _UNITS else 0
            if tag in _SUBDIRECTORIES:
                waiting.append(_number(data, order))
        if numbers > MAX_NUMBERS:
            raise _refused(name, f"directories of more than {MAX_NUMBERS:,} numbers")
    return numbers * NUMBER_BYTES


def _number(content: bytes, order: str) -> int:
    return int.from_bytes(content, "little" if order == "<" else "big")


def _refused(name: str, reason: str) -> UnreadableImage:
    return UnreadableImage(f"{name}: damaged ({reason}). Restore it from a copy, or remove it.")
