"""The catalogue: files, pictures and vectors in one SQLite file, from which all else in a gallery is derived.

A `contents` row is one picture, keyed by the hash of its bytes, with its vector; a `files` row is one path to it, so a
copied or renamed file is decoded only once. Paths are stored as bytes, since a file name need not be UTF-8. A picture
added without a file has the path `picture:…`, and its pixels in the table `kept`.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder_base import Encoder
from araclip.errors import GalleryCorrupt, GalleryError, WidthMismatch
from araclip.gallery.catalog import connection, counting, schema, transaction
from araclip.gallery.catalog.full_text import indexing, texts
from araclip.gallery.catalog.integrity import seal
from araclip.gallery.catalog.integrity.damage import check_at_opening
from araclip.gallery.catalog.lookups import CatalogLookups
from araclip.gallery.catalog.photo import rows as photos
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.photo_metadata.record import PhotoMetadata
from araclip.pictures.picture_facts import Facts


class Catalog(CatalogLookups):
    """One open catalogue. All changes are made inside `writing()`."""

    @classmethod
    def create(
        cls, folder: Path, model: str, fingerprint: str, width: int, *, about: Mapping[str, str] | None = None
    ) -> "Catalog":
        """Open the catalogue in `folder`, creating it if there is none.

        Args:
            about: further values for the `meta` table of a new one.

        Raises:
            GalleryCorrupt, NewerGallery: the existing file cannot be used.
            WidthMismatch: it holds another model's vectors.
        """
        folder.mkdir(parents=True, exist_ok=True)
        catalog = cls(folder, schema.connect(folder / FILE_NAME, create=True))
        birth, generation = secrets.token_hex(8), secrets.token_hex(8)  # the former stays, in copies too
        identity = {"model": model, "fingerprint": fingerprint, "width": str(width), "generation": generation}
        with catalog._closed_on_error(), catalog._own_errors():
            schema.create(catalog._db, {**(about or {}), **identity, "birth": birth})
        catalog._check(model, fingerprint, width)
        return catalog

    @classmethod
    def open(
        cls, folder: Path, model: str | None, fingerprint: str = "", width: int = 0, *, checked: bool = True
    ) -> "Catalog":
        """Open an existing catalogue, of any model if `model` is None.

        Args:
            checked: False to open it for repair, with damaged rows.

        Raises:
            GalleryNotFound: there is none.
            GalleryCorrupt, NewerGallery, WidthMismatch: as for `create`.
        """
        catalog = cls(folder, schema.connect(folder / FILE_NAME))
        catalog._check(model, fingerprint, width, checked=checked)
        return catalog

    def again(self) -> "Catalog":
        """A second connection to the same catalogue."""
        return Catalog(self.folder, schema.connect(self.folder / FILE_NAME))

    def check(self) -> None:
        """Check all rows, unless the file is as the last write of ours left it.

        Raises:
            GalleryCorrupt: it is damaged.
        """
        with self._own_errors():
            check_at_opening(self._db, self.folder / FILE_NAME)

    def _check(self, model: str | None, fingerprint: str, width: int, *, checked: bool = True) -> None:
        path = self.folder / FILE_NAME
        with self._closed_on_error(), self._own_errors():
            schema.migrate(self._db, path)
            seal.check_generation(path, lambda: self.generation, self._knows)
            if checked:
                self.check()
            name, print_, wide = self.meta("model"), self.meta("fingerprint"), self.meta("width")
            if not (print_ and wide.isdecimal()):
                raise schema.own_error(path, sqlite3.DatabaseError("malformed: it does not say what model it is of"))
            if model is not None and (print_, wide) != (fingerprint, str(width)):
                raise WidthMismatch(
                    f"gallery {self.folder} holds {wide}-wide vectors of {name}@{print_}, but {model}@{fingerprint} "
                    f"makes {width}-wide ones. Use that model (without --model it is found by itself), index into "
                    "another gallery with --gallery, or run `araclip index --reembed` to encode this one again."
                )

    def _knows(self, generation: str) -> bool:
        return bool(self.rows("SELECT 1 FROM commits WHERE generation = ?", (generation,)))

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def turn(self, model: Encoder, patience: float) -> Iterator[None]:
        """Hold the writer's lock of the folder.

        Raises:
            GalleryLocked: others write for longer than `patience` seconds.
            WidthMismatch: the vectors are another model's.
        """
        with writer_lock(self.folder, patience=patience):
            self.check_model(model.name, model.fingerprint)
            yield

    @contextmanager
    def writing(self, *, visible: bool = True, words: bool = True) -> Iterator[None]:
        """One transaction, committed whole or not at all; readers see a new generation if it is `visible`.

        Args:
            words: False leaves the words of what has changed to a later transaction.

        Raises:
            OSError: the disk is full or read-only; earlier commits stay.
        """
        self.check_current()
        with self._own_errors(), transaction.transaction(self._db, self.folder / FILE_NAME, visible=visible):
            yield
            if words:
                indexing.index_changed(self._db)

    @contextmanager
    def attached(self, database: bytes, name: str) -> Iterator[connection.Connection]:
        """The connection of this catalogue with a serialized database beside it, begun outside a transaction.

        Raises:
            GalleryError: it cannot be attached, or this catalogue is read-only.
        """
        if not isinstance(self._db, connection.OwnerConnection):
            raise GalleryError(f"{self.folder / FILE_NAME} is read-only here. Write it from its owner's account.")
        with self._own_errors():
            self._db.execute(f"ATTACH ':memory:' AS {name}")
            try:
                self._db.deserialize(database, name)
                yield self._db
            finally:
                self._db.execute(f"DETACH {name}")

    def remember_drives(self, drives: set[str]) -> None:
        """Store the mount points below indexed folders, in a transaction of their own."""
        with self.writing(visible=False):
            self.put_meta("drives", json.dumps(sorted(drives)))

    def put_meta(self, key: str, value: str) -> None:
        """Store a value of the `meta` table, inside `writing()`."""
        self.change("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def check_model(self, name: str, fingerprint: str) -> None:
        """Refuse a gallery that was re-embedded with another model since it was opened.

        Raises:
            WidthMismatch: its vectors are another model's now.
        """
        if self.meta("fingerprint") != fingerprint:
            raise WidthMismatch(
                f"gallery {self.folder} has the vectors of {self.meta('model')} now, and was opened with {name}. Open "
                "it again, or start the server again."
            )

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store a picture's vector as float16, or replace it if the hash is known; returns the picture's id."""
        row = self._db.execute(
            "INSERT INTO contents (hash, vector, added) VALUES (?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET vector = excluded.vector RETURNING id",
            (digest, vector.astype("<f2").tobytes(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")),
        ).fetchone()
        return int(row[0])

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts and the perceptual hash (64 bits) of picture `content`."""
        signed = phash - (1 << 64) if phash >> 63 else phash  # SQLite's integers have a sign
        self._db.execute(
            "UPDATE contents SET format = ?, width = ?, height = ?, phash = ? WHERE id = ?",
            (facts.format, facts.width, facts.height, signed, content),
        )
        texts.put_caption(self._db, content, facts.caption)
        photos.put_embedded(self._db, content, facts.photo)

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Record that `file` holds picture `content`. The path keeps its metadata unless new metadata is given."""
        raw = os.fsencode(file.path)
        photos.hide_successor(self._db, raw, content)
        self._db.execute(
            "INSERT INTO files (path, size, mtime_ns, content) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content",
            (raw, file.size, file.mtime_ns, content),
        )
        if photos.has_beside(self._db, raw):
            photos.path_changed(self._db, content)
        if metadata is not None:
            text = json.dumps(dict(metadata), ensure_ascii=False)
            self._db.execute("UPDATE files SET metadata = ? WHERE path = ?", (text, raw))

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """Size and time of change of the side-car captions, by the path of their picture; all, or one."""
        return texts.sidecars(self, at)

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        """Store the side-car caption of a path and what else it says, or that there is no side-car."""
        texts.put_sidecar(self._db, path, file, caption)
        photos.put_beside(self._db, path, photo)

    def set_hidden(self, contents: Iterable[int], hidden: bool) -> int:
        """Hide pictures from results, or show them again, videos whole; returns how many have changed."""
        return photos.set_hidden(self._db, counting.with_their_videos(self, contents), hidden)

    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture without a file."""
        self._db.execute(
            "INSERT INTO kept (content, picture) VALUES (?, ?) "
            "ON CONFLICT (content) DO UPDATE SET picture = excluded.picture",
            (content, picture),
        )

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures without any path left. A remaining copy inherits a removed path's metadata."""
        for raw in map(os.fsencode, paths):
            beside = photos.has_beside(self._db, raw)
            row = self._db.execute("DELETE FROM files WHERE path = ? RETURNING content, metadata", (raw,)).fetchone()
            if row and row[1] != "{}":  # so that a renamed file keeps its metadata
                self._db.execute("UPDATE files SET metadata = ? WHERE content = ? AND metadata = '{}'", row[::-1])
            if row and beside:  # a copy may remain
                photos.path_changed(self._db, row[0])
            if row and raw.startswith(STORED_PREFIX.encode()):
                self._db.execute("DELETE FROM kept WHERE content = ?", row[:1])
        self._db.execute(
            "DELETE FROM contents WHERE id IN (SELECT content FROM loose) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)"
        )
        self._db.execute("DELETE FROM loose")

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement of SQL inside `writing()`; returns how many rows it changed."""
        return int(self._db.execute(sql, values).rowcount)

    def copy_to(self, path: Path) -> None:
        """Copy the last commit into a new SQLite file, also while others write.

        Raises:
            OSError: the disk is full or read-only.
            GalleryCorrupt, GalleryError: this catalogue cannot be read.
        """
        try:
            with self._own_errors():
                connection.copy(self._db, path)
        except GalleryCorrupt:
            raise
        except GalleryError as error:
            if isinstance(error.__cause__, sqlite3.ProgrammingError):  # this catalogue is closed
                raise
            raise OSError(
                f"{path} cannot be written ({error.__cause__}). Free some disk space, then try again."
            ) from error

    def checkpoint(self) -> None:
        """After a write: checkpoint the write-ahead log, and record the file's state in the seal."""
        with self._own_errors():
            transaction.checkpoint(self._db, self.folder / FILE_NAME)
