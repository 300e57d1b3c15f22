"""The catalogue: files, pictures and vectors in one SQLite file, from which everything else in a gallery is derived.

A row of `contents` is one picture, keyed by the hash of its bytes, with its vector. A row of `files` is one path to a
picture, so a copied or renamed file is decoded only once. Paths are stored as bytes, since a file name need not be
UTF-8. A picture added without a file has the path `picture:…`; its pixels are in the table `kept`.

Ids of pictures are numbers that the catalogue gives.
"""

import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog import full_text, photos
from araclip.gallery.catalog.catalog_file import CatalogFile
from araclip.gallery.catalog.filters import Condition, Filters
from araclip.gallery.catalog.history import History
from araclip.gallery.catalog.matching import date_in_names, name_at
from araclip.gallery.catalog.photos import HIDDEN
from araclip.gallery.catalog.records import (
    STORED_PREFIX,
    Copy,
    EmbeddedPicture,
    File,
    PictureRecord,
    identity_of,
    read_metadata,
    timestamp,
    to_signed,
)
from araclip.gallery.catalog.selection import fetch_ids, select
from araclip.gallery.catalog.sql_store import JOINED
from araclip.gallery.catalog.store import LATER_SCENES, NextVectors, as_files
from araclip.models.encoder_base import Encoder
from araclip.models.vectors import Ids, StoredVectors
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata, date_in_name

if TYPE_CHECKING:
    from araclip.pictures.facts import Facts

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


class Catalog(CatalogFile):
    """A gallery's catalogue: what stands in the tables of its SQLite file."""

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

    def put_facts(self, content: int, facts: "Facts", phash: int) -> None:
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

    @property
    def next_vectors(self) -> NextVectors:
        from araclip.gallery.catalog.next_vectors import CatalogNextVectors

        return CatalogNextVectors(self)

    @property
    def history(self) -> History:
        """The log of commits and changes."""
        return History(self)

    # ------------------------------------------------------------------ paths

    def put_file(
        self, file: File, content: int, metadata: Mapping[str, Any] | None = None, *, new: bool = False
    ) -> None:
        raw, before = os.fsencode(file.path), self.content_of(file.path)
        named = [metadata, self.metadata_of(file.path)] if file.path.startswith(STORED_PREFIX) else [None]
        self.hidden_pictures.keep(raw, content, before, new)
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
            self.hidden_pictures.record_removal(raw, timestamp())
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

    # ------------------------------------------------------------------ browsing

    def ids_and_dates(self, filters: Filters) -> tuple[Ids, Sequence[str]]:
        """Return ids (n,) and dates of pictures that pass (see `Store.ids_and_dates`); 0.1 s for 100,000 pictures."""
        passed = select(self, self.condition(filters))
        if not filters.every_scene:
            later = fetch_ids(self, f"SELECT group_concat(content) FROM ({LATER_SCENES})")
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

    def mark_hidden(self, contents: Sequence[int], hide: bool) -> int:
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
