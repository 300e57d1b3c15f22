"""The catalogue of a gallery in PostgreSQL: each commit is a transaction of the writer that holds the lock."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.gallery.catalog import counting
from araclip.gallery.catalog.embedded_pictures import EmbeddedPictures
from araclip.gallery.catalog.matching import name_at, name_tokens, tokens
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.postgres import bulk
from araclip.gallery.postgres.database import PATIENCE, Database
from araclip.gallery.postgres.lookups import PostgresLookups, below
from araclip.gallery.postgres.schema import NEXT_GENERATION
from araclip.gallery.postgres.values import now, sent, signed, storable
from araclip.gallery.remote.rows import Row, marks_of, words_of
from araclip.photo_metadata.record import NOTHING_KNOWN, PhotoMetadata
from araclip.pictures.picture_facts import Facts
from araclip.video.scene_paths import MARK, scene_of

_DERIVED = "taken text, latitude float8, longitude float8, camera_words text[], lens_words text[], place_words text[], "
_DERIVED += "words text[], letters text, shown boolean"  # columns of `contents`, from the texts and photographs' facts


class PostgresCatalog(PostgresLookups):
    """One gallery. All changes are made inside `writing()`, and that inside `turn()`."""

    def __init__(self, database: Database, model: Encoder | None) -> None:
        super().__init__(database, model)
        self._changed: dict[int, None] = {}  # pictures whose derived columns the open transaction brings up to date

    @contextmanager
    def turn(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the writer's lock.

        Raises:
            GalleryLocked: another process is writing for longer than `patience` seconds.
            WidthMismatch: the vectors are not of our model.
        """
        with self.database.locked(patience):
            self.state()
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all changes inside become visible as a new generation, or none."""
        with self.database.transaction():
            self._changed = {}
            yield
            self._derive()
            self.database.rows(f"UPDATE gallery SET {NEXT_GENERATION}")

    def remember_drives(self, drives: set[str]) -> None:
        """Store mount points."""
        self.database.rows("UPDATE gallery SET drives = ?", (json.dumps(sorted(drives)),))

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store a picture's vector, or replace it if the hash is known; returns the picture's id."""
        content: int = self._first(
            "INSERT INTO contents (hash, added) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash "
            "RETURNING id",
            digest, now(),
        )  # fmt: skip
        self.put_vector(self.vectors, content, vector)
        return content

    def put_vector(self, table: str, content: int, vector: NDArray[np.float32]) -> None:
        """Store a vector of a picture in the table of a model."""
        self.database.rows(
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (content) DO UPDATE SET vector = excluded.vector",
            (content, sent(vector)),
        )

    def put_embedded(self, group: EmbeddedPictures) -> int:
        """Store pictures that were embedded elsewhere; what is known stays. Returns how many were new."""
        added = 0
        for start in range(0, len(group), bulk.AT_ONCE):
            rows = range(start, min(start + bulk.AT_ONCE, len(group)))
            new, contents = bulk.put(self.database, self.vectors, group, rows)
            added += new
            self._changed |= dict.fromkeys(contents)
        return added

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts and the perceptual hash of a picture."""
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
        if self._hides(file.path, content):  # an edited file stays hidden
            self.set_hidden([content], True)
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

    def _hides(self, path: str, content: int) -> bool:
        """Whether the path holds another picture that is hidden, or its video has a hidden scene."""
        scene, raw = scene_of(path), os.fsencode(path)
        ends = below(f"{scene.video}{MARK}") if scene else (raw, raw + b"\0")
        sql = "SELECT 1 FROM files JOIN contents ON id = content WHERE hidden AND id <> ? AND path >= ? AND path < ?"
        return bool(self.database.rows(sql, (content, *ends)))

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        """Store the side-car caption of an indexed path and what else it says, or that there is no side-car."""
        beside = (None, None) if caption is None else (file.size, file.mtime_ns)
        found = self.database.rows(
            "UPDATE files SET caption = ?, beside_size = ?, beside_mtime_ns = ?, photo = ? WHERE path = ? "
            "RETURNING content",
            (storable(caption or ""), *beside, (photo or NOTHING_KNOWN).to_json(), os.fsencode(path)),
        )
        self._changed |= {content: None for (content,) in found}

    def set_hidden(self, contents: Iterable[int], hidden: bool) -> int:
        """Hide pictures from results, or show them again, videos whole; returns how many have changed."""
        ids = counting.with_their_videos(self.database, contents)
        sql = "UPDATE contents SET hidden = ? WHERE id = ANY(?) AND hidden <> ? RETURNING id"
        return len(self.database.rows(sql, (hidden, ids, hidden)))

    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture without a file."""
        self.database.rows("UPDATE contents SET pixels = ? WHERE id = ?", (picture, content))

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures without any path left. A remaining copy inherits a removed path's metadata."""
        for path in paths:
            sql = "DELETE FROM files WHERE path = ? RETURNING content, metadata, marks"
            for content, metadata, marks in self.database.rows(sql, (os.fsencode(path),)):
                self._changed[content] = None
                if metadata != "{}":  # so that a renamed file keeps its metadata
                    sql = "UPDATE files SET metadata = ?, marks = ? WHERE content = ? AND metadata = '{}'"
                    self.database.rows(sql, (metadata, marks, content))
                if path.startswith(STORED_PREFIX):
                    self.database.rows("UPDATE contents SET pixels = NULL WHERE id = ?", (content,))
        self.database.rows(
            "DELETE FROM contents WHERE (NOT shown OR id = ANY(?)) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)",
            (list(self._changed),),
        )

    def compact(self) -> int:
        """Free the space of what is gone, for new pictures; returns the number of bytes given back to the system."""
        before = self.stored_bytes
        for table in ("contents", "files", self.vectors):
            self.database.rows(f"VACUUM (ANALYZE) {table}")
        return max(0, before - self.stored_bytes)

    def _derive(self) -> None:
        """Bring what filters and searches ask for up to date in changed pictures."""
        changed = [_derived(row) for row in self.rows("id = ANY(?)", (list(self._changed),))]
        columns = ", ".join(f"{name} = new.{name}" for name in (part.split()[0] for part in _DERIVED.split(", ")))
        self.database.rows(
            f"UPDATE contents SET {columns} FROM json_to_recordset(?) AS new (id bigint, {_DERIVED}) "
            "WHERE contents.id = new.id",
            (json.dumps(changed),),
        )


def _derived(row: Row) -> dict[str, Any]:
    photo, words = row.photo, words_of(row)
    names = ("camera", "lens", "place")
    return {
        "id": row.id,
        "taken": photo.captured_at,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        **{f"{name}_words": sorted(map(storable, tokens(getattr(photo, name) or ""))) for name in names},
        "words": sorted({storable(word.stem) for word in words}),
        "letters": " ".join(sorted({storable(word.folded) for word in words})),
        "shown": bool(row.files),
    }
