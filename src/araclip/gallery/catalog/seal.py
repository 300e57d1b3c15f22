"""The seal: a small file beside the catalogue that says which commit was the last, and of which file.

SQLite takes damage in its write-ahead log for an unfinished write, and drops the damaged part and all that follows it
in silence. A log that was deleted goes unnoticed too. So each commit's generation is written here after the commit. The
catalogue's own history keeps every generation: a catalogue whose history lacks the one in the seal has lost commits,
while a seal that is older than the catalogue (a kill between the two writes) says nothing bad.

The seal also holds device, inode, size and time of change of the catalogue file after the last write of ours. While
these match, a catalogue is opened without reading it; if not (a copy, a restored backup, a write by another program, a
killed writer), the whole file is checked, once.

Nothing here opens the catalogue file; see `connection`.
"""

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from araclip.core import atomic
from araclip.core.files import open_regular

FILE_NAME = "catalog.seal"
_LENGTH = 300  # bytes; fixed, since the file is overwritten in place, within one disk sector

FileId = tuple[int, int]  # device and inode
FileState = tuple[int, int, int, int]  # device, inode, bytes, time of change in ns


@dataclass(frozen=True)
class Seal:
    """The generation of the last commit, and the state of the file after it; None until that file was checked."""

    generation: str
    file: FileState | None = None


def file_id(path: Path) -> FileId:
    """Device and inode of a file."""
    about = os.stat(path)  # noqa: PTH116  (Path.stat is three times as slow, and each search asks)
    return about.st_dev, about.st_ino


def state_of(path: Path) -> FileState:
    """The state of a catalogue file."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def is_known(path: Path) -> bool:
    """Whether the catalogue file is as the last write of ours left it."""
    sealed = read(path.parent)
    return sealed is not None and sealed.file == state_of(path)


def read(folder: Path) -> Seal | None:
    """The seal in a gallery's folder; None when there is none, or a damaged one."""
    try:
        with open_regular(folder / FILE_NAME) as file:
            text, _, crc = file.read(2 * _LENGTH).strip().rpartition(b" ")
        if int(crc, 16) != zlib.crc32(text.strip()):
            return None
        about = json.loads(text)
        device, inode, size, changed = about["file"] or (0, 0, 0, 0)
        return Seal(str(about["generation"]), (device, inode, size, changed) if changed else None)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(path: Path, generation: str, *, known: bool) -> None:
    """Write the seal of the catalogue at `path` after a write; where that fails, the earlier one stays.

    Args:
        known: whether the file was as the last write left it before this one, so that its state now is sound.
    """
    text = json.dumps({"generation": generation, "file": state_of(path) if known else None}).encode()
    with contextlib.suppress(OSError):
        atomic.overwrite(
            path.parent / FILE_NAME, text.ljust(_LENGTH - 10) + b" %08x\n" % zlib.crc32(text), durable=False
        )
