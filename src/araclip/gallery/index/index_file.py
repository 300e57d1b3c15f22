"""Read and write the file of a scan index: vectors, their ids and, for large galleries, short codes of the vectors.

The file is derived from the catalogue; a damaged file is replaced by a new one, never repaired. Its parts are:

    header, padded to 4096 bytes | vectors, n × D float16 | ids, n × int64 | codes

The header is JSON with its own checksum; it holds the sizes and checksums of the other parts, and measurements. The
vectors are memory-mapped: a page of them is read when a query needs it.
"""

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.core.files import open_regular
from araclip.models.vectors import Ids, StoredVectors

Encode = Callable[[StoredVectors], tuple[bytes, dict[str, Any]]]

HEADER = 4096  # bytes: one memory page, so that the vectors begin at the start of a page
MAGIC = b"araclip scan 2\n"
CHECKED_AT_ONCE = 1 << 24  # bytes of vectors in one step of the checksum; Ctrl-C takes effect between two steps


@dataclass(frozen=True)
class IndexFile:
    """An open index file: ids (n,), vectors (n, D) mapped from the disk, codes, and the header."""

    ids: Ids
    vectors: StoredVectors
    codes: NDArray[np.uint8]
    about: dict[str, Any]


def write(path: Path, width: int, blocks: Iterable[tuple[Ids, StoredVectors]], encode: Encode | None = None) -> None:
    """Write an index file from blocks of ids and vectors (n, D); all blocks together need not fit into memory.

    Args:
        encode: gets all vectors, memory-mapped from the file, and returns their codes and measurements for the header.
    """

    def fill(temporary: Path) -> None:
        ids, check = [np.empty(0, np.int64)], 0
        with temporary.open("wb") as file:
            file.seek(HEADER)
            for some, vectors in blocks:
                part = np.ascontiguousarray(vectors, "<f2").reshape(-1).view(np.uint8).data
                ids.append(some)
                check = zlib.crc32(part, check)
                file.write(part)
            numbers = np.concatenate(ids)
            file.flush()
            codes, about = encode(_map_vectors(temporary, len(numbers), width)) if encode else (b"", {})
            raw = numbers.astype("<i8").tobytes()
            file.write(raw)
            file.write(codes)
            checks = [check, zlib.crc32(raw), zlib.crc32(codes)]
            header = {"rows": len(numbers), "width": width, "codes": len(codes), "crc32": checks, **about}
            text = json.dumps(header).encode()
            file.seek(0)
            file.write((MAGIC + b"%08x " % zlib.crc32(text) + text).ljust(HEADER))

    atomic.write(path, fill)


def read(path: Path) -> IndexFile | None:
    """Open an index file; None if it is missing, truncated or damaged. Vectors are not checked; see `is_sound`."""
    try:
        with open_regular(path) as file:
            if (about := _parse_header(file.read(HEADER))) is None:
                return None
            after_vectors = HEADER + 2 * about["rows"] * about["width"]
            if path.stat().st_size != after_vectors + 8 * about["rows"] + about["codes"]:
                return None
            file.seek(after_vectors)
            ids, codes = file.read(8 * about["rows"]), file.read(about["codes"])
        if [zlib.crc32(ids), zlib.crc32(codes)] != about["crc32"][1:]:
            return None
        vectors = _map_vectors(path, about["rows"], about["width"])
    except OSError:
        return None
    return IndexFile(np.frombuffer(ids, "<i8"), vectors, np.frombuffer(codes, np.uint8), about)


def read_header(path: Path) -> dict[str, Any] | None:
    """Read the header of an index file; None if the file is missing or its header is damaged."""
    try:
        with open_regular(path) as file:
            return _parse_header(file.read(HEADER))
    except OSError:
        return None


def is_sound(file: IndexFile) -> bool:
    """True if the vectors match their checksum; reads all vectors."""
    check, raw = 0, file.vectors.reshape(-1).view(np.uint8).data
    for start in range(0, len(raw), CHECKED_AT_ONCE):
        check = zlib.crc32(raw[start : start + CHECKED_AT_ONCE], check)
    return bool(check == file.about["crc32"][0])


def _map_vectors(path: Path, rows: int, width: int) -> StoredVectors:
    """Map the vectors (rows, width) of an index file into memory, without reading them."""
    if not rows:  # an empty array, because np.memmap cannot map an empty range
        return np.empty((0, width), np.float16)
    return np.memmap(path, "<f2", "r", HEADER, (rows, width))


def _parse_header(raw: bytes) -> dict[str, Any] | None:
    """Return the header in the first HEADER bytes of an index file; None if it is damaged."""
    check, text = raw[len(MAGIC) : len(MAGIC) + 8], raw[len(MAGIC) + 9 :].rstrip(b" ")
    if len(raw) != HEADER or not raw.startswith(MAGIC) or check != b"%08x" % zlib.crc32(text):
        return None
    found: dict[str, Any] = json.loads(text)
    return found
