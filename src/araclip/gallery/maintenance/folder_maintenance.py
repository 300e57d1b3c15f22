"""Maintenance of a gallery in a folder: statistics, duplicates, verification, repair, compaction, export."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog import counting
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, File, read_metadata
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.index import scan_index
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.maintenance.backup import write_backup
from araclip.gallery.maintenance.duplicates import apart, grouped
from araclip.gallery.maintenance.export import exported_file, write_export
from araclip.gallery.maintenance.integrity import bad_vectors, file_fault, stored_fault
from araclip.gallery.reader import FolderReader
from araclip.gallery.results import Fault, Group, Stats
from araclip.paths import user_path
from araclip.video import hashes

_EXPORTED = (
    "format", "width", "height", "captured_at", "added", "camera", "lens", "latitude", "longitude", "place", "hidden",
)  # fmt: skip


class FolderMaintenance(BaseGallery):
    """The maintenance methods of `Gallery`; documented in `BaseGallery`."""

    folder: Path
    _catalog: Catalog
    _reader: FolderReader

    def stats(self) -> Stats:
        """The gallery in numbers."""
        catalog = self._catalog
        files, pictures = catalog.counts()
        stored, first, last = catalog.rows("SELECT (SELECT count(*) FROM kept), min(added), max(added) FROM contents")[
            0
        ]
        return Stats(
            folder=str(catalog.folder),
            model=f"{catalog.meta('model')}@{catalog.meta('fingerprint')}",
            width=int(catalog.meta("width")),
            generation=catalog.generation,
            files=files,
            pictures=pictures,
            stored=stored,
            file_bytes=counting.file_bytes(catalog),
            catalogue_bytes=(catalog.folder / FILE_NAME).stat().st_size,
            formats=catalog.formats(),
            captured_at=catalog.captured_at(),
            added=(first, last) if first else None,
            recall=scan_index.recall(catalog),
        )

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of duplicate files; files that are missing on the disk are left out, and further names of one file."""
        catalog = self._catalog
        rows = catalog.rows(
            "SELECT content, path, size, ifnull(width * height, 0) FROM files JOIN contents ON id = content "
            "WHERE substr(path, 1, ?) <> ? ORDER BY content, path",
            (len(STORED_PREFIX), STORED_PREFIX.encode()),
        )
        files: dict[int, list[tuple[str, int, int]]] = {}  # by picture: path, bytes, pixels
        for content, path, size, pixels in rows:
            files.setdefault(content, []).append((os.fsdecode(path), size, pixels))
        there = {content: found for content, copies in files.items() if (found := apart(copies))}
        return grouped(there, catalog.phashes, catalog.vectors, kinds)

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Faults of the catalogue, the vectors, the index and the files."""
        report = progress or (lambda done, total: None)
        return [*_catalogue_faults(self._catalog), *_file_faults(self._catalog, contents, report)]

    def compact(self) -> int:
        """Free the space of removed pictures."""
        with self._writing():
            self._reader.drop()
            before = _size(self.folder)
            scan_index.drop_derived(self.folder)
            self._catalog.rows("VACUUM")
            self._catalog.checkpoint()
            return before - _size(self.folder)

    def backup(self, folder: str | os.PathLike[str]) -> int:
        """Copy the gallery into `folder`, also while programs write it; returns the number of pictures.

        The copy is that of the last commit and is checked whole. It replaces an earlier backup there, in one step.

        Raises:
            InputError: the folder holds other files, or another gallery.
            GalleryCorrupt: the gallery is damaged; an earlier backup stays.
            OSError: the disk is full or read-only; an earlier backup stays.
        """
        return write_backup(self._catalog, user_path(folder))

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Export the gallery for other programs."""
        catalog = self._catalog
        with catalog.own_errors(), catalog.reading():
            ids, vectors = catalog.vectors()
            rows = catalog.rows(
                "SELECT files.content, path, metadata, size, hash, format, width, height, taken, added, camera, lens, "
                "latitude, longitude, place, ifnull(hidden, 0) FROM files JOIN contents ON id = files.content "
                "LEFT JOIN photos ON photos.content = id ORDER BY files.content, path"
            )
        pictures: dict[int, dict[str, Any]] = {}
        for content, path, metadata, size, digest, *facts in rows:
            about = dict(zip(_EXPORTED, facts, strict=True))
            about["hidden"] = bool(about["hidden"])
            picture = pictures.setdefault(content, {"sha256": digest.hex(), **about, "files": []})
            picture["files"].append(exported_file(os.fsdecode(path), size, read_metadata(metadata)))
        if lost := [content for content in ids.tolist() if content not in pictures]:
            raise catalog.damaged(f"the rows of picture {lost[0]} cannot be found")
        about = {key: catalog.meta(key) for key in ("model", "fingerprint", "generation")}
        return write_export(user_path(folder), about, [pictures[content] for content in ids.tolist()], vectors)


def _catalogue_faults(catalog: Catalog) -> Iterator[Fault]:
    path, remedy = str(catalog.folder / FILE_NAME), "Run `araclip repair`, which recovers what can be read."
    damaged = set[int | bytes]()
    for damage in catalog.damages():
        name = path
        if damage.key is not None:
            damaged.add(damage.key)
            name = os.fsdecode(damage.key) if isinstance(damage.key, bytes) else _name_of(catalog, damage.key)
        yield Fault(name, damage.text, remedy, True)
    for row in catalog.rows("PRAGMA foreign_key_check"):
        yield Fault(path, f"a row of {row[0]} refers to a missing picture", remedy, True)
    for content in bad_vectors(catalog):
        if content not in damaged:
            yield Fault(_name_of(catalog, content), "its vector is damaged", remedy, True)
    for index in scan_index.damaged(catalog):
        yield Fault(str(index), "the index is damaged", "Run `araclip repair`, which rebuilds it.", True)
    for (raw,) in catalog.rows("SELECT path FROM files WHERE NOT json_valid(metadata)"):
        if raw not in damaged:
            yield Fault(os.fsdecode(raw), "its metadata is damaged", "Run `araclip repair`, which clears it.", True)


def _name_of(catalog: Catalog, content: int) -> str:
    """A path of a picture; the catalogue's own with the picture's number if it has none."""
    paths = catalog.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (content,))
    return os.fsdecode(paths[0][0]) if paths else f"{catalog.folder / FILE_NAME}, picture {content}"


def _file_faults(catalog: Catalog, contents: bool, progress: FilesProgress) -> Iterator[Fault]:
    rows = catalog.rows(
        "SELECT path, size, mtime_ns, hash, content FROM files JOIN contents ON id = content ORDER BY path"
    )
    if contents:
        hashes.forget()
    told: set[str] = set()
    for done, (raw, size, mtime, digest, content) in enumerate(rows, 1):
        path = os.fsdecode(raw)
        if path.startswith(STORED_PREFIX):
            yield from stored_fault(path, catalog.stored_pixels(content))
        else:
            for fault in file_fault(File(path, size, mtime), digest if contents else None):
                if str(fault) not in told:  # once for all scenes of a video
                    told.add(str(fault))
                    yield fault
        progress(done, len(rows))


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())
