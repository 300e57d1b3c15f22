"""Queries on a gallery in PostgreSQL: pictures, paths and vectors."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.gallery.catalog import counting
from araclip.gallery.catalog.records import File, Overview, PictureRecord
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.schema import read_state, vectors_of
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.rows import FileEntry, Row, record_of
from araclip.gallery.remote.state import State
from araclip.photo_metadata.record import PhotoMetadata
from araclip.pictures.picture_facts import Facts
from araclip.video.scene_paths import MARK

PICTURE = """contents.id, hash, added, format, width, height, contents.caption, contents.photo, phash, hidden,
    (SELECT json_agg(json_build_array(encode(path, 'hex'), size, mtime_ns, metadata, caption, beside_size,
     beside_mtime_ns, photo)) FROM files WHERE content = contents.id)"""  # the columns of `row_of`
PAGE = 1000  # pictures a statement
Vectors = NDArray[np.float32]


def row_of(values: Sequence[Any]) -> Row:
    """The picture of the columns PICTURE."""
    content, digest, added, kind, width, height, caption, photo, phash, hidden, files = values
    about = asdict(PhotoMetadata.from_json(photo))
    facts = Facts(kind, width, height, caption=caption, **about) if kind else None
    return Row(content, digest, added, facts, phash % 2**64, tuple(map(_entry, files or ())), "", hidden)


def _entry(values: Sequence[Any]) -> FileEntry:
    path, size, mtime_ns, metadata, caption, beside_size, beside_mtime_ns, photo = values
    file = File(os.fsdecode(bytes.fromhex(path)), size, mtime_ns)
    beside = None if beside_size is None else (beside_size, beside_mtime_ns)
    return FileEntry(file, json.loads(metadata), caption, beside, PhotoMetadata.from_json(photo))


def vector_of(sent: bytes) -> Vectors:
    """(D,) from what `halfvec_send` gives: two numbers of 16 bits, then the vector's."""
    return np.frombuffer(sent, ">f2", offset=4).astype(np.float32)


class PostgresLookups:
    """The read-only part of `PostgresCatalog`; documented in `CatalogLookups`."""

    def __init__(self, database: Database, model: Encoder | None) -> None:
        """The gallery in a database, with vectors of `model`, or of any model if None."""
        self.database = database
        self._model = model

    @property
    def folder(self) -> str:
        """The address."""
        return self.database.name

    def state(self) -> State:
        """The current state.

        Raises:
            WidthMismatch: the vectors are not of our model.
        """
        state = read_state(self.database)
        if self._model:
            state.check(self._model, self.folder)
        return state

    @property
    def generation(self) -> str:
        """A token of the last commit: equal tokens, equal content."""
        return self.state().generation

    @property
    def recorded(self) -> RecordedModel:
        """The model of the vectors."""
        return self.state().model

    @property
    def vectors(self) -> str:
        """The table with the vectors."""
        return vectors_of(self.recorded.fingerprint)

    @property
    def stored_bytes(self) -> int:
        """What the schema takes, with its indexes."""
        sql = "SELECT sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)) FROM pg_tables "
        return int(self.database.rows(f"{sql} WHERE schemaname = ?", (self.database.schema,))[0][0] or 0)

    def rows(self, condition: str = "shown", values: Sequence[Any] = ()) -> Iterator[Row]:
        """Every picture that passes, in the order of indexing; a condition on columns of `contents`."""
        sql = f"SELECT {PICTURE} FROM contents WHERE id > ? AND ({condition}) ORDER BY id LIMIT {PAGE}"
        last = 0
        while found := self.database.rows(sql, (last, *values)):
            yield from map(row_of, found)
            last = found[-1][0]

    def rows_with_vectors(self) -> tuple[list[Row], Vectors]:
        """Pictures in the order of indexing, and their vectors (n, D)."""
        with self.database.reading():
            vectors = self.vectors_where("shown ORDER BY content")
            return list(self.rows()), vectors

    def vectors_where(self, condition: str, values: Sequence[Any] = ()) -> Vectors:
        """(n, D) vectors of pictures that pass a condition, which may order them."""
        join = f"{self.vectors} JOIN contents ON id = content"
        found = self.database.rows(f"SELECT halfvec_send(vector) FROM {join} WHERE {condition}", values)
        return np.stack([vector_of(sent) for (sent,) in found]) if found else np.zeros((0, self.recorded.width), "f4")

    def by_id(self, content: int) -> Row:
        """A picture by its id in this gallery."""
        (row,) = self.rows("id = ?", (content,))
        return row

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash."""
        found: int | None = self._first("SELECT id FROM contents WHERE hash = ?", digest)
        return found

    def content_of(self, path: str) -> int | None:
        """The id of the picture at a path."""
        found: int | None = self._first("SELECT content FROM files WHERE path = ?", os.fsencode(path))
        return found

    def record(self, identity: str) -> PictureRecord | None:
        """A picture by its id over HTTP."""
        first = bytes.fromhex(identity)
        rows = self.rows("shown AND hash BETWEEN ? AND ?", (first, first + b"\xff" * 16))
        return next(map(record_of, list(rows)), None)

    def metadata_of(self, path: str) -> dict[str, Any]:
        """The metadata stored with a path."""
        found = self._first("SELECT metadata FROM files WHERE path = ?", os.fsencode(path))
        return dict(json.loads(found or "{}"))

    def vector(self, content: int) -> Vectors:
        """The vector (D,) of a picture."""
        (found,) = self.vectors_where("id = ?", (content,))
        vector: Vectors = found
        return vector

    def stored_pixels(self, content: int) -> bytes | None:
        """The JPEG of a picture without a file."""
        found: bytes | None = self._first("SELECT pixels FROM contents WHERE id = ?", content)
        return found

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or those at a path and below."""
        sql, values = "SELECT path, size, mtime_ns FROM files", list[bytes]()
        if at is not None:
            sql += " WHERE path = ? OR path >= ? AND path < ? OR path >= ? AND path < ?"
            values = [os.fsencode(at), *below(f"{at}{os.sep}"), *below(f"{at}{MARK}")]
        found = self.database.rows(sql, values)
        return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in found}

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """Size and time of change of the side-car captions, by the path of their picture; all, or one."""
        sql = "SELECT path, beside_size, beside_mtime_ns FROM files WHERE beside_size IS NOT NULL"
        found = self.database.rows(*((sql,) if at is None else (f"{sql} AND path = ?", (os.fsencode(at),))))
        return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in found}

    def drives(self) -> set[str]:
        """Mount points seen below indexed folders."""
        return set(json.loads(self._first("SELECT drives FROM gallery") or "[]"))

    def counts(self) -> tuple[int, int]:
        """Number of files, and of pictures."""
        return counting.counts(self.database)

    def digests(self) -> set[bytes]:
        """Hashes of all pictures that are complete."""
        return {digest for (digest,) in self.database.rows("SELECT hash FROM contents WHERE format IS NOT NULL")}

    def incomplete(self) -> set[str]:
        """Paths of pictures without facts."""
        sql = "SELECT path FROM files JOIN contents ON id = content WHERE format IS NULL"
        return {os.fsdecode(raw) for (raw,) in self.database.rows(sql)}

    def overview(self) -> Overview:
        """Counts of the current generation; reads every path."""
        with self.database.reading():
            formats = self.database.rows(
                "SELECT coalesce(format, 'not known') AS kind, count(*) AS n FROM contents WHERE shown GROUP BY 1 "
                "ORDER BY n DESC, kind"
            )
            ((first, last),) = self.database.rows("SELECT min(taken), max(taken) FROM contents WHERE shown")
            ends = (first, last) if first else None
            return Overview(self.counts()[0], dict(formats), counting.folders(self.database), ends)

    def _first(self, sql: str, *values: Any) -> Any:
        found = self.database.rows(sql, values)
        return found[0][0] if found else None


def below(prefix: str) -> tuple[bytes, bytes]:
    """The first path that begins so, and the first after all of them."""
    raw = os.fsencode(prefix)
    return raw, raw[:-1] + bytes([raw[-1] + 1])
