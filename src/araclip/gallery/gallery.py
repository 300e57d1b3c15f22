"""A gallery: pictures, kept in step with the disk and searched by text or picture. The door to this package."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.gallery.catalog import Catalog
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

    def _ranked(
        self, vector: NDArray[np.float32], page: Page, scale: Scale | None, but: int | None = None
    ) -> list[Hit]:
        return ranked(self._catalog, self._fresh_index(), scale, vector, page, but)
