"""The seal: a small file beside the catalogue that records the last commit, and the state of the file after it.

SQLite takes damage in its write-ahead log for an unfinished write, and silently drops the damaged part and all that
follows. It does not notice a deleted log either. So after each commit, the commit's generation is written into the
seal. The catalogue itself keeps the history of its generations: if that history lacks the generation in the seal,
commits were lost. A seal that is older than the catalogue (after a kill between the two writes) does no harm.

The seal also holds device, inode, size and time of change of the catalogue file after araclip's last write. While these
match, the catalogue is opened without checking it. If they differ (a copy, a restored backup, a write by another
program, a killed writer), the whole file is checked, once.

Nothing here opens the catalogue file; `connection` says why.
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
# Every seal has this number of bytes, since its file is overwritten in place; it
# must fit into one sector of the disk.
_LENGTH = 300

FileState = tuple[int, int, int, int]  # device, inode, bytes, time of change in ns


@dataclass(frozen=True)
class Seal:
    """The seal: the token (generation) of the last commit, and the catalogue file's state after that commit.

    `file` is None if the catalogue file must be checked before its state can be trusted.
    """

    generation: str
    file: FileState | None = None


def file_id(path: Path) -> tuple[int, int]:
    """Return device and inode of a file."""
    about = os.stat(path)  # noqa: PTH116  (Path.stat is three times as slow, and each search asks)
    return about.st_dev, about.st_ino


def file_state(path: Path) -> FileState:
    """Return device, inode, size and time of change of a catalogue file."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def is_known(path: Path) -> bool:
    """True if the catalogue file is as araclip's last write left it (by the seal), so that it need not be checked."""
    sealed = read(path.parent)
    return sealed is not None and sealed.file == file_state(path)


def read(folder: Path) -> Seal | None:
    """Read the file that records a gallery's last commit (its seal); None if it is missing or damaged."""
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
    """Write the seal of the catalogue at `path`; after an error the old seal stays.

    Args:
        generation: the token of the commit.
        known: True if the catalogue file was known to be sound before the commit; then the seal records the file's
            state. Otherwise the seal records only the generation, and the next opening checks the whole file.
    """
    text = json.dumps({"generation": generation, "file": file_state(path) if known else None}).encode()
    with contextlib.suppress(OSError):
        atomic.overwrite(
            path.parent / FILE_NAME, text.ljust(_LENGTH - 10) + b" %08x\n" % zlib.crc32(text), durable=False
        )
