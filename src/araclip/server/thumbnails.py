"""Thumbnails and placeholders on disk: derived, bounded, and safe to delete at any time.

One SQLite file, so that what is there is whole, and the placeholders of a page of results are one look-up.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

VERSION = 1  # raise it when a thumbnail would look different: old ones are forgotten
FILE_NAME = "thumbnails.sqlite"
SIZES = (256, 512)
TOUCH_SECONDS = 3600  # when a thumbnail was last wanted is noted no more exactly than this, and so seldom written
KEEP = 0.8  # of the bytes allowed, after some had to go

_TABLES = """
CREATE TABLE IF NOT EXISTS thumbnails (id BLOB NOT NULL, side INTEGER NOT NULL, picture BLOB NOT NULL,
    used INTEGER NOT NULL, PRIMARY KEY (id, side)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placeholders (id BLOB PRIMARY KEY, picture BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


class Thumbnails:
    """Small pictures by id and size. Any thread may use it."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._db = _opened(folder / FILE_NAME)
        with self._lock:
            self._size = int(self._db.execute("SELECT ifnull(sum(length(picture)), 0) FROM thumbnails").fetchone()[0])

    @property
    def size(self) -> int:
        """What the thumbnails take."""
        return self._size

    def get(self, identity: str, side: int) -> bytes | None:
        """A thumbnail, if it is there."""
        key, now = bytes.fromhex(identity), int(time.time())
        with self._lock, contextlib.suppress(sqlite3.Error):  # a damaged cache is an empty one
            row = self._db.execute(
                "SELECT picture, used FROM thumbnails WHERE id = ? AND side = ?", (key, side)
            ).fetchone()
            if row is None:
                return None
            if now - row[1] > TOUCH_SECONDS:
                self._db.execute("UPDATE thumbnails SET used = ? WHERE id = ? AND side = ?", (now, key, side))
            return bytes(row[0])
        return None

    def put(self, identity: str, side: int, picture: bytes, placeholder: bytes) -> None:
        """Keep a thumbnail; those not wanted for longest go when there are too many."""
        key, now = bytes.fromhex(identity), int(time.time())
        with self._lock, contextlib.suppress(sqlite3.Error), self._db:  # a full disk costs the cache, not the picture
            self._db.execute("BEGIN")
            self._db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", (key, side, picture, now))
            self._db.execute("INSERT OR REPLACE INTO placeholders VALUES (?, ?)", (key, placeholder))
            self._size += len(picture)
            if self._size > self._most:
                self._make_room()

    def _make_room(self) -> None:
        rows = self._db.execute("SELECT id, side, length(picture) FROM thumbnails ORDER BY used").fetchall()
        total = sum(size for _, _, size in rows)
        for key, side, size in rows:
            if total <= KEEP * self._most:
                break
            self._db.execute("DELETE FROM thumbnails WHERE id = ? AND side = ?", (key, side))
            total -= size
        self._db.execute("DELETE FROM placeholders WHERE id NOT IN (SELECT id FROM thumbnails)")
        self._size = total

    def placeholders(self, identities: Sequence[str]) -> dict[str, bytes]:
        """The placeholders that are known, by id."""
        marks = ", ".join("?" * len(identities))
        keys = [bytes.fromhex(identity) for identity in identities]
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._db.execute(f"SELECT id, picture FROM placeholders WHERE id IN ({marks})", keys).fetchall()
            return {key.hex(): bytes(picture) for key, picture in rows if picture}
        return {}

    def forget(self, identity: str) -> None:
        """Drop what is kept of a picture."""
        key = (bytes.fromhex(identity),)
        with self._lock, contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM thumbnails WHERE id = ?", key)
            self._db.execute("DELETE FROM placeholders WHERE id = ?", key)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _connected(path)
    except sqlite3.DatabaseError:  # damaged: everything in it can be made again
        for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            part.unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            database.executescript("DROP TABLE IF EXISTS thumbnails; DROP TABLE IF EXISTS placeholders;")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # a power cut may cost thumbnails
        database.executescript(f"{_TABLES} PRAGMA user_version = {VERSION};")
        database.execute("SELECT count(*) FROM thumbnails").fetchone()
    except BaseException:
        database.close()
        raise
    return database
