"""The catalogue of a gallery in PostgreSQL; only the writer that holds the lock commits transactions."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.matching import is_glob, marks_of, name_at, name_tokens, pg_entry, pg_text, tokens
from araclip.gallery.catalog.records import (
    STORED_PREFIX,
    EmbeddedPicture,
    File,
    Overview,
    PictureRecord,
    RecordedModel,
    timestamp,
    to_signed,
)
from araclip.gallery.catalog.sql_store import JOINED
from araclip.gallery.catalog.store import LATER_SCENES, NextVectors, Store, as_files
from araclip.gallery.postgres.conditions import any_file_passes, condition_of
from araclip.gallery.postgres.database import PATIENCE, Database
from araclip.gallery.postgres.schema import (
    GONE,
    NEXT_GENERATION,
    PICTURE,
    Row,
    State,
    build_graph,
    create_vectors,
    drop_vectors_but,
    pg_vector,
    read_state,
    record_from_row,
    row_from_values,
    texts_by_field,
    vector_from_bytes,
    vectors_table,
)
from araclip.models.encoder import Encoder
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import PhotoMetadata
from araclip.text.places import place_tokens
from araclip.text.words import words

PAGE = 1000  # pictures that one SQL statement reads
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
_KNOWN_PATHS = """SELECT (value->>1)::int FROM json_array_elements(?) AS value
    JOIN files ON path = decode(value->>0, 'hex')"""
_DERIVED = "taken text, latitude float8, longitude float8, camera_words text[], lens_words text[], place_words text[], "
_DERIVED += "words text[], letters text, shown boolean"  # the columns of `contents` that `_derive` computes
# The first entry of the column `place_words` is the sign _PLACE and the whole place. No filter matches this entry,
# because words never contain the sign.
_PLACE = "@"


class PostgresCatalog(Store):
    """The catalogue of one gallery. All changes are made inside `writing()`, called inside `turn()` (the lock)."""

    hidden = "SELECT id FROM contents WHERE hidden"
    is_hidden = "hidden"
    unread = "format IS NULL"
    shown = "shown"
    stored = "(SELECT count(*) FROM contents WHERE pixels IS NOT NULL AND NOT hidden)"
    loose = "SELECT 1 FROM contents WHERE NOT shown LIMIT 1"

    def __init__(self, database: Database, model: Encoder | None) -> None:
        self.database = database
        self.folder = database.name
        self._model = model
        self._changed: dict[int, None] = {}  # pictures whose derived columns must be updated before the commit

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        return self.database.rows(sql, values)

    def meta(self, key: str) -> str:
        return str(self._first_value(f"SELECT {key} FROM gallery"))

    def reading(self) -> AbstractContextManager[None]:
        return self.database.reading()

    def state(self) -> State:
        state = read_state(self.database)
        if self._model:
            state.model.check(self._model, self.folder)
        return state

    @property
    def generation(self) -> str:
        return self.state().generation

    @property
    def recorded(self) -> RecordedModel:
        return self.state().model

    @property
    def table(self) -> str:
        """The name of the table that holds the vectors of the gallery's model."""
        return vectors_table(self.recorded.fingerprint)

    @property
    def stored_bytes(self) -> int:
        sql = "SELECT sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)) FROM pg_tables "
        return int(self.database.rows(f"{sql} WHERE schemaname = ?", (self.database.schema,))[0][0] or 0)

    def pictures(self, condition: str = "shown", values: Sequence[Any] = ()) -> Iterator[Row]:
        sql = f"SELECT {PICTURE} FROM contents WHERE id > ? AND ({condition}) ORDER BY id LIMIT {PAGE}"
        last = 0
        while found := self.database.rows(sql, (last, *values)):
            yield from map(row_from_values, found)
            last = found[-1][0]

    def vectors(self) -> tuple[Ids, Vectors]:
        return self.vectors_where("shown ORDER BY id")

    def vectors_where(self, condition: str, values: Sequence[Any] = ()) -> tuple[Ids, Vectors]:
        """Return the ids (n,) and vectors (n, D) of pictures that pass an SQL condition (ORDER BY may follow)."""
        join = f"{self.table} JOIN contents ON id = content"
        found = self.database.rows(f"SELECT id, halfvec_send(vector) FROM {join} WHERE {condition}", values)
        vectors = [vector_from_bytes(raw) for _, raw in found]
        ids = np.array([content for content, _ in found], np.int64)
        return ids, np.stack(vectors) if vectors else np.zeros((0, self.recorded.width), np.float32)

    def _records(self, condition: str, values: Sequence[Any]) -> list[PictureRecord]:
        return list(map(record_from_row, self.pictures(f"shown AND ({condition})", values)))

    def vector(self, content: int) -> Vectors:
        _, (vector,) = self.vectors_where("id = ?", (content,))
        return np.asarray(vector)

    def stored_pixels(self, content: int) -> bytes | None:
        found: bytes | None = self._first_value("SELECT pixels FROM contents WHERE id = ?", content)
        return found

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        sql = "SELECT path, beside_size, beside_mtime_ns FROM files WHERE beside_size IS NOT NULL"
        return as_files(self.rows(sql) if at is None else self.rows(f"{sql} AND path = ?", (os.fsencode(at),)))

    def overview(self) -> Overview:
        with self.reading():
            return super().overview()

    def ids_and_dates(self, filters: Filters) -> tuple[Ids, list[str]]:
        condition, values = condition_of(filters)
        if not filters.every_scene:
            condition += f" AND id NOT IN ({LATER_SCENES})"
        if filters.name is not None and is_glob(filters.name):  # a glob is compared in Python, after the query
            found = (row for row in self.pictures(condition, values) if any_file_passes(row, filters))
            rows: list[list[Any]] = [[row.id, row.photo.captured_at or ""] for row in found]
        else:
            rows = self.rows(f"SELECT id, coalesce(taken, '') FROM contents WHERE {condition}", values)
        return np.array([number for number, _ in rows], np.int64), [date for _, date in rows]

    def any_passes(self, filters: Filters) -> bool:
        condition, values = condition_of(filters)
        return bool(self.rows(f"SELECT 1 FROM contents WHERE {condition} LIMIT 1", values))

    def values(self, name: str) -> list[str]:
        if name == "place":
            rows = self.rows(
                "SELECT DISTINCT substr(place_words[1], 2) FROM contents "
                f"WHERE NOT hidden AND place_words[1] LIKE '{_PLACE}%'"
            )
        else:
            rows = self.rows(
                f"SELECT DISTINCT photo::json->>'{name}' FROM contents WHERE NOT hidden UNION "
                f"SELECT DISTINCT files.photo::json->>'{name}' FROM {JOINED} WHERE NOT hidden"
            )
        return sorted(value for (value,) in rows if value)

    def positions(self) -> list[list[Any]]:
        return self.rows(
            "SELECT id, latitude, longitude FROM contents WHERE shown AND latitude IS NOT NULL "
            f"AND id NOT IN ({LATER_SCENES}) ORDER BY id"
        )

    # ------------------------------------------------------------------ changes

    @contextmanager
    def turn(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the writer's lock, for the length of a `with` block."""
        with self.database.locked(patience):
            self.state()
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run a `with` block as a transaction: all changes inside become visible in one commit, or none."""
        with self.database.transaction():
            # create tables that a gallery of an earlier release lacks
            if not self.database.rows("SELECT to_regclass(?)", (f"{self.database.schema}.metadata_gone",))[0][0]:
                for definition in GONE:
                    self.database.rows(definition)
            self._changed = {}
            yield
            # Filters and searches use derived columns: compute these columns again for the changed pictures.
            changed = [_derive(row) for row in self.pictures("id = ANY(?)", (list(self._changed),))]
            columns = ", ".join(f"{name} = new.{name}" for name in (part.split()[0] for part in _DERIVED.split(", ")))
            self.database.rows(
                f"UPDATE contents SET {columns} FROM json_to_recordset(?) AS new (id bigint, {_DERIVED}) "
                "WHERE contents.id = new.id",
                (json.dumps(changed),),
            )
            self.database.rows(f"UPDATE gallery SET {NEXT_GENERATION}")

    def remember_drives(self, drives: set[str]) -> None:
        self.database.rows("UPDATE gallery SET drives = ?", (json.dumps(sorted(drives)),))

    def add_content(self, digest: bytes, vector: Vectors) -> int:
        content: int = self._first_value(
            "INSERT INTO contents (hash, added) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash "
            "RETURNING id",
            digest, timestamp(),
        )  # fmt: skip
        self.put_vector(self.table, content, vector)
        return content

    def put_vector(self, table: str, content: int, vector: NDArray[np.floating[Any]]) -> None:
        self.database.rows(
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (content) DO UPDATE SET vector = excluded.vector",
            (content, pg_vector(vector)),
        )

    def put_embedded(self, pictures: Sequence[EmbeddedPicture]) -> int:
        added, database = 0, self.database
        for start in range(0, len(pictures), PUT_AT_ONCE):
            group = pictures[start : start + PUT_AT_ONCE]
            # If a path comes twice, the first picture with it counts.
            paths = {group[row].file.path: row for row in reversed(range(len(group)))}
            pairs = json.dumps([[os.fsencode(path).hex(), row] for path, row in paths.items()])
            taken = {int(row) for (row,) in database.rows(_KNOWN_PATHS, (pairs,))}
            new = [group[row] for row in sorted(paths.values()) if row not in taken]
            values = json.dumps(list({each.digest: _picture_values(each) for each in reversed(new)}.values()))
            added += len(database.rows(_CONTENTS, (timestamp(), values)))
            database.rows(_VECTORS.format(table=self.table), (values,))
            files = database.rows(_FILES, (json.dumps(list(map(_file_values, new))),))
            self._changed |= {content: None for (content,) in files}
        database.rows(  # pictures that were hidden when they were removed are hidden again
            "UPDATE contents SET hidden = TRUE WHERE hash IN (SELECT hash FROM hidden_removed)"
        )
        return added

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        self._changed[content] = None
        self.database.rows(
            "UPDATE contents SET format = ?, width = ?, height = ?, phash = ?, caption = ?, photo = ? WHERE id = ?",
            (facts.format, facts.width, facts.height, to_signed(phash), pg_text(facts.caption), facts.photo.to_json(),
             content),
        )  # fmt: skip

    def put_file(
        self, file: File, content: int, metadata: Mapping[str, Any] | None = None, *, new: bool = False
    ) -> None:
        raw, about = os.fsencode(file.path), dict(metadata or {})
        before = self.content_of(file.path)
        self.hidden_pictures.keep(raw, content, before, new)
        kept = "" if metadata is None else (
            ", metadata = excluded.metadata, marks = excluded.marks, name_words = excluded.name_words"
        )  # fmt: skip
        self.database.rows(
            "INSERT INTO files (path, content, size, mtime_ns, metadata, marks, name_words) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET content = excluded.content, "
            f"size = excluded.size, mtime_ns = excluded.mtime_ns{kept}",
            (raw, content, file.size, file.mtime_ns, json.dumps(about), list(map(pg_entry, marks_of(about))),
             list(map(pg_entry, name_tokens(name_at(file.path, about))))),
        )  # fmt: skip
        self._changed |= dict.fromkeys(each for each in (before, content) if each is not None)

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata) -> None:
        beside = (None, None) if caption is None else (file.size, file.mtime_ns)
        found = self.database.rows(
            "UPDATE files SET caption = ?, beside_size = ?, beside_mtime_ns = ?, photo = ? WHERE path = ? "
            "RETURNING content",
            (pg_text(caption or ""), *beside, photo.to_json(), os.fsencode(path)),
        )
        self._changed |= {content: None for (content,) in found}

    def mark_hidden(self, contents: Sequence[int], hide: bool) -> int:
        sql = "UPDATE contents SET hidden = ? WHERE id = ANY(?) AND hidden <> ? RETURNING id"
        return len(self.rows(sql, (hide, contents, hide)))

    def store_pixels(self, content: int, picture: bytes) -> None:
        self.database.rows("UPDATE contents SET pixels = ? WHERE id = ?", (picture, content))

    def remove_files(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.hidden_pictures.record_removal(os.fsencode(path), timestamp())
            sql = "DELETE FROM files WHERE path = ? RETURNING content, metadata, marks"
            for content, metadata, marks in self.database.rows(sql, (os.fsencode(path),)):
                self._changed[content] = None
                # Other paths of the picture that have no metadata get the metadata of the removed path: its file may
                # have been renamed.
                if metadata != "{}":
                    sql = (
                        "UPDATE files SET metadata = ?, marks = ? WHERE content = ? AND metadata = '{}' RETURNING path"
                    )
                    for (raw,) in self.database.rows(sql, (metadata, marks, content)):
                        name = name_tokens(name_at(os.fsdecode(raw), json.loads(metadata)))
                        sql = "UPDATE files SET name_words = ? WHERE path = ?"
                        self.database.rows(sql, (list(map(pg_entry, name)), raw))
                if path.startswith(STORED_PREFIX):
                    self.database.rows("UPDATE contents SET pixels = NULL WHERE id = ?", (content,))
        self.database.rows(
            "DELETE FROM contents WHERE (NOT shown OR id = ANY(?)) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)",
            (list(self._changed),),
        )

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """Return the given pictures' texts by field; a gallery in PostgreSQL has no OCR texts."""
        return {row.id: texts_by_field(row) for row in self.pictures("shown AND id = ANY(?)", (list(ids),))}

    @property
    def next_vectors(self) -> NextVectors:
        return PostgresNextVectors(self)

    def derive(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        placed = "latitude IS NOT NULL OR cardinality(place_words) > 0"
        sql = f"SELECT id FROM contents WHERE ({placed}) AND coalesce(place_words[1], '') NOT LIKE '{_PLACE}%'"
        if missing := self.database.rows(sql):
            with turn(), self.writing():
                self._changed |= {content: None for (content,) in missing}

    def compact(self) -> int:
        """Free the space of removed pictures for new pictures; return the number of bytes that the system got back."""
        before = self.stored_bytes
        for table in ("contents", "files", self.table):
            self.database.rows(f"VACUUM (ANALYZE) {table}")
        return max(0, before - self.stored_bytes)


class PostgresNextVectors(NextVectors):
    """The next model's table of vectors; each model has one of its own."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    def missing(self, model: Encoder) -> list[int]:
        drop_vectors_but(self._catalog.database, self._catalog.table, vectors_table(model.fingerprint))
        table = create_vectors(self._catalog.database, model)
        rows = self._catalog.rows(
            f"SELECT id FROM contents WHERE shown AND id NOT IN (SELECT content FROM {table}) ORDER BY id"
        )
        return [content for (content,) in rows]

    def put(self, model: Encoder, vectors: Iterable[tuple[int, NDArray[np.float16]]]) -> None:
        with self._catalog.database.transaction():
            for content, vector in vectors:
                self._catalog.put_vector(vectors_table(model.fingerprint), content, vector)

    def switch(self, model: Encoder) -> None:
        old, new, record = self._catalog.table, vectors_table(model.fingerprint), RecordedModel.of(model)
        build_graph(self._catalog.database, new)
        with self._catalog.database.transaction():
            self._catalog.rows(f"DELETE FROM contents WHERE id NOT IN (SELECT content FROM {new})")
            self._catalog.rows(
                "UPDATE gallery SET model = ?, fingerprint = ?, width = ?, model_origin = ?, model_source = ?, "
                + NEXT_GENERATION,
                (record.name, record.fingerprint, record.width, record.origin, record.source),
            )
            self._catalog.rows(f"DROP TABLE {old}")

    def drop(self) -> None:
        drop_vectors_but(self._catalog.database, self._catalog.table)


def _derive(row: Row) -> dict[str, Any]:
    """Return a picture's values for the columns of `contents` that _DERIVED lists, and its id."""
    photo, texts = row.photo, texts_by_field(row)
    found = [word for field in texts for text in texts[field] for word in words(text, names=field == "names")]
    place = photo.place or ""
    return {
        "id": row.id,
        "taken": photo.captured_at,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        **{f"{name}_words": sorted(map(pg_text, tokens(getattr(photo, name) or ""))) for name in ("camera", "lens")},
        "place_words": [pg_text(each) for each in (_PLACE + place, *sorted(place_tokens(place)))],
        "words": sorted({pg_entry(word.stem) for word in found}),
        "letters": " ".join(sorted({pg_text(word.folded) for word in found})),
        "shown": bool(row.files),
    }


# ------------------------------------------------------------------ pictures that were embedded elsewhere


def _picture_values(picture: EmbeddedPicture) -> dict[str, Any]:
    """Return a picture's values as a JSON object for the SQL statements _CONTENTS and _VECTORS."""
    facts = picture.facts
    return {
        "hash": picture.digest.hex(),
        "format": facts.format,
        "width": facts.width,
        "height": facts.height,
        "phash": to_signed(picture.phash),
        "caption": pg_text(facts.caption),
        "photo": facts.photo.to_json(),
        "vector": pg_vector(picture.vector),
    }


def _file_values(picture: EmbeddedPicture) -> dict[str, Any]:
    """Return the values of a picture's file as a JSON object for the SQL statement _FILES."""
    file, about = picture.file, dict(picture.metadata)
    return {
        "path": os.fsencode(file.path).hex(),
        "hash": picture.digest.hex(),
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "metadata": json.dumps(about),
        "marks": list(map(pg_entry, marks_of(about))),
        "name_words": list(map(pg_entry, name_tokens(name_at(file.path, about)))),
    }
