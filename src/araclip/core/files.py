"""Open, flush, replace, name and lock files in the way that each operating system needs."""

import contextlib
import errno
import io
import ntpath
import os
import stat
import time
import unicodedata
from pathlib import Path
from typing import IO, Any, TypeVar

from araclip.core import system

PATIENCE_S = 2.0  # seconds of tries to rename a file: Windows refuses while a virus scanner, for example, has it open
_PAUSE_S = 0.01
# With O_NONBLOCK, opening a pipe does not block. A flag that this operating system lacks counts as 0.
_TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_to_read(path: str | os.PathLike[str]) -> int:
    """Open a file to read and return its descriptor. The caller has to check that the file is a regular one."""
    return os.open(openable(os.fspath(path)), _TO_READ)


Read = TypeVar("Read", int, bytes)


class _Readable(io.FileIO):
    """An open file, of which a read never waits: if nothing is there to read now, as in /proc/kmsg, it is an OSError.

    Python's own files return None then, for which no reader of files is prepared.
    """

    def readinto(self, buffer: Any, /) -> Any:
        return _found(super().readinto(buffer))

    def readall(self) -> bytes:
        return _found(super().readall())


def _found(read: Read | None) -> Read:
    if read is None:
        raise OSError(errno.EAGAIN, "nothing to read there now, as in a device; remove the link")
    return read


def stream_of(descriptor: int) -> io.BufferedReader:
    """Return a stream that reads, and later closes, what `open_to_read` has opened; no read of it waits."""
    return io.BufferedReader(_Readable(descriptor))


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file to read.

    Raises:
        OSError: the file cannot be opened, or is a pipe or a device; neither opening nor reading these waits.
    """
    stream = stream_of(open_to_read(path))
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return stream


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder, over an existing file.

    Raises:
        OSError: renaming fails; on Windows a refusal is tried again for PATIENCE_S.
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
    """Flush a folder's entries to the disk. Does nothing on Windows, which cannot do it; NTFS journals the entries."""
    if system.windows():
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def flush_content(descriptor: int) -> None:
    """Flush a file's bytes to the disk, and its metadata only if the system cannot flush the bytes alone."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


LONG = 248  # Windows: a folder's path of this many letters or more needs a prefix (a file's path: 260 or more)
_LONG_PATH = "\\\\?\\"
_LONG_SHARE = "\\\\?\\UNC"


def openable(path: str) -> str:
    r"""Return a path in the form to open: on Windows a long path gets the prefix \\?\; others stay unchanged."""
    if not system.windows() or len(path) < LONG or path.startswith(_LONG_PATH) or not ntpath.isabs(path):
        return path
    plain = ntpath.normpath(path)  # needed, because Windows does not normalise a path that begins with \\?\
    return _LONG_SHARE + plain[1:] if plain.startswith("\\\\") else _LONG_PATH + plain


def lexists(path: str) -> bool:
    """True if anything has this path, also a link that leads nowhere."""
    return os.path.lexists(openable(path))


def exists(path: str) -> bool:
    """True if a file or folder has this path; a link that leads nowhere does not count."""
    return os.path.exists(openable(path))  # noqa: PTH110  (names that are not UTF-8)


def as_stored(path: Path) -> Path:
    """Return an absolute path spelled as its folders list it, so that each picture has one path only.

    On macOS and Windows «Photos» and «photos» are one folder. On macOS, a stored name may have «أ» composed (U+0623) or
    decomposed (U+0627 U+0654), and both spellings open the file; a keyboard types the composed form. On other systems,
    an existing path is returned as it is; for a missing path, entries that differ only in composition are tried.
    """
    if not system.similar_names_are_one() and lexists(str(path)):
        return path
    found = Path(path.anchor)
    for count, part in enumerate(path.parts[1:], 2):
        name = _entry_named(found, part)
        if name is None:
            return found.joinpath(*path.parts[count - 1 :])
        found /= name
    return found


def _entry_named(folder: Path, name: str) -> str | None:
    """Return the name of the folder's entry `name`, spelled as the folder lists it.

    The entry is the one with exactly this name, or else the only one with the same composed letters (NFC); on macOS and
    Windows, upper and lower case count as the same. Return None if no entry, or more than one, has the same letters.
    """
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(openable(str(folder)))  # noqa: PTH208  (names that are not UTF-8 stay text)
    if name in names:
        return name

    def folded(text: str) -> str:
        composed = unicodedata.normalize("NFC", text)
        return composed.casefold() if system.similar_names_are_one() else composed

    alike = [each for each in names if folded(each) == folded(name)]
    return alike[0] if len(alike) == 1 else None


LOCK_AT = 1 << 30  # Windows: the byte to lock, far behind the file's text, because others cannot read a locked byte


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone; False if another process holds the lock."""
    try:
        if system.windows():
            _lock_byte(file, lock=True)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock(file: IO[bytes]) -> None:
    """Release the lock that `try_lock` has acquired."""
    if system.windows():
        _lock_byte(file, lock=False)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _lock_byte(file: IO[bytes], *, lock: bool) -> None:
    import msvcrt

    file.seek(LOCK_AT)
    mode = msvcrt.LK_NBLCK if lock else msvcrt.LK_UNLCK  # type: ignore[attr-defined,unused-ignore]
    msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined,unused-ignore]
