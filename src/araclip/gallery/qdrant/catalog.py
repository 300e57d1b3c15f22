"""The catalogue of a gallery on a server: multi-version writes, made visible by one atomic step.

A commit writes new versions of pictures (`since` the next generation), marks the old ones (`until`), and increments the
generation in the state's point. Only that last step, on a single point, makes the commit visible. Leftovers of a dead
writer are removed by the next one.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.encoder import Encoder
from araclip.errors import GalleryLocked
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.qdrant.conditions import between, state_where
from araclip.gallery.qdrant.connection import PIXELS, Connection, id_batches, point_of
from araclip.gallery.qdrant.lease import SECONDS, Lease
from araclip.gallery.qdrant.lookups import QdrantLookups
from araclip.gallery.qdrant.mirror import Mirror
from araclip.gallery.qdrant.payloads import payload_of, pixels_id, point_id
from araclip.gallery.qdrant.state import advance, ensure_indexes
from araclip.gallery.remote.rows import FileEntry, Row
from araclip.photo_metadata.record import NOTHING_KNOWN, PhotoMetadata
from araclip.pictures.picture_facts import Facts
from araclip.video.scene_paths import file_of


class QdrantCatalog(QdrantLookups):
    """One gallery's collection. All changes are made inside `session()` and `writing()`."""

    def __init__(self, alias: Connection, model: Encoder | None, lease_seconds: float = SECONDS) -> None:
        """The gallery at `alias`, with vectors of `model`, or of any model if None."""
        super().__init__(alias, model)
        self._lease_seconds = lease_seconds
        self._lease: Lease | None = None
        self._vectors: dict[int, NDArray[np.float32]] = {}  # of pictures that the open transaction adds
        self._pixels: dict[bytes, dict[str, Any] | None] = {}  # payloads of stored pixels, None to drop them

    def remember_drives(self, drives: set[str]) -> None:
        """Store mount points in the state's point."""
        self.connection.set_payload({"drives": sorted(drives)}, state_where())

    @contextmanager
    def session(self, *, few: bool = False, patience: float = 0.0) -> Iterator[None]:
        """Hold the lease, with a mirror of all rows in memory; with `few`, of those that are asked for.

        Raises:
            GalleryLocked: another process holds the lease.
        """
        with Lease(self.connection, self._lease_seconds, patience).held() as lease:
            self._lease = lease
            try:
                self._clean_up(self.state().number)
                self._mirror = Mirror((), self._fetched, self._last_id()) if few else Mirror(self.rows())
                if not few and not all(row.photo_read for row in self._mirror.rows.values()):
                    ensure_indexes(self.connection)  # of an earlier release
                yield
            finally:
                self._lease = self._mirror = None

    def _clean_up(self, generation: int) -> None:
        """Remove an unfinished commit of a dead writer, and versions that ended before this session."""
        invisible = models.Filter(must=[models.FieldCondition(key="since", range=models.Range(gt=generation))])
        not_ended = models.Filter(must=[models.FieldCondition(key="until", range=models.Range(gt=generation))])
        self.connection.delete(invisible)
        self.connection.delete(models.Filter(must=[between("kept_since", generation + 1, None)]))
        selector = models.FilterSelector(filter=not_ended)
        self.connection.call("delete_payload", keys=["until"], points=selector, wait=True)
        self.connection.delete(models.Filter(must=[between("until", None, generation)]))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all changes inside become visible as a new generation, or none."""
        assert self._mirror is not None  # inside `session()`
        self._mirror.begin()
        self._vectors, self._pixels = {}, {}
        try:
            yield
            self._commit()
        except BaseException:
            self._mirror.undo()
            raise

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store a picture's vector; returns the picture's id."""
        assert self._mirror is not None
        content = self._mirror.with_digest(digest)
        content = self._mirror.next_id if content is None else content
        known = self._mirror.rows.get(content)
        self._mirror.put(known or Row(content, digest, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")))
        self._vectors[content] = vector.astype("<f2").astype(np.float32)
        return content

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts and the perceptual hash of a picture."""
        assert self._mirror is not None
        self._mirror.put(replace(self._mirror.rows[content], facts=facts, phash=phash, photo_read=True))

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Record that `file` holds picture `content`. The path keeps its metadata unless new metadata is given."""
        assert self._mirror is not None
        known = self._mirror.with_path(file.path)
        held = None if known is None else self._mirror.rows[known]
        before = self._mirror.take_path(file.path)
        if held is not None and held.id != content and held.hidden:  # an edited file stays hidden
            self.set_hidden([content], True)
        before = before or FileEntry(file, {})
        entry = replace(before, file=file, metadata=before.metadata if metadata is None else dict(metadata))
        row = self._mirror.rows[content]
        self._mirror.put(replace(row, files=(*row.files, entry)))

    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture without a file."""
        row = self.by_id(content)
        # Pixels that are visible already must survive `_clean_up` after a crash.
        known = any(entry.file.path.startswith(STORED_PREFIX) for entry in row.files)
        pixels = base64.b64encode(picture).decode()
        self._pixels[row.digest] = {"keeps": row.digest.hex(), "pixels": pixels, "kept_since": 0 if known else None}

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """Size and time of change of the side-car captions, by the path of their picture; all, or one."""
        assert self._mirror is not None
        entries = (entry for row in self._mirror.rows.values() for entry in row.files)
        known = {entry.file.path: File(entry.file.path, *entry.beside) for entry in entries if entry.beside}
        return known if at is None else {path: file for path, file in known.items() if path == at}

    def _files_of(self, content: int) -> tuple[FileEntry, ...]:
        row = self._mirror.with_id(content) if self._mirror else None
        return row.files if row else ()

    def set_hidden(self, contents: Iterable[int], hidden: bool) -> int:
        """Hide pictures from results, or show them again, videos whole; returns how many have changed."""
        assert self._mirror is not None
        named = {file_of(entry.file.path) for content in contents for entry in self._files_of(content)}
        for file in named:
            self._mirror.fetch_file(file)
        paths = [path for path in self._mirror.by_path if file_of(path) in named]
        contents = dict.fromkeys(self._mirror.by_path[path] for path in paths)
        rows = [row for content in contents if (row := self._mirror.rows.get(content)) and row.hidden != hidden]
        for row in rows:
            self._mirror.put(replace(row, hidden=hidden))
        return len(rows)

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        """Store the side-car caption of an indexed path and what else it says, or that there is no side-car."""
        assert self._mirror is not None
        content = self._mirror.with_path(path)
        if content is None:
            return
        row = self._mirror.rows[content]
        beside = None if caption is None else (file.size, file.mtime_ns)
        files = [
            replace(entry, caption=caption or "", beside=beside, photo=photo or NOTHING_KNOWN)
            if entry.file.path == path else entry
            for entry in row.files
        ]  # fmt: skip
        self._mirror.put(replace(row, files=tuple(files)))

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures without any path left. A remaining copy inherits a removed path's metadata."""
        assert self._mirror is not None
        for path in paths:
            content = self._mirror.with_path(path)
            gone = self._mirror.take_path(path)
            if content is None or gone is None:
                continue
            row = self._mirror.rows[content]
            if gone.metadata:
                files = tuple(
                    entry if entry.metadata else replace(entry, metadata=gone.metadata) for entry in row.files
                )
                self._mirror.put(replace(row, files=files))
            if path.startswith(STORED_PREFIX):
                self._pixels[row.digest] = None
        self._mirror.drop_empty()

    def compact(self) -> int:
        """Delete stored pixels of removed pictures, inside `session()`; returns 0: the server frees space later."""
        assert self._mirror is not None
        wanted = {
            pixels_id(self._mirror.rows[id_].digest)
            for path, id_ in self._mirror.by_path.items()
            if path.startswith(STORED_PREFIX)
        }
        there = self.connection.scroll(models.Filter(must=[between("kept_since", 0, None)]), payload=False)
        for ids in id_batches([str(point.id) for point in there if str(point.id) not in wanted]):
            self.connection.delete(models.Filter(must=[models.HasIdCondition(has_id=ids)]))
        return 0

    def _commit(self) -> None:
        assert self._mirror is not None
        assert self._lease is not None
        changed = self._mirror.changes(self._vectors.keys())
        if not changed and not self._pixels:
            return
        state = self.state()
        number = state.number + 1
        # Readers no longer see a picture without paths; the mirror keeps it, since a path may return.
        fresh = [(old, row) for old, row in changed if row and row.files]
        unchanged = [old for old, row in fresh if old and row.id not in self._vectors]
        vectors = self._vectors | self._stored_vectors(unchanged)
        points = []
        for _, row in fresh:
            version = replace(row, point=point_id(row.digest, number))
            points.append(point_of(version.point, vectors[row.id], payload_of(version, number)))
            self._mirror.set_point(version)
        blank = np.zeros(state.model.width, np.float32)
        pixels = [
            point_of(
                pixels_id(digest), blank, {**payload, "kept_since": number if payload["kept_since"] is None else 0}
            )
            for digest, payload in self._pixels.items()
            if payload is not None
        ]
        self._lease.check()
        self.connection.upsert(pixels, PIXELS)
        self._lease.check()
        self.connection.upsert(points)
        self._lease.check()
        for ids in id_batches([old.point for old, _ in changed if old and old.files]):
            self.connection.set_payload({"until": number}, models.Filter(must=[models.HasIdCondition(has_id=ids)]))
        self._lease.check()
        if not advance(self.connection, state, self._lease.token):
            raise GalleryLocked(
                f"{self.folder}: another process took over the lease. Earlier commits are kept; run the command again."
            )
        for ids in id_batches([pixels_id(digest) for digest, payload in self._pixels.items() if payload is None]):
            self.connection.delete(models.Filter(must=[models.HasIdCondition(has_id=ids)]))

    def _stored_vectors(self, rows: list[Row]) -> dict[int, NDArray[np.float32]]:
        """The vectors of these versions, for new versions of the same pictures."""
        contents = {row.point: row.id for row in rows}
        vectors: dict[int, NDArray[np.float32]] = {}
        for ids in id_batches(contents):
            for point in self.connection.call("retrieve", ids=ids, with_vectors=True, with_payload=False):
                vectors[contents[str(point.id)]] = np.asarray(point.vector, np.float32)
        return vectors
