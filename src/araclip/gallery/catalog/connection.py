"""Connections to a catalogue file through apsw, whose SQLite checks every page that it reads, and transactions on them.

The checksum of a page stands in its last 8 bytes. SQLite's own `cksumvfs` writes it with the page and compares it at
each read: damage is an error of that read (https://www.sqlite.org/cksumvfs.html), never a wrong answer. apsw carries
one recent SQLite with full-text search to every platform. No other SQLite of this process opens the file: closing any
descriptor of it would drop the locks of all connections (https://www.sqlite.org/howtocorrupt.html).

Reading beside SQLite's write-ahead log needs a shared memory file, which a reader who may not write the folder can use
but not create. While the log is empty such a reader therefore opens the file as immutable, which ignores the log and
would mix pages of two moments once the owner writes. `FollowingConnection` notices a write by the files' sizes and
times, which a writer changes before and with each commit, and reads again.

Threads may share a connection: each statement has it to itself until its rows are fetched, and each transaction until
its end (`alone`). Otherwise another thread would see what is not committed yet, or begin a transaction inside this one.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra

from araclip.errors import GalleryCorrupt, GalleryError
from araclip.gallery.catalog import matching

CHECKED_VFS = "cksmvfs"  # SQLite's name of its checksum layer
CHECKSUM_BYTES = 8  # at the end of each page
BUSY_MS = 10_000  # that a statement waits for another connection's commit
DAMAGED_PAGE = 8202  # SQLITE_IOERR_DATA: the checksum of a page does not match
_CHANGED = "its owner is writing it"
_TRIES = 20
_PAUSE_S = 0.02
_DAMAGE = (  # what SQLite says of damage with the code of any other error
    "malformed", "disk image", "no such table", "no such column", "vtable constructor failed", "fts5",
)  # fmt: skip
_CANNOT_WRITE = (
    apsw.BusyError, apsw.LockedError, apsw.ReadOnlyError, apsw.IOError, apsw.FullError, apsw.CantOpenError,
    apsw.PermissionsError,
)  # fmt: skip

Row = tuple[Any, ...]


class OwnerBusy(Exception):
    """The owner of a catalogue keeps writing it while a reader who may not write reads."""


@cache
def _load_checksums() -> None:
    """Load SQLite's checksum layer, once for this process."""
    with closing(apsw.Connection(":memory:")) as database:
        apsw.sqlite_extra.load(database, "cksumvfs")


def opened(path: Path, flags: int, parameters: str = "", *, checksums: bool = True) -> apsw.Connection:
    """A bare connection of apsw to a catalogue file, with the functions of filters.

    Args:
        flags: SQLITE_OPEN_….
        parameters: those of SQLite's URI.
        checksums: False to write pages as they are given, with the checksums that they had.
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
        self._db = opened(path, flags)
        try:
            self._db.reserve_bytes("main", CHECKSUM_BYTES)  # of a new file; an existing one stays as it is
            self.execute("PRAGMA foreign_keys = ON")
            self.execute("PRAGMA journal_mode = WAL")
            self.execute("PRAGMA synchronous = FULL")  # a committed picture survives a power cut
        except apsw.Error:
            self._db.close()
            raise

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; returns its rows."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; returns how many rows it has changed. Raises as `execute`."""
        with self._lock:
            self._db.execute(sql, values)
            return self._db.changes()

    def change_each(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run one statement, which returns no rows, for each of several values. Raises as `execute`."""
        with self._lock:
            self._db.executemany(sql, values)

    def copy_to(self, path: Path) -> None:
        """Copy the last commit into a new file, flushed to the disk. Raises as `execute`."""
        with self._lock, closing(opened(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)) as target:
            target.execute("PRAGMA synchronous = FULL")
            self._copy_into(target)

    def _copy_into(self, target: apsw.Connection) -> None:
        with target.backup("main", self._db, "main") as copying:
            copying.step()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open on this connection."""
        return self._db.in_transaction

    def alone(self) -> AbstractContextManager[object]:
        """For a block whose statements belong together: those of other threads wait for its end."""
        return self._lock

    def close(self) -> None:
        """Close the connection; the last one at the file takes the log into it."""
        with self._lock:
            self._db.close()


class FollowingConnection(Connection):
    """A connection of a reader who may not write, which follows what the owner commits."""

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
        mode = "immutable=1" if self._immutable else "mode=ro&readonly_shm=1"  # a new one would be this reader's
        self._db = opened(self._path, apsw.SQLITE_OPEN_READONLY, mode)

    def _is_current(self) -> bool:
        return self._state() == self._opened_at

    def _state(self) -> tuple[int, ...]:
        """Which file it is; without a log to follow, also its size and time of change, and whether a log came."""
        file = self._path.stat()
        if not self._immutable:
            return file.st_dev, file.st_ino
        log = self._log.stat().st_size if self._log.exists() else 0
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, log


def connect(path: Path, *, create: bool = False) -> Connection:
    """A connection to the catalogue at `path`: its owner's, or a reader's who may not write it."""
    return Connection(path, create=create) if may_write(path) else FollowingConnection(path)


def may_write(path: Path) -> bool:
    """Whether this user may write the catalogue: its folder, and the file if there is one.

    Who may write the folder alone must not open the file as its owner does: the log and the shared memory file would be
    this user's, and the owner could no longer write.
    """
    return os.access(path.parent, os.W_OK | os.X_OK) and (os.access(path, os.W_OK) or not path.exists())


# ------------------------------------------------------------------ transactions


@contextmanager
def transaction(database: Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """A transaction: committed at the end of the block, rolled back if the block raises."""
    with database.alone():
        database.execute(f"BEGIN {kind}")
        try:
            yield
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):  # a full disk has rolled it back already
                database.execute("ROLLBACK")
            raise


@contextmanager
def snapshot(database: Connection) -> Iterator[None]:
    """A read transaction: all reads in the block see the same state."""
    with database.alone():
        database.execute("BEGIN")
        try:
            yield
        finally:
            if database.in_transaction:  # a damaged page has ended it already
                database.execute("ROLLBACK")


def checkpoint(database: Connection) -> None:
    """Copy the write-ahead log into the catalogue and empty it, unless a reader is active now."""
    with database.alone():
        database.execute("PRAGMA busy_timeout = 0")
        try:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


# ------------------------------------------------------------------ errors


@contextmanager
def own_errors(path: Path, *, writing: bool = False) -> Iterator[None]:
    """SQLite's errors in a block as errors with a remedy, for the catalogue at `path`.

    Args:
        writing: an error is of the disk or of permissions unless it is damage.

    Raises:
        GalleryCorrupt: the catalogue is damaged.
        OSError: when `writing`, the disk is full or read-only, or others write for too long.
        GalleryError: it cannot be used now.
    """
    try:
        yield
    except (apsw.Error, UnicodeDecodeError, OwnerBusy) as error:
        if isinstance(error, apsw.ConnectionClosedError):
            raise GalleryError(
                f"the gallery {path.parent} is closed. Open it again, with Gallery.open or open_gallery."
            ) from error
        if is_damage(error):
            raise damaged(path, reason_of(error)) from error
        if writing and isinstance(error, _CANNOT_WRITE):
            raise OSError(
                f"{path} cannot be written ({error}). Free some disk space or check its permissions, then run the "
                "command again: it resumes where it stopped."
            ) from error
        raise GalleryError(
            f"{path} cannot be used now ({error}). Check the disk and its permissions, then try again."
        ) from error


def is_damage(error: Exception) -> bool:
    """Whether an error of a read or a write says that the file is damaged."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError):
        return True
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == DAMAGED_PAGE:
        return True
    return isinstance(error, apsw.Error) and any(sign in str(error) for sign in _DAMAGE)


def reason_of(error: Exception) -> str:
    """What is damaged, in words."""
    if isinstance(error, UnicodeDecodeError):
        return f"{error.reason} in a text or a name"
    if isinstance(error, apsw.IOError):
        return "a page does not match its checksum"
    return str(error)


def damaged(path: Path, reason: str) -> GalleryCorrupt:
    """The error of a damaged catalogue."""
    return GalleryCorrupt(
        f"{path} is damaged: {reason}. Run `araclip repair`, which recovers what can be read and keeps the damaged "
        "file; your pictures are not touched."
    )
