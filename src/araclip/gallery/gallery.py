"""A gallery: pictures, kept in step with the disk and searched by text or picture. The door to this package."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.salvage import salvage
from araclip.gallery.ingest.update import Progress
from araclip.gallery.opened import Opened
from araclip.gallery.ranking import Page, ranked
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Hit
from araclip.model_folder import find


class Gallery(Opened):
    """Pictures indexed with one model. One process writes at a time, any number search."""

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, model: AraCLIP | str = "araclip-mini", create: bool = False
    ) -> "Gallery":
        """Open the gallery in folder `path`; one that an older release made is migrated.

        Args:
            create: make it if it is not there.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: there is none, or it cannot be used.
            WidthMismatch: it was made by another model than `model`.
        """
        encoder = model if isinstance(model, AraCLIP) else AraCLIP(find(model))
        opener = Catalog.create if create else Catalog.open
        config = encoder.config
        return cls(opener(Path(path).expanduser(), config.name, config.fingerprint, config.width), encoder)

    @classmethod
    def rescue(
        cls,
        path: str | os.PathLike[str],
        *,
        model: AraCLIP | str = "araclip-mini",
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
