"""Opening, flushing and replacing files where systems differ."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from araclip.platforms import system
from araclip.platforms.names import openable

PATIENCE_S = 2.0  # Windows refuses to replace a file while another process, often a virus scanner, has it open
_PAUSE_S = 0.01
# What a system lacks is 0. A pipe in place of a file would block for ever without O_NONBLOCK.
_TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_to_read(path: str | os.PathLike[str]) -> int:
    """A descriptor of a file to read; whether it is a regular one has to be asked of the descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(openable(os.fspath(path)), _TO_READ)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file to read.

    Raises:
        OSError: it cannot be opened, or is a pipe or a device, which is not waited for.
    """
    stream = open(open_to_read(path), "rb")  # noqa: SIM115  (it is returned)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return stream


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder, over an existing file.

    Raises:
        OSError: it fails; on Windows a refusal is tried again for PATIENCE_S.
    """
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if not system.windows() or time.monotonic() >= ends:
                raise
        time.sleep(_PAUSE_S)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk. Windows cannot open a folder for that; NTFS journals its entries."""
    if system.windows():
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def flush_content(descriptor: int) -> None:
    """Flush a file's bytes to the disk, and what else is known of it only where the system has no call without."""
    getattr(os, "fdatasync", os.fsync)(descriptor)
