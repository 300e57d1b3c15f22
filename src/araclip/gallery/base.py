"""What galleries in folders and on servers have in common: ingestion, removal, search."""

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from araclip.errors import ImageError, InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.ingest.intake import (
    EmbeddedGroups,
    PictureSource,
    Turn,
    add_embedded,
    index_paths,
    metadata_for_each,
    scene_jpeg,
    several,
    source_of,
)
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import FilesProgress, Skip, unreadable, update, update_at
from araclip.gallery.ingest.videos import ingest_both
from araclip.gallery.results import Addition, Fault, Filled, Group, Stats, Update
from araclip.gallery.search import SearchableGallery
from araclip.paths import text_path
from araclip.pictures.images import read_file
from araclip.video.scene_paths import scene_of, stored

StrPath = str | os.PathLike[str]


class BaseGallery(SearchableGallery):
    """`Gallery` and galleries on servers. Methods that write raise GalleryLocked while another process writes (in a
    folder or on PostgreSQL: for a minute and longer), and OSError when the disk is full or read-only.

    `scenes` is how many a video may have that is ingested from now on, 1 to 500; 60, or $ARACLIP_SCENES, if it is None.
    """

    scenes: int | None = None

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """Hold the single-writer lock for the length of a `with` block."""

    @abstractmethod
    def _ingesting(self) -> AbstractContextManager[Turn]:
        """A run of several commits, each of them inside the context that is yielded; at its end `_finish_writing`."""

    @abstractmethod
    def _finish_writing(self) -> None:
        """Called after each write: bring up to date what searches use."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of different pictures."""

    @abstractmethod
    def close(self) -> None:
        """Release the store."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, model={self.model.label!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ maintenance

    @abstractmethod
    def stats(self) -> Stats:
        """The gallery in numbers."""

    @abstractmethod
    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of files that belong together, the largest picture of each first; kind by kind.

        Args:
            kinds: exact (the same bytes), near (scaled, recompressed, in another format), semantic (another picture of
                the same scene). Semantic compares every picture with every other, near does not.

        Raises:
            InputError: an unknown kind.
        """

    @abstractmethod
    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """All faults of the store, the vectors, and the files on the disk. Changes nothing.

        Args:
            contents: also read every file and compare its hash, which finds damage that left size and time unchanged.
            progress: called with (files done, files in all).
        """

    @abstractmethod
    def repair(self) -> list[str]:
        """Fix every fault that `verify` calls repairable; returns one line for each action.

        A picture with a damaged vector is encoded again; one that cannot be read is removed until the next `update`.
        """

    @abstractmethod
    def compact(self) -> int:
        """Free the space of removed pictures; returns the number of bytes freed on this disk."""

    @abstractmethod
    def export(self, folder: str | os.PathLike[str]) -> int:
        """Export the gallery for other programs into `folder`; returns the number of pictures.

        about.json names the model; vectors.npy holds (n, D) float16 of unit length; line i of pictures.jsonl is the
        picture of row i: sha256, format, width, height, captured_at, added, and its files (path, size, metadata; of a
        scene in a video also its time in seconds).

        Raises:
            InputError: the folder holds other files. An earlier export there is replaced.
        """

    # ------------------------------------------------------------------ content

    def update(
        self, folders: Iterable[StrPath], *, progress: FilesProgress | None = None, skip: Skip | None = None
    ) -> Update:
        """Synchronise the gallery with `folders`: new and changed files are encoded, vanished ones removed.

        Files outside `folders` stay indexed. Work is committed every few seconds; after a stop or a kill, the next run
        resumes there.

        Args:
            progress: called with (files done, files found); a long video is done in parts, told from other threads.
            skip: called with one line for each file that cannot be used: its name, why, and what to do.

        Raises:
            InputError: a folder does not exist, or holds no picture. What was indexed there stays: an unplugged drive
                looks like an empty folder.
        """
        roots = [checked_root(folder) for folder in several(folders, "update", "folder")]
        report_progress, log_skipped = progress or (lambda done, found: None), skip or (lambda line: None)
        with self._ingesting() as turn:
            return update(self._catalog, self.model, roots, report_progress, log_skipped, turn, self.scenes)

    def update_at(self, paths: Iterable[str], folders: Iterable[StrPath], *, skip: Skip | None = None) -> Update:
        """As `update(folders)`, but reads only `paths` (absolute) and what lies below them.

        Where a few paths do not suffice (links, drives that are mounted or unmounted), all of `folders` is walked.
        """
        roots = [checked_root(folder) for folder in several(folders, "update_at", "folder")]
        at = [text_path(path) for path in several(paths, "update_at", "path")]
        with self._ingesting() as turn:
            report = update_at(self._catalog, self.model, roots, at, skip or (lambda line: None), turn, self.scenes)
        return report or self.update(roots, skip=skip)

    def add(
        self,
        pictures: Iterable[PictureSource],
        *,
        metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        skip: Skip | None = None,
    ) -> Addition:
        """Add single pictures: paths (of videos too), encoded bytes, PIL pictures, or (H, W, 3) uint8 arrays.

        A picture without a file is stored as a JPEG of at most 1,024 pixels a side under the path `picture:…`, derived
        from its hash: the same bytes added twice are one picture.

        Args:
            metadata: a flat mapping for all pictures, or one for each: texts to texts, numbers, true/false or lists of
                these. Filters find pictures by it. A path's earlier metadata is replaced.
            skip: called with one line for each picture that cannot be used.

        Raises:
            InputError: a single picture instead of several, a folder, a path that does not exist, or metadata of a
                wrong type; nothing is added.
        """
        sources = [source_of(picture) for picture in several(pictures, "add", "picture")]
        about = metadata_for_each(metadata, len(sources))
        lines: list[str] = []

        def refused(number: int, error: OSError | ImageError) -> None:
            source, line = sources[number], f"picture {number + 1}: {error}"
            if isinstance(source, File) and isinstance(error, OSError):
                line = unreadable(source.path, error)
            lines.append(line)
            if skip:
                skip(line)

        with self._ingesting() as turn:
            paths = ingest_both(self._catalog, self.model, turn, sources, refused, about, self.scenes)
        return Addition(tuple(paths), tuple(lines))

    def add_embedded(self, groups: EmbeddedGroups, *, progress: Callable[[int], None] | None = None) -> Filled:
        """Add pictures whose vectors, facts and hashes were computed elsewhere with this gallery's model.

        Each group is a commit. A picture that is known gets a further path.

        Args:
            progress: called with the number of pictures read.
        """
        with self._ingesting() as turn:
            report = add_embedded(self._catalog, groups, turn, progress or (lambda done: None))
            begin = time.perf_counter()
        report.index_seconds = time.perf_counter() - begin
        return report

    def remove(self, paths: Iterable[StrPath]) -> int:
        """Remove pictures by path (`picture:…` too), or all below a folder; returns the number of paths removed.

        Files on the disk stay, and the next `update` of their folder ingests them again.

        Raises:
            InputError: a path is not in the gallery; nothing is removed.
        """
        with self._writing():
            gone: set[str] = set()
            for path in several(paths, "remove", "path"):
                gone.update(self._files_at(path, "nothing is removed"))
            with self._catalog.writing():
                self._catalog.remove_files(sorted(gone))
            self._finish_writing()
        return len(gone)

    def hide(self, paths: Iterable[StrPath], *, hidden: bool = True) -> int:
        """Leave pictures out of results, or show them again; returns how many have changed.

        A hidden picture stays indexed, with all its paths, and is found by `where="hidden=yes"`. It stays hidden when
        its file is moved or edited in place.

        Args:
            paths: as for `remove`: of pictures (`picture:…` too), or of folders for all below.
            hidden: False shows them again.

        Raises:
            InputError: a path is not in the gallery; nothing changes.
        """
        with self._writing():
            contents = dict[int, None]()
            for path in several(paths, "hide", "path"):
                found = self._files_at(path, "nothing changes")
                contents |= dict.fromkeys(c for each in found if (c := self._catalog.content_of(each)) is not None)
            with self._catalog.writing():
                changed = self._catalog.set_hidden(contents, hidden)
            self._finish_writing()
        return changed

    def _files_at(self, path: StrPath, then: str) -> dict[str, File]:
        """The file that a path names, or those of the folder; an InputError ends with what becomes of the others."""
        paths = index_paths(path)
        found = next(filter(None, map(self._catalog.files, paths)), None)
        if found is None:
            raise InputError(f"{paths[0]} is not in the gallery {self.folder}. Check the path; {then}.")
        return found

    def hidden(self) -> list[str]:
        """The paths of all hidden pictures, sorted; of a video that has hidden scenes its file's, once."""
        browsing = self._reader.browsing
        contents = browsing.timeline(Filters(hidden=True, every_scene=True)).ids.tolist()
        return sorted({copy.file for record in browsing.records(contents).values() for copy in record.copies})

    def picture(self, path: StrPath) -> bytes:
        """An encoded picture: the file at `path`, the JPEG stored under `picture:…`, or a scene's of a video as JPEG.

        Raises:
            InputError: the path is not in the gallery.
            OSError, ImageError: its file cannot be read, or is no file any more.
        """
        content, path = self._content_of(path), stored(text_path(path))
        if scene := scene_of(path):
            return scene_jpeg(scene)
        pixels = self._catalog.stored_pixels(content) if path.startswith(STORED_PREFIX) else None
        if pixels is None and path.startswith(STORED_PREFIX):
            about = self._catalog.metadata_of(path)
            named = about.get("source") or about.get("name") or path
            raise InputError(
                f"{named} is found and cannot be shown: its file is elsewhere. Run `araclip index` on a folder that "
                "holds it."
            )
        return pixels if pixels is not None else read_file(path)

    def metadata(self, path: StrPath) -> dict[str, Any]:
        """The metadata that `add` was given for a path; empty when none."""
        return self._catalog.metadata_of(stored(text_path(path)))
