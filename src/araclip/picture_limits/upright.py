"""A decoded picture as upright RGB: reduced first, in strips, then turned, scaled to eight bits, in sRGB, on white."""

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from araclip.errors import UnreadableImage
from araclip.picture_limits.colour_profile import to_srgb

ELONGATED = 16_000_000  # pixels after reduction: a picture with more is a hundred times as long as wide
STRIP = 4_000_000  # pixels that are converted and reduced at once
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
    """The whole numbers by which `upright_rgb` reduces width and height: to no side below 2 × `size`.

    With `distort`, a picture that stays large, because its other side is short, is reduced along the long one alone.
    """
    if size is None:
        return 1, 1
    factor = max(1, min(width, height) // (2 * size))
    if distort and width * height // factor**2 > ELONGATED:
        return max(1, width // (2 * size)), max(1, height // (2 * size))
    return factor, factor


def upright_rgb(image: Image.Image, factors: Factors, name: str) -> Image.Image:
    """The picture decoded, reduced, upright, in sRGB, with transparency blended onto white.

    Raises:
        UnreadableImage: it is empty.
    """
    if min(image.size) < 1:
        raise UnreadableImage(f"{name}: the picture is empty ({image.width} × {image.height}).")
    image.load()  # not inside a try: after a failed load(), Pillow's second one succeeds silently
    turn, sixteen_bit, profile = _turn_of(image), image.mode.startswith("I;16"), image.info.get("icc_profile")
    image = _averageable(image) if factors == (1, 1) else _reduced(image, factors)
    if turn is not None:
        image = _turned(image, turn)
    if image.mode in ("I", "F"):  # 16-bit and float grey: convert() would clip instead of scaling
        image = _eight_bit(image, sixteen_bit)
    image = to_srgb(image, profile)
    if image.mode in ("RGBA", "LA", "La", "RGBa"):
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    # Not ImageOps.exif_transpose: it rewrites the block, and fails on a single tag that Pillow cannot write.
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block is ignored
        return None


def _turned(image: Image.Image, turn: Image.Transpose) -> Image.Image:
    image = image.transpose(turn)
    for block in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        image.info.pop(block, None)  # or a reader would apply the orientation again
    return image


def _averageable(image: Image.Image) -> Image.Image:
    """In a mode whose values can be averaged: no palette, no bilevel, no packed 16 bits."""
    if image.mode.startswith("I;16"):  # before its transparency: Pillow would clip 16 bits to 8, to a white picture
        return image.convert("I")
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L") if image.mode == "1" else image


def _reduced(image: Image.Image, factors: Factors) -> Image.Image:
    """Averaged over blocks of `factors` pixels, in an averageable mode; strips keep converted copies small."""
    across, down = factors
    small: Image.Image | None = None
    for box in _boxes(image.width, image.height, factors):
        strip = _averageable(image.crop(box)).reduce(factors)
        if small is None:
            small = Image.new(strip.mode, (-(-image.width // across), -(-image.height // down)))
            small.info = strip.info
        small.paste(strip, (box[0] // across, box[1] // down))
    assert small is not None
    return small


def _boxes(width: int, height: int, factors: Factors) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of about STRIP pixels that cover the picture, and begin at multiples of `factors`."""
    across, down = factors
    wide = max(across, min(width, STRIP // down) // across * across)
    high = max(down, STRIP // min(wide, width) // down * down)
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield left, top, min(left + wide, width), min(top + high, height)


def _eight_bit(image: Image.Image, sixteen_bit: bool) -> Image.Image:
    grey = np.array(image, dtype=np.float32)  # (H, W)
    finite = np.isfinite(grey)
    low, high = (float(grey.min(where=finite, initial=np.inf)), float(grey.max(where=finite, initial=-np.inf)))
    if not finite.any():
        low, high = 0.0, 1.0
    if sixteen_bit or (low >= 0 and high > 255):
        low, high = 0.0, max(65535.0, high)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    with np.errstate(all="ignore"):  # infinities become 0 or 255, NaN 0
        grey -= low
        grey *= 255.0 / max(high - low, 1e-12)
        np.nan_to_num(grey, copy=False)
    return Image.fromarray(grey.clip(0, 255, out=grey).astype(np.uint8))
