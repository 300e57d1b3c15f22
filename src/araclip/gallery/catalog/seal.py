"""The seal of a catalogue: its last commit, and its checksum while nobody writes.

SQLite treats damage in its write-ahead log as an unfinished write and silently drops it with all that follows, and its
pages have no checksum. So a small file beside the catalogue holds the generation of the last commit, before a commit
also the next one, and at rest (log empty, no writer) size and CRC-32 of the catalogue file. A gallery without a seal,
from an older release or a restored backup, is accepted as it is.
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
LARGEST = 64_000_000  # bytes (70,000 pictures) up to which a catalogue's checksum is compared at each opening: .1 s
_LENGTH = 200  # always: it is overwritten in place, within one sector of any disk
_TRIES = 5  # a writer may break the seal while a reader looks


@dataclass(frozen=True)
class Seal:
    """Generations of the last commit and of one that may have followed; size and checksum while at rest, else None."""

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
    """Put a seal in the place of the one that is there. `durable`: it is on the disk when this returns.

    Raises:
        OSError: the disk is full or read-only.
    """
    text = json.dumps(asdict(seal)).encode()
    atomic.overwrite(folder / FILE_NAME, text.ljust(_LENGTH - 10) + b" %08x\n" % zlib.crc32(text), durable=durable)


def breaking(folder: Path, generation: str, coming: str | None = None) -> None:
    """Note that the catalogue is about to change, and into which generation.

    Raises:
        OSError: the disk is full or read-only.
    """
    try:
        write(folder, Seal(generation, coming), durable=True)
    except OSError as error:
        raise OSError(
            f"{folder / FILE_NAME} cannot be written ({error.strerror}). Free some disk space or check its permissions "
            "and run the command again: it goes on where it stopped."
        ) from error


def at_rest(path: Path, generation: str) -> None:
    """Store size and checksum of the catalogue file, whose log is empty."""
    with contextlib.suppress(OSError):  # read-only or full: a checksum is no necessity
        if path.stat().st_size <= LARGEST:
            size, crc = _sum(path)
            write(path.parent, Seal(generation, None, size, crc), durable=True)


def is_at_rest(folder: Path) -> bool:
    """Whether nothing was written since the checksum was stored."""
    seal = read(folder)
    return seal is not None and seal.crc is not None


def check_file(path: Path) -> None:
    """Compare the catalogue file with its checksum, if it is at rest; one that is being written is only not empty.

    Raises:
        GalleryCorrupt: they differ.
    """
    for _ in range(_TRIES):
        seal = read(path.parent)
        if seal is None or (seal.crc is None and path.stat().st_size):
            return
        if _sum(path) == (seal.size, seal.crc):
            return
        if read(path.parent) == seal:
            raise GalleryCorrupt(
                f"{path} is damaged: its checksum is not that of the last run. Run `araclip repair`, which reads your "
                "pictures again where it must; they are not touched."
            )


def check_generation(path: Path, generation: Callable[[], str]) -> None:
    """Compare the catalogue's generation with the last commit.

    Raises:
        GalleryCorrupt: the catalogue is an older one.
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


def _sum(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc


def remove(folder: Path) -> None:
    """Remove the seal: the catalogue is accepted as it is from now on."""
    atomic.unlink(folder / FILE_NAME)
