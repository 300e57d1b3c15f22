"""The catalogue of a gallery in PostgreSQL; only the writer that holds the lock commits transactions."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from araclip.gallery.catalog import counting, hidden_marks
from araclip.gallery.catalog.embedded_pictures import EmbeddedPictures
from araclip.gallery.catalog.matching import name_at, name_tokens, tokens
from araclip.gallery.catalog.records import STORED_PREFIX, File, Overview, PictureRecord, now, signed
from araclip.gallery.catalog.store import Store
from araclip.gallery.postgres.database import PATIENCE, Database
from araclip.gallery.postgres.schema import (
    NEXT_GENERATION,
    PICTURE,
    Row,
    State,
    below,
    marks_of,
    read_state,
    record_of,
    row_of,
    sent,
    storable,
    vector_of,
    vectors_of,
    words_of,
)
from araclip.gallery.recorded_model import RecordedModel
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata
from araclip.pictures.video.scenes import MARK, belongs
from araclip.text.places import tokens_of

PAGE = 1000  # pictures that one SQL statement reads
HIDDEN = "SELECT id FROM contents WHERE hidden"
PUT_AT_ONCE = 1000  # pictures that one SQL statement stores; it takes about 4 MB with vectors of 384 numbers
_CONTENTS = """INSERT INTO contents (hash, added, format, width, height, phash, caption, photo)
    SELECT decode(hash, 'hex'), ?, format, width, height, phash, caption, photo FROM json_to_recordset(?)
    AS new (hash text, format text, width int, height int, phash bigint, caption text, photo text)
    ON CONFLICT (hash) DO NOTHING RETURNING id"""
_VECTORS = """INSERT INTO {table} SELECT id, vector::halfvec FROM json_to_recordset(?) AS new (hash text, vector text)
    JOIN contents ON contents.hash = decode(new.hash, 'hex') ON CONFLICT (content) DO NOTHING"""
_FILES = """INSERT INTO files (path, content, size, mtime_ns, metadata, marks, name_words)
    SELECT decode(path, 'hex'), id, size, mtime_ns, metadata, marks, name_words FROM json_to_recordset(?)
    AS new (path text, hash text, size bigint, mtime_ns bigint, metadata text, marks text[], name_words text[])
    JOIN contents ON contents.hash = decode(new.hash, 'hex') RETURNING content"""
_TAKEN = """SELECT (value->>1)::int FROM json_array_elements(?) AS value
    JOIN files ON path = decode(value->>0, 'hex')"""
_DERIVED = "taken text, latitude float8, longitude float8, camera_words text[], lens_words text[], place_words text[], "
_DERIVED += "words text[], letters text, shown boolean"  # columns of `contents` that are derived
_PLACE = "@"  # before the whole place, the first of `place_words`; no filter asks for a word that begins so


class PostgresCatalog(Store):
    """The catalogue of one gallery. All changes are made inside `writing()`, which must be inside `turn()`."""

    def __init__(self, database: Database, model: Encoder | None) -> None:
        self.database = database
        self._model = model
        self._changed: dict[int, None] = {}  # pictures whose derived columns must be updated before the commit

    @property
    def folder(self) -> str:
        return self.database.name

    def state(self) -> State:
        state = read_state(self.database)
        if self._model:
            state.check(self._model, self.folder)
        return state

    @property
    def generation(self) -> str:
        return self.state().generation

    @property
    def recorded(self) -> RecordedModel:
        return self.state().model

    @property
    def vectors(self) -> str:
        return vectors_of(self.recorded.fingerprint)

    @property
    def stored_bytes(self) -> int:
        """The bytes that the schema takes on the server, with its indexes."""
        sql = "SELECT sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)) FROM pg_tables "
        return int(self.database.rows(f"{sql} WHERE schemaname = ?", (self.database.schema,))[0][0] or 0)

    def rows(self, condition: str = "shown", values: Sequence[Any] = ()) -> Iterator[Row]:
        sql = f"SELECT {PICTURE} FROM contents WHERE id > ? AND ({condition}) ORDER BY id LIMIT {PAGE}"
        last = 0
        while found := self.database.rows(sql, (last, *values)):
            yield from map(row_of, found)
            last = found[-1][0]

    def rows_with_vectors(self) -> tuple[list[Row], Vectors]:
        """Return all pictures in the order of indexing, and their vectors (n, D)."""
        with self.database.reading():
            vectors = self.vectors_where("shown ORDER BY content")
            return list(self.rows()), vectors

    def vectors_where(self, condition: str, values: Sequence[Any] = ()) -> Vectors:
        """Return the vectors (n, D) of the pictures that pass an SQL condition; it may end in ORDER BY."""
        join = f"{self.vectors} JOIN contents ON id = content"
        found = self.database.rows(f"SELECT halfvec_send(vector) FROM {join} WHERE {condition}", values)
        return np.stack([vector_of(sent) for (sent,) in found]) if found else np.zeros((0, self.recorded.width), "f4")

    def by_id(self, content: int) -> Row:
        (row,) = self.rows("id = ?", (content,))
        return row

    def content(self, digest: bytes) -> int | None:
        found: int | None = self._first("SELECT id FROM contents WHERE hash = ?", digest)
        return found

    def content_of(self, path: str) -> int | None:
        found: int | None = self._first("SELECT content FROM files WHERE path = ?", os.fsencode(path))
        return found

    def record(self, identity: str) -> PictureRecord | None:
        first = bytes.fromhex(identity)
        rows = self.rows("shown AND hash BETWEEN ? AND ?", (first, first + b"\xff" * 16))
        return next(map(record_of, list(rows)), None)

    def metadata_of(self, path: str) -> dict[str, Any]:
        found = self._first("SELECT metadata FROM files WHERE path = ?", os.fsencode(path))
        return dict(json.loads(found or "{}"))

    def vector(self, content: int) -> Vectors:
        (found,) = self.vectors_where("id = ?", (content,))
        vector: Vectors = found
        return vector

    def stored_pixels(self, content: int) -> bytes | None:
        found: bytes | None = self._first("SELECT pixels FROM contents WHERE id = ?", content)
        return found

    def files(self, at: str | None = None) -> dict[str, File]:
        sql, values = "SELECT path, size, mtime_ns FROM files", list[bytes]()
        if at is not None:
            sql += " WHERE path = ? OR path >= ? AND path < ? OR path >= ? AND path < ?"
            values = [os.fsencode(at), *below(f"{at}{os.sep}"), *below(f"{at}{MARK}")]
        found = self.database.rows(sql, values)
        files = {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in found}
        return files if at is None else {path: file for path, file in files.items() if belongs(path, at)}

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        sql = "SELECT path, beside_size, beside_mtime_ns FROM files WHERE beside_size IS NOT NULL"
        found = self.database.rows(*((sql,) if at is None else (f"{sql} AND path = ?", (os.fsencode(at),))))
        return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in found}

    def drives(self) -> set[str]:
        return set(json.loads(self._first("SELECT drives FROM gallery") or "[]"))

    def counts(self) -> tuple[int, int]:
        return counting.counts(self.database)

    def digests(self) -> set[bytes]:
        return {digest for (digest,) in self.database.rows("SELECT hash FROM contents WHERE format IS NOT NULL")}

    def incomplete(self) -> set[str]:
        sql = "SELECT path FROM files JOIN contents ON id = content WHERE format IS NULL"
        return {os.fsdecode(raw) for (raw,) in self.database.rows(sql)}

    def overview(self) -> Overview:
        with self.database.reading():
            formats = self.database.rows(
                "SELECT coalesce(format, 'not known') AS kind, count(*) AS n FROM contents WHERE shown GROUP BY 1 "
                "ORDER BY n DESC, kind"
            )
            ((first, last),) = self.database.rows("SELECT min(taken), max(taken) FROM contents WHERE shown")
            ends = (first, last) if first else None
            return Overview(self.counts()[0], dict(formats), counting.folders(self.database, HIDDEN), ends)

    # ------------------------------------------------------------------ changes

    @contextmanager
    def turn(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the writer's lock, for the length of a `with` block."""
        with self.database.locked(patience):
            self.state()
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run a `with` block as a transaction: all changes inside become visible as a new generation, or none."""
        with self.database.transaction():
            self._changed = {}
            yield
            self._derive()
            self.database.rows(f"UPDATE gallery SET {NEXT_GENERATION}")

    def remember_drives(self, drives: set[str]) -> None:
        self.database.rows("UPDATE gallery SET drives = ?", (json.dumps(sorted(drives)),))

    def add_content(self, digest: bytes, vector: Vectors) -> int:
        content: int = self._first(
            "INSERT INTO contents (hash, added) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash "
            "RETURNING id",
            digest, now(),
        )  # fmt: skip
        self.put_vector(self.vectors, content, vector)
        return content

    def put_vector(self, table: str, content: int, vector: Vectors) -> None:
        """Store a picture's vector in the table of a model."""
        self.database.rows(
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (content) DO UPDATE SET vector = excluded.vector",
            (content, sent(vector)),
        )

    def put_embedded(self, group: EmbeddedPictures) -> int:
        added = 0
        for start in range(0, len(group), PUT_AT_ONCE):
            rows = range(start, min(start + PUT_AT_ONCE, len(group)))
            new, contents = _put(self.database, self.vectors, group, rows)
            added += new
            self._changed |= dict.fromkeys(contents)
        self.database.rows(  # pictures that were hidden when they were removed are hidden again
            "UPDATE contents SET hidden = TRUE WHERE hash IN (SELECT hash FROM hidden_gone)"
        )
        return added

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        self._changed[content] = None
        about = (facts.format, facts.width, facts.height, signed(phash), storable(facts.caption), facts.photo.to_json())
        self.database.rows(
            "UPDATE contents SET format = ?, width = ?, height = ?, phash = ?, caption = ?, photo = ? WHERE id = ?",
            (*about, content),
        )

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Record that `file` holds picture `content`. The path keeps its metadata unless new metadata is given."""
        raw, about = os.fsencode(file.path), dict(metadata or {})
        before = self.content_of(file.path)
        if hidden_marks.inherits(self.database, HIDDEN, raw, content):
            self.database.rows("UPDATE contents SET hidden = TRUE WHERE id = ?", (content,))
        hidden_marks.came_back(self.database, raw, content)
        kept = "" if metadata is None else (
            ", metadata = excluded.metadata, marks = excluded.marks, name_words = excluded.name_words"
        )  # fmt: skip
        self.database.rows(
            "INSERT INTO files (path, content, size, mtime_ns, metadata, marks, name_words) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET content = excluded.content, "
            f"size = excluded.size, mtime_ns = excluded.mtime_ns{kept}",
            (raw, content, file.size, file.mtime_ns, json.dumps(about), [storable(mark) for mark in marks_of(about)],
             [storable(word) for word in name_tokens(name_at(file.path, about))]),
        )  # fmt: skip
        self._changed |= dict.fromkeys(each for each in (before, content) if each is not None)

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        beside = (None, None) if caption is None else (file.size, file.mtime_ns)
        found = self.database.rows(
            "UPDATE files SET caption = ?, beside_size = ?, beside_mtime_ns = ?, photo = ? WHERE path = ? "
            "RETURNING content",
            (storable(caption or ""), *beside, (photo or NOTHING_KNOWN).to_json(), os.fsencode(path)),
        )
        self._changed |= {content: None for (content,) in found}

    def set_hidden(self, contents: Iterable[int], hide: bool) -> int:
        ids = counting.with_their_videos(self.database, contents)
        hidden_marks.shown(self.database, ids)
        sql = "UPDATE contents SET hidden = ? WHERE id = ANY(?) AND hidden <> ? RETURNING id"
        return len(self.database.rows(sql, (hide, ids, hide)))

    def store_pixels(self, content: int, picture: bytes) -> None:
        self.database.rows("UPDATE contents SET pixels = ? WHERE id = ?", (picture, content))

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures that have no path left. Another copy of a picture inherits the path's metadata."""
        for path in paths:
            hidden_marks.note_gone(self.database, HIDDEN, os.fsencode(path))
            sql = "DELETE FROM files WHERE path = ? RETURNING content, metadata, marks"
            for content, metadata, marks in self.database.rows(sql, (os.fsencode(path),)):
                self._changed[content] = None
                if metadata != "{}":  # pass it on to a copy, so that a renamed file keeps its metadata
                    sql = (
                        "UPDATE files SET metadata = ?, marks = ? WHERE content = ? AND metadata = '{}' RETURNING path"
                    )
                    for (raw,) in self.database.rows(sql, (metadata, marks, content)):
                        name = name_tokens(name_at(os.fsdecode(raw), json.loads(metadata)))
                        sql = "UPDATE files SET name_words = ? WHERE path = ?"
                        self.database.rows(sql, ([storable(word) for word in name], raw))
                if path.startswith(STORED_PREFIX):
                    self.database.rows("UPDATE contents SET pixels = NULL WHERE id = ?", (content,))
        self.database.rows(
            "DELETE FROM contents WHERE (NOT shown OR id = ANY(?)) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)",
            (list(self._changed),),
        )

    def derive(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        placed = "latitude IS NOT NULL OR cardinality(place_words) > 0"
        sql = f"SELECT id FROM contents WHERE ({placed}) AND coalesce(place_words[1], '') NOT LIKE '{_PLACE}%'"
        if missing := self.database.rows(sql):
            with turn(), self.writing():
                self._changed |= {content: None for (content,) in missing}

    def compact(self) -> int:
        """Free the space of removed pictures, for new ones; return the number of bytes given back to the system."""
        before = self.stored_bytes
        for table in ("contents", "files", self.vectors):
            self.database.rows(f"VACUUM (ANALYZE) {table}")
        return max(0, before - self.stored_bytes)

    def _derive(self) -> None:
        """Update the derived columns of changed pictures, which filters and searches use."""
        changed = [_derived(row) for row in self.rows("id = ANY(?)", (list(self._changed),))]
        columns = ", ".join(f"{name} = new.{name}" for name in (part.split()[0] for part in _DERIVED.split(", ")))
        self.database.rows(
            f"UPDATE contents SET {columns} FROM json_to_recordset(?) AS new (id bigint, {_DERIVED}) "
            "WHERE contents.id = new.id",
            (json.dumps(changed),),
        )

    def _first(self, sql: str, *values: Any) -> Any:
        found = self.database.rows(sql, values)
        return found[0][0] if found else None


def _derived(row: Row) -> dict[str, Any]:
    photo, words = row.photo, words_of(row)
    place = photo.place or ""
    return {
        "id": row.id,
        "taken": photo.captured_at,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        **{f"{name}_words": sorted(map(storable, tokens(getattr(photo, name) or ""))) for name in ("camera", "lens")},
        "place_words": [storable(each) for each in (_PLACE + place, *sorted(tokens_of(place)))],
        "words": sorted({storable(word.stem) for word in words}),
        "letters": " ".join(sorted({storable(word.folded) for word in words})),
        "shown": bool(row.files),
    }


# ------------------------------------------------------------------ pictures that were embedded elsewhere


def _put(database: Database, vectors: str, group: EmbeddedPictures, rows: range) -> tuple[int, list[int]]:
    """Store some rows of a group, inside a transaction; known paths stay as they are.

    `vectors` names the table for the vectors.

    Returns:
        How many pictures were new, and the ids of the pictures that have a new path.
    """
    paths = {group.paths[row]: row for row in reversed(rows)}  # if a path comes twice, the first row counts
    asked = json.dumps([[os.fsencode(path).hex(), row] for path, row in paths.items()])
    taken = {int(row) for (row,) in database.rows(_TAKEN, (asked,))}
    new = [row for row in sorted(paths.values()) if row not in taken]
    pictures = json.dumps(list({group.digests[row]: _picture(group, row) for row in reversed(new)}.values()))
    added = database.rows(_CONTENTS, (now(), pictures))
    database.rows(_VECTORS.format(table=vectors), (pictures,))
    files = database.rows(_FILES, (json.dumps([_file(group, row) for row in new]),))
    return len(added), [content for (content,) in files]


def _picture(group: EmbeddedPictures, row: int) -> dict[str, Any]:
    facts = group.facts(row)
    return {
        "hash": group.digests[row].hex(),
        "format": facts.format,
        "width": facts.width,
        "height": facts.height,
        "phash": signed(group.phashes[row]),
        "caption": storable(facts.caption),
        "photo": facts.photo.to_json(),
        "vector": sent(group.vectors[row]),
    }


def _file(group: EmbeddedPictures, row: int) -> dict[str, Any]:
    file, about = group.file(row), dict(group.metadata[row])
    return {
        "path": os.fsencode(file.path).hex(),
        "hash": group.digests[row].hex(),
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "metadata": json.dumps(about),
        "marks": [storable(mark) for mark in marks_of(about)],
        "name_words": [storable(word) for word in name_tokens(name_at(file.path, about))],
    }
