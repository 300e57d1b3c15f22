"""The interface of a gallery's store on a server."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.store import Store
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.rows import Row


class RemoteStore(Store, Protocol):
    """`QdrantCatalog` and `PostgresCatalog`."""

    @property
    def recorded(self) -> RecordedModel:
        """The model of the vectors, as the gallery records it."""

    @property
    def stored_bytes(self) -> int:
        """What the gallery takes on the server; 0 where that does not say it."""

    def rows(self) -> Iterator[Row]:
        """Every picture of the current generation."""

    def rows_with_vectors(self) -> tuple[list[Row], NDArray[np.float32]]:
        """Pictures of one generation in the order of indexing, and their vectors (n, D)."""

    def compact(self) -> int:
        """Free the space of what is gone; returns the number of bytes freed, where that is known. While writing."""
