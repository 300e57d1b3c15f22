"""Convert a decoded picture to upright RGB: reduce it in strips, turn it, scale it to 8 bits, convert to sRGB, on
white.

Thumbnails and the model's input are sRGB, so a picture with another ICC profile is converted: phones take photographs
in Display P3, some cameras in Adobe RGB, and scans for print are CMYK. If a profile changes no colour by more than SAME
levels, it is taken for sRGB, and no pixel changes. A profile that is damaged, too large, or of another kind than the
pixels is ignored, as browsers do.
"""

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, features

from araclip.core.messages import message
from araclip.errors import UnreadableImage

# A picture counts as extremely long if it would still have more pixels than this after a reduction without distortion
# that leaves its short side as long as the square needs. For squares of 224 × 224, such a picture is at least 20 times
# as long as wide.
ELONGATED = 16_000_000
STRIP = 4_000_000  # number of pixels that are converted and reduced at once
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation → transformation that puts the picture upright
ROTATED = (5, 6, 7, 8)  # orientations that swap width and height

Factors = tuple[int, int]


def factors_for(width: int, height: int, size: int | None, *, distort: bool = False) -> Factors:
    """Return the whole numbers by which `upright_rgb` divides width and height, so that no side falls below 2 × `size`.
    `size` None: no reduction.

    Both sides are divided by the same number. But with `distort`, each side of an extremely long picture is divided by
    a number of its own, since otherwise the picture would stay large.
    """
    if size is None:
        return 1, 1
    factor = max(1, min(width, height) // (2 * size))
    if distort and width * height // factor**2 > ELONGATED:
        return max(1, width // (2 * size)), max(1, height // (2 * size))
    return factor, factor


def upright_rgb(image: Image.Image, factors: Factors, name: str) -> Image.Image:
    """Decode and reduce a picture; return it upright, in sRGB, with transparency blended onto white."""
    if min(image.size) < 1:
        raise UnreadableImage(message("picture empty", name=name, width=image.width, height=image.height))
    image.load()  # no error is caught here: after a failed load(), a second one would succeed silently
    turn, sixteen_bit, profile = _turn_to_upright(image), image.mode.startswith("I;16"), image.info.get("icc_profile")
    image = _to_averageable_mode(image) if factors == (1, 1) else _reduce_in_strips(image, factors)
    if turn is not None:
        image = image.transpose(turn)
        for block in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
            image.info.pop(block, None)  # drop blocks that may hold the orientation: it would be applied again
    if image.mode in ("I", "F"):  # scales 16-bit and float grey values; convert() would clip them
        image = _to_eight_bit(image, sixteen_bit)
    image = to_srgb(image, profile)
    if image.mode in ("RGBA", "LA", "La", "RGBa"):
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn_to_upright(image: Image.Image) -> Image.Transpose | None:
    """Return the transformation that puts a picture upright, by its EXIF orientation; None if none is needed."""
    # ImageOps.exif_transpose would rewrite the EXIF block, and fail if Pillow cannot write one of its tags.
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block is ignored
        return None


def _to_averageable_mode(image: Image.Image) -> Image.Image:
    """Convert an image to a mode whose values can be averaged: no palette, not bilevel, not packed 16 bits."""
    if image.mode.startswith("I;16"):  # first: the conversion to RGBA below would make 16-bit pixels white
        return image.convert("I")
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L") if image.mode == "1" else image


def _reduce_in_strips(image: Image.Image, factors: Factors) -> Image.Image:
    """Reduce an image by averaging blocks of `factors` pixels; works in strips, so that converted copies stay small."""
    across, down = factors
    small: Image.Image | None = None
    for box in _strip_boxes(image.width, image.height, factors):
        strip = _to_averageable_mode(image.crop(box)).reduce(factors)
        if small is None:
            small = Image.new(strip.mode, (-(-image.width // across), -(-image.height // down)))
            small.info = strip.info
        small.paste(strip, (box[0] // across, box[1] // down))
    assert small is not None
    return small


def _strip_boxes(width: int, height: int, factors: Factors) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of about STRIP pixels that cover the picture and begin at multiples of `factors`."""
    across, down = factors
    wide = max(across, min(width, STRIP // down) // across * across)
    high = max(down, STRIP // min(wide, width) // down * down)
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield left, top, min(left + wide, width), min(top + high, height)


def _to_eight_bit(image: Image.Image, sixteen_bit: bool) -> Image.Image:
    """Scale the grey values of an image (modes I and F) to 0…255.

    The values decide which range is scaled: the range of 16-bit numbers, 0 to 1, or else from the least value to the
    greatest. With `sixteen_bit`, the range is always that of 16-bit numbers.
    """
    grey = np.array(image, dtype=np.float32)  # (H, W)
    finite = np.isfinite(grey)
    low, high = (float(grey.min(where=finite, initial=np.inf)), float(grey.max(where=finite, initial=-np.inf)))
    if not finite.any():
        low, high = 0.0, 1.0
    if sixteen_bit or (low >= 0 and high > 255):
        low, high = 0.0, max(65535.0, high)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    with np.errstate(all="ignore"):  # without warnings: infinities become 0 or 255, NaN becomes 0
        grey -= low
        grey *= 255.0 / max(high - low, 1e-12)
        np.nan_to_num(grey, copy=False)
    return Image.fromarray(grey.clip(0, 255, out=grey).astype(np.uint8))


MAX_PROFILE = 4_000_000  # limit: bytes of a profile; the largest profiles for printing have 3 million
SAME = 3  # most levels, of 255, by which sRGB profiles of different makers differ
_CACHED_TRANSFORMS = 8  # cached transforms; one for CMYK holds its profile and a table, 5 MB in the worst case
_HEADER = 128  # number of bytes in an ICC profile's header
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")  # ICC profiles for pictures: scanner, monitor, printer, colour space
# Pillow's mode → colour space that a profile for such pictures names
_SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}
_PROGRAMS = b"mpet"  # ICC tag that may list any number of computations, so it is refused; no picture needs it


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert an image to sRGB; return the image itself if nothing changes, else a new RGB image (RGBA for RGBA).

    Args:
        image: a decoded image; in modes other than RGB, RGBA, CMYK and L it is returned unchanged.
        profile: `info["icc_profile"]` of the file, or None.
    """
    if not (isinstance(profile, bytes) and image.mode in _SPACES and _HEADER < len(profile) <= MAX_PROFILE):
        return image
    transform = _transform_to_srgb(profile, image.mode)
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    converted.info.clear()  # drops the sRGB profile that was attached to the converted picture
    return converted


@lru_cache(_CACHED_TRANSFORMS)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Make the transform from a profile to sRGB; None if it changes nothing, or the profile cannot be used."""
    space, kind = profile[16:20], profile[12:16]
    if space != _SPACES[mode] or kind not in _CLASSES or _PROGRAMS in profile:
        return None
    if not features.check("littlecms2"):  # this Pillow, built without LittleCMS, cannot convert colours
        return None
    try:
        theirs, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(theirs, srgb, mode, "RGBA" if mode == "RGBA" else "RGB")
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """True if no colour of a grid of test colours changes by more than SAME levels."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)  # (1, 729, 3)
    grid = Image.fromarray(colours if mode != "L" else steps[None])
    converted = ImageCms.applyTransform(grid.convert(mode), transform)
    assert converted is not None
    moved = np.asarray(converted.convert("RGB"), np.int16) - np.asarray(grid.convert("RGB"), np.int16)
    return int(np.abs(moved).max()) <= SAME
