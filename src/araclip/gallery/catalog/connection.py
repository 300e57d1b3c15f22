"""Connections to a catalogue file, for its owner and for readers who may not write it or its folder.

Reading beside SQLite's write-ahead log needs a shared memory file, which such a reader can use but not create. While
the log is empty it therefore opens the file as immutable, which ignores the log and would mix pages of two moments once
the owner writes. `FollowingConnection` notices that by the files' sizes and times, which a writer changes before and
with each commit, and reads again.

Threads may share a connection; each statement has it to itself until its rows are fetched, and each transaction until
its end (`alone`): another thread would see what is not committed yet, or begin a transaction inside this one. SQLite's
own lock would not do: a thread that waits for it may hold the interpreter's lock, which the checksums' function in
another thread needs.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Protocol

from araclip.gallery.catalog.integrity import checksums
from araclip.gallery.catalog.photo import matching

CHANGED = "its owner is writing it"  # the error of a read transaction that cannot continue
_TRIES = 20
_PAUSE_S = 0.02

Row = tuple[Any, ...]
State = tuple[int, ...]


class Connection(Protocol):
    """What the catalogue uses of `sqlite3.Connection`."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        """Run one statement; returns a cursor over its rows."""

    def executemany(self, sql: str, values: Iterable[Any], /) -> Any:
        """Run one statement, which returns no rows, for each of several values."""

    def backup(self, target: sqlite3.Connection, /) -> None:
        """Copy the last commit into another database."""

    def alone(self) -> AbstractContextManager[object]:
        """For a block whose statements belong together: those of other threads wait for its end."""

    def close(self) -> None:
        """Close the connection."""


def connect(path: Path) -> Connection:
    """A connection to an existing or new file.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    if not may_write(path):
        return FollowingConnection(path)
    connection = OwnerConnection(path)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a committed picture survives a power cut
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def may_write(path: Path) -> bool:
    """Whether this user may write the catalogue: its folder, and the file if there is one.

    Who may write the folder alone must not open it as an owner does: the log and the shared memory file would be this
    user's, and the owner could no longer write.
    """
    return os.access(path.parent, os.W_OK | os.X_OK) and (os.access(path, os.W_OK) or not path.exists())


def copy(database: Connection, path: Path) -> None:
    """Copy the last commit into a new file, with its folder's other files left alone; flushed to the disk.

    Raises:
        sqlite3.Error: it cannot be read, or the disk is full.
    """
    with closing(sqlite3.connect(path)) as target:
        target.execute("PRAGMA synchronous = FULL")
        database.backup(target)


def _opened(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
    checksums.register(connection)
    matching.register(connection)
    connection.execute("PRAGMA cell_size_check = ON")  # a damaged page is an error when it is read
    return connection


def _closing(holder: object, connection: sqlite3.Connection) -> Callable[[], object]:
    """What closes a connection, also when its holder is gone: Python 3.13 warns of one that nobody closed."""
    finalizer = weakref.finalize(holder, connection.close)
    finalizer.atexit = False
    return finalizer


class OwnerConnection:
    """A connection that may write."""

    def __init__(self, path: Path) -> None:
        self._db = _opened(path.absolute().as_uri())
        self._close = _closing(self, self._db)
        self._lock = threading.RLock()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> "_Fetched":
        """Run one statement and fetch its rows.

        Raises:
            sqlite3.Error: an error of SQLite.
        """
        with self._lock:
            return _fetched(self._db, sql, values)

    def executemany(self, sql: str, values: Iterable[Any], /) -> None:
        """Run one statement, which returns no rows, for each of several values.

        Raises:
            sqlite3.Error: an error of SQLite.
        """
        with self._lock, closing(self._db.executemany(sql, values)):
            pass

    def backup(self, target: sqlite3.Connection, /) -> None:
        """As `sqlite3.Connection.backup`."""
        with self._lock:
            self._db.backup(target)

    def deserialize(self, database: bytes, name: str, /) -> None:
        """As `sqlite3.Connection.deserialize`."""
        with self._lock:
            self._db.deserialize(database, name=name)

    def alone(self) -> AbstractContextManager[object]:
        """As `Connection.alone`."""
        return self._lock

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()


class FollowingConnection:
    """A connection of a reader who may not write, which follows what the owner commits."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._log = self._path.with_name(f"{path.name}-wal")
        self._lock = threading.RLock()
        self._open()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> "_Fetched":
        """Run one statement and fetch its rows.

        Raises:
            sqlite3.OperationalError: inside a read transaction, that it was disturbed (CHANGED); or an error of SQLite.
        """
        with self._lock:
            return self._execute(sql, values)

    def _execute(self, sql: str, values: Sequence[Any]) -> "_Fetched":
        if sql.startswith("BEGIN") and not self._is_current():
            self._reopen()
        for _ in range(_TRIES):
            try:
                if self._is_current():
                    fetched = _fetched(self._db, sql, values)
                    if self._is_current():
                        self._reading = self._db.in_transaction
                        return fetched
            except sqlite3.OperationalError:
                if self._is_current() or sql.startswith("ROLLBACK"):
                    raise
            if self._reading:
                if sql.startswith("ROLLBACK"):
                    self._reopen()
                    return _Fetched([], -1)
                raise sqlite3.OperationalError(CHANGED)
            time.sleep(_PAUSE_S)
            self._reopen()
        raise sqlite3.OperationalError(CHANGED)

    def executemany(self, sql: str, values: Iterable[Any], /) -> None:
        """As `OwnerConnection.executemany`; a reader has nothing to write.

        Raises:
            sqlite3.OperationalError: always, as SQLite says it.
        """
        with self._lock:
            self._db.executemany(sql, values)

    def backup(self, target: sqlite3.Connection, /) -> None:
        """As `sqlite3.Connection.backup`.

        Raises:
            sqlite3.OperationalError: the owner kept writing (CHANGED), or an error of SQLite.
        """
        with self._lock:
            for _ in range(_TRIES):
                if self._is_current():
                    self._db.backup(target)
                    if self._is_current():
                        return
                time.sleep(_PAUSE_S)
                self._reopen()
        raise sqlite3.OperationalError(CHANGED)

    def alone(self) -> AbstractContextManager[object]:
        """As `Connection.alone`."""
        return self._lock

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _reopen(self) -> None:
        self._close()
        self._open()

    def _open(self) -> None:
        self._reading = False
        self._immutable = not (self._log.exists() and self._log.stat().st_size)
        self._opened_at = self._state()
        mode = "immutable=1" if self._immutable else "mode=ro&readonly_shm=1"  # a new one would be this reader's
        self._db: sqlite3.Connection = _opened(f"{self._path.as_uri()}?{mode}")
        self._close = _closing(self, self._db)

    def _is_current(self) -> bool:
        return self._state() == self._opened_at

    def _state(self) -> State:
        """Which file it is; without a log to follow, also its size and time of change, and whether a log came."""
        file = self._path.stat()
        if not self._immutable:
            return file.st_dev, file.st_ino
        log = self._log.stat().st_size if self._log.exists() else 0
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, log


class _Fetched:
    """Rows that were fetched with their statement."""

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        self._rows, self.rowcount = rows, rowcount

    def fetchone(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Row]:
        return self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


def _fetched(database: sqlite3.Connection, sql: str, values: Sequence[Any]) -> _Fetched:
    try:
        with closing(database.execute(sql, values)) as cursor:  # closed before another thread's statement begins
            return _Fetched(cursor.fetchall(), cursor.rowcount)
    except UnicodeDecodeError as error:  # SQLite's message quotes damaged text, which Python cannot decode
        raise sqlite3.DatabaseError(f"malformed: {error.reason} in a text or a name") from error
