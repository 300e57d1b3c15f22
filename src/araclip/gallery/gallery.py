"""A gallery in a folder: its catalogue, index and lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from araclip.core import atomic
from araclip.core.paths import user_path
from araclip.errors import GalleryCorrupt, InputError, ModelNotFound
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.index import scan_index
from araclip.gallery.locations import location_of
from araclip.gallery.reader import FolderReader
from araclip.gallery.recorded_model import encoder_for, read_record, record_whereabouts
from araclip.gallery.results import Fault
from araclip.models.encoder import Encoder, ModelLike, as_encoder

if TYPE_CHECKING:
    from araclip.gallery.ingest.ocr import Reading
    from araclip.gallery.ingest.update import FilesProgress, Skip
    from araclip.pictures.ocr.engines import Engine


class Gallery(BaseGallery):
    """A gallery in a folder: pictures indexed with one model.

    Any number of processes can search it at once; they write in turns (`catalog.writer_lock`).
    """

    folder: Path
    _catalog: Catalog
    _reader: FolderReader

    def __init__(self, catalog: Catalog, model: Encoder) -> None:
        self.folder = catalog.folder
        self.model = model
        self._catalog = catalog
        self._reader = FolderReader(lambda: self._catalog, model)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, model: ModelLike | None = None, create: bool = False, checked: bool = True
    ) -> Gallery:
        """Open the gallery in folder `path`.

        Args:
            model: a name, a path or an encoder, as `AraCLIP.load` takes; by default the gallery's own model, and
                araclip-mini for a new gallery.
            create: create the gallery if it does not exist.
            checked: False to open the gallery for `verify` or `repair` although rows are damaged.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery, GalleryError: the gallery does not exist, or cannot be used.
            WidthMismatch: the gallery was made with another model than `model`.
            InputError: `path` is not a path, or is the address of a gallery in PostgreSQL.
            ModelNotFound: the model is not on this machine; the message says which, and how to get it.
            ModelMismatch: the files of the model contradict each other.
        """
        folder = _require_folder(path)
        encoder = encoder_for(model, lambda: read_record(folder), folder)
        if create:
            return cls(Catalog.create(folder, encoder), encoder)
        return cls(Catalog.open(folder, encoder, checked=checked), encoder)

    @classmethod
    def rescue(
        cls, path: str | os.PathLike[str], *, model: ModelLike | None = None, progress: FilesProgress | None = None
    ) -> list[str]:
        """Repair the gallery in folder `path`, even if it cannot be opened; return one line for each action.

        If the catalogue file is damaged, every readable row is copied into a new catalogue; the next `update` ingests
        the pictures that were lost.

        Args:
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryCorrupt: nothing can be recovered; the message says how to start over.
            GalleryError, ModelNotFound, InputError, OSError: the gallery cannot be opened or written.
        """
        from araclip.gallery.catalog.salvage import salvage

        encoder, actions = None if model is None else as_encoder(model), list[str]()
        try:
            gallery = cls.open(path, model=encoder, checked=False)
        except GalleryCorrupt:
            actions = salvage(_require_folder(path), encoder)
            gallery = cls.open(path, model=encoder, checked=False)
        with gallery:
            return actions + gallery.repair(progress=progress)

    def _recall(self) -> float | None:
        return scan_index.recall(self._catalog)

    def _files_to_compare(self, copies: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        from araclip.gallery.maintenance.duplicates import distinct_files

        return distinct_files(copies)

    def _store_faults(self) -> Iterator[Fault]:
        from araclip.gallery.maintenance.verify import catalogue_faults

        return catalogue_faults(self._catalog)

    def compact(self) -> int:
        with self._hold_lock():
            self._reader.discard_snapshot()
            before = _bytes_on_disk(self.folder)
            scan_index.delete_index_files(self.folder)
            self._catalog.checkpoint(vacuum=True)
            return before - _bytes_on_disk(self.folder)

    def backup(self, folder: str | os.PathLike[str]) -> int:
        """Copy the gallery into `folder`, even while programs write to it; return the number of pictures.

        The copy shows the last commit, and is checked completely. It replaces an earlier backup in `folder` in one
        step.

        Raises:
            InputError: the folder is the gallery itself, or holds other files, another gallery, or a copy of this
                gallery with changes that this gallery lacks.
            GalleryCorrupt: the gallery is damaged; an earlier backup stays.
            OSError: the disk is full or read-only; an earlier backup stays.
        """
        from araclip.gallery.maintenance.backup import write_backup

        return write_backup(self._catalog, user_path(folder))

    def repair(self, *, progress: FilesProgress | None = None) -> list[str]:
        """Fix every fault that `verify` calls repairable; return one line for each action.

        Args:
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryCorrupt: nothing can be recovered; the message says how to start over.
        """
        from araclip.gallery.catalog.salvage import salvage
        from araclip.gallery.maintenance.repair import repair

        actions = list[str]()
        if self._catalog.find_damage():
            self.close()
            actions = salvage(self.folder, self.model)
            self._catalog = Catalog.open(self.folder, self.model, checked=False)
        with self._hold_lock():
            actions += repair(self._catalog, self.model, progress or (lambda done, total: None))
            self._reader.discard_snapshot()
            self._catalog.check()
            self._finish_writing()
        return actions

    def ocr(
        self,
        *,
        engine: Engine | None = None,
        seconds: float | None = None,
        progress: FilesProgress | None = None,
        skip: Skip | None = None,
    ) -> Reading:
        """Read the text in pictures that OCR has not processed yet, so that searches find the pictures by their text.

        Only pictures that seem to contain text are read, in a process with limits of time and memory. The texts are
        committed every few seconds; after a stop or a kill, the next run resumes there. Returns counts of the pictures.

        Args:
            engine: the OCR engine; by default RapidOCR if its recogniser is on this machine, else Tesseract
                (`araclip.pictures.ocr.engines`).
            seconds: how long reading one picture may take, by default 60; a slower picture is given up and not tried
                again.
            progress: called with (pictures done, pictures in all).
            skip: called with one line for each picture that is given up, or cannot be read now.

        Raises:
            InputError: no OCR engine is installed, or the engine does not work; the message says what to do. Pictures
                whose text is not read yet are read by the next run.
        """
        from araclip.gallery.ingest.ocr import read_pictures
        from araclip.pictures.ocr.engines import open_engine

        show, log = progress or (lambda done, total: None), skip or (lambda line: None)
        with open_engine(engine) as reader, self._ingestion_run() as turn:
            return read_pictures(self._catalog, reader, self.model.threads, turn, show, log, seconds)

    def close(self) -> None:
        self._catalog.close()

    @contextmanager
    def _hold_lock(self) -> Iterator[None]:
        with self._catalog.turn(self.model):
            atomic.remove_abandoned(self.folder)
            yield
            self._catalog.checkpoint()

    @contextmanager
    def _ingestion_run(self) -> Iterator[Turn]:
        with self._catalog.turn(self.model):  # raises now, not after the work, if the gallery cannot be written
            record_whereabouts(self._catalog, self.model)
        yield lambda: self._catalog.turn(self.model)
        try:
            with self._hold_lock():
                self._finish_writing()
        except OSError as error:
            raise OSError(
                f"{self.folder}: all pictures of this run are saved and can be searched, but what makes searches quick "
                f"is not ({error.strerror or error.__cause__ or error}). Free some disk space, then run the command "
                "again: nothing is encoded twice."
            ) from error

    def _finish_writing(self) -> None:
        # if the gallery's model is not on this machine, the first search that has the model updates the index
        with suppress(ModelNotFound):
            self._reader.finish_writing()


def _require_folder(path: str | os.PathLike[str]) -> Path:
    """Return a gallery's folder as a path; raise InputError if `path` is the address of a gallery in PostgreSQL."""
    location = location_of(path)
    if not isinstance(location, Path):
        raise InputError(
            f"{location} is the address of a gallery on a server. Open it with araclip.open_gallery({str(location)!r})."
        )
    return location


def _bytes_on_disk(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())
