"""Connect to a catalogue file through apsw, whose SQLite checks every page that it reads; run transactions on it.

The checksum of a page is in its last 8 bytes. SQLite's own `cksumvfs` writes it with the page and compares it at each
read, so damage makes the read fail (https://www.sqlite.org/cksumvfs.html) and never gives a wrong answer. apsw brings
the same recent SQLite with full-text search to every platform. No other SQLite in this process may open the file:
closing its descriptor would drop the locks of all connections (https://www.sqlite.org/howtocorrupt.html).

To read a database with a write-ahead log, SQLite needs a shared memory file. A user who may not write the folder can
use that file but not create it. While the log is empty, such a user's connection therefore opens the catalogue as
"immutable": SQLite then ignores the log, and would mix pages of two states if the owner wrote meanwhile.
`FollowingConnection` notices such a write by the files' sizes and times, and then reads again, or, inside a
transaction, raises OwnerBusy.

Threads may share a connection: each statement has the connection to itself until its rows are fetched, and each
transaction until its end. Otherwise another thread could see uncommitted changes, or begin a transaction
inside this one.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra

from araclip.errors import GalleryCorrupt, GalleryError
from araclip.gallery.catalog import matching

CHECKED_VFS = "cksmvfs"  # SQLite's name of its checksum layer
CHECKSUM_BYTES = 8  # bytes at the end of each page that hold its checksum
BUSY_MS = 10_000  # ms that a statement waits for another connection's commit
DAMAGED_PAGE = 8202  # SQLITE_IOERR_DATA: the checksum of a page does not match
_CHANGED = "its owner is writing it"
_FULL = "the disk is full"
_TRIES = 20
_PAUSE_S = 0.02
_DAMAGE = (  # words in SQLite's messages that mean damage, although the error code does not say so
    "malformed", "disk image", "no such table", "no such column", "vtable constructor failed", "fts5",
)  # fmt: skip
_CANNOT_WRITE = (
    apsw.BusyError, apsw.LockedError, apsw.ReadOnlyError, apsw.IOError, apsw.FullError, apsw.CantOpenError,
    apsw.PermissionsError,
)  # fmt: skip

NO_ROOM = (apsw.IOError, apsw.FullError, apsw.CantOpenError)  # what SQLite raises on a full disk, among other cases
_LEAST_FREE = 1 << 16  # bytes; with less, SQLite cannot make its log and its shared memory file (32 kB each)

Row = tuple[Any, ...]


class OwnerBusy(Exception):
    """A user who may not write the catalogue could not read it, because its owner keeps writing."""


@cache
def _load_checksums() -> None:
    """Load SQLite's checksum layer; once in this process."""
    with closing(apsw.Connection(":memory:")) as database:
        apsw.sqlite_extra.load(database, "cksumvfs")


def open_db(path: Path, flags: int, parameters: str = "", *, checksums: bool = True) -> apsw.Connection:
    """Open a catalogue file as a plain apsw connection, with the SQL functions that filters call.

    Args:
        flags: SQLITE_OPEN_….
        parameters: the parameters of SQLite's URI.
        checksums: False to write pages unchanged, with the checksums that they already have.
    """
    _load_checksums()
    uri = path.absolute().as_uri() + (f"?{parameters}" if parameters else "")
    vfs = CHECKED_VFS if checksums else next(name for name in apsw.vfs_names() if name != CHECKED_VFS)
    database = apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_URI, vfs=vfs)
    database.set_busy_timeout(BUSY_MS)
    for name, function, count in matching.SQL_FUNCTIONS:
        database.create_scalar_function(name, function, count, deterministic=True)
    return database


class Connection:
    """A connection to a catalogue that this process may write."""

    may_write = True

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open an existing file, or with `create` also a new one."""
        self._lock = threading.RLock()
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        self._db = open_db(path, flags)
        try:
            self._db.reserve_bytes("main", CHECKSUM_BYTES)  # room for checksums; has an effect in a new file only
            self.execute("PRAGMA foreign_keys = ON")
            self._switch_to_log()
            self.execute("PRAGMA synchronous = FULL")  # FULL: a committed picture survives a power cut
        except apsw.Error:
            self._db.close()
            raise

    def _switch_to_log(self) -> None:
        """Switch the file to a write-ahead log.

        While other processes create the same file, SQLite reports at once that it is busy, so switching is tried again.
        """
        end = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                self.execute("PRAGMA journal_mode = WAL")
                return
            except apsw.BusyError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one SQL statement; return its rows.

        Raises:
            apsw.Error: SQLite reports an error.
        """
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one SQL statement; return the number of rows that it changed. Raises the errors of `execute`."""
        with self._lock:
            self._db.execute(sql, values)
            return self._db.changes()

    def change_each(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run one SQL statement without result for each row of values. Raises the errors of `execute`."""
        with self._lock:
            self._db.executemany(sql, values)

    def copy_to(self, path: Path) -> None:
        """Copy the last commit into a new file, flushed to the disk. Raises the errors of `execute`."""
        with self._lock, closing(open_db(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)) as target:
            target.execute("PRAGMA synchronous = FULL")
            self._copy_into(target)

    def _copy_into(self, target: apsw.Connection) -> None:
        with target.backup("main", self._db, "main") as copying:
            copying.step()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a `with` block as a transaction: committed at the end of the block, rolled back if the block raises."""
        with self._lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(apsw.Error):  # fails if SQLite has already rolled back, as on a full disk
                    self.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Run a `with` block as a read transaction: all reads in the block see the same state."""
        with self._lock:
            self.execute("BEGIN")
            try:
                yield
            finally:
                if self._db.in_transaction:  # SQLite has already ended the transaction if it read a damaged page
                    self.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the catalogue and empty it, unless a reader is active now."""
        with self._lock:
            self.execute("PRAGMA busy_timeout = 0")
            try:
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def close(self) -> None:
        """Close the connection; closing the file's last connection copies the log into the file."""
        with self._lock:
            self._db.close()


class FollowingConnection(Connection):
    """A read-only connection, for a user who may not write the catalogue.

    When the owner has changed the file, the connection is opened again, so that the next transaction reads what the
    owner committed.
    """

    may_write = False

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._log = self._path.with_name(f"{path.name}-wal")
        self._lock = threading.RLock()
        self._open()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._lock:
            if sql.startswith("BEGIN") and not self._is_current():
                self._reopen()
            for _ in range(_TRIES):
                try:
                    if self._is_current():
                        rows = self._db.execute(sql, values).fetchall()
                        if self._is_current():
                            self._reading = self._db.in_transaction
                            return rows
                except apsw.Error:
                    if self._is_current() or sql.startswith("ROLLBACK"):
                        raise
                if self._reading:
                    if not sql.startswith("ROLLBACK"):
                        raise OwnerBusy(_CHANGED)
                    self._reopen()
                    return []
                time.sleep(_PAUSE_S)
                self._reopen()
            raise OwnerBusy(_CHANGED)

    def _copy_into(self, target: apsw.Connection) -> None:
        for _ in range(_TRIES):
            if self._is_current():
                super()._copy_into(target)
                if self._is_current():
                    return
            time.sleep(_PAUSE_S)
            self._reopen()
        raise OwnerBusy(_CHANGED)

    def _reopen(self) -> None:
        self._db.close()
        self._open()

    def _open(self) -> None:
        self._reading = False
        self._immutable = not (self._log.exists() and self._log.stat().st_size)
        self._opened_at = self._state()
        # readonly_shm: SQLite must not create a shared memory file, which would belong to this user.
        mode = "immutable=1" if self._immutable else "mode=ro&readonly_shm=1"
        self._db = open_db(self._path, apsw.SQLITE_OPEN_READONLY, mode)

    def _is_current(self) -> bool:
        return self._state() == self._opened_at

    def _state(self) -> tuple[int, ...]:
        """Return numbers that change when the file is replaced: its device and inode.

        For a file that was opened as immutable, also its size and time and the log's size, which change at each write.
        """
        file = self._path.stat()
        if not self._immutable:
            return file.st_dev, file.st_ino
        log = self._log.stat().st_size if self._log.exists() else 0
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, log


def may_write(path: Path) -> bool:
    """True if this user may write both the catalogue's folder and its file (if there is one).

    A user who may write only the folder must not open the file for writing: the log and the shared memory file would
    then belong to this user, and the owner could no longer write.
    """
    return os.access(path.parent, os.W_OK | os.X_OK) and (os.access(path, os.W_OK) or not path.exists())


# ------------------------------------------------------------------ errors


@contextmanager
def translate_errors(path: Path, *, writing: bool = False) -> Iterator[None]:
    """Turn SQLite's errors in a `with` block into errors with a remedy, for the catalogue at `path`.

    Args:
        writing: True if the block writes; then errors that are not damage come from the disk or from permissions.

    Raises:
        GalleryCorrupt: the catalogue is damaged.
        OSError: when `writing`: the disk is full or read-only, or others write for too long.
        GalleryError: the catalogue is closed, or cannot be used now.
    """
    try:
        yield
    except (apsw.Error, UnicodeDecodeError, OwnerBusy) as error:
        if isinstance(error, apsw.ConnectionClosedError):
            raise GalleryError(
                f"the gallery {path.parent} is closed. Open it again, with Gallery.open or open_gallery."
            ) from error
        if is_damage(error):
            raise damage_error(path, describe_damage(error)) from error
        if writing and isinstance(error, _CANNOT_WRITE):
            raise OSError(
                f"{path} cannot be written ({_reason(path, error)}). Free some disk space or check its permissions, "
                "then run the command again: it resumes where it stopped."
            ) from error
        reason = _reason(path, error)
        advice = "Free some disk space" if reason == _FULL else "Check the disk and its permissions"
        raise GalleryError(f"{path} cannot be used now ({reason}). {advice}, then try again.") from error


def _reason(path: Path, error: Exception) -> object:
    """Return why SQLite raised an error; on a full disk it says "not an error", "disk I/O error" or "readonly"."""
    full = isinstance(error, apsw.FullError)
    if not full and isinstance(error, (*NO_ROOM, apsw.ReadOnlyError)):
        with contextlib.suppress(OSError):
            full = shutil.disk_usage(path.parent).free < _LEAST_FREE
    return _FULL if full else error


def is_damage(error: Exception) -> bool:
    """True if an error from a read or a write means that the file is damaged."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError):
        return True
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == DAMAGED_PAGE:
        return True
    return isinstance(error, apsw.Error) and any(sign in str(error) for sign in _DAMAGE)


def describe_damage(error: BaseException) -> str:
    """Return in words what is damaged, from the error that SQLite or Python raised."""
    if isinstance(error, UnicodeDecodeError):
        return f"{error.reason} in a text or a name"
    if isinstance(error, apsw.IOError):
        return "a page does not match its checksum"
    return str(error)


def damage_error(path: Path, reason: str) -> GalleryCorrupt:
    """Return the error to raise for a damaged catalogue, with its remedy."""
    return GalleryCorrupt(
        f"{path} is damaged: {reason}. Run `araclip repair`, which recovers what can be read and keeps the damaged "
        "file; your pictures are not touched."
    )
