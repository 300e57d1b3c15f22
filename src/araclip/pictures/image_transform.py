"""Turn a picture into the square that an image encoder takes, as Pillow, torchvision and transformers compute it."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


ELONGATED = 32  # a picture whose longer side is more than this many times the shorter is cut before it is resized


@dataclass(frozen=True)
class ImageTransform:
    """Turns an upright RGB picture into an array (size, size, 3) uint8.

    Attributes:
        resize: "squash" scales both width and height to `size`; "shortest" scales the shorter side to `size` and cuts
            the middle out.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; all but "nearest" average pixels when reducing.
        reducing_gap: as in Pillow: first average pixels in blocks, which leaves both sides at least `reducing_gap` ×
            `size` long; then resize. araclip's own models are trained so. None resizes exactly, as the libraries of
            published models do.
        crop_offset: where the middle begins if an odd number of pixels is cut off: "half-even" rounds as torchvision
            and open_clip do, "floor" as transformers does.
    """

    size: int
    resize: str = "squash"
    interpolation: str = "bicubic"
    reducing_gap: float | None = 2.0
    crop_offset: str = field(default="half-even", repr=False)  # not in the repr, which fingerprints of models hash

    @property
    def distorts(self) -> bool:
        """True if width and height of a picture are scaled by different factors."""
        return self.resize == "squash"

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return a picture as the square that the model takes, (size, size, 3) uint8."""
        filter_, gap, target = FILTERS[self.interpolation], self.reducing_gap, (self.size, self.size)
        if self.distorts:
            return np.asarray(image.resize(target, filter_, reducing_gap=gap), dtype=np.uint8)
        size, corner = _size_and_corner(*image.size, self.size, self.crop_offset)
        if max(size) <= ELONGATED * self.size:
            whole = image.resize(size, filter_, reducing_gap=gap)
            cut = whole.crop((*corner, corner[0] + self.size, corner[1] + self.size))
        else:  # scales only the middle, as the scaled whole would take much memory; pixels differ by rounding only
            across, down = image.width / size[0], image.height / size[1]
            right, bottom = (corner[0] + self.size) * across, (corner[1] + self.size) * down
            box = (corner[0] * across, corner[1] * down, min(right, image.width), min(bottom, image.height))
            cut = image.resize(target, filter_, box=box, reducing_gap=gap)
        return np.asarray(cut, dtype=np.uint8)


class TakesSquares(Protocol):
    """A model that takes square pictures."""

    @property
    def image_size(self) -> int:
        """The side S of the model's squares, in pixels."""


def transform_of(model: TakesSquares) -> ImageTransform:
    """Return the transform that makes the squares for an encoder's `encode_pixels`.

    That is the encoder's attribute `image_transform`, which `Encoder` does not require. Without it, pictures are
    squashed to `image_size`.
    """
    own = getattr(model, "image_transform", None)
    return own if isinstance(own, ImageTransform) else ImageTransform(model.image_size)


def _size_and_corner(width: int, height: int, size: int, crop_offset: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (width, height) after the shorter side is scaled to `size`, and the left and top of the square to cut out.

    As in torchvision and transformers, the longer side is rounded down.
    """
    longer = int(size * max(width, height) / min(width, height))
    start = (longer - size) // 2 if crop_offset == "floor" else round((longer - size) / 2)
    return ((longer, size), (start, 0)) if width > height else ((size, longer), (0, start))
