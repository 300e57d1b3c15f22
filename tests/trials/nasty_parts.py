"""Parts that `nasty_corpus` puts pictures together from: chunks, segments, directories."""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

Corpus = Iterator[tuple[str, bytes]]


def saved(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> bytes:
    """A flat picture as a file."""
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """One of a PNG's chunks."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*extra: bytes, size: tuple[int, int] = (40, 30), depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG with chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    pixels = data or zlib.compress(bytes((1 + 3 * size[0]) * size[1]))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def segment(marker: int, content: bytes) -> bytes:
    """One of a JPEG's segments."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*extra: bytes, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A JPEG with segments at its beginning."""
    whole = saved("JPEG", size, **options)
    return whole[:2] + b"".join(extra) + whole[2:]


def directory(entries: list[tuple[int, int, int, int]], following: int = 0, order: str = "<") -> bytes:
    """An IFD of (tag, type, count, value or offset)."""
    rows = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries) % 65_536) + rows + struct.pack(order + "I", following)


def tiff(*more: tuple[int, int, int, int], size: tuple[int, int] = (8, 8), following: int = 0) -> bytes:
    """A grey TIFF of one strip, uncompressed, whose pixels are the file's first bytes."""
    usual = {256: size[0], 257: size[1], 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: size[1], 279: size[0] * size[1]}
    entries = {tag: (tag, 4, 1, value) for tag, value in usual.items()} | {entry[0]: entry for entry in more}
    return b"II*\0\x48\0\0\0" + bytes(64) + directory([entries[tag] for tag in sorted(entries)], following)


def exif(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    """An EXIF block."""
    return b"Exif\0\0II*\0\x08\0\0\0" + directory(entries, following) + tail


def with_exif(block: bytes) -> Corpus:
    """The block in each format that holds one."""
    yield "jpg", jpeg(segment(0xE1, block[:65_000]))
    yield "png", png(chunk(b"eXIf", block[6:]))
    yield "webp", saved("WEBP", exif=block)
