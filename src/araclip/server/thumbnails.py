"""A disk cache of thumbnails and placeholders; its size is limited, and it may be deleted at any time.

A placeholder is a tiny preview that the page shows until the thumbnail has loaded. The cache is one SQLite file, so
that every entry is complete, and one query finds the placeholders of a page of results.
"""

import base64
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("araclip.server")

VERSION = 3  # raise this number when thumbnails are made differently: then all stored thumbnails are dropped
FILE_NAME = "thumbnails.sqlite"
TOUCH_SECONDS = 3600  # the time of last use is updated at most once in so many seconds, to save writes
IN_MEMORY_PAGES = 2_000  # limit: pages (4 kB) of a cache in memory, which is used if the file cannot be written
KEEP = 0.8  # if the cache exceeds its limit, it is reduced to this share of the limit

_TABLES = """
CREATE TABLE IF NOT EXISTS thumbnails (id BLOB NOT NULL, side INTEGER NOT NULL, picture BLOB NOT NULL,
    used INTEGER NOT NULL, PRIMARY KEY (id, side)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placeholders (id BLOB PRIMARY KEY, picture BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


class Thumbnails:
    """A cache of thumbnails, by the id of the picture and the size of the thumbnail; thread-safe."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._db = _open_cache(folder / FILE_NAME)
        with self._lock:
            self._size = self._bytes_where("TRUE")

    @property
    def size(self) -> int:
        """Return how many bytes all thumbnails in the cache have."""
        return self._size

    def get(self, identity: str, side: int) -> bytes | None:
        """Return a stored thumbnail; None if there is none."""
        key, now = bytes.fromhex(identity), int(time.time())
        with self._lock, contextlib.suppress(sqlite3.Error):  # an error of the cache counts as "not found"
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
        """Store a picture's thumbnail and placeholder (a tiny preview).

        Beyond the cache's size limit, the thumbnails that were used least recently are deleted.
        """
        key, now = bytes.fromhex(identity), int(time.time())
        # ignore errors such as a full disk: the thumbnail was made, and is sent without being stored
        with self._lock, contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("BEGIN")
            replaced = self._bytes_where("id = ? AND side = ?", key, side)
            self._db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", (key, side, picture, now))
            self._db.execute("INSERT OR REPLACE INTO placeholders VALUES (?, ?)", (key, placeholder))
            self._size += len(picture) - replaced
            if self._size > self._most:
                self._evict()

    def _bytes_where(self, condition: str, *values: object) -> int:
        """Return how many bytes the thumbnails have that pass an SQL condition."""
        row = self._db.execute(f"SELECT total(length(picture)) FROM thumbnails WHERE {condition}", values).fetchone()
        return int(row[0])

    def _evict(self) -> None:
        rows = self._db.execute("SELECT id, side, length(picture) FROM thumbnails ORDER BY used").fetchall()
        total = sum(size for _, _, size in rows)
        for key, side, size in rows:
            if total <= KEEP * self._most:
                break
            self._db.execute("DELETE FROM thumbnails WHERE id = ? AND side = ?", (key, side))
            total -= size
        self._db.execute("DELETE FROM placeholders WHERE id NOT IN (SELECT id FROM thumbnails)")
        self._size = total

    def placeholders(self, identities: Sequence[str]) -> dict[str, str]:
        """Return the stored placeholders (tiny previews) by the ids of their pictures, as data URIs."""
        marks = ", ".join("?" * len(identities))
        keys = [bytes.fromhex(identity) for identity in identities]
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._db.execute(f"SELECT id, picture FROM placeholders WHERE id IN ({marks})", keys).fetchall()
            return {
                key.hex(): f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
                for key, picture in rows
                if picture
            }
        return {}

    def forget(self, identity: str) -> None:
        """Delete a picture's thumbnails and its placeholder (tiny preview)."""
        key = (bytes.fromhex(identity),)
        with self._lock, contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("BEGIN")
            deleted = self._bytes_where("id = ?", *key)
            self._db.execute("DELETE FROM thumbnails WHERE id = ?", key)
            self._db.execute("DELETE FROM placeholders WHERE id = ?", key)
            # not below 0: another process may have added the deleted rows, which this process has not counted
            self._size = max(0, self._size - deleted)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _open_cache(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(sqlite3.Error):
        return _connect(path)
    # if the file is damaged or the disk is full, begin with an empty cache
    with contextlib.suppress(sqlite3.Error, OSError):
        for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            part.unlink(missing_ok=True)
        return _connect(path)
    log.warning("%s cannot be written; thumbnails are made anew until it can: make room, and restart the server.", path)
    in_memory = _connect(":memory:")
    in_memory.execute(f"PRAGMA max_page_count = {IN_MEMORY_PAGES}")
    return in_memory


def _connect(path: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            database.executescript("DROP TABLE IF EXISTS thumbnails; DROP TABLE IF EXISTS placeholders;")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # do not wait for the disk: losing thumbnails is harmless
        database.executescript(f"{_TABLES} PRAGMA user_version = {VERSION};")
        database.execute("SELECT count(*) FROM thumbnails").fetchone()
    except BaseException:
        database.close()
        raise
    return database
