"""The catalogue: files, pictures and vectors in one SQLite file, from which everything else in a gallery is derived.

A row of `contents` is one picture, keyed by the hash of its bytes, with its vector. A row of `files` is one path to a
picture, so a copied or renamed file is decoded only once. Paths are stored as bytes, since a file name need not be
UTF-8. A picture added without a file has the path `picture:…`; its pixels are in the table `kept`.

The state after a commit is called a generation, and named by a random token. Ids of pictures are numbers that the
catalogue gives.
"""

import json
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.errors import GalleryCorrupt, GalleryError, WidthMismatch
from araclip.gallery.catalog import connection, full_text, photos, schema, seal
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.filters import EVERYTHING, Condition, Filters
from araclip.gallery.catalog.matching import date_in_names, name_at
from araclip.gallery.catalog.photos import HIDDEN
from araclip.gallery.catalog.records import (
    STORED_PREFIX,
    Copy,
    EmbeddedPicture,
    File,
    PictureRecord,
    RecordedModel,
    identity_of,
    read_metadata,
    timestamp,
    to_signed,
)
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.store import JOINED, LATER_SCENES, HiddenRun, Store, as_files
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.models.encoder_base import Encoder
from araclip.models.vectors import Ids, StoredVectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata, date_in_name

BLOCK = 16_384  # number of vectors that are read at once
PARTS = {  # table → what a report calls a damaged row of this table
    "meta": "row of settings", "contents": "vector or its facts", "files": "path's row", "kept": "stored picture",
    "next_vectors": "new vector", "texts": "caption or OCR text", "sidecars": "side-car caption",
    "photos": "camera, lens and place", "sidecar_photos": "side-car metadata",
    "hidden_removed": "mark of a removed picture", "hidden_edits": "mark of an edited picture",
    "metadata_gone": "metadata of a damaged file",
    "commits": "entry of the history",
}  # fmt: skip
_DATE_IN = "CASE WHEN json_valid({0}) THEN json_extract({0}, '$.captured_at') END"  # SQL: the date in a column of JSON
_RECORDS = (
    "SELECT files.content, hash, format, contents.width, height, taken, added, camera, lens, latitude, longitude, "
    "place, ifnull(hidden, 0) <> 0, "
    f"taken IS NOT NULL AND {_DATE_IN.format('embedded')} IS NULL AND NOT EXISTS (SELECT 1 FROM sidecar_photos "
    f"JOIN files AS other USING (path) WHERE other.content = contents.id AND {_DATE_IN.format('about')} IS NOT NULL), "
    f"path, size, metadata FROM {JOINED} "
    "LEFT JOIN photos ON photos.content = contents.id"
)
# For `large_writes`: 200 MB of cache (negative: in kB), and 200 MB of log (in pages of 4 kB).
_LARGE_WRITES = {"cache_size": -200_000, "wal_autocheckpoint": 50_000}


class Catalog(Store):
    """A connection to a gallery's catalogue, an SQLite file. All changes are made inside `writing()`."""

    folder: Path
    hidden = HIDDEN
    is_hidden = "EXISTS (SELECT 1 FROM photos WHERE photos.content = files.content AND photos.hidden <> 0)"
    unread = (
        "format IS NULL OR phash IS NULL OR contents.id NOT IN (SELECT content FROM texts) OR "
        "contents.id NOT IN (SELECT content FROM photos) OR "
        "contents.id IN (SELECT content FROM photos WHERE embedded IS NULL)"
    )
    shown = "TRUE"
    stored = f"(SELECT count(*) FROM kept WHERE content NOT IN ({HIDDEN}))"
    loose = "SELECT 1 FROM loose LIMIT 1"

    def __init__(self, folder: Path, database: Connection) -> None:
        self.folder = folder.absolute()  # made absolute, so that the path stays valid if the working folder changes
        self.path = self.folder / FILE_NAME
        self.connection = database
        self.hidden_run = HiddenRun()
        self._file = seal.file_id(self.path)

    @classmethod
    def create(cls, folder: Path, model: Encoder | RecordedModel) -> "Catalog":
        """Open the catalogue in `folder`, creating it if there is none.

        A new catalogue records the model's name and fingerprint, and from where the model can be loaded.

        Raises:
            GalleryCorrupt, NewerGallery: the existing file cannot be used.
            WidthMismatch: the catalogue holds another model's vectors.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with closing(schema.connect(folder / FILE_NAME, create=True)) as database:
            # The token "birth" never changes, also in copies, so it tells which backups are of this catalogue; each
            # commit replaces the token "generation".
            tokens = {name: secrets.token_hex(8) for name in ("birth", "generation")}
            with connection.translate_errors(folder / FILE_NAME, writing=True):
                derived = {name: value for name, (value, _) in photos.DERIVED.items()}
                schema.create(database, RecordedModel.of(model).settings() | tokens | derived)
        return cls.open(folder, model)

    @classmethod
    def open(cls, folder: Path, model: Encoder | RecordedModel | None, *, checked: bool = True) -> "Catalog":
        """Open an existing catalogue, of any model if `model` is None.

        Args:
            checked: False to open a catalogue with damaged rows, for repair.

        Raises:
            GalleryNotFound: there is no catalogue.
            GalleryCorrupt, NewerGallery: the file cannot be used. GalleryError: it is older than the first release.
            WidthMismatch: the catalogue holds another model's vectors.
        """
        path = folder / FILE_NAME
        catalog = cls._connect(folder)
        try:
            with catalog.translate_errors():
                schema.check_schema(catalog.connection, path)
                if checked:
                    catalog._check_seal()
                record = catalog.recorded
            if not (record.fingerprint and record.width):
                raise connection.damage_error(path, "it does not say what model it is of")
            if model is not None:
                record.check(model, catalog.folder)
        except BaseException:
            catalog.close()
            raise
        return catalog

    @classmethod
    def _connect(cls, folder: Path) -> "Catalog":
        return cls(folder, schema.connect(folder / FILE_NAME))

    def _check_seal(self) -> None:
        """Compare the catalogue with its seal, a file that records the last commit (see `seal`).

        If the catalogue file is not in the state that the seal records, the whole file is checked.

        Raises:
            GalleryCorrupt: commits are lost, or the file is damaged.
        """
        sealed = seal.read(self.folder)
        if sealed and not self.has_commit(sealed.generation):
            self.check_current()
            raise GalleryCorrupt(
                f"{self.path} is not what the last run committed: its log {self.path.name}-wal was damaged or removed, "
                "or this is a copy made while a program was writing. Copy it again with `araclip backup`, or run "
                "`araclip repair`, then `araclip index` on your folders."
            )
        if not (sealed and sealed.file == seal.file_state(self.path)):
            self.check()

    def check(self) -> None:
        """Check the whole file; if it is sound, record its state in the seal, so that the next opening needs no check.

        Raises:
            GalleryCorrupt: the file is damaged.
        """
        if damages := self.find_damage():
            raise GalleryCorrupt(
                f"{self.path} is damaged: {damages[0]}. Run `araclip repair`, which recovers readable rows and encodes "
                "your pictures again where needed; they are not touched. If this is a copy made while a program was "
                "writing, copy it again with `araclip backup`."
            )
        if self.connection.may_write:
            seal.write(self.path, self.meta("generation"), known=True)

    def has_commit(self, generation: str) -> bool:
        """True if this catalogue's history contains the commit with this token (`generation`)."""
        return bool(self.rows("SELECT 1 FROM commits WHERE generation = ?", (generation,)))

    def translate_errors(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors into araclip's, in a `with` block that uses `connection`."""
        return connection.translate_errors(self.path)

    def close(self) -> None:
        """Close the connection. After the file's last connection, SQLite copies the write-ahead log into the file."""
        self.connection.close()

    # ------------------------------------------------------------------ transactions

    @contextmanager
    def turn(self, model: Encoder, patience: float | None = None) -> Iterator[None]:
        """Hold the folder's writer lock, for the length of a `with` block.

        Raises:
            GalleryLocked: other processes write for longer than `patience` seconds.
            WidthMismatch: the gallery was re-embedded with another model.
        """
        with writer_lock(self.folder, patience=patience):
            self.check_model(model)
            yield

    @contextmanager
    def writing(self, *, visible: bool = True) -> Iterator[None]:
        """Run a `with` block as one transaction, committed completely or not at all.

        Args:
            visible: True to give the catalogue a new generation, so that readers notice the change.

        Raises:
            OSError: the disk is full or read-only; earlier commits stay.
            GalleryError: the catalogue file was replaced since it was opened.
        """
        self.check_current()
        known = seal.is_known(self.path)
        with connection.translate_errors(self.path, writing=True):
            if not self.connection.may_write and connection.may_write(self.path):  # opened while the disk was full
                self.connection = schema.connect(self.path)
            with self.connection.transaction():
                self.connection.execute(schema.GONE)  # creates tables that older galleries of this schema lack
                yield
                full_text.index_changed(self.connection)
                generation = secrets.token_hex(8) if visible else self.meta("generation")
                if visible:
                    self.connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (generation,))
                atomic.step("commit")
            atomic.step("committed")
        seal.write(self.path, generation, known=known)

    @contextmanager
    def large_writes(self) -> Iterator[None]:
        """Make SQLite faster for many writes, in a `with` block: keep more pages in memory, and make fewer checkpoints.

        The SHA-256 hashes of new pictures change random pages of an index, and each checkpoint copies all these pages.
        """
        usual = {name: self.rows(f"PRAGMA {name}")[0][0] for name in _LARGE_WRITES}
        for name, value in _LARGE_WRITES.items():
            self.rows(f"PRAGMA {name} = {value}")
        try:
            yield
        finally:
            for name, value in usual.items():
                self.rows(f"PRAGMA {name} = {value}")

    def checkpoint(self, *, vacuum: bool = False) -> None:
        """Copy the write-ahead log into the catalogue, after a write.

        `vacuum`: True to rewrite the file first, without its free pages.
        """
        known = seal.is_known(self.path)
        with connection.translate_errors(self.path, writing=vacuum):
            if vacuum:
                self.connection.execute("VACUUM")
            self.connection.checkpoint()
        seal.write(self.path, self.meta("generation"), known=known)

    def copy_to(self, path: Path) -> None:
        """Copy the last commit into a new SQLite file, even while others write."""
        self.rows("SELECT 1")  # if this catalogue is closed, raise an error before a file is made
        with connection.translate_errors(path, writing=True):
            self.connection.copy_to(path)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self.translate_errors(), self.connection.snapshot():
            yield

    @contextmanager
    def frozen(self) -> Iterator["Catalog"]:
        """Yield a consistent view of the catalogue: a second connection inside one read transaction."""
        with closing(self._connect(self.folder)) as frozen, frozen.reading():
            _ = frozen.generation  # any SELECT will do: SQLite's read transaction begins only with its first SELECT
            yield frozen

    @property
    def generation(self) -> str:
        """A random token that each visible commit replaces; equal tokens mean equal content.

        It is not a counter, because a counter would repeat after the file is restored from a backup or recreated.
        """
        self.check_current()
        return self.meta("generation")

    @property
    def is_current(self) -> bool:
        """True if the file that this connection has open is still the gallery's catalogue."""
        try:
            return seal.file_id(self.path) == self._file
        except OSError:
            return False

    @property
    def stored_bytes(self) -> int:
        return self.path.stat().st_size

    def check_current(self) -> None:
        """Raise GalleryError if the file was replaced, because changes written to the old file would be lost."""
        if not self.is_current:
            raise GalleryError(
                f"gallery {self.folder} was replaced since it was opened: repaired, restored or deleted. Open it again."
            )

    def check_model(self, model: Encoder) -> None:
        """Raise WidthMismatch if the gallery was re-embedded with another model since it was opened."""
        if self.meta("fingerprint") != model.fingerprint:
            raise WidthMismatch(
                f"gallery {self.folder} has the vectors of {self.meta('model')} now, and was opened with {model.name}. "
                "Open it again, or start the server again."
            )

    # ------------------------------------------------------------------ running SQL for other modules

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            return self.connection.execute(sql, values)

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one SQL statement inside `writing()`; return the number of rows that it changed."""
        return self.connection.change(sql, values)

    # ------------------------------------------------------------------ settings

    def meta(self, key: str) -> str:
        return self._first_value("SELECT value FROM meta WHERE key = ?", key) or ""

    def put_meta(self, key: str, value: str) -> None:
        """Store a value of the `meta` table, inside `writing()`."""
        self.change("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def remember_drives(self, drives: set[str]) -> None:
        with self.writing(visible=False):
            self.put_meta("drives", json.dumps(sorted(drives)))

    # ------------------------------------------------------------------ pictures

    def add_content(self, digest: bytes, vector: NDArray[np.floating[Any]]) -> int:
        ((content,),) = self.connection.execute(
            "INSERT INTO contents (hash, vector, added) VALUES (?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET vector = excluded.vector RETURNING id",
            (digest, vector.astype("<f2").tobytes(), timestamp()),
        )
        return int(content)

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        self.change(
            "UPDATE contents SET format = ?, width = ?, height = ?, phash = ? WHERE id = ?",
            (facts.format, facts.width, facts.height, to_signed(phash), content),
        )
        self.change(  # An empty caption is stored as well: its row says that the file was searched for a caption.
            "INSERT INTO texts (content, caption) VALUES (?, ?) "
            "ON CONFLICT (content) DO UPDATE SET caption = excluded.caption WHERE caption <> excluded.caption",
            (content, facts.caption),
        )
        self.change(  # Add a row even if the file says nothing of the photograph: the row shows that the file was read.
            "INSERT INTO photos (content, embedded) VALUES (?, ?) "
            "ON CONFLICT (content) DO UPDATE SET embedded = excluded.embedded",
            (content, facts.photo.to_json()),
        )
        photos.derive_facts(self.connection, content)

    def derive(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        """Compute the values that an earlier release left out when it filled this gallery (`photos.DERIVED`).

        `turn` returns a context manager that holds the writer's lock.
        """
        for name, (value, lacking) in photos.DERIVED.items():
            if self.meta(name) != value:
                with turn(), self.writing():
                    for (content,) in self.rows(lacking):
                        photos.derive_facts(self.connection, content)
                    self.put_meta(name, value)

    def store_pixels(self, content: int, picture: bytes) -> None:
        self.change(
            "INSERT INTO kept (content, picture) VALUES (?, ?) "
            "ON CONFLICT (content) DO UPDATE SET picture = excluded.picture",
            (content, picture),
        )

    def stored_pixels(self, content: int) -> bytes | None:
        pixels: bytes | None = self._first_value("SELECT picture FROM kept WHERE content = ?", content)
        return pixels

    def put_embedded(self, pictures: Sequence[EmbeddedPicture]) -> int:
        raw = [os.fsencode(picture.file.path) for picture in pictures]
        taken = {path for (path,) in self.rows_in("SELECT path FROM files WHERE path IN ({marks})", raw)}
        digests = [picture.digest for picture in pictures]
        known = dict(self.rows_in("SELECT hash, id FROM contents WHERE hash IN ({marks})", digests))
        paths: dict[bytes, EmbeddedPicture] = {}  # each new path → the first picture given with this path
        for path, picture in zip(raw, pictures, strict=True):
            if path not in taken:
                paths.setdefault(path, picture)
        last = self._first_value("SELECT seq FROM sqlite_sequence WHERE name = 'contents'") or 0
        new: dict[int, EmbeddedPicture] = {}  # the id that a new picture will get → the picture
        for picture in paths.values():
            if picture.digest not in known:
                known[picture.digest] = last + 1 + len(new)
                new[known[picture.digest]] = picture
        when = timestamp()
        self.connection.change_each(
            "INSERT INTO contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (content, each.digest, each.vector.astype("<f2", copy=False).tobytes(), each.facts.format,
                 each.facts.width, each.facts.height,
                 each.facts.captured_at or date_in_names([(each.file.path, each.metadata)]), when,
                 to_signed(each.phash))
                for content, each in new.items()
            ),
        )  # fmt: skip
        self.connection.change_each(
            "INSERT INTO texts (content, caption) VALUES (?, ?)",
            ((content, each.facts.caption) for content, each in new.items()),
        )
        self.connection.change_each(
            "INSERT INTO photos (content, embedded, camera, lens, latitude, longitude, place) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((content, *photos.embedded_row(each.facts.photo)) for content, each in new.items()),
        )
        self.connection.change_each(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
            (
                (path, each.file.size, each.file.mtime_ns, known[each.digest], _as_json(each.metadata))
                for path, each in paths.items()
            ),
        )
        for each in paths.values():  # a second path's name may tell the date of a picture that has none
            if new.get(known[each.digest]) is not each and date_in_names([(each.file.path, each.metadata)]):
                photos.derive_facts(self.connection, known[each.digest])
        self.change(  # pictures that were hidden when they were removed are hidden again
            "UPDATE photos SET hidden = 1 WHERE content IN "
            "(SELECT id FROM contents WHERE hash IN (SELECT hash FROM hidden_removed))"
        )
        return len(new)

    def vector(self, content: int) -> NDArray[np.float32]:
        ((raw,),) = self.rows("SELECT vector FROM contents WHERE id = ?", (content,))
        return np.frombuffer(raw, "<f2").astype(np.float32)

    def vectors(self) -> tuple[Ids, StoredVectors]:
        sql = "SELECT id, vector FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id"
        return self._as_vectors(self.rows(sql))

    def vectors_of(self, ids: Ids) -> tuple[Ids, StoredVectors]:
        """Return ids (n,) and vectors (n, D) of the given pictures, in order of the ids; unknown ids are left out."""
        sql = "SELECT id, vector FROM contents WHERE id IN ({marks}) ORDER BY id"
        return self._as_vectors(list(self.rows_in(sql, ids.tolist())))

    def vector_blocks(self) -> Iterator[tuple[Ids, StoredVectors]]:
        """Yield ids (n,) and vectors (n, D) of all pictures, also of those without a path, in blocks, by id."""
        last, sql = -1, f"SELECT id, vector FROM contents WHERE id > ? ORDER BY id LIMIT {BLOCK}"
        while rows := self.rows(sql, (last,)):
            yield self._as_vectors(rows)
            last = rows[-1][0]

    def _as_vectors(self, rows: Sequence[tuple[int, bytes]]) -> tuple[Ids, StoredVectors]:
        width = int(self.meta("width"))
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        raw = b"".join(row[1] for row in rows)
        if len(raw) != len(rows) * width * 2:
            raise GalleryCorrupt(
                f"{self.path}: vectors take {len(raw)} bytes, {len(rows)} of width {width} need "
                f"{len(rows) * width * 2}. Run `araclip repair`, which encodes damaged ones again."
            )
        return ids, np.frombuffer(raw, "<f2").reshape(len(rows), width)

    def documents(self, ids: Sequence[int]) -> dict[int, full_text.Document]:
        with self.translate_errors():
            return dict(full_text.read_documents(self.connection, ids))

    def without_next_vector(self, model: Encoder) -> list[int]:
        if self.meta("next_fingerprint") != model.fingerprint:
            with self.writing(visible=False):
                self.change("DELETE FROM next_vectors")
                self.put_meta("next_fingerprint", model.fingerprint)
        sql = "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM next_vectors) ORDER BY id"
        return [content for (content,) in self.rows(sql)]

    def put_next_vectors(self, model: Encoder, vectors: Iterable[tuple[int, NDArray[np.float16]]]) -> None:
        with self.writing(visible=False):
            rows = ((content, vector.tobytes()) for content, vector in vectors)
            self.connection.change_each("INSERT INTO next_vectors (content, vector) VALUES (?, ?)", rows)

    def switch_model(self, model: Encoder) -> None:
        with self.writing():
            missing = self.rows("SELECT path FROM files WHERE content NOT IN (SELECT content FROM next_vectors)")
            self.remove_files([os.fsdecode(raw) for (raw,) in missing])
            self.change("UPDATE contents SET vector = (SELECT vector FROM next_vectors WHERE content = contents.id)")
            for key, value in RecordedModel.of(model).settings().items():
                self.put_meta(key, value)
            self._forget_next_vectors()
        self.checkpoint()

    def drop_next_vectors(self) -> None:
        if self.meta("next_fingerprint"):
            with self.writing(visible=False):
                self._forget_next_vectors()
            self.checkpoint()

    def _forget_next_vectors(self) -> None:
        self.change("DELETE FROM next_vectors")
        self.change("DELETE FROM meta WHERE key = 'next_fingerprint'")

    # ------------------------------------------------------------------ paths

    def put_file(
        self, file: File, content: int, metadata: Mapping[str, Any] | None = None, *, new: bool = False
    ) -> None:
        raw, before = os.fsencode(file.path), self.content_of(file.path)
        named = [metadata, self.metadata_of(file.path)] if file.path.startswith(STORED_PREFIX) else [None]
        self._keep_hidden(raw, content, before, new)
        self.change(
            "INSERT INTO files (path, size, mtime_ns, content) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content",
            (raw, file.size, file.mtime_ns, content),
        )
        if metadata is not None:
            self.change("UPDATE files SET metadata = ? WHERE path = ?", (_as_json(metadata), raw))
        has_date = any(date_in_name(name_at(file.path, about)) for about in named)
        if has_date or photos.has_sidecar_metadata(self.connection, raw):
            # The picture at this path was `before`, and is `content` now. So the facts from the path's name and its XMP
            # side-car belong to `content` from now on.
            for changed in {content, before or content}:
                photos.derive_facts(self.connection, changed)

    def remove_files(self, paths: Iterable[str]) -> None:
        for raw in map(os.fsencode, paths):
            has_sidecar = photos.has_sidecar_metadata(self.connection, raw)
            self._record_hidden_removal(raw, timestamp())
            for content, metadata in self.connection.execute(
                "DELETE FROM files WHERE path = ? RETURNING content, metadata", (raw,)
            ):
                # If other paths of the picture have no metadata, they get the removed path's: a renamed file keeps its
                # metadata.
                if metadata != "{}":
                    self.change(
                        "UPDATE files SET metadata = ? WHERE content = ? AND metadata = '{}'", (metadata, content)
                    )
                # the picture may have another path: derive its facts again, without what the removed path told
                if has_sidecar or metadata != "{}" or date_in_name(os.fsdecode(raw)):
                    photos.derive_facts(self.connection, content)
                if raw.startswith(STORED_PREFIX.encode()):
                    self.change("DELETE FROM kept WHERE content = ?", (content,))
        self.change(
            "DELETE FROM contents WHERE id IN (SELECT content FROM loose) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content = contents.id)"
        )
        self.change("DELETE FROM loose")

    def paths_of(self, contents: Sequence[int], condition: Condition) -> dict[int, tuple[list[str], list[str]]]:
        """Return two lists for each picture, sorted by bytes: its paths that pass the condition, and its other paths.

        `contents` may hold a few hundred ids.
        """
        rows = self.rows(
            f"SELECT content, path, ifnull(({condition.of_file}) AND ({condition.of_content}), FALSE) FROM {JOINED} "
            f"WHERE content IN ({', '.join('?' * len(contents))}) ORDER BY path",
            (*condition.file_values, *condition.content_values, *contents),
        )
        paths: dict[int, tuple[list[str], list[str]]] = {content: ([], []) for content in contents}
        for content, raw, passes in rows:
            paths[content][not passes].append(os.fsdecode(raw))
        return paths

    # ------------------------------------------------------------------ texts and marks

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        sql = "SELECT path, size, mtime_ns FROM sidecars"
        return as_files(self.rows(sql) if at is None else self.rows(f"{sql} WHERE path = ?", (os.fsencode(at),)))

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata) -> None:
        raw = os.fsencode(path)
        if caption is None:
            self.change("DELETE FROM sidecars WHERE path = ?", (raw,))
        else:
            self.change(
                "INSERT INTO sidecars (path, size, mtime_ns, text) SELECT ?, ?, ?, ? "
                "WHERE EXISTS (SELECT 1 FROM files WHERE path = ?) ON CONFLICT (path) DO UPDATE SET "
                "size = excluded.size, mtime_ns = excluded.mtime_ns, text = excluded.text",
                (raw, file.size, file.mtime_ns, caption, raw),
            )
        if photo == NOTHING_KNOWN:
            self.change("DELETE FROM sidecar_photos WHERE path = ?", (raw,))
        else:
            self.change(
                "INSERT INTO sidecar_photos (path, about) SELECT ?, ? "
                "WHERE EXISTS (SELECT 1 FROM sidecars WHERE path = ?) "
                "ON CONFLICT (path) DO UPDATE SET about = excluded.about",
                (raw, photo.to_json(), raw),
            )
        for (content,) in self.connection.execute("SELECT content FROM files WHERE path = ?", (raw,)):
            photos.derive_facts(self.connection, content)

    def without_ocr(self) -> list[tuple[int, list[str]]]:
        """Return the pictures that OCR has not processed, in order of their ids, with their paths."""
        rows = self.rows(
            "SELECT content, path FROM files "
            "WHERE content NOT IN (SELECT content FROM texts WHERE ocr_by IS NOT NULL) ORDER BY content, path"
        )
        paths: dict[int, list[str]] = {}
        for content, raw in rows:
            paths.setdefault(content, []).append(os.fsdecode(raw))
        return list(paths.items())

    def put_ocr(self, content: int, text: str, by: str) -> None:
        """Store the text that OCR found in a picture. `by` names the engine, or says why there is no text."""
        self.change(
            "INSERT INTO texts (content, ocr, ocr_by) SELECT ?, ?, ? WHERE EXISTS "
            "(SELECT 1 FROM contents WHERE id = ?) "
            "ON CONFLICT (content) DO UPDATE SET ocr = excluded.ocr, ocr_by = excluded.ocr_by",
            (content, text, by, content),
        )

    # ------------------------------------------------------------------ records

    def _records(self, condition: str, values: Sequence[Any]) -> list[PictureRecord]:
        found: dict[int, list[tuple[Any, ...]]] = {}
        for row in self.rows(f"{_RECORDS} WHERE {condition} ORDER BY path", values):
            found.setdefault(row[0], []).append(row)
        return list(map(_record_from_rows, found.values()))

    def records_at(self, paths: Sequence[str]) -> dict[str, PictureRecord]:
        """Return each path's picture, with this path as its only one; paths that are not indexed are left out."""
        rows = self.rows_in(f"{_RECORDS} WHERE path IN ({{marks}})", list(map(os.fsencode, paths)))
        return {os.fsdecode(row[-3]): _record_from_rows([row]) for row in rows}

    def newest(self, count: int) -> list[str]:
        """Return the ids (see `identity_of`) of the `count` shown pictures that were added last, the newest first."""
        there = f"EXISTS (SELECT 1 FROM files WHERE content = contents.id) AND id NOT IN ({HIDDEN})"
        sql = f"SELECT hash FROM contents WHERE {there} ORDER BY id DESC LIMIT ?"
        return [identity_of(digest) for (digest,) in self.rows(sql, (count,))]

    # ------------------------------------------------------------------ pictures that pass a filter

    def select(self, condition: Condition) -> Ids:
        """Return the ids (n,) of the pictures that pass a condition, ascending; some may have no path any more."""
        passed: Ids | None = None
        for table, column, sql, values in (
            ("files", "content", condition.of_file, condition.file_values),
            ("contents", "id", condition.of_content, condition.content_values),
        ):
            if sql != EVERYTHING.of_file:
                ids = self._fetch_ids(f"SELECT group_concat({column}) FROM {table} WHERE {sql}", values)
                passed = ids if passed is None else np.intersect1d(passed, ids, assume_unique=True)
        if passed is None:
            passed = self._fetch_ids("SELECT group_concat(content) FROM files")
        if condition.hidden is None:
            return passed
        hidden = self._fetch_ids(f"SELECT group_concat(content) FROM ({HIDDEN})")
        return np.intersect1d(passed, hidden) if condition.hidden else np.setdiff1d(passed, hidden)

    def by_date(self, condition: Condition, *, oldest: bool) -> list[int]:
        """Return the ids of the pictures that pass a condition, newest or `oldest` first, undated pictures last."""
        passed = set(self.select(condition).tolist())
        rows = self.rows(f"SELECT id FROM contents ORDER BY taken IS NULL, taken {'ASC' if oldest else 'DESC'}, id")
        return [content for (content,) in rows if content in passed]

    def _fetch_ids(self, sql: str, values: Sequence[Any] = ()) -> Ids:
        """Run a query that returns ids joined by commas; return the ids, sorted and without repetition.

        One text is three times as fast to fetch as rows. The query must not sort: with DISTINCT or ORDER BY, SQLite
        would scan the index of the id column instead of the index for the condition, which takes 0.7 s instead of
        0.003 s for 1 % of a million pictures.
        """
        ((text,),) = self.rows(sql, values)
        return np.unique(np.fromstring(text or "", np.int64, sep=","))

    # ------------------------------------------------------------------ browsing

    def ids_and_dates(self, filters: Filters) -> tuple[Ids, Sequence[str]]:
        """Return ids (n,) and dates of pictures that pass (see `Store.ids_and_dates`); 0.1 s for 100,000 pictures."""
        passed = self.select(self.condition(filters))
        if not filters.every_scene:
            later = self._fetch_ids(f"SELECT group_concat(content) FROM ({LATER_SCENES})")
            passed = np.setdiff1d(passed, later, assume_unique=True)
        # Fetching all ids and dates as two long texts is three times as fast as row by row. One index holds both
        # columns.
        ((numbers, dates),) = self.rows(
            "SELECT group_concat(id), group_concat(ifnull(replace(taken, ',', ''), '')) FROM contents"
        )
        ids = np.fromstring(numbers or "", np.int64, sep=",")
        known = (dates or "").split(",") if len(ids) else []
        if len(passed) == len(ids):
            return ids, known
        wanted = np.flatnonzero(np.isin(ids, passed))
        return ids[wanted], [known[at] for at in wanted]

    def any_passes(self, filters: Filters) -> bool:
        condition = self.condition(filters)
        sql = f"SELECT 1 FROM {JOINED} WHERE ({condition.of_file}) AND ({condition.of_content})"
        if condition.hidden is not None:
            sql += f" AND content {'' if condition.hidden else 'NOT '}IN ({HIDDEN})"
        sql += " LIMIT 1"
        return bool(self.rows(sql, (*condition.file_values, *condition.content_values)))

    def values(self, name: str) -> list[str]:
        rows = self.rows(f"SELECT DISTINCT {name} FROM photos WHERE {name} IS NOT NULL AND hidden = 0")
        return sorted(value for (value,) in rows)

    def positions(self) -> list[tuple[Any, ...]]:
        """Return id, latitude and longitude of each picture with a position; leave out impossible coordinates (damage).

        Of a video, only the first scene is returned.
        """
        return self.rows(
            "SELECT content, latitude, longitude FROM photos WHERE latitude BETWEEN -90 AND 90 "
            f"AND longitude BETWEEN -180 AND 180 AND content NOT IN ({LATER_SCENES}) ORDER BY content"
        )

    def condition(self, filters: Filters) -> Condition:
        """Return the filters' SQL condition; it excludes hidden pictures, if the gallery has any."""
        return filters.condition(hidden_exist=bool(self.rows(f"{HIDDEN} LIMIT 1")))

    def _mark_hidden(self, contents: Sequence[int], hide: bool) -> int:
        changed = 0
        for content in contents:
            known = self.rows("SELECT 1 FROM contents WHERE id = ?", (content,))
            if known and bool(self._first_value("SELECT hidden <> 0 FROM photos WHERE content = ?", content)) != hide:
                self.change(
                    "INSERT INTO photos (content, hidden) VALUES (?, ?) "
                    "ON CONFLICT (content) DO UPDATE SET hidden = excluded.hidden",
                    (content, int(hide)),
                )
                changed += 1
        return changed

    def has_more_than(self, count: int) -> bool:
        """True if the catalogue has more than `count` pictures; faster than counting them all."""
        return bool(self.rows("SELECT 1 FROM contents LIMIT 1 OFFSET ?", (count,)))

    # ------------------------------------------------------------------ history

    # With the log of changes, an index of an earlier generation can be updated instead of
    # rebuilt. A generation is unknown if the log lacks it: after a backup was restored, the catalogue recreated, or the
    # log shortened.

    def change_number(self, generation: str) -> int | None:
        """Return the number, in the log of changes, of the last change made by commit `generation` or before it.

        None if the log does not reach back to that commit.
        """
        rows = self.rows("SELECT number FROM commits WHERE generation = ? AND number >= 0", (generation,))
        return rows[0][0] if rows else None

    def changed_since(self, generation: str) -> Ids | None:
        """Return the sorted ids (n,) of pictures whose vector was added, changed or removed after commit `generation`.

        None if the log of changes does not reach back to that commit.
        """
        number = self.change_number(generation)
        if number is None:
            return None
        rows = self.rows("SELECT DISTINCT content FROM changes WHERE number > ? ORDER BY content", (number,))
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def forget_changes_before(self, generation: str) -> None:
        """Drop the changes of commit `generation`, and of earlier commits, from the log. The caller holds the lock."""
        if number := self.change_number(generation):
            with self.writing(visible=False):
                self.change("DELETE FROM changes WHERE number <= ?", (number,))
                self.change("UPDATE commits SET number = -1 WHERE number >= 0 AND number < ?", (number,))

    # ------------------------------------------------------------------ damage

    def damage_error(self, what: str) -> GalleryCorrupt:
        return connection.damage_error(self.path, what)

    def find_damage(self) -> list[str]:
        """Check the whole file with SQLite's own check; return a line for each fault.

        Faults are pages that do not match their checksums, rows missing in an index, and references to missing rows.
        The check has a connection of its own: on a connection that has read before, FTS5 compares its older state with
        what other processes have committed since, and calls a sound index damaged.
        """
        lines = []
        try:
            with self.frozen() as fresh:
                checked = fresh.connection.execute("PRAGMA integrity_check")
                lines += [f"SQLite reports: {line}" for (line,) in checked if line != "ok"]
                loose = fresh.connection.execute("PRAGMA foreign_key_check")
                lines += [f"a row of {table} refers to a missing picture" for table, *_ in loose]
        except GalleryCorrupt as error:
            if error.__cause__ is None:  # a repair was stopped half way: no damage of the file
                raise
            lines.append(connection.describe_damage(error.__cause__))
        return lines


class CatalogPool:
    """Gives each thread its own catalogue connection, because a connection runs only one statement at a time."""

    def __init__(self, folder: Path, model: Encoder) -> None:
        self._folder, self._model = folder.absolute(), model
        self._local = threading.local()
        self._opened: weakref.WeakSet[Catalog] = weakref.WeakSet()  # weak, so that ended threads' connections close
        self._lock = threading.Lock()

    def catalog(self) -> Catalog:
        """Return the catalogue through this thread's connection; open it again if the file was replaced."""
        catalog: Catalog | None = getattr(self._local, "catalog", None)
        if catalog is not None and catalog.is_current:
            return catalog
        if catalog is not None:  # reopen it: a repair or restore has put another file in place of the one that is open
            self._local.catalog = None
            with self._lock:
                self._opened.discard(catalog)
            catalog.close()
        self._local.catalog = catalog = Catalog.open(self._folder, self._model)
        with self._lock:
            self._opened.add(catalog)
        return catalog

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            while self._opened:
                self._opened.pop().close()


def _record_from_rows(rows: Sequence[tuple[Any, ...]]) -> PictureRecord:
    """Make the record of one picture from the rows of the query _RECORDS: one row for each of its paths."""
    copies = tuple(Copy(os.fsdecode(path), size, read_metadata(about)) for *_, path, size, about in rows)
    content, digest, kind, width, height, captured_at, added, *photo = rows[0][:-3]
    camera, lens, latitude, longitude, place, hidden, by_name = photo
    return PictureRecord(
        content, digest, kind, width, height, captured_at, added, copies, camera, lens, latitude, longitude, place,
        bool(hidden), bool(by_name),
    )  # fmt: skip


def _as_json(metadata: Mapping[str, Any]) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False)
