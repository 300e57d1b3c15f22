"""Atomic replacement of files, replacement of folders in two renames, and the single-writer lock.

A reader sees the complete old file or the complete new one, whatever happens in between: the bytes are written to a
temporary file beside the target, flushed to the disk, and renamed to the target; then the folder is flushed. A folder
is moved aside before the new folder takes its name, so that for a moment no folder has the name (see `write_folder`).

Each point where a crash matters is marked by a call of `step`, which does nothing; tests/crash replaces it by a
function that kills the process there.
"""

import contextlib
import errno
import glob
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from araclip.core.display import Log
from araclip.core.files import flush_content, flush_folder, open_regular, replace, try_lock, unlock
from araclip.errors import GalleryLocked

if TYPE_CHECKING:
    from numpy.typing import NDArray


LEFT_OVER_S = 3600  # seconds: a temporary file that was last written longer ago belongs to a dead process
NOTICE_S = 2.0  # seconds of waiting for a lock after which the user is told; a commit takes less
_WAIT = "Wait for it to end, then try again."


def step(name: str) -> None:
    """Mark a point where tests simulate a crash, before an action (`name` is "commit") or after it ("committed")."""


def write(path: Path, fill: Callable[[Path], None], *, flush: bool = True) -> None:
    """Replace `path` by what `fill(temporary_path)` writes: write → fsync → rename → fsync of the folder.

    Args:
        flush: False if `fill` flushes the file itself, as SQLite does.

    The temporary file is removed when `fill` fails; after a kill it may remain, and is never mistaken for the target.
    """
    # Only the beginning of the target's name is used, because file systems limit the length of the temporary name.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    step("open")
    temporary.touch(exist_ok=False)  # gets the usual permissions; mkstemp's files are closed to other users
    try:
        step("fill")
        fill(temporary)
        if flush:
            _flush(temporary)
        step("rename")
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def replace_with_finished(part: Path, path: Path) -> None:
    """Replace `path` by `part`, a finished file in the same folder: fsync → rename → fsync of the folder.

    This is for a file that several processes have written in turn, piece by piece.
    """
    _flush(part)
    step("rename")
    replace(part, path)
    _flush_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by these bytes."""

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    write(path, fill)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_array(path: Path, array: "NDArray[Any]") -> None:
    """Replace `path` by an array that `numpy.load` reads."""
    import numpy as np

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:  # an open file, because np.save would append .npy to a path
            np.save(file, array)

    write(path, fill)


def write_folder(path: Path, fill: Callable[[Path], None], *, flush: bool = True) -> None:
    """Replace the folder `path` by a new one, which `fill(temporary_path)` fills: write → fsync → rename → fsync.

    The old folder is removed only after the new folder is complete on disk; if `fill` fails, the old folder stays
    unchanged. A kill between the two renames leaves the old folder as a hidden `.<name>.<digits>.old`. The next
    successful call removes this folder, and also temporary folders that killed calls left LEFT_OVER_S ago or earlier.

    Args:
        flush: False if `fill` flushes its files itself.
    """
    path = path.resolve()  # if `path` is a link, its target is replaced, not the link
    mark = f".{path.name}.{secrets.token_hex(4)}"
    temporary, old = path.with_name(f"{mark}.tmp"), path.with_name(f"{mark}.old")
    step("mkdir")
    temporary.mkdir()
    try:
        step("fill")
        fill(temporary)
        for file in temporary.rglob("*"):
            if flush and file.is_file():
                _flush(file)
        _flush_folder(temporary)
        if path.exists():
            step("set aside")
            replace(path, old)
        try:
            step("rename")
            replace(temporary, path)
        except OSError:
            if old.exists():
                replace(old, path)
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush_folder(path.parent)
    step("remove the old")
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.*"):
        with contextlib.suppress(OSError):  # no error if another process removes the same folder
            if left_over.suffix == ".old" or (left_over.suffix == ".tmp" and _is_abandoned(left_over)):
                shutil.rmtree(left_over, ignore_errors=True)


def scratch_folder(filling: Path) -> "tempfile.TemporaryDirectory[str]":
    """Return a second temporary folder for the `fill` of `write_folder`, beside the folder `filling` that it fills.

    If the process is killed, a later `write_folder` removes both temporary folders.
    """
    return tempfile.TemporaryDirectory(prefix=f"{filling.stem}.", suffix=filling.suffix, dir=filling.parent)


def overwrite(path: Path, content: bytes, *, durable: bool) -> None:
    """Overwrite a small file of constant length in place, or make it; its content must carry its own checksum.

    Args:
        durable: True to flush the file to the disk; otherwise a power cut may undo the write.
    """
    step("overwrite")
    made = not path.exists()
    with path.open("xb" if made else "rb+", buffering=0) as file:
        file.write(content)
        if durable:
            step("fsync")
            flush_content(file.fileno())  # the file's length never changes, so no metadata needs flushing
    if made and durable:
        _flush_folder(path.parent)


def write_checked(path: Path, content: bytes) -> None:
    """Replace `path` by bytes with a checksum, for `read_checked`."""
    write_bytes(path, content + _checksum_trailer(content))


def read_checked(path: Path) -> bytes | None:
    """Return the bytes that `write_checked` wrote; None if the file cannot be read, or is truncated or damaged."""
    try:
        with open_regular(path) as file:
            raw = file.read()
    except OSError:
        return None
    content = raw[: -len(_checksum_trailer(b""))]
    return content if raw == content + _checksum_trailer(content) else None


def _checksum_trailer(content: bytes) -> bytes:
    """Return the length and the checksum of a file's content, as `write_checked` puts them after the content."""
    return b"%016x%08x" % (len(content), zlib.crc32(content))


def remove_abandoned(folder: Path) -> None:
    """Remove a folder's temporary files last written LEFT_OVER_S ago or earlier: killed processes left them there."""
    for left_over in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if _is_abandoned(left_over):
                unlink(left_over)


def _is_abandoned(temporary: Path) -> bool:
    """True if a temporary file or folder was last written LEFT_OVER_S ago or earlier."""
    return time.time() - temporary.stat().st_mtime > LEFT_OVER_S


def unlink(path: Path) -> None:
    """Remove a file, if it is there."""
    step("unlink")
    path.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    step("fsync")
    with file.open("rb+") as written:  # opened for writing, because Windows flushes no other files
        os.fsync(written.fileno())


def _flush_folder(folder: Path) -> None:
    step("fsync folder")
    flush_folder(folder)


@contextlib.contextmanager
def single_writer(lock: Path, *, patience: float = 0.0, waiting: Log = lambda line: None) -> Iterator[None]:
    """Hold an exclusive lock for the length of a `with` block.

    The operating system releases the lock when its owner dies, so a killed run never blocks the next one; the process
    id and host in the file are for error messages only. Waiting processes queue fairly: the first in the queue holds a
    second lock (`.queue`), for which all others wait. So a process that releases the lock and wants it again at once
    comes after the process that has waited.

    Args:
        patience: seconds to wait while another process holds the lock.
        waiting: called once with a line that names the other process, after NOTICE_S of waiting.

    Raises:
        GalleryLocked: another process holds the lock; the message names it.
        OSError: the file cannot be written.
    """
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(_open_lock(lock))
        if patience > 0:
            _wait_in_queue(lock, file, patience, waiting)
        elif not try_lock(file):
            raise GalleryLocked(f"{lock.parent} is being written by {_lock_owner(file)}. {_WAIT}")
        try:
            file.truncate(0)
            # On a full disk, the lock stays without its owner's name, and the next write reports the error.
            with contextlib.suppress(OSError):
                file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield
        finally:
            file.truncate(0)
            unlock(file)


def _wait_in_queue(lock: Path, file: IO[bytes], patience: float, waiting: Log) -> None:
    """Lock the open file of the lock at `lock`, after the processes that wait already; see `single_writer`."""
    ends, notice, pause = time.monotonic() + patience, time.monotonic() + NOTICE_S, 0.005
    with _open_lock(lock.with_name(f"{lock.name}.queue")) as queue:
        first = False
        while not (first := first or try_lock(queue)) or not try_lock(file):
            now = time.monotonic()
            if now >= ends:
                owner = f"{_lock_owner(file)}, which was waited for {patience:.0f} s"
                raise GalleryLocked(f"{lock.parent} is being written by {owner}. {_WAIT}")
            if now >= notice:
                notice = ends
                waiting(f"{lock.parent} is being written by {_lock_owner(file)}. Waiting {ends - now:.0f} s at most.")
            time.sleep(min(pause, ends - now))
            pause = min(2 * pause, 0.1)
        unlock(queue)


def _open_lock(path: Path) -> IO[bytes]:
    """Open a lock file, or make it; OSError, with a remedy, if the file cannot be written or is no regular file."""
    try:
        file = path.open("a+b", buffering=0)
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device; remove it")
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise type(error)(
            f"{path} cannot be written ({error.strerror}). Check the permissions of its folder, or work on a copy."
        ) from error


def _lock_owner(file: IO[bytes]) -> str:
    """Return what the lock's owner wrote into the lock file, or "another process" if the owner has not written yet."""
    file.seek(0)
    return file.read(200).decode("utf-8", "replace").strip() or "another process"
