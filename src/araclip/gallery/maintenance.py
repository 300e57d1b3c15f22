"""Maintenance of a gallery in a folder: statistics, duplicates, verification, repair, compaction, export."""

import json
import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from araclip.encoder import Encoder
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.duplicates import Ids, grouped
from araclip.gallery.export import write_export
from araclip.gallery.index import scan_index
from araclip.gallery.ingest.sources import DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.integrity import file_fault, is_unit, stored_fault
from araclip.gallery.near_hashes import Hashes
from araclip.gallery.reader import FolderReader
from araclip.gallery.results import Fault, Group, Stats
from araclip.paths import user_path

_STORED_ALIKE = 0.98  # cosine of a picture and the JPEG that was stored of it


class FolderMaintenance(BaseGallery):
    """The maintenance methods of `Gallery`; documented in `BaseGallery`."""

    folder: Path
    _catalog: Catalog
    _reader: FolderReader

    def stats(self) -> Stats:
        """The gallery in numbers."""
        catalog = self._catalog
        files, pictures = catalog.counts()
        size, stored, first, last = catalog.rows(
            "SELECT (SELECT ifnull(sum(size), 0) FROM files), (SELECT count(*) FROM kept), min(added), max(added) "
            "FROM contents"
        )[0]
        return Stats(
            folder=str(catalog.folder),
            model=f"{catalog.meta('model')}@{catalog.meta('fingerprint')}",
            width=int(catalog.meta("width")),
            generation=catalog.generation,
            files=files,
            pictures=pictures,
            stored=stored,
            file_bytes=size,
            catalogue_bytes=(catalog.folder / FILE_NAME).stat().st_size,
            formats=catalog.formats(),
            captured_at=catalog.captured_at(),
            added=(first, last) if first else None,
            recall=scan_index.recall(catalog),
        )

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of duplicate files; files that are missing on the disk are left out."""
        catalog = self._catalog
        rows = catalog.rows(
            "SELECT content, path, size, ifnull(width * height, 0) FROM files JOIN contents ON id = content "
            "WHERE substr(path, 1, ?) <> ? ORDER BY content, path",
            (len(STORED_PREFIX), STORED_PREFIX.encode()),
        )
        files: dict[int, list[tuple[str, int, int]]] = {}  # by picture: path, bytes, pixels
        for content, path, size, pixels in rows:
            if os.path.lexists(path):  # otherwise the only copy that is left would count as a duplicate
                files.setdefault(content, []).append((os.fsdecode(path), size, pixels))

        return grouped(files, lambda: _hashes(catalog), catalog.vectors, kinds)

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Faults of the catalogue, the vectors, the index and the files."""
        report = progress or (lambda done, total: None)
        return [*_catalogue_faults(self._catalog), *_file_faults(self._catalog, contents, report)]

    def repair(self, *, reencode_all: bool = False, progress: FilesProgress | None = None) -> list[str]:
        """Fix every fault that `verify` calls repairable.

        Args:
            reencode_all: encode every readable picture again, where the extent of the damage is unknown.
            progress: called with (pictures done, pictures in all).
        """
        with self._writing():
            actions = _repair(self._catalog, self.model, reencode_all, progress or (lambda done, total: None))
            self._reader.drop()
            self._finish_writing()
        return actions

    def compact(self) -> int:
        """Free the space of removed pictures."""
        with self._writing():
            self._reader.drop()
            before = _size(self.folder)
            scan_index.drop_derived(self.folder)
            with self._catalog.writing(visible=False):
                pass  # drops the checksum from the seal, since VACUUM rewrites the file
            self._catalog.rows("VACUUM")
            self._catalog.checkpoint()
            return before - _size(self.folder)

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Export the gallery for other programs."""
        catalog = self._catalog
        with catalog.reading():
            ids, vectors = catalog.vectors()
            rows = catalog.rows(
                "SELECT content, path, metadata, size, hash, format, width, height, taken, added "
                "FROM files JOIN contents ON id = content ORDER BY content, path"
            )
        pictures: dict[int, dict[str, Any]] = {}
        for content, path, metadata, size, digest, *facts in rows:
            about = dict(zip(("format", "width", "height", "captured_at", "added"), facts, strict=True))
            picture = pictures.setdefault(content, {"sha256": digest.hex(), **about, "files": []})
            picture["files"].append({"path": os.fsdecode(path), "size": size, "metadata": json.loads(metadata)})
        about = {key: catalog.meta(key) for key in ("model", "fingerprint", "generation")}
        return write_export(user_path(folder), about, [pictures[content] for content in ids.tolist()], vectors)


def _hashes(catalog: Catalog) -> tuple[Ids, Hashes]:
    rows = catalog.rows("SELECT id, ifnull(phash, 0) FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id")
    known = np.array(rows, np.int64).reshape(-1, 2)
    return known[:, 0], known[:, 1].astype(np.uint64)  # SQLite's integers have a sign


def _catalogue_faults(catalog: Catalog) -> Iterator[Fault]:
    path = str(catalog.folder / FILE_NAME)
    for (line,) in catalog.rows("PRAGMA integrity_check"):
        if line != "ok":
            yield Fault(path, f"SQLite reports: {line}", "Run `araclip repair`, which recovers readable rows.", True)
    for row in catalog.rows("PRAGMA foreign_key_check"):
        yield Fault(path, f"a row of {row[0]} refers to a missing picture", "Run `araclip repair`.", True)
    for content in _bad_vectors(catalog):
        paths = catalog.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (content,))
        name = os.fsdecode(paths[0][0]) if paths else f"{path}, picture {content}"
        yield Fault(name, "its vector is damaged", "Run `araclip repair`, which encodes it again.", True)
    for index in scan_index.damaged(catalog):
        yield Fault(str(index), "the index is damaged", "Run `araclip repair`, which rebuilds it.", True)
    for (raw,) in catalog.rows("SELECT path FROM files WHERE NOT json_valid(metadata)"):
        yield Fault(os.fsdecode(raw), "its metadata is damaged", "Run `araclip repair`, which clears it.", True)


def _bad_vectors(catalog: Catalog) -> list[int]:
    """Ids of the pictures whose vector has the wrong width or length."""
    width = int(catalog.meta("width"))
    bad = []
    for content, raw in catalog.rows("SELECT id, vector FROM contents ORDER BY id"):
        if len(raw) == 2 * width and is_unit(np.frombuffer(raw, "<f2").astype(np.float32)):
            continue
        bad.append(content)
    return bad


def _file_faults(catalog: Catalog, contents: bool, progress: FilesProgress) -> Iterator[Fault]:
    rows = catalog.rows(
        "SELECT path, size, mtime_ns, hash, content FROM files JOIN contents ON id = content ORDER BY path"
    )
    for done, (raw, size, mtime, digest, content) in enumerate(rows, 1):
        path = os.fsdecode(raw)
        if path.startswith(STORED_PREFIX):
            yield from stored_fault(path, catalog.stored_pixels(content))
        else:
            yield from file_fault(File(path, size, mtime), digest if contents else None)
        progress(done, len(rows))


def _repair(catalog: Catalog, model: Encoder, reencode_all: bool, progress: FilesProgress) -> list[str]:
    """Fix every repairable fault of a readable catalogue; returns one line for each action."""
    actions, bad = [], set(_bad_vectors(catalog))
    every = [row[0] for row in catalog.rows("SELECT id FROM contents ORDER BY id")] if reencode_all else sorted(bad)
    for done, content in enumerate(every, 1):
        paths = [os.fsdecode(raw) for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,))]
        (digest,) = catalog.rows("SELECT hash FROM contents WHERE id = ?", (content,))[0]
        decoded = decode_again(paths, digest, partial(catalog.stored_pixels, content), model.image_size)
        with catalog.writing():
            if isinstance(decoded, str) and content in bad:
                catalog.remove_files(paths)
                actions.append(f"{', '.join(paths)}: forgotten, since it cannot be encoded again now.")
            elif isinstance(decoded, str):  # makes the next update read the file again
                catalog.change("UPDATE files SET mtime_ns = -1 WHERE content = ?", (content,))
            elif _encode_again(catalog, content, decoded, model, content in bad):
                actions.append(f"{paths[0]}: encoded again.")
        progress(done, len(every))
    with catalog.writing():
        if cleared := catalog.change("UPDATE files SET metadata = '{}' WHERE NOT json_valid(metadata)"):
            actions.append(f"{cleared} damaged metadata entries cleared.")
        catalog.change("DELETE FROM files WHERE content NOT IN (SELECT id FROM contents)")
        catalog.change(
            "INSERT OR IGNORE INTO loose SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files)"
        )
        catalog.remove_files(())
    scan_index.drop_derived(catalog.folder)
    return actions


def _encode_again(catalog: Catalog, content: int, decoded: DecodedPicture, model: Encoder, bad: bool) -> bool:
    """Store a new vector and facts unless they equal the stored ones; returns whether they did not.

    The JPEG stored of a picture gives nearly the same vector as the picture, so that one is kept.
    """
    vector = model.encode_pixels(decoded.pixels[None])[0].astype("<f2")
    stored = np.zeros(len(vector)) if bad else catalog.vector(content)
    alike = float(stored @ vector.astype(np.float32)) >= _STORED_ALIKE if catalog.stored_pixels(content) else False
    if alike or (stored.astype("<f2") == vector).all():
        return False
    catalog.change("UPDATE contents SET vector = ? WHERE id = ?", (vector.tobytes(), content))
    catalog.put_facts(content, decoded.facts, decoded.phash)
    return True


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())
