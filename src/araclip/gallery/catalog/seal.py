"""The seal of a catalogue: a file with the generation of the last commit and, between writes, a checksum.

SQLite treats damage in its write-ahead log as an unfinished write and silently drops it with all that follows, and its
pages have no checksums. So a small file beside the catalogue holds the generation of the last commit; during a commit
also the next one; and after a checkpoint (log empty, no writer) size and CRC-32 of the catalogue file. A gallery
without a seal, from an older release or a restored backup, is accepted as it is.
"""

import contextlib
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryCorrupt

FILE_NAME = "catalog.seal"
LARGEST = 64_000_000  # bytes (70,000 pictures) up to which the checksum is compared at each opening: 0.1 s
_LENGTH = 200  # bytes; fixed, since it is overwritten in place, within one disk sector
_TRIES = 5  # a writer may change the seal while a reader compares


@dataclass(frozen=True)
class Seal:
    """Generations of the last commit and of one that may have followed; size and checksum, None during writes."""

    generation: str
    coming: str | None = None
    size: int | None = None
    crc: int | None = None


def read(folder: Path) -> Seal | None:
    """The seal in `folder`; None when there is none, or a damaged one."""
    try:
        text, _, crc = (folder / FILE_NAME).read_bytes().strip().rpartition(b" ")
        return Seal(**json.loads(text)) if int(crc, 16) == zlib.crc32(text.strip()) else None
    except (OSError, ValueError, TypeError):
        return None


def write(folder: Path, seal: Seal, *, durable: bool) -> None:
    """Write a seal; with `durable`, it is flushed to the disk when this returns.

    Raises:
        OSError: the disk is full or read-only.
    """
    text = json.dumps(asdict(seal)).encode()
    atomic.overwrite(folder / FILE_NAME, text.ljust(_LENGTH - 10) + b" %08x\n" % zlib.crc32(text), durable=durable)


def before_commit(folder: Path, generation: str, coming: str | None = None) -> None:
    """Record that the catalogue is about to change, and its next generation; drops the checksum.

    Raises:
        OSError: the disk is full or read-only.
    """
    try:
        write(folder, Seal(generation, coming), durable=True)
    except OSError as error:
        raise OSError(
            f"{folder / FILE_NAME} cannot be written ({error.strerror}). Free some disk space or check its permissions "
            "and run the command again: it resumes where it stopped."
        ) from error


def store_checksum(path: Path, generation: str) -> None:
    """Store size and checksum of the catalogue file after a checkpoint."""
    with contextlib.suppress(OSError):  # read-only or full: the checksum is optional
        if path.stat().st_size <= LARGEST:
            size, crc = _size_and_crc(path)
            write(path.parent, Seal(generation, None, size, crc), durable=True)


def has_checksum(folder: Path) -> bool:
    """Whether the seal has a checksum: nothing was written since."""
    seal = read(folder)
    return seal is not None and seal.crc is not None


def check_file(path: Path) -> None:
    """Compare the catalogue file with its checksum; during writes, only check that it is not empty.

    Raises:
        GalleryCorrupt: they differ.
    """
    for _ in range(_TRIES):
        seal = read(path.parent)
        if seal is None or (seal.crc is None and path.stat().st_size):
            return
        if _size_and_crc(path) == (seal.size, seal.crc):
            return
        if read(path.parent) == seal:
            raise GalleryCorrupt(
                f"{path} is damaged: its checksum is not that of the last run. Run `araclip repair`, which encodes "
                "your pictures again where needed; they are not touched."
            )


def check_generation(path: Path, generation: Callable[[], str]) -> None:
    """Compare the catalogue's generation with that of the last commit.

    Raises:
        GalleryCorrupt: the catalogue is older than the last commit.
    """
    for _ in range(_TRIES):
        seal, now = read(path.parent), generation()
        if seal is None or now in (seal.generation, seal.coming):
            return
        if read(path.parent) == seal and generation() == now:
            raise GalleryCorrupt(
                f"{path} is not what the last run committed: its log {path.name}-wal was damaged or removed. Run "
                "`araclip repair`, then `araclip index` on your folders."
            )


def _size_and_crc(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc


def remove(folder: Path) -> None:
    """Remove the seal, so that the catalogue is accepted as it is."""
    atomic.unlink(folder / FILE_NAME)
