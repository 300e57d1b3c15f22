"""Pictures that were embedded elsewhere, as columns: rows for the catalogue, of which nothing is decoded again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.records import File
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import PhotoMetadata

EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True)
class EmbeddedPictures:
    """n pictures with all that a catalogue stores of them; `Facts`, `File` and the hashes as columns.

    Attributes:
        vectors: (n, D) float16 of unit length. digests: SHA-256 of the bytes. phashes: 64 bits each.
        metadata: of each path, as `add` takes it.
    """

    paths: Sequence[str]
    sizes: Sequence[int]
    mtimes_ns: Sequence[int]
    digests: Sequence[bytes]
    vectors: NDArray[np.float16]
    phashes: Sequence[int]
    formats: Sequence[str]
    widths: Sequence[int]
    heights: Sequence[int]
    captions: Sequence[str]
    photos: Sequence[PhotoMetadata]
    metadata: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, row: int) -> File:
        """The file of one of them."""
        return File(self.paths[row], self.sizes[row], self.mtimes_ns[row])

    def facts(self, row: int) -> Facts:
        """The facts of one of them."""
        photo = self.photos[row]
        return Facts(
            self.formats[row], self.widths[row], self.heights[row], photo.captured_at, self.captions[row],
            photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place,
        )  # fmt: skip
