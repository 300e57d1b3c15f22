"""How a picture becomes the square that an image tower takes, as Pillow, torchvision and transformers compute it."""

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


ELONGATED = 32  # times as long as wide: from here on a picture is cut before it is resized


@dataclass(frozen=True)
class ImageTransform:
    """Upright RGB picture → (size, size, 3) uint8.

    Attributes:
        resize: "squash": width and height become `size`; "shortest": the shorter side does, and the middle is cut out.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; all but the first average where they make smaller.
        reducing_gap: Pillow's: pixels are averaged in blocks first, to no side below so many times `size`. Our own
            models are trained so; None is exact, as the libraries of published models do it.
        crop_offset: where the middle begins if an odd number of pixels is cut off: "half-even", as torchvision and
            open_clip round it, or "floor", as transformers does.
    """

    size: int
    resize: str = "squash"
    interpolation: str = "bicubic"
    reducing_gap: float | None = 2.0
    crop_offset: str = field(default="half-even", repr=False)  # labels of peers hold the `repr` of earlier releases

    @property
    def distorts(self) -> bool:
        """Whether the sides of a picture are scaled by different factors."""
        return self.resize == "squash"

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The square of a picture."""
        filter_, gap, target = FILTERS[self.interpolation], self.reducing_gap, (self.size, self.size)
        if self.distorts:
            return np.asarray(image.resize(target, filter_, reducing_gap=gap), dtype=np.uint8)
        size, corner = _resized(*image.size, self.size, self.crop_offset)
        if max(size) <= ELONGATED * self.size:
            whole = image.resize(size, filter_, reducing_gap=gap)
            cut = whole.crop((*corner, corner[0] + self.size, corner[1] + self.size))
        else:  # the same but for rounding, without a resized picture of any length
            across, down = image.width / size[0], image.height / size[1]
            right, bottom = (corner[0] + self.size) * across, (corner[1] + self.size) * down
            box = (corner[0] * across, corner[1] * down, min(right, image.width), min(bottom, image.height))
            cut = image.resize(target, filter_, box=box, reducing_gap=gap)
        return np.asarray(cut, dtype=np.uint8)


class TakesSquares(Protocol):
    """A model as far as its pictures go."""

    @property
    def image_size(self) -> int:
        """S, the side in pixels of its squares."""


def transform_of(model: TakesSquares) -> ImageTransform:
    """How the squares are made that an encoder's `encode_pixels` takes; what a gallery does with pictures.

    Its `image_transform`, where it has that attribute, which `Encoder` does not ask for; else pictures are squashed.
    """
    own = getattr(model, "image_transform", None)
    return own if isinstance(own, ImageTransform) else ImageTransform(model.image_size)


def _resized(width: int, height: int, size: int, crop_offset: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height once the shorter side is `size`, and the corner at which the middle is cut out.

    The numbers of torchvision and transformers: the longer side is cut to a whole number.
    """
    longer = int(size * max(width, height) / min(width, height))
    start = (longer - size) // 2 if crop_offset == "floor" else round((longer - size) / 2)
    return ((longer, size), (start, 0)) if width > height else ((size, longer), (0, start))
