"""A gallery's store: what a catalogue in a folder and a schema in PostgreSQL have in common.

Tables and columns that the SQL here names are the same in both; the SQL runs in SQLite and in PostgreSQL. A video
counts as one file, however many scenes it has, although each scene has a row in `files`.

What is hidden is a picture, wherever it moves. When it loses its last path, the table `hidden_removed` keeps its hash,
and it is hidden again whenever it comes back. Another picture that takes its path is shown, unless it seems to be an
edited version: the gallery did not have it, it looks like the hidden one, and the hidden one turns up at no other new
path. It is hidden at once, and noted in `hidden_edits`; if the hidden one turns up elsewhere later, it is shown again.

Hidden pictures leave no trace in what is told to others: `overview`, `values`, `listing`, and every search and list
that is not asked for hidden pictures, leave them out.

A file that is still being written looks damaged, and is removed from the gallery. The table `metadata_gone` keeps the
file's metadata until the file is whole, or is deleted.
"""

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import lexists
from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.full_text import Document
from araclip.gallery.catalog.records import (
    STORED_PREFIX,
    EmbeddedPicture,
    File,
    Overview,
    PictureRecord,
    RecordedModel,
    prefix_range,
    read_metadata,
    timestamp,
)
from araclip.models.encoder_base import Encoder
from araclip.models.vectors import Ids, Vectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import PhotoMetadata
from araclip.pictures.phash import is_edited
from araclip.pictures.video.formats import FORMATS
from araclip.pictures.video.scenes import MARK, SUFFIX_BYTES, file_of, is_at_or_below, scene_of

AT_ONCE = 500  # limit: parameters that one SQL statement gets
JOINED = "files JOIN contents ON contents.id = files.content"
_SCENES = f"FROM files JOIN contents ON id = content WHERE format IN ({', '.join(map(repr, FORMATS))})"
_VIDEO = f"substr(path, 1, length(path) - {SUFFIX_BYTES})"
_VIDEOS = f"(SELECT max(size) AS size {_SCENES} GROUP BY {_VIDEO}) AS videos"
LATER_SCENES = (  # selects the ids of all scenes but the first of each video
    f"SELECT content FROM (SELECT content, row_number() OVER (PARTITION BY {_VIDEO} ORDER BY path) AS place {_SCENES}) "
    "AS placed WHERE place > 1"
)
_SAME = "hash = (SELECT hash FROM contents WHERE id = ?)"
# An edited version appears at the path of a removed hidden picture within this time after the removal: some programs
# delete a file and write it anew.
EDITED_WITHIN = timedelta(days=7)
_ID_OF = "SELECT id FROM contents WHERE hash = ?"


@dataclass
class HiddenRun:
    """What one ingestion run found about hidden pictures.

    `moved` has the hashes of hidden pictures that came to a new path. `edits` has the files of new pictures that are
    hidden as edited versions of hidden ones, by their hashes.
    """

    moved: set[bytes] = field(default_factory=set)
    edits: dict[bytes, str] = field(default_factory=dict)


class Store(ABC):
    """The store of one gallery: its catalogue file or PostgreSQL tables. All changes are made in `writing()`.

    Attributes:
        folder: the gallery's location, for messages.
        hidden: SQL that selects the ids of all hidden pictures.
        is_hidden: an SQL condition on a row of `files` joined with `contents`: the picture is hidden.
        unread: an SQL condition on `contents`: the picture lacks facts, which the next update reads from its file.
        shown: an SQL condition on `contents`: the picture has a path.
        stored: an SQL expression: how many pictures have no file, so that the store has their pixels.
        loose: SQL that returns a row only if pictures may have lost their last path since `remove_files` last ran.
        hidden_run: what the present ingestion run found about hidden pictures; an update begins with a new one.
    """

    folder: Path | str
    hidden: str
    is_hidden: str
    unread: str
    shown: str
    stored: str
    loose: str
    hidden_run: HiddenRun

    @property
    @abstractmethod
    def generation(self) -> str:
        """A token of the last commit; equal tokens mean equal content."""

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """Run an SQL statement and return its rows."""

    @abstractmethod
    def meta(self, key: str) -> str:
        """Return a setting of the gallery, such as "model", "fingerprint" or "width"; "" if there is none."""

    @property
    def recorded(self) -> RecordedModel:
        """What the gallery records about its model."""
        return RecordedModel.read(self.meta)

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Run a `with` block as a read transaction: all reads inside see the same state."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """Run a `with` block as a transaction: all changes inside are committed, or none."""

    @property
    @abstractmethod
    def stored_bytes(self) -> int:
        """The size of the store in bytes: of its catalogue file or, in PostgreSQL, of its tables with their indexes."""

    def damage_error(self, what: str) -> GalleryCorrupt:
        """Return the error to raise when a read has found damage; `what` says what is damaged."""
        return GalleryCorrupt(f"{self.folder} is damaged: {what}. Run `araclip repair`.")

    def rows_in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        """Yield the rows of an SQL query that contains `IN ({marks})`, for any number of values.

        The query is run for a few hundred values at a time.
        """
        for start in range(0, len(values), AT_ONCE):
            some = values[start : start + AT_ONCE]
            yield from self.rows(sql.format(marks=", ".join("?" * len(some))), some)

    def _first_value(self, sql: str, *values: Any) -> Any:
        """Return the first value of the first row of a query; None if there is no row."""
        found = self.rows(sql, values)
        return found[0][0] if found else None

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

    # Re-embedding stores a new model's vector of each picture beside the old vector, until all pictures have both.

    @abstractmethod
    def without_next_vector(self, model: Encoder) -> list[int]:
        """Return the ids of pictures that `model` has not re-embedded yet; delete the new vectors of other models."""

    @abstractmethod
    def put_next_vectors(self, model: Encoder, vectors: Iterable[tuple[int, NDArray[np.float16]]]) -> None:
        """Store vectors (D,) of the new model beside the old ones, each with its picture's id, in one transaction."""

    @abstractmethod
    def switch_model(self, model: Encoder) -> None:
        """Replace all vectors by those of the new model; remove pictures that it has not re-embedded."""

    @abstractmethod
    def drop_next_vectors(self) -> None:
        """Delete the vectors that an unfinished re-embedding has stored, if there are any."""

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

    def known_paths(self, content: int) -> list[str]:
        """Return the paths of a picture, sorted by bytes."""
        rows = self.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (content,))
        return [os.fsdecode(raw) for (raw,) in rows]

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

    def hidden_count(self) -> int:
        """Return how many pictures are hidden."""
        ((count,),) = self.rows(f"SELECT count(DISTINCT content) FROM files WHERE content IN ({self.hidden})")
        return int(count)

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

    # ------------------------------------------------------------------ hidden pictures

    @abstractmethod
    def _mark_hidden(self, contents: Sequence[int], hide: bool) -> int:
        """Mark pictures as hidden (`hide`), or as not hidden; return the number of pictures changed."""

    def set_hidden(self, contents: Iterable[int], hide: bool) -> int:
        """Hide pictures (`hide`) or show them again; return how many changed. With a scene, its whole video changes."""
        whole = dict.fromkeys(contents)
        for content in list(whole):
            for scene in filter(None, map(scene_of, self.known_paths(content))):
                start = os.fsencode(scene.video + MARK)
                sql = "SELECT content, path FROM files WHERE path > ? AND path < ?"
                rows = self.rows(sql, (start, start + b":"))
                whole |= {each: None for each, path in rows if is_at_or_below(os.fsdecode(path), scene.video)}
        for content in whole:  # the user decides anew, so forget what was found out about the picture
            for table in ("hidden_removed", "hidden_edits"):
                self.rows(f"DELETE FROM {table} WHERE {_SAME}", (content,))
            at = "path IN (SELECT path FROM files WHERE content = ?)"
            self.rows(f"UPDATE hidden_removed SET removed_at = '' WHERE {at}", (content,))
        return self._mark_hidden(list(whole), hide)

    def _record_hidden_removal(self, raw: bytes, when: str) -> None:
        """Note in `hidden_removed` that the picture at a path, if it is hidden and has no other path, loses this path.

        `when` is the time of the removal, or "" if another picture takes the path in this transaction.
        """
        self.rows(
            "INSERT INTO hidden_removed (hash, path, phash, removed_at) SELECT hash, path, phash, ? FROM files JOIN "
            f"contents ON id = content WHERE path = ? AND {self.is_hidden} AND NOT EXISTS "
            "(SELECT 1 FROM files AS other WHERE other.content = files.content AND other.path <> files.path) "
            "ON CONFLICT (hash) DO UPDATE SET path = excluded.path, removed_at = excluded.removed_at",
            (when, raw),
        )

    def _keep_hidden(self, raw: bytes, content: int, replaced: int | None, new: bool) -> None:
        """Hide the picture `content`, which is about to be recorded at the path `raw`, if it must be hidden.

        It must if it was hidden when it was removed, or is an edited version of a hidden picture. If it is hidden and
        comes to another path, it was moved: pictures that were taken for edited versions of it are shown again.

        Args:
            replaced: the picture that loses the path now, or None.
            new: True if the gallery did not have `content` before this transaction.
        """
        if replaced == content:
            return
        ((digest,),) = self.rows("SELECT hash FROM contents WHERE id = ?", (content,))
        if self.rows("DELETE FROM hidden_removed WHERE hash = ? RETURNING hash", (digest,)):
            self._mark_hidden([content], True)
            self._show_edits_of(digest)
        elif new and (original := self._hidden_original(raw, content)):
            self._mark_hidden([content], True)
            self.rows(
                "INSERT INTO hidden_edits VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET original = excluded.original",
                (digest, original),
            )
            self.hidden_run.edits[digest] = file_of(os.fsdecode(raw))
        elif self.rows(f"SELECT 1 WHERE ? IN ({self.hidden})", (content,)):
            self._show_edits_of(digest)
        if replaced is not None:
            self._record_hidden_removal(raw, "")

    def _show_edits_of(self, original: bytes) -> None:
        """Show pictures that were taken for edited versions of a hidden picture, which has come to another path now."""
        self.hidden_run.moved.add(original)
        for (digest,) in self.rows("DELETE FROM hidden_edits WHERE original = ? RETURNING hash", (original,)):
            self._mark_hidden([content for (content,) in self.rows(_ID_OF, (digest,))], False)
            self.rows("DELETE FROM hidden_removed WHERE hash = ?", (digest,))
            self.hidden_run.edits.pop(digest, None)

    def _hidden_original(self, raw: bytes, content: int) -> bytes | None:
        """Return the hash of the hidden picture of which a new picture at the path `raw` is an edited version, if any.

        That is a hidden picture which has this path now or lost it, as its last path, less than EDITED_WITHIN ago, was
        not moved in this run, and looks like the new one. For a scene, every hidden scene of its video counts, however
        it looks.
        """
        scene = scene_of(os.fsdecode(raw))
        first, last = (raw, raw) if scene is None else (os.fsencode(scene.video + end) for end in (MARK, f"{MARK}:"))
        ((bits,),) = self.rows("SELECT coalesce(phash, 0) FROM contents WHERE id = ?", (content,))
        for path, digest, before in self.rows(
            f"SELECT path, hash, phash FROM {JOINED} WHERE path BETWEEN ? AND ? AND content <> ? AND {self.is_hidden} "
            "UNION ALL SELECT path, hash, phash FROM hidden_removed WHERE path BETWEEN ? AND ? AND removed_at > ?",
            (first, last, content, first, last, timestamp(before=EDITED_WITHIN)),
        ):
            if digest in self.hidden_run.moved or digest in self.hidden_run.edits:
                continue
            if is_at_or_below(os.fsdecode(path), scene.video) if scene else _may_be_edited(before, bits):
                return bytes(digest)
        return None

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


def _may_be_edited(before: int | None, after: int) -> bool:
    """True if a picture may be an edited version of another, by their perceptual hashes; None: not known."""
    return before is None or is_edited(before % 2**64, after % 2**64)


def as_files(rows: Iterable[Sequence[Any]]) -> dict[str, File]:
    """Convert rows of (path as bytes, size, time of change) to files, by their paths."""
    return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in rows}
