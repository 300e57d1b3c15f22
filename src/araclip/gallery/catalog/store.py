"""A gallery's store: what a catalogue in a folder and a schema in PostgreSQL have in common.

Tables and columns that the SQL here names are the same in both; the SQL runs in SQLite and in PostgreSQL. A video
counts as one file, however many scenes it has, although each scene has a row in `files`.

Hidden pictures leave no trace in what is told to others: `overview`, `values`, `listing`, and every search and list
that is not asked for hidden pictures, leave them out.

A file that is still being written looks damaged, and is removed from the gallery. The table `metadata_gone` keeps the
file's metadata until the file is whole, or is deleted.
"""

import json
import os
import weakref
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import lexists
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.hidden import HiddenPictures
from araclip.gallery.catalog.records import (
    STORED_PREFIX,
    EmbeddedPicture,
    File,
    Overview,
    PictureRecord,
    prefix_range,
    read_metadata,
)
from araclip.gallery.catalog.sql_store import AT_ONCE, JOINED, SqlStore
from araclip.models.encoder_base import Encoder
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import PhotoMetadata
from araclip.pictures.video.formats import FORMATS
from araclip.pictures.video.scenes import MARK, SUFFIX_BYTES, file_of, is_at_or_below

_SCENES = f"FROM files JOIN contents ON id = content WHERE format IN ({', '.join(map(repr, FORMATS))})"
_VIDEO = f"substr(path, 1, length(path) - {SUFFIX_BYTES})"
_VIDEOS = f"(SELECT max(size) AS size {_SCENES} GROUP BY {_VIDEO}) AS videos"
LATER_SCENES = (  # selects the ids of all scenes but the first of each video
    f"SELECT content FROM (SELECT content, row_number() OVER (PARTITION BY {_VIDEO} ORDER BY path) AS place {_SCENES}) "
    "AS placed WHERE place > 1"
)


class NextVectors(ABC):
    """The vectors of the next model, which re-embedding stores beside the old ones until every picture has one."""

    @abstractmethod
    def missing(self, model: Encoder) -> list[int]:
        """Return the ids of pictures that `model` has not re-embedded yet; delete the new vectors of other models."""

    @abstractmethod
    def put(self, model: Encoder, vectors: Iterable[tuple[int, NDArray[np.float16]]]) -> None:
        """Store vectors (D,) of the new model beside the old ones, each with its picture's id, in one transaction."""

    @abstractmethod
    def switch(self, model: Encoder) -> None:
        """Replace all vectors by those of the new model; remove pictures that it has not re-embedded."""

    @abstractmethod
    def drop(self) -> None:
        """Delete the vectors that an unfinished re-embedding has stored, if there are any."""


class Store(SqlStore):
    """The store of one gallery: its catalogue file or PostgreSQL tables. All changes are made in `writing()`.

    Attributes:
        unread: an SQL condition on `contents`: the picture lacks facts, which the next update reads from its file.
        shown: an SQL condition on `contents`: the picture has a path.
        stored: an SQL expression: how many pictures have no file, so that the store has their pixels.
        loose: SQL that returns a row only if pictures may have lost their last path since `remove_files` last ran.
    """

    unread: str
    shown: str
    stored: str
    loose: str

    # ------------------------------------------------------------------ pictures

    @abstractmethod
    def add_content(self, digest: bytes, vector: Vectors) -> int:
        """Store the vector of the picture with this SHA-256, or replace the stored one; return the picture's id."""

    @abstractmethod
    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts (format, size, date …) and the perceptual hash (64 bits) of a picture."""

    @abstractmethod
    def put_embedded(self, pictures: Sequence[EmbeddedPicture]) -> int:
        """Store pictures that were embedded elsewhere; return how many were new.

        Nothing in the store is replaced: a path that it has keeps its picture and metadata, and a picture that it has
        keeps its vector and gets a further path.
        """

    @abstractmethod
    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture that has no file of its own, such as an upload."""

    @abstractmethod
    def stored_pixels(self, content: int) -> bytes | None:
        """Return the JPEG that is stored for a picture without a file; None if no JPEG is stored."""

    @abstractmethod
    def vector(self, content: int) -> Vectors:
        """Return the vector (D,) of a picture."""

    @abstractmethod
    def vectors(self) -> tuple[Ids, NDArray[np.floating[Any]]]:
        """Return the ids (n,) and vectors (n, D) of all pictures with a path, in order of the ids."""

    @abstractmethod
    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """Return the given pictures' texts by field (name, caption …); pictures without a path are left out."""

    @abstractmethod
    def derive(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        """Compute values that earlier releases did not derive, such as place names.

        `turn` returns a context manager that holds the writer's lock.
        """

    def content(self, digest: bytes) -> int | None:
        """Return the id of the picture with this SHA-256 hash; None if there is none."""
        content: int | None = self._first_value("SELECT id FROM contents WHERE hash = ?", digest)
        return content

    def digests(self) -> set[bytes]:
        """Return the SHA-256 hashes of all pictures whose facts (format, size, date …) are stored."""
        return {digest for (digest,) in self.rows(f"SELECT hash FROM contents WHERE NOT ({self.unread})")}

    def paths_lacking_facts(self) -> set[str]:
        """Return the paths of pictures that lack facts, which the next update reads from their files."""
        return {os.fsdecode(raw) for (raw,) in self.rows(f"SELECT path FROM {JOINED} WHERE {self.unread}")}

    def phashes(self) -> tuple[Ids, NDArray[np.uint64]]:
        """Return the ids (n,), ascending, and perceptual hashes (n,) of all pictures with a path; 0: not known."""
        sql = "SELECT id, coalesce(phash, 0) FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id"
        known = np.array(self.rows(sql), np.int64).reshape(-1, 2)
        return known[:, 0], known[:, 1].astype(np.uint64)  # the hashes are stored as signed integers

    @property
    @abstractmethod
    def next_vectors(self) -> NextVectors:
        """The vectors of the next model, while the gallery is re-embedded."""

    # ------------------------------------------------------------------ paths

    @abstractmethod
    def put_file(
        self, file: File, content: int, metadata: Mapping[str, Any] | None = None, *, new: bool = False
    ) -> None:
        """Record that `file` holds picture `content`. The path keeps its metadata unless new metadata is given.

        `new`: True if the gallery did not have the picture before this transaction.
        """

    @abstractmethod
    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and then the pictures that have no path any more.

        If a picture has other paths, those without metadata inherit the metadata of the removed path.
        """

    def remove_loose(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        """Remove the pictures that have no path any more.

        A picture loses its path when another picture is recorded there, by `add` or by a run that was stopped.
        `turn` returns a context manager that holds the writer's lock.
        """
        if self.rows(self.loose):
            with turn(), self.writing():
                self.remove_files(())

    @abstractmethod
    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """Return one `File` for each picture's side-cars, by the picture's path.

        The `File` has the size of all side-cars of the picture together. In the place of a time it has a number that
        stands for the names, sizes and times of all of them.
        If `at` is given, only the `File` for the picture at this path is returned.
        """

    @abstractmethod
    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata) -> None:
        """Store the caption and the metadata from the side-car of the picture at `path`.

        `caption` is None if there is no side-car any more; then `photo` is empty.
        """

    def files(self, at: str | None = None) -> dict[str, File]:
        """Return the indexed files by path. A scene of a video counts as a file with its own path.

        Args:
            at: return only the file at this path, its scenes, and the files below it; None returns all files.
        """
        sql, values = "SELECT path, size, mtime_ns FROM files", tuple[bytes, ...]()
        if at is not None:
            raw = os.fsencode(at)
            inside = raw.rstrip(os.sep.encode()) + os.sep.encode()
            sql += " WHERE path = ? OR (path > ? AND path < ?) OR (path > ? AND path < ?)"
            values = (raw, *prefix_range(inside), *prefix_range(raw + MARK.encode()))
        files = as_files(self.rows(sql, values))
        return files if at is None else {path: file for path, file in files.items() if is_at_or_below(path, at)}

    def content_of(self, path: str) -> int | None:
        """Return the id of the picture at a path; None if the path is not indexed."""
        content: int | None = self._first_value("SELECT content FROM files WHERE path = ?", os.fsencode(path))
        return content

    def metadata_of(self, path: str) -> dict[str, Any]:
        """Return the metadata stored with a path; empty if there is none."""
        return read_metadata(self._first_value("SELECT metadata FROM files WHERE path = ?", os.fsencode(path)) or "{}")

    def drives(self) -> set[str]:
        """Return the mount points seen below indexed folders; a mount point that is gone means an unplugged drive."""
        try:
            found = json.loads(self.meta("drives") or "[]")
        except (ValueError, RecursionError):  # the gallery may be untrusted and hold anything here
            return set()
        return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()

    @abstractmethod
    def remember_drives(self, drives: set[str]) -> None:
        """Store the mount points below indexed folders, in a separate transaction."""

    # ------------------------------------------------------------------ records and counts

    @abstractmethod
    def _records(self, condition: str, values: Sequence[Any]) -> list[PictureRecord]:
        """Return the pictures whose rows in `contents` pass an SQL condition, each with all its paths."""

    def record(self, identity: str) -> PictureRecord | None:
        """Return a picture by its id (see `identity_of`), with all its paths; None if there is none."""
        first = bytes.fromhex(identity)
        return next(iter(self._records("hash BETWEEN ? AND ?", (first, first + b"\xff" * 16))), None)

    def records(self, contents: Sequence[int]) -> dict[int, PictureRecord]:
        """Return pictures by their ids in this store, with all their paths; unknown ids are left out."""
        found: dict[int, PictureRecord] = {}
        for start in range(0, len(contents), AT_ONCE):
            some = [int(content) for content in contents[start : start + AT_ONCE]]
            marks = ", ".join("?" * len(some))
            found |= {record.content: record for record in self._records(f"contents.id IN ({marks})", some)}
        return found

    def counts(self) -> tuple[int, int]:
        """Return the number of files, and of the different pictures in them; each scene of a video is a picture.

        Hidden pictures count: what is told to others comes from `overview`.
        """
        ((files, pictures),) = self.rows(
            f"SELECT count(*) - (SELECT count(*) {_SCENES}) + (SELECT count(*) FROM {_VIDEOS}), "
            "count(DISTINCT content) FROM files"
        )
        return files, pictures

    def overview(self) -> Overview:
        """Describe what the gallery shows, without hidden pictures: counts, sizes, formats, folders, dates.

        Reads every path.
        """
        prefix, mark, before = STORED_PREFIX.encode(), MARK.encode(), b""
        shown = f"{self.shown} AND id NOT IN ({self.hidden})"
        pictures, folders, files, size = set[int](), Counter[str](), 0, 0
        sql = f"SELECT path, size, content FROM files WHERE content NOT IN ({self.hidden}) ORDER BY path"
        for raw, length, content in self.rows(sql):
            pictures.add(content)
            path = os.fsencode(file_of(os.fsdecode(raw))) if mark in raw else raw
            if path != before:
                files, size = files + 1, size + length
                if not raw.startswith(prefix):
                    name = os.path.basename(os.path.dirname(path))  # noqa: PTH119, PTH120  (may not be UTF-8)
                    folders[os.fsdecode(name)] += 1
            before = path
        formats = self.rows(
            "SELECT coalesce(format, 'not known') AS kind, count(*) AS n FROM contents "
            f"WHERE {shown} GROUP BY 1 ORDER BY n DESC, kind"
        )
        ((*dates,),) = self.rows(f"SELECT min(taken), max(taken), min(added), max(added) FROM contents WHERE {shown}")
        return Overview(
            files=files,
            pictures=len(pictures),
            file_bytes=size,
            formats=dict(formats),
            folders=dict(folders),
            captured_at=(dates[0], dates[1]) if dates[0] else None,
            added=(dates[2], dates[3]) if dates[2] else None,
        )

    # ------------------------------------------------------------------ browsing without a query

    @abstractmethod
    def ids_and_dates(self, filters: Filters) -> tuple[Ids, Sequence[str]]:
        """Return the ids (n,) of the pictures that pass the filters, with their dates, "" if not known.

        Of a video only the first scene is returned, unless the filters ask for every scene.
        """

    @abstractmethod
    def any_passes(self, filters: Filters) -> bool:
        """True if any picture passes the filters."""

    @abstractmethod
    def values(self, name: str) -> list[str]:
        """List the different values of "camera", "lens" or "place" over all pictures that are not hidden; sorted."""

    @abstractmethod
    def positions(self) -> Sequence[Any]:
        """Return the id, latitude and longitude of each picture with a position, in order of the ids.

        Of a video only the first scene is returned. Hidden pictures are among them.
        """

    def listing(self) -> Iterator[tuple[str, int, str | None]]:
        """Yield the path, the picture's id and its date for every file that is not hidden.

        For a video, its first scene is yielded.
        """
        for raw, content, date in self.rows(
            f"SELECT path, content, taken FROM {JOINED} "
            f"WHERE content NOT IN ({LATER_SCENES}) AND content NOT IN ({self.hidden}) ORDER BY path"
        ):
            yield os.fsdecode(raw), content, date

    @cached_property
    def hidden_pictures(self) -> HiddenPictures:
        """Hides pictures, and keeps them hidden wherever they move."""
        # a weak reference, so that the connection of a thread that has ended is closed at once
        store: SqlStore = weakref.proxy(self)
        return HiddenPictures(store)

    # ------------------------------------------------------------------ metadata of damaged files

    def hold_metadata(self, paths: Iterable[str]) -> None:
        """Keep the metadata of paths that are about to be removed because their files are damaged now."""
        for path in paths:
            self.rows(
                "INSERT INTO metadata_gone SELECT path, metadata FROM files WHERE path = ? AND metadata <> '{}' "
                "ON CONFLICT (path) DO UPDATE SET metadata = excluded.metadata",
                (os.fsencode(path),),
            )

    def give_metadata_back(self) -> None:
        """Give files that are indexed again the metadata that `hold_metadata` has kept for them.

        Kept metadata are deleted when they are given back, and if their file is gone.
        """
        for raw, about in self.rows("SELECT path, metadata FROM metadata_gone"):
            path = os.fsdecode(raw)
            content = self.content_of(path)
            if content is not None and not self.metadata_of(path):
                self.put_file(self.files(path)[path], content, read_metadata(about))
            if content is not None or not lexists(file_of(path)):
                self.rows("DELETE FROM metadata_gone WHERE path = ?", (raw,))


def as_files(rows: Iterable[Sequence[Any]]) -> dict[str, File]:
    """Convert rows of (path as bytes, size, time of change) to files, by their paths."""
    return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in rows}
