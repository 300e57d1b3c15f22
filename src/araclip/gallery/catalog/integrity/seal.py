"""The seal of a catalogue: a small file beside it with the last commit, and the catalogue file's state after it.

SQLite treats damage in its write-ahead log as an unfinished write and silently drops it with all that follows. So the
seal holds the generation of the last commit, and during a commit also the next one: a catalogue that knows neither has
lost commits. It also holds inode, size and time of change of the catalogue file after the last write of ours. While
they match, a catalogue is opened without reading it; if not (a copy, a restored backup, a write by another program, a
killed writer), all its rows are checked once. A catalogue without a seal is checked too.

Nothing here opens the catalogue file: closing any descriptor of it would drop the locks of all connections that this
process has on it (https://www.sqlite.org/howtocorrupt.html).
"""

import contextlib
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryCorrupt
from araclip.platforms.files import open_regular

FILE_NAME = "catalog.seal"
_LENGTH = 300  # bytes; fixed, since it is overwritten in place, within one disk sector
_TRIES = 5  # a writer may change the seal while a reader compares

FileState = tuple[int, int, int, int]  # device, inode, bytes, time of change in ns


@dataclass(frozen=True)
class Seal:
    """Generations of the last commit and of one that may have followed; the file's state, None if it is not known."""

    generation: str
    coming: str | None = None
    file: FileState | None = None


def state_of(path: Path) -> FileState:
    """The state of the catalogue file."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def read(folder: Path) -> Seal | None:
    """The seal in `folder`; None when there is none, or a damaged one."""
    try:
        with open_regular(folder / FILE_NAME) as file:
            text, _, crc = file.read(2 * _LENGTH).strip().rpartition(b" ")
        if int(crc, 16) != zlib.crc32(text.strip()):
            return None
        about = json.loads(text)
        device, inode, size, changed = about.get("file") or (0, 0, 0, 0)  # a seal of an earlier release has none
        return Seal(about["generation"], about["coming"], (device, inode, size, changed) if changed else None)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(folder: Path, seal: Seal, *, durable: bool) -> None:
    """Write a seal; with `durable`, it is flushed to the disk when this returns.

    Raises:
        OSError: the disk is full or read-only.
    """
    text = json.dumps(asdict(seal)).encode()
    atomic.overwrite(folder / FILE_NAME, text.ljust(_LENGTH - 10) + b" %08x\n" % zlib.crc32(text), durable=durable)


def before_commit(path: Path, generation: str, coming: str) -> bool:
    """Record the catalogue's next generation; returns whether its file is as the last write of ours left it.

    Raises:
        OSError: the disk is full or read-only.
    """
    known = is_known(path)
    try:
        write(path.parent, Seal(generation, coming, state_of(path) if known else None), durable=True)
    except OSError as error:
        raise OSError(
            f"{path.parent / FILE_NAME} cannot be written ({error.strerror}). Free some disk space or check its "
            "permissions and run the command again: it resumes where it stopped."
        ) from error
    return known


def after_write(path: Path, generation: str, *, known: bool, durable: bool = False) -> None:
    """Record a commit, and the file's state if it was `known` before the write."""
    with contextlib.suppress(OSError):  # the seal accepts both generations; an unknown state costs the next opening
        write(path.parent, Seal(generation, None, state_of(path) if known else None), durable=durable)


def is_known(path: Path) -> bool:
    """Whether the catalogue file is as the last write of ours left it."""
    for _ in range(_TRIES):
        seal = read(path.parent)
        if seal is None or seal.file == state_of(path):
            return seal is not None
        if read(path.parent) == seal:  # otherwise another process has just written both
            return False
    return False


def check_generation(path: Path, generation: Callable[[], str], knows: Callable[[str], bool]) -> None:
    """Compare the catalogue's generation with that of the last commit.

    Args:
        knows: whether a generation is in the catalogue's history, so that the seal is only older: it was copied while
            a program was writing.

    Raises:
        GalleryCorrupt: the catalogue is older than the last commit.
    """
    for _ in range(_TRIES):
        seal, now = read(path.parent), generation()
        if seal is None or now in (seal.generation, seal.coming) or knows(seal.generation):
            return
        if read(path.parent) == seal and generation() == now:
            raise GalleryCorrupt(
                f"{path} is not what the last run committed: its log {path.name}-wal was damaged or removed, or this "
                "is a copy made while a program was writing. Copy it again with `araclip backup`, or run `araclip "
                "repair`, then `araclip index` on your folders."
            )


def remove(folder: Path) -> None:
    """Remove the seal; the next opening checks all rows."""
    atomic.unlink(folder / FILE_NAME)


def is_replaced(path: Path, device: int, inode: int) -> bool:
    """Whether the file at `path` is another one than (device, inode), or gone."""
    try:
        about = os.stat(path)  # noqa: PTH116  (Path.stat is three times as slow, and each search asks)
    except OSError:
        return True
    return (about.st_dev, about.st_ino) != (device, inode)
