"""A gallery: pictures, kept in step with the disk and searched by text or picture. The door to this package."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import ModelLike, as_encoder
from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.salvage import salvage
from araclip.gallery.ingest.update import Progress
from araclip.gallery.opened import Opened
from araclip.gallery.ranking import Page, ranked
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Hit
from araclip.model_folder import DEFAULT_MODEL


class Gallery(Opened):
    """Pictures indexed with one model. One process writes at a time, any number search."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, model: ModelLike = DEFAULT_MODEL, create: bool = False) -> "Gallery":
        """Open the gallery in folder `path`; one that an older release made is migrated.

        Args:
            model: a name, a path or an encoder, as `AraCLIP.load` takes.
            create: make it if it is not there.

        Raises:
            ModelNotFound, ModelMismatch, InputError: as for `AraCLIP.load`.
            GalleryNotFound, GalleryCorrupt, NewerGallery: there is none, or it cannot be used.
            WidthMismatch: it was made by another model than `model`.
        """
        encoder = as_encoder(model)
        opener = Catalog.create if create else Catalog.open
        return cls(opener(Path(path).expanduser(), encoder.name, encoder.fingerprint, encoder.width), encoder)

    @classmethod
    def rescue(
        cls,
        path: str | os.PathLike[str],
        *,
        model: ModelLike = DEFAULT_MODEL,
        progress: Progress | None = None,
    ) -> list[str]:
        """Repair the gallery in folder `path`, also one that cannot be opened; returns one line for each thing done.

        Of a damaged catalogue every row that can be read is saved into a new one, and every picture that can be read is
        encoded again, since nobody knows what else is wrong. `update` then reads what was lost.

        Args:
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryNotFound, NewerGallery, WidthMismatch, GalleryLocked, OSError: as for `open` and `update`.
            GalleryCorrupt: nothing can be saved; the message says how to begin anew.
        """
        try:
            with cls.open(path, model=model) as opened:
                return opened.repair(progress=progress)
        except GalleryCorrupt:
            actions = salvage(Path(path).expanduser())
        with cls.open(path, model=model) as opened:
            return actions + opened.repair(doubt=True, progress=progress)

    def _ranked(
        self, vector: NDArray[np.float32], page: Page, scale: Scale | None, exclude: int | None = None
    ) -> list[Hit]:
        return ranked(self._catalog, self._fresh_index(), scale, vector, page, exclude)
