"""Queries on a catalogue: pictures, paths and vectors, and SQL of other modules."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import GalleryCorrupt, GalleryError
from araclip.gallery.catalog import counting, schema, transaction
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.integrity import damage, seal
from araclip.gallery.catalog.integrity.checksums import is_sound, is_sound_vector, was_interrupted
from araclip.gallery.catalog.photo import tables as photo_tables
from araclip.gallery.catalog.photo.rows import has_hidden
from araclip.gallery.catalog.records import Copy, File, Overview, PictureRecord, identity_of, read_metadata
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.video.scene_paths import MARK

_JOINED = "files JOIN contents ON contents.id = files.content"
_SOUND_FILE, _SOUND_CONTENT = is_sound("files"), is_sound("contents")
_SOUND_PHOTO = f"(photos.content IS NULL OR {is_sound('photos')})"
_RECORDS = (
    "SELECT files.content, hash, format, contents.width, height, taken, added, camera, lens, latitude, longitude, "
    "place, ifnull(hidden, 0) <> 0, path, size, metadata, "
    f"{_SOUND_FILE} AND {_SOUND_CONTENT} AND {_SOUND_PHOTO} "
    f"FROM {_JOINED} LEFT JOIN photos ON photos.content = contents.id"
)
_UNREAD = f"(contents.id NOT IN (SELECT content FROM texts) OR {photo_tables.UNREAD})"
_AT_ONCE = 500  # parameters of a statement; old versions of SQLite allow 999


class CatalogLookups:
    """The read-only part of `Catalog`."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder.absolute()  # the same one after a change of the working directory
        self._db = connection
        self._file = seal.state_of(folder / FILE_NAME)[:2]

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if was_interrupted():
                raise KeyboardInterrupt from error
            raise schema.own_error(self.folder / FILE_NAME, error) from error

    @property
    def connection(self) -> Connection:
        """The connection to the catalogue, for other modules of this package."""
        return self._db

    def own_errors(self) -> AbstractContextManager[None]:
        """For a block that uses `connection`: SQLite's errors become ours."""
        return self._own_errors()

    def meta(self, key: str) -> str:
        """A value of the `meta` table; empty when absent."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else ""

    @property
    def generation(self) -> str:
        """A random token that each visible commit replaces: equal tokens, equal content.

        A counter would repeat after the file is restored from a backup or recreated.

        Raises:
            GalleryError: as for `check_current`.
        """
        self.check_current()
        return self.meta("generation")

    @property
    def is_current(self) -> bool:
        """Whether the file that this connection has open is still the gallery's catalogue."""
        return not seal.is_replaced(self.folder / FILE_NAME, *self._file)

    def check_current(self) -> None:
        """Refuse to go on with a file that was replaced: what is written to it would be lost.

        Raises:
            GalleryError: the gallery was repaired, restored or deleted since it was opened.
        """
        if not self.is_current:
            raise GalleryError(
                f"gallery {self.folder} was replaced since it was opened: repaired, restored or deleted. Open it again."
            )

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or the one `at` a path, its scenes and those below it; a scene has a path of its own."""
        sql, raw = f"SELECT path, size, mtime_ns, {is_sound('files', 'crc')} FROM files", os.fsencode(at or "")
        inside = raw.rstrip(os.sep.encode()) + os.sep.encode()
        rows = self.sound_rows(sql) if at is None else self.sound_rows(
            f"{sql} WHERE path = ? OR (path > ? AND path < ?) OR (path > ? AND path < ?)",
            (raw, inside, inside[:-1] + bytes([inside[-1] + 1]), raw + MARK.encode(), raw + MARK.encode() + b":"),
        )  # fmt: skip
        return {(path := os.fsdecode(raw)): File(path, size, mtime) for raw, size, mtime in rows}

    def drives(self) -> set[str]:
        """Mount points seen below indexed folders."""
        try:
            found = json.loads(self.meta("drives") or "[]")
        except (ValueError, RecursionError):  # a gallery of somebody else's
            return set()
        return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()

    def counts(self) -> tuple[int, int]:
        """Number of files, and of different pictures and scenes among them."""
        return counting.counts(self)

    def incomplete(self) -> set[str]:
        """Paths of pictures without facts, perceptual hash, texts or metadata, which older releases did not store."""
        with self._own_errors():
            rows = self._db.execute(f"SELECT path FROM {_JOINED} WHERE format IS NULL OR phash IS NULL OR {_UNREAD}")
            return {os.fsdecode(raw) for (raw,) in rows}

    def digests(self) -> set[bytes]:
        """Hashes of all pictures that are complete."""
        with self._own_errors():
            complete = f"format IS NOT NULL AND phash IS NOT NULL AND NOT {_UNREAD}"
            rows = self._db.execute(f"SELECT hash FROM contents WHERE {complete}")
            return {row[0] for row in rows}

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash, if there is one."""
        with self._own_errors():
            row = self._db.execute("SELECT id FROM contents WHERE hash = ?", (digest,)).fetchone()
        return row[0] if row else None

    def has_hidden(self) -> bool:
        """Whether any picture is hidden."""
        with self._own_errors():
            return has_hidden(self._db)

    def stored_pixels(self, content: int) -> bytes | None:
        """The JPEG that `store_pixels` stored."""
        rows = self.rows("SELECT picture FROM kept WHERE content = ?", (content,))
        return rows[0][0] if rows else None

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (n,) and float16 vectors (n, D) of all pictures with a path, in order of the ids."""
        return self.as_vectors(self.sound_vectors("WHERE id IN (SELECT content FROM files) ORDER BY id"))

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
        ((_, raw),) = self.sound_vectors("WHERE id = ?", (content,))
        return np.frombuffer(raw, "<f2").astype(np.float32)

    def phash(self, content: int) -> int | None:
        """The perceptual hash of one picture, 64 bits; None when an older release stored none, or it is gone."""
        sound = is_sound("contents", "facts_crc")
        rows = self.sound_rows(f"SELECT phash, {sound} FROM contents WHERE id = ?", (content,))
        return None if not rows or rows[0][0] is None else rows[0][0] % (1 << 64)

    def phashes(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Ids (n,) in ascending order and perceptual hashes (n,) of all pictures with a path; 0 where none is known."""
        ids = "SELECT id, ifnull(phash, 0) FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id"
        known = np.array(self.rows(ids), np.int64).reshape(-1, 2)
        return known[:, 0], known[:, 1].astype(np.uint64)  # SQLite's integers have a sign

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an SQL query."""
        with self._own_errors():
            rows: list[tuple[Any, ...]] = self._db.execute(sql, values).fetchall()
        return rows

    def sound_rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an SQL query whose last column says whether the row is sound (`checksums.is_sound`), without it.

        Raises:
            GalleryCorrupt: one is not.
        """
        rows = self.rows(sql, values)
        if not all(row[-1] for row in rows):
            raise self.damaged()
        return [row[:-1] for row in rows]

    def sound_vectors(self, where: str, values: Sequence[Any] = ()) -> list[tuple[int, bytes]]:
        """Ids and vectors of the pictures that an SQL condition selects; checked, and refused, as by `sound_rows`."""
        rows = self.rows(f"SELECT id, hash, vector, vector_crc FROM contents {where}", values)
        if not all(is_sound_vector(*row) for row in rows):
            raise self.damaged()
        return [(content, vector) for content, _, vector, _ in rows]

    def damaged(self, what: str = "a row does not match its checksum") -> GalleryCorrupt:
        """The error of damage that a read has found."""
        return GalleryCorrupt(
            f"{self.folder / FILE_NAME} is damaged: {what}. Run `araclip repair`; your pictures are not touched."
        )

    def content_of(self, path: str) -> int | None:
        """The id of the picture at a path, if the path is indexed."""
        sql = f"SELECT content, {is_sound('files', 'crc')} FROM files WHERE path = ?"
        rows = self.sound_rows(sql, (os.fsencode(path),))
        return rows[0][0] if rows else None

    def metadata_of(self, path: str) -> dict[str, Any]:
        """The metadata stored with a path; empty if there is none."""
        rows = self.sound_rows(f"SELECT metadata, {_SOUND_FILE} FROM files WHERE path = ?", (os.fsencode(path),))
        return read_metadata(rows[0][0]) if rows else {}

    def record(self, identity: str) -> PictureRecord | None:
        """A picture by its id (see `identity_of`), with all its paths."""
        first = bytes.fromhex(identity)
        rows = self.sound_rows(f"{_RECORDS} WHERE hash BETWEEN ? AND ? ORDER BY path", (first, first + b"\xff" * 16))
        return _record(rows) if rows else None

    def records_at(self, paths: Sequence[str]) -> dict[str, PictureRecord]:
        """The picture at each path, with that path as its only copy; unknown paths are left out."""
        records: dict[str, PictureRecord] = {}
        for start in range(0, len(paths), _AT_ONCE):
            raw = [os.fsencode(path) for path in paths[start : start + _AT_ONCE]]
            for row in self.sound_rows(f"{_RECORDS} WHERE path IN ({', '.join('?' * len(raw))})", raw):
                records[os.fsdecode(row[-3])] = _record([row])
        return records

    def records_of(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Pictures by their ids in this catalogue, with all their paths; unknown ids are left out."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        for start in range(0, len(contents), _AT_ONCE):
            some = contents[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            for row in self.sound_rows(f"{_RECORDS} WHERE files.content IN ({marks}) ORDER BY path", some):
                found.setdefault(row[0], []).append(row)
        return {content: _record(rows) for content, rows in found.items()}

    def newest(self, count: int) -> list[str]:
        """The ids of the pictures that came last, newest first."""
        there = "EXISTS (SELECT 1 FROM files WHERE content = contents.id)"
        sql = f"SELECT hash FROM contents WHERE {there} ORDER BY id DESC LIMIT ?"
        return [identity_of(digest) for (digest,) in self.rows(sql, (count,))]

    def formats(self) -> dict[str, int]:
        """How many pictures there are of each format, the most frequent first."""
        sql = "SELECT ifnull(format, 'not known'), count(*) AS n FROM contents GROUP BY 1 ORDER BY n DESC, 1"
        return dict(self.rows(sql))

    def captured_at(self) -> tuple[str, str] | None:
        """The first and the last EXIF date; None without any."""
        first, last = self.rows("SELECT min(taken), max(taken) FROM contents")[0]
        return (first, last) if first else None

    def overview(self) -> Overview:
        """Counts of this generation; reads every path."""
        folders = counting.folders(self)
        return Overview(self.counts()[0], self.formats(), folders, self.captured_at())

    def damages(self) -> list[damage.Damage]:
        """All damage that checksums and SQLite's own check find; reads the whole catalogue."""
        with self._own_errors(), self.reading():
            return list(damage.damages(self._db))

    def has_sound_structure(self) -> bool:
        """Whether only single rows can be damaged, which `repair` mends without a new file."""
        try:
            with self._own_errors(), self.reading():
                return next(damage.structural_damages(self._db), None) is None
        except GalleryCorrupt:
            return False

    def reading(self) -> AbstractContextManager[None]:
        """A read transaction: all reads inside see the same state."""
        return transaction.snapshot(self._db)

    def close(self) -> None:
        """Close the connection; SQLite checkpoints the write-ahead log."""
        self._db.close()


def _record(rows: Sequence[tuple[Any, ...]]) -> PictureRecord:
    """A picture from its rows of _RECORDS, one for each path."""
    copies = tuple(Copy(os.fsdecode(path), size, read_metadata(about)) for *_, path, size, about in rows)
    content, digest, kind, width, height, captured_at, added, *photo = rows[0][:-3]
    camera, lens, latitude, longitude, place, hidden = photo
    return PictureRecord(
        content, digest, kind, width, height, captured_at, added, copies, camera, lens, latitude, longitude, place,
        bool(hidden),
    )  # fmt: skip
