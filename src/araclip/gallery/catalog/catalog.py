"""The catalogue: files, what they hold, and the vectors, in one SQLite file. The only truth of a gallery.

A `contents` row is one picture by the hash of its bytes, with its vector; a `files` row is one path that holds it.
A copy or a renamed file is a second `files` row and costs no decode. Paths are stored as bytes, since a file name
need not be UTF-8. A picture that came without a file has a row with the path `picture:…` and its pixels in `kept`.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import GalleryCorrupt, WidthMismatch
from araclip.gallery.catalog import schema, seal, transaction
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.images import Facts

KEPT = "picture:"  # begins the path of a picture that the catalogue itself holds; a file's path is absolute
_LAST_NS = 2**63 - 1
_JOINED = "files JOIN contents ON contents.id = files.content"


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
        catalog = cls(folder, schema.connect(folder / FILE_NAME, create=True))
        identity = {"model": model, "fingerprint": fingerprint, "width": str(width), "generation": secrets.token_hex(8)}
        with catalog._closed_on_error(), catalog._own_errors():
            schema.create(catalog._db, identity)
        catalog._check(model, fingerprint, width)
        return catalog

    @classmethod
    def open(cls, folder: Path, model: str | None, fingerprint: str = "", width: int = 0) -> "Catalog":
        """Open an existing catalogue; with `model` None, whichever model's it is.

        Raises:
            GalleryNotFound: there is none.
            GalleryCorrupt, NewerGallery, WidthMismatch: as for `create`.
        """
        catalog = cls(folder, schema.connect(folder / FILE_NAME))
        catalog._check(model, fingerprint, width)
        return catalog

    def again(self) -> "Catalog":
        """The same catalogue through a connection of its own."""
        return Catalog(self.folder, schema.connect_again(self.folder / FILE_NAME))

    def _check(self, model: str | None, fingerprint: str, width: int) -> None:
        path = self.folder / FILE_NAME
        with self._closed_on_error(), self._own_errors():
            schema.migrate(self._db, path)
            seal.check_generation(path, lambda: self.generation)
            name, print_, wide = self.meta("model"), self.meta("fingerprint"), self.meta("width")
            if model is not None and (print_, wide) != (fingerprint, str(width)):
                raise WidthMismatch(
                    f"gallery {self.folder} holds {wide}-wide vectors of {name}@{print_}, but {model}@{fingerprint} "
                    f"makes {width}-wide ones. Use that model, index into another gallery with --gallery, or run "
                    "`araclip index --reembed` to make this one's vectors anew."
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
            raise schema.own_error(self.folder / FILE_NAME, error) from error

    @contextmanager
    def writing(self, *, visible: bool = True) -> Iterator[None]:
        """One transaction: all of it lands, or nothing; then readers see a new generation, if it is `visible` to them.

        Raises:
            OSError: the disk is full or read-only; what was committed before is kept.
        """
        with self._own_errors(), transaction.transaction(self._db, self.folder / FILE_NAME, visible=visible):
            yield

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

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or the one `at` a path and those below it."""
        sql, raw = "SELECT path, size, mtime_ns FROM files", os.fsencode(at or "")
        rows = self.rows(sql) if at is None else self.rows(
            f"{sql} WHERE path = ? OR (path > ? AND path < ?)", (raw, raw + b"/", raw + b"0")
        )  # fmt: skip
        return {(path := os.fsdecode(raw)): File(path, size, mtime) for raw, size, mtime in rows}

    def drives(self) -> set[str]:
        """Mount points that were met below indexed folders."""
        return set(json.loads(self.meta("drives") or "[]"))

    def remember_drives(self, drives: set[str]) -> None:
        """Store them, in a transaction of their own."""
        with self.writing(visible=False):
            self.change("INSERT OR REPLACE INTO meta VALUES ('drives', ?)", (json.dumps(sorted(drives)),))

    def counts(self) -> tuple[int, int]:
        """Number of files, and of different pictures among them."""
        with self._own_errors():
            files, pictures = self._db.execute("SELECT count(*), count(DISTINCT content) FROM files").fetchone()
        return files, pictures

    def unread(self) -> set[str]:
        """Paths of pictures whose facts or perceptual hash an older release did not store."""
        with self._own_errors():
            rows = self._db.execute(f"SELECT path FROM {_JOINED} WHERE format IS NULL OR phash IS NULL")
            return {os.fsdecode(raw) for (raw,) in rows}

    def digests(self) -> set[bytes]:
        """Hashes of all pictures of which nothing is missing."""
        with self._own_errors():
            rows = self._db.execute("SELECT hash FROM contents WHERE format IS NOT NULL AND phash IS NOT NULL")
            return {row[0] for row in rows}

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash, if it is known."""
        with self._own_errors():
            row = self._db.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()
        return row[0] if row else None

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store one picture's vector as float16; returns its id. An identical picture is stored once."""
        row = self._db.execute(
            "INSERT INTO contents (hash, vector, added) VALUES (?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET vector = excluded.vector RETURNING id",
            (digest, vector.astype("<f2").tobytes(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")),
        ).fetchone()
        return int(row[0])

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Say what picture `content` looks like from outside; `phash` is its perceptual hash, 64 bits."""
        signed = phash - (1 << 64) if phash >> 63 else phash  # SQLite's integers have a sign
        self._db.execute(
            "UPDATE contents SET format = ?, width = ?, height = ?, taken = ?, phash = ? WHERE id = ?",
            (facts.format, facts.width, facts.height, facts.taken, signed, content),
        )

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Say that `file` holds picture `content`. Metadata that the path had stays unless there is new."""
        self._db.execute(
            "INSERT INTO files (path, size, mtime_ns, content) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content",
            (os.fsencode(file.path), file.size, file.mtime_ns, content),
        )
        if metadata is not None:
            text = json.dumps(dict(metadata), ensure_ascii=False)
            self._db.execute("UPDATE files SET metadata = ? WHERE path = ?", (text, os.fsencode(file.path)))

    def keep(self, content: int, picture: bytes) -> None:
        """Store the pixels of a picture that has no file, as an encoded picture."""
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (content, picture))

    def kept(self, content: int) -> bytes | None:
        """The encoded picture that `keep` stored."""
        with self._own_errors():
            row = self._db.execute("SELECT picture FROM kept WHERE content = ?", (content,)).fetchone()
        return row[0] if row else None

    def remove_files(self, paths: Iterable[str]) -> None:
        """Forget paths, and pictures that no path holds any more. A copy that stays inherits a path's metadata."""
        for raw in map(os.fsencode, paths):
            row = self._db.execute("DELETE FROM files WHERE path = ? RETURNING content, metadata", (raw,)).fetchone()
            if row and row[1] != "{}":  # a renamed file is a new path and a vanished one
                self._db.execute("UPDATE files SET metadata = ? WHERE content = ? AND metadata = '{}'", row[::-1])
            if row and raw.startswith(KEPT.encode()):
                self._db.execute("DELETE FROM kept WHERE content = ?", row[:1])
        self._db.execute(
            "DELETE FROM contents WHERE id IN (SELECT content FROM loose) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)"
        )
        self._db.execute("DELETE FROM loose")

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (n,) and float16 vectors (n, D) of all pictures that some path holds, in order of the ids."""
        return self.as_vectors(
            self.rows("SELECT id, vector FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id")
        )

    def as_vectors(self, rows: Sequence[tuple[int, bytes]]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Rows of id and vector as arrays, (n,) and (n, D)."""
        width = int(self.meta("width"))
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        raw = b"".join(row[1] for row in rows)
        if len(raw) != len(rows) * width * 2:
            raise GalleryCorrupt(
                f"{self.folder / FILE_NAME}: vectors take {len(raw)} bytes, {len(rows)} of width {width} need "
                f"{len(rows) * width * 2}. Run `araclip repair`, which encodes damaged ones again."
            )
        return ids, np.frombuffer(raw, "<f2").reshape(len(rows), width)

    def vector(self, content: int) -> NDArray[np.float32]:
        """The vector (D,) of one picture."""
        (raw,) = self.rows("SELECT vector FROM contents WHERE id = ?", (content,))[0]
        return np.frombuffer(raw, "<f2").astype(np.float32)

    def phash(self, content: int) -> int | None:
        """The perceptual hash of one picture, 64 bits; None when an older release stored none."""
        (signed,) = self.rows("SELECT phash FROM contents WHERE id = ?", (content,))[0]
        return None if signed is None else signed % (1 << 64)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query of SQL answers."""
        with self._own_errors():
            return self._db.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement of SQL inside `writing()`; returns how many rows it changed."""
        return self._db.execute(sql, values).rowcount

    def content_of(self, path: str) -> int | None:
        """The id of the picture that a path holds, if the path is known."""
        with self._own_errors():
            row = self._db.execute("SELECT content FROM files WHERE path = ?", (os.fsencode(path),)).fetchone()
        return row[0] if row else None

    def metadata_of(self, path: str) -> dict[str, Any]:
        """What `put_file` stored with a path."""
        with self._own_errors():
            row = self._db.execute("SELECT metadata FROM files WHERE path = ?", (os.fsencode(path),)).fetchone()
        found: dict[str, Any] = json.loads(row[0]) if row else {}
        return found

    def reading(self) -> AbstractContextManager[None]:
        """All that is read inside is of one moment."""
        return transaction.snapshot(self._db)

    def rest(self) -> None:
        """At a writer's end: the log is folded in, and the file sealed with its checksum."""
        with self._own_errors():
            transaction.rest(self._db, self.folder / FILE_NAME)

    def close(self) -> None:
        """Close the file; SQLite folds its write-ahead log back in."""
        self._db.close()
