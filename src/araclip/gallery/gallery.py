"""A gallery in a folder: its catalogue, index and lock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from araclip import atomic
from araclip.encoder import Encoder, ModelLike, as_encoder
from araclip.errors import GalleryCorrupt, InputError, ModelNotFound
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.integrity.salvage import salvage
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.gallery.ingest.intake import Turn
from araclip.gallery.ingest.reading import SECONDS, Reading, read_pictures
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import location_of
from araclip.gallery.maintenance.folder_maintenance import FolderMaintenance
from araclip.gallery.maintenance.repair import repair
from araclip.gallery.reader import FolderReader
from araclip.gallery.recorded_model import create_catalog, encoder_for, record_whereabouts, recorded_in
from araclip.ocr.engines import Engine, opened


class Gallery(FolderMaintenance):
    """Pictures indexed with one model. Any number of processes search, and write in turns (`catalog.writer_lock`)."""

    def __init__(self, catalog: Catalog, model: Encoder) -> None:
        """A gallery over an open catalogue."""
        self.folder = catalog.folder
        self.model = model
        self._catalog = catalog
        self._reader = FolderReader(lambda: self._catalog, model)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        model: ModelLike | None = None,
        create: bool = False,
        checked: bool = True,
    ) -> "Gallery":
        """Open the gallery in folder `path`; one of an older release is migrated.

        Args:
            model: a name, a path or an encoder, as `AraCLIP.load` takes; by default the gallery's own model, and
                araclip-mini for a new gallery.
            create: create it if it does not exist.
            checked: False to open it for `verify` or `repair` although rows are damaged.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: it does not exist, or cannot be used.
            WidthMismatch: it was made by another model than `model`.
            InputError: the address of a gallery on a server, or not a path.
            ModelNotFound: its own model is not on this machine; the message says which, and how to get it.
            ModelNotFound, ModelMismatch, InputError: as for `AraCLIP.load`.
        """
        folder = _folder(path)
        encoder = encoder_for(model, lambda: recorded_in(folder), folder)
        if create:
            return cls(create_catalog(folder, encoder), encoder)
        identity = encoder.name, encoder.fingerprint, encoder.width
        return cls(Catalog.open(folder, *identity, checked=checked), encoder)

    @classmethod
    def rescue(
        cls,
        path: str | os.PathLike[str],
        *,
        model: ModelLike | None = None,
        progress: FilesProgress | None = None,
    ) -> list[str]:
        """Repair the gallery in folder `path`, even if it cannot be opened; returns one line for each action.

        Every readable row of a catalogue with a damaged structure is copied into a new one; `update` then ingests what
        was lost.

        Args:
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryNotFound, NewerGallery, WidthMismatch, GalleryLocked, OSError: as for `open` and `update`.
            GalleryCorrupt: nothing can be recovered; the message says how to start over.
        """
        encoder, actions = None if model is None else as_encoder(model), list[str]()
        try:
            gallery = cls.open(path, model=encoder, checked=False)
        except GalleryCorrupt:
            actions = salvage(_folder(path), encoder)
            gallery = cls.open(path, model=encoder, checked=False)
        with gallery:
            return actions + gallery.repair(progress=progress)

    def repair(self, *, progress: FilesProgress | None = None) -> list[str]:
        """Fix every fault that `verify` calls repairable.

        Args:
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryCorrupt: nothing can be recovered; the message says how to start over.
        """
        actions = list[str]()
        if not self._catalog.has_sound_structure():
            self.close()
            model = self.model
            actions = salvage(self.folder, model)
            self._catalog = Catalog.open(self.folder, model.name, model.fingerprint, model.width, checked=False)
        with self._writing():
            actions += repair(self._catalog, self.model, progress or (lambda done, total: None))
            self._reader.drop()
            self._catalog.check()
            self._finish_writing()
        return actions

    def ocr(
        self,
        *,
        engine: Engine | None = None,
        seconds: float = SECONDS,
        progress: FilesProgress | None = None,
        skip: Skip | None = None,
    ) -> Reading:
        """Read the text in pictures that OCR has not seen yet; searches then find them by it.

        Only pictures that look like text are read, each in a process with limits. What was read is committed every few
        seconds; after a stop or a kill, the next run resumes there.

        Args:
            engine: what reads; by default RapidOCR where its recogniser is on this machine, else Tesseract
                (`araclip.ocr.engines`).
            seconds: for a picture; one that takes longer is given up and not tried again.
            progress: called with (pictures done, pictures in all).
            skip: called with one line for each picture that is given up, or cannot be read now.

        Raises:
            InputError: nothing that reads is installed; says how to install it.
        """
        show, log = progress or (lambda done, total: None), skip or (lambda line: None)
        with opened(engine) as reader, self._ingesting() as turn:
            return read_pictures(self._catalog, reader, self.model.threads, turn, show, log, seconds)

    def __len__(self) -> int:
        """Number of different pictures."""
        return self._catalog.counts()[1]

    def close(self) -> None:
        """Release the catalogue file."""
        self._catalog.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._turn():
            atomic.sweep(self.folder)
            yield
            self._catalog.checkpoint()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock for one commit."""
        with writer_lock(self.folder):
            self._catalog.check_model(self.model.name, self.model.fingerprint)
            yield

    @contextmanager
    def _ingesting(self) -> Iterator[Turn]:
        with self._turn():  # a gallery that cannot be written is refused before the work, not after it
            record_whereabouts(self._catalog, self.model)
        yield self._turn
        try:
            with self._writing():
                self._finish_writing()
        except OSError as error:
            raise OSError(
                f"{self.folder}: all pictures of this run are saved and can be searched, but what makes searches quick "
                f"is not ({error.strerror or error.__cause__ or error}). Free some disk space, then run the command "
                "again: nothing is encoded twice."
            ) from error

    def _finish_writing(self) -> None:
        with suppress(ModelNotFound):  # without it, the first search that has it makes what searches need
            self._reader.finish_writing()


def _folder(path: str | os.PathLike[str]) -> Path:
    location = location_of(path)
    if not isinstance(location, Path):
        raise InputError(
            f"{location} is the address of a gallery on a server. Open it with araclip.open_gallery({str(location)!r})."
        )
    return location
