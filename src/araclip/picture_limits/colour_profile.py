"""Colours as sRGB: what a picture's ICC profile says of its numbers is applied where it says something else.

All that follows (thumbnails, the model's input) takes numbers for sRGB. Phones take photographs in Display P3, cameras
may in Adobe RGB, and scans for print are CMYK. A profile under which no colour moves by more than SAME levels is sRGB
by another name: not a pixel changes. One that is damaged, too large, or not of its pixels' kind is ignored, as browsers
do.
"""

from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, features

MAX_PROFILE = 4_000_000  # bytes; the largest of printing have 3 million
SAME = 3  # levels of 255, between the sRGB profiles of different makers
_KEPT = 8  # transforms; one of CMYK holds its profile and a table, 5 MB in the worst case
_HEADER = 128  # bytes
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")  # scanner, monitor, printer, colour space; the others are no picture's
_SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}  # mode → colour space of the profile
_PROGRAMS = b"mpet"  # elements to be computed one after the other, as many as fit: no picture needs them


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """The picture in sRGB: itself, or a new one as RGB (RGBA if it is).

    Args:
        image: decoded; of modes other than RGB, RGBA, CMYK and L it is returned as it is.
        profile: `info["icc_profile"]` of the file, or None.
    """
    if not (isinstance(profile, bytes) and image.mode in _SPACES and _HEADER < len(profile) <= MAX_PROFILE):
        return image
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    converted.info.clear()  # of the profile of sRGB
    return converted


@lru_cache(_KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it changes nothing, or cannot be used."""
    space, kind = profile[16:20], profile[12:16]
    if space != _SPACES[mode] or kind not in _CLASSES or _PROGRAMS in profile or not _has_lcms():
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)), _srgb(), mode, "RGBA" if mode == "RGBA" else "RGB"
        )
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour of a grid moves by more than SAME levels."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)  # (1, 729, 3)
    grid = Image.fromarray(colours if mode != "L" else steps[None])
    converted = ImageCms.applyTransform(grid.convert(mode), transform)
    assert converted is not None
    moved = np.asarray(converted.convert("RGB"), np.int16) - np.asarray(grid.convert("RGB"), np.int16)
    return int(np.abs(moved).max()) <= SAME


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _has_lcms() -> bool:
    return bool(features.check("littlecms2"))  # Pillow's wheels have it
