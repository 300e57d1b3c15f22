"""Pictures whose vectors, facts and hashes were computed elsewhere, as columns; nothing is decoded again for them."""

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
    """n pictures with everything that a catalogue stores about them; row i of each column belongs to picture i.

    Attributes:
        vectors: (n, D) float16 of unit length.
        digests: the SHA-256 hash of each file's bytes.
        phashes: perceptual hashes, 64 bits each.
        metadata: the metadata of each path, as `BaseGallery.add` takes it.
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
        """Return the file of the picture in a row."""
        return File(self.paths[row], self.sizes[row], self.mtimes_ns[row])

    def facts(self, row: int) -> Facts:
        """Return the facts of the picture in a row."""
        photo = self.photos[row]
        return Facts(
            self.formats[row], self.widths[row], self.heights[row], photo.captured_at, self.captions[row],
            photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place,
        )  # fmt: skip
