"""Maintenance of a gallery on a server: statistics, duplicates, verification, repair, export."""

import os
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.display import counted
from araclip.encoder_base import Encoder, pixel_vectors
from araclip.errors import GalleryError
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.ingest.sources import DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.maintenance.duplicates import Ids, grouped
from araclip.gallery.maintenance.export import exported_file, write_export
from araclip.gallery.maintenance.verify import file_fault, is_unit, stored_fault
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.rows import Row
from araclip.gallery.remote.store import RemoteStore
from araclip.gallery.results import Fault, Group, Stats
from araclip.paths import user_path
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.video import hashes
from araclip.video.scene_paths import file_of


class RemoteMaintenance(BaseGallery):
    """The maintenance methods of galleries on servers; documented in `BaseGallery`."""

    _catalog: RemoteStore
    _exact: bool

    def stats(self) -> Stats:
        """The gallery in numbers; `catalogue_bytes` is 0 where the server does not report it."""
        catalog = self._catalog
        model, generation = catalog.recorded, catalog.generation
        formats: dict[str, int] = {}
        pictures = stored = 0
        captured: list[str] = []
        added: list[str] = []
        sizes: dict[str, int] = {}
        for row in catalog.rows():
            pictures += 1
            sizes |= {file_of(entry.file.path): entry.file.size for entry in row.files}
            stored += any(entry.file.path.startswith(STORED_PREFIX) for entry in row.files)
            name = row.facts.format if row.facts else "not known"
            formats[name] = formats.get(name, 0) + 1
            captured += [row.photo.captured_at] if row.photo.captured_at else []
            added.append(row.added)
        return Stats(
            folder=str(catalog.folder),
            model=model.label,
            width=model.width,
            generation=generation,
            files=len(sizes),
            pictures=pictures,
            stored=stored,
            file_bytes=sum(sizes.values()),
            catalogue_bytes=catalog.stored_bytes,
            formats=dict(sorted(formats.items(), key=lambda pair: (-pair[1], pair[0]))),
            captured_at=(min(captured), max(captured)) if captured else None,
            added=(min(added), max(added)) if added else None,
            recall=1.0 if self._exact else None,
        )

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of duplicate files, whether they exist on this machine or not; semantic ones fetch every vector."""
        catalog = self._catalog
        rows = sorted(catalog.rows(), key=lambda row: row.id)
        files: dict[int, list[tuple[str, int, int]]] = {}
        for row in rows:
            pixels = row.facts.width * row.facts.height if row.facts else 0
            named = sorted(row.files, key=lambda entry: os.fsencode(entry.file.path))
            several = [(h.file.path, h.file.size, pixels) for h in named if not h.file.path.startswith(STORED_PREFIX)]
            if several:
                files[row.id] = several

        def vectors() -> tuple[Ids, NDArray[np.float32]]:
            known, stored = catalog.rows_with_vectors()
            return np.array([row.id for row in known], np.int64), stored

        ids = np.array([row.id for row in rows], np.int64)
        hashes = np.array([row.phash for row in rows], np.uint64)
        return grouped(files, lambda: (ids, hashes), vectors, kinds)

    def verify(self, *, contents: bool = False, progress: FilesProgress | None = None) -> list[Fault]:
        """Faults of vectors and files, as seen from this machine."""
        catalog = self._catalog
        faults: list[Fault] = []
        if contents:
            hashes.forget()
        rows, vectors = catalog.rows_with_vectors()
        total, done = sum(len(row.files) for row in rows), 0
        for row, vector in zip(rows, vectors, strict=True):
            if not is_unit(vector):
                remedy = "Run `araclip repair`, which encodes it again."
                faults.append(Fault(row.files[0].file.path, "its vector is damaged", remedy, True))
            for entry in row.files:
                path = entry.file.path
                if path.startswith(STORED_PREFIX):
                    faults += stored_fault(path, catalog.stored_pixels(row.id))
                else:
                    faults += file_fault(entry.file, row.digest if contents else None)  # the same of every scene
                done += 1
                if progress:
                    progress(done, total)
        return list(dict.fromkeys(faults))

    def repair(self) -> list[str]:
        """Encode pictures with damaged vectors again or remove them; what a dead writer left is removed as well."""
        with self._writing():
            return _repair(self._catalog, self.model)

    def compact(self) -> int:
        """Free the space of what is gone; returns 0 where the server frees it later."""
        with self._writing():
            return self._catalog.compact()

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Export the gallery for other programs."""
        catalog = self._catalog
        model, generation = catalog.recorded, catalog.generation
        rows, vectors = catalog.rows_with_vectors()
        about = {"model": model.name, "fingerprint": model.fingerprint, "generation": generation}
        return write_export(user_path(folder), about, map(_line, rows), vectors.astype("<f2"))


def _repair(catalog: RemoteStore, model: Encoder) -> list[str]:
    """Encode pictures with damaged vectors again, or remove them; returns one line for each action."""
    actions = []
    rows, vectors = catalog.rows_with_vectors()
    for row, vector in zip(rows, vectors, strict=True):
        if is_unit(vector):
            continue
        decoded = decode_row(catalog, row, transform_of(model))
        names = ", ".join(entry.file.path for entry in row.files)
        with catalog.writing():
            if isinstance(decoded, str):
                catalog.remove_files([entry.file.path for entry in row.files])
                actions.append(f"{names}: forgotten, since it cannot be encoded again now.")
            else:
                catalog.add_content(row.digest, pixel_vectors(model, decoded.pixels[None])[0])
                actions.append(f"{names}: encoded again.")
    return actions


def decode_row(catalog: RemoteStore, row: Row, transform: ImageTransform) -> DecodedPicture | str:
    """A picture decoded again, from a file that still holds it or from its stored pixels; or the reason why not."""
    paths = [entry.file.path for entry in row.files]
    decoded = decode_again(paths, row.digest, lambda: catalog.stored_pixels(row.id), transform)
    return f"{paths[0]}: cannot be encoded again ({decoded})." if isinstance(decoded, str) else decoded


def missing_error(missing: int, name: str, before: RecordedModel) -> GalleryError:
    """Why a gallery keeps the vectors of its model, for `reembed`."""
    return GalleryError(
        f"{counted(missing, 'picture')} of {name} cannot be encoded now, so it keeps the vectors of {before.label}. "
        "Make their files reachable or run `araclip index` with that model first, then try again (the new vectors are "
        "kept), or forget them with --forget-missing."
    )


def _line(row: Row) -> dict[str, Any]:
    facts = row.facts
    described: dict[str, Any] = {name: getattr(facts, name, None) for name in ("format", "width", "height")}
    described |= asdict(row.photo) | {"hidden": row.hidden}
    files = [
        exported_file(entry.file.path, entry.file.size, entry.metadata)
        for entry in sorted(row.files, key=lambda entry: os.fsencode(entry.file.path))
    ]
    return {"sha256": row.digest.hex(), **described, "added": row.added, "files": files}
