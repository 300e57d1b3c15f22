"""Augmentation: random crops, mirror images and colour shifts of training pictures."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from araclip.pictures.images import square

SMALLEST = 0.6  # side of a crop, as a part of the picture's: smaller ones lose what captions mention
JITTER = 0.3  # brightness, contrast and colour change by at most this part


def augment(image: Image.Image, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(size, size, 3): a random crop, mirrored half of the time, its brightness, contrast and colour shifted."""
    width, height = (rng.uniform(SMALLEST, 1.0) * side for side in image.size)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    cropped = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(recolour(ImageOps.mirror(cropped) if rng.random() < 0.5 else cropped, rng), dtype=np.uint8)


def recolour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture with brightness, contrast and colour shifted by up to `JITTER`."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(float(rng.uniform(1 - JITTER, 1 + JITTER)))
    return image


def views(image: Image.Image, size: int, count: int, seed: int) -> NDArray[np.uint8]:
    """(count, size, size, 3): the picture as it is, its recoloured mirror image, then random crops."""
    rng = np.random.default_rng(seed)
    out = [square(image, size)]
    if count > 1:
        out.append(np.asarray(recolour(Image.fromarray(out[0][:, ::-1]), rng), dtype=np.uint8))
    out += [augment(image, size, rng) for _ in range(count - 2)]
    return np.stack(out[:count])
