"""Catalogue connections of threads."""

import threading
from pathlib import Path

from araclip.encoder import Encoder
from araclip.gallery.catalog.catalog import Catalog


class CatalogPool:
    """One catalogue connection for each thread; SQLite runs one statement at a time on each."""

    def __init__(self, folder: Path, model: Encoder) -> None:
        """For the gallery in a folder, made with a model."""
        self._folder, self._model = folder.absolute(), model
        self._local = threading.local()
        self._opened: list[Catalog] = []
        self._lock = threading.Lock()

    def catalog(self) -> Catalog:
        """The catalogue through this thread's connection; opened again when the file was replaced."""
        catalog: Catalog | None = getattr(self._local, "catalog", None)
        if catalog is not None and not catalog.is_current:  # repaired or restored: the old file is no longer written
            with self._lock:
                self._opened.remove(catalog)
            catalog.close()
            catalog = None
        if catalog is None:
            model = self._model
            catalog = Catalog.open(self._folder, model.name, model.fingerprint, model.width)
            self._local.catalog = catalog
            with self._lock:
                self._opened.append(catalog)
        return catalog

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            while self._opened:
                self._opened.pop().close()
