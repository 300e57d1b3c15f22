"""The catalogue: files, what they hold, and the vectors, in one SQLite file. The only truth of a gallery.

A `contents` row is one picture by the hash of its bytes, with its vector; a `files` row is one path that holds it.
A copy or a renamed file is a second `files` row and costs no decode. Paths are stored as bytes, since a file name
need not be UTF-8.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, NewerGallery, WidthMismatch

SCHEMA = 1
FILE_NAME = "catalog.sqlite"
_LAST_NS = 2**63 - 1
_NOT_A_DATABASE = ("file is not a database", "malformed", "disk image")

_CREATE = """
CREATE TABLE meta     (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE contents (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, vector BLOB NOT NULL) STRICT;
CREATE TABLE files    (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
                       content INTEGER NOT NULL REFERENCES contents (id)) STRICT, WITHOUT ROWID;
CREATE INDEX files_content ON files (content);
"""


@dataclass(frozen=True)
class File:
    """One path as it was when it was indexed."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str, about: os.stat_result) -> "File":
        """A path and what `stat` says of it; a time beyond SQLite's 64 bits (a broken clock) is cut to them."""
        return cls(path, about.st_size, max(-_LAST_NS, min(about.st_mtime_ns, _LAST_NS)))


class Catalog:
    """One open catalogue. Everything it changes, it changes inside `writing()`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection

    @classmethod
    def create(cls, folder: Path, model: str, fingerprint: str, width: int) -> "Catalog":
        """Open the catalogue in `folder`, making it when there is none.

        Raises:
            GalleryCorrupt, NewerGallery: the file there cannot be used.
            WidthMismatch: it holds another model's vectors.
        """
        folder.mkdir(parents=True, exist_ok=True)
        catalog = cls(folder, _connect(folder / FILE_NAME))
        identity = {"model": model, "fingerprint": fingerprint, "width": str(width), "generation": secrets.token_hex(8)}
        with catalog._closed_on_error(), catalog._own_errors(), catalog._db:
            catalog._db.execute("BEGIN IMMEDIATE")  # of two that create at once, the second finds it made
            if catalog._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _CREATE.split(";"):
                    catalog._db.execute(statement)
                catalog._db.executemany("INSERT INTO meta VALUES (?, ?)", identity.items())
                catalog._db.execute(f"PRAGMA user_version = {SCHEMA}")
        catalog._check(model, fingerprint, width)
        return catalog

    @classmethod
    def open(cls, folder: Path, model: str, fingerprint: str, width: int) -> "Catalog":
        """Open an existing catalogue.

        Raises:
            GalleryNotFound: there is none.
            GalleryCorrupt, NewerGallery, WidthMismatch: as for `create`.
        """
        if not (folder / FILE_NAME).is_file():
            raise GalleryNotFound(f"no gallery at {folder}. Make one with `araclip index FOLDER`.")
        catalog = cls(folder, _connect(folder / FILE_NAME))
        catalog._check(model, fingerprint, width)
        return catalog

    def _check(self, model: str, fingerprint: str, width: int) -> None:
        path = self.folder / FILE_NAME
        with self._closed_on_error(), self._own_errors():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise NewerGallery(
                    f"{path} has schema {version}, this release knows up to {SCHEMA}. "
                    "Upgrade araclip to use this gallery."
                )
            if version < SCHEMA:
                raise GalleryCorrupt(f"{path} is empty or unfinished (schema {version}). Run `araclip index` again.")
            name, print_, wide = self.meta("model"), self.meta("fingerprint"), self.meta("width")
            if (print_, wide) != (fingerprint, str(width)):
                raise WidthMismatch(
                    f"gallery {self.folder} holds {wide}-wide vectors of {name}@{print_}, but {model}@{fingerprint} "
                    f"makes {width}-wide ones. Use that model, index into another gallery with --gallery, or delete "
                    f"this one's folder and index again."
                )

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _own_error(self.folder / FILE_NAME, error) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it lands, or nothing; then readers see a new generation.

        Raises:
            OSError: the disk is full or read-only; what was committed before is kept.
        """
        with self._own_errors():
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    yield
                    self._db.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (secrets.token_hex(8),))
            except sqlite3.OperationalError as error:
                raise OSError(
                    f"{self.folder / FILE_NAME} cannot be written ({error}). Free some disk space or check its "
                    "permissions, then run the command again: it goes on where it stopped."
                ) from error

    def meta(self, key: str) -> str:
        """A value of the `meta` table; empty when absent."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else ""

    @property
    def generation(self) -> str:
        """A token that every committed change replaces by a new random one: equal tokens, equal content.

        A counter would come round again after the file was restored from a backup or made anew.
        """
        with self._own_errors():
            return self.meta("generation")

    def files(self) -> dict[str, File]:
        """All files by path."""
        with self._own_errors():
            rows = self._db.execute("SELECT path, size, mtime_ns FROM files").fetchall()
        return {(path := os.fsdecode(raw)): File(path, size, mtime) for raw, size, mtime in rows}

    def counts(self) -> tuple[int, int]:
        """Number of files, and of different pictures among them."""
        with self._own_errors():
            files, pictures = self._db.execute("SELECT count(*), count(DISTINCT content) FROM files").fetchone()
        return files, pictures

    def digests(self) -> set[bytes]:
        """Hashes of all pictures."""
        with self._own_errors():
            return {row[0] for row in self._db.execute("SELECT hash FROM contents")}

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash, if it is known."""
        with self._own_errors():
            row = self._db.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()
        return row[0] if row else None

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store one picture's vector as float16; returns its id. An identical picture is stored once."""
        raw = vector.astype("<f2").tobytes()
        row = self._db.execute(
            "INSERT INTO contents (hash, vector) VALUES (?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET vector = excluded.vector RETURNING id",
            (digest, raw),
        ).fetchone()
        return int(row[0])

    def put_file(self, file: File, content: int) -> None:
        """Say that `file` holds picture `content`."""
        self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
            (os.fsencode(file.path), file.size, file.mtime_ns, content),
        )

    def remove_files(self, paths: Iterable[str]) -> None:
        """Forget paths, and pictures that no path holds any more."""
        self._db.executemany("DELETE FROM files WHERE path = ?", ((os.fsencode(path),) for path in paths))
        self._db.execute("DELETE FROM contents WHERE id NOT IN (SELECT content FROM files)")

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (n,) and float16 vectors (n, D) of all pictures that some path holds, in order of the ids."""
        width = int(self.meta("width"))
        with self._own_errors():
            rows = self._db.execute(
                "SELECT id, vector FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id"
            ).fetchall()
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        raw = b"".join(row[1] for row in rows)
        if len(raw) != len(rows) * width * 2:
            raise GalleryCorrupt(
                f"{self.folder / FILE_NAME}: vectors take {len(raw)} bytes, {len(rows)} of width {width} need "
                f"{len(rows) * width * 2}. Delete the gallery folder and run `araclip index` again."
            )
        return ids, np.frombuffer(raw, "<f2").reshape(len(rows), width)

    def paths_of(self, content: int) -> list[str]:
        """Paths that hold a picture, in order of their bytes."""
        with self._own_errors():
            rows = self._db.execute("SELECT path FROM files WHERE content = ? ORDER BY path", (content,)).fetchall()
        return [os.fsdecode(raw) for (raw,) in rows]

    def close(self) -> None:
        """Close the file; SQLite folds its write-ahead log back in."""
        self._db.close()


def _own_error(path: Path, error: sqlite3.Error) -> GalleryError:
    if any(sign in str(error) for sign in _NOT_A_DATABASE):
        return GalleryCorrupt(
            f"{path} is damaged ({error}). Delete the gallery folder and run `araclip index` again; "
            "your pictures are not touched."
        )
    return GalleryError(f"{path} cannot be used now ({error}). Check the disk and its permissions, then try again.")


def _connect(path: Path) -> sqlite3.Connection:
    writable = os.access(path.parent, os.W_OK)
    uri = path.absolute().as_uri()
    if not writable:
        # Reading beside a live write-ahead log needs its shared memory file; without a log, nobody writes and none is.
        log = path.with_name(f"{path.name}-wal")
        uri += "?mode=ro" if log.exists() and log.stat().st_size else "?immutable=1"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _own_error(path, error) from error
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a committed picture survives a power cut
    except sqlite3.Error as error:
        connection.close()
        raise _own_error(path, error) from error
    return connection
