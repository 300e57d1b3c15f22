"""Limits on decoding one picture, judged by its header before a pixel is decoded: pixels, passes and memory.

A file of a few kilobytes can claim 150 megapixels, or a thousand progressive scans.
"""

from typing import IO, Any

from PIL import ExifTags, Image

from araclip.core.system import free_memory
from araclip.errors import ImageTooLarge

MAX_PIXELS = 150_000_000  # the largest consumer cameras (100–150 MP) still fit
MAX_OF_FORMAT = {  # the decoders of these take more memory or time for a pixel than others
    "WEBP": 65_000_000,  # libwebp keeps two canvases: 17 bytes a pixel
    "HEIF": 65_000_000,
    "AVIF": 65_000_000,
    "JXL": 45_000_000,
    "JPEG2000": 40_000_000,
    "RAW, developed": 16_000_000,  # at half size, of 64 million on the sensor
    "BMP, run-length encoded": 25_000_000,  # Pillow decodes it in Python: 3 seconds when it is made for this
}
LARGE = 400_000_000  # bytes: for a picture that takes more, the free memory is checked
MAX_SCANNED = (
    3_000_000_000  # pixels times passes of a JPEG: 6 seconds when it is made for this; 150 MP in 20 passes fit
)
USABLE = 0.5  # share of the free memory that one picture may take
FULL_BYTES = 17  # a pixel at the peak, in the worst case (WebP; 16-bit grey in full); measured by tests/fuzz/peaks.py
# A pixel at the peak of decoders that take more. JPEG 2000: tests/fuzz/peaks.py; the others by hand, see docs/log.
BYTES_OF_FORMAT = {
    "JXL": 25,
    "JPEG2000": 28,  # 32 bits for each channel, twice
    "RAW, developed": 40,  # for each of the pixels at half size, of which one has four of the sensor's
}
COEFFICIENTS = 6  # bytes a pixel: libjpeg holds all coefficients of a progressive JPEG, even for scaled decoding
ROW_BYTES = 8  # Pillow's pointer to each row: a picture of one column takes thrice its pixels
STRIP_BYTES = 40_000_000  # of the strips in which `upright` reduces a picture
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG followed by further pictures
_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # a pixel in Pillow; else 4
_RLE = (1, 2)  # compressions of a BMP
_CHUNK = 1 << 20


def check_header(image: Image.Image, name: str) -> int:
    """Refuse a picture beyond the limits; returns the bytes that the decoder needs besides the decoded picture.

    Raises:
        ImageTooLarge: too many pixels, or too many progressive scans; the message has both numbers.
    """
    pixels, stored, kind = image.width * image.height, _stored(image), _kind(image)
    most = min(MAX_PIXELS, MAX_OF_FORMAT.get(kind, MAX_PIXELS))
    if stored > most:
        raise ImageTooLarge(
            f"{name}: {image.width} × {image.height} is {stored / 1e6:.0f} megapixels, the limit "
            f"{f'of {kind} ' if most < MAX_PIXELS else ''}is {most / 1e6:.0f}. Save a smaller copy and index that."
        )
    stream = getattr(image, "fp", None)
    if stream is None:
        return 0
    needed = _tiff_buffers(image, stream) if image.format == "TIFF" else 0
    if image.format not in JPEGS and image.info.get("compression") not in ("jpeg", "tiff_jpeg"):
        return needed
    passes = count(stream, b"\xff\xda")
    if passes * pixels > MAX_SCANNED:
        raise ImageTooLarge(
            f"{name}: {pixels / 1e6:.0f} megapixels in {passes:,} passes, the limit is {MAX_SCANNED // pixels:,} "
            "passes. Save it again and index that."
        )
    return stored * COEFFICIENTS if passes > 1 and image.format in JPEGS else needed


def bytes_to_decode(image: Image.Image, decoder_bytes: int, reduced: int) -> int:
    """Bytes at the peak of decoding a picture.

    Args:
        image: opened and not loaded; a JPEG drafted to the size that is decoded.
        decoder_bytes: result of `check_header`.
        reduced: pixels that remain after `upright` has reduced it.
    """
    pixels = image.width * image.height
    decoder_bytes += image.height * ROW_BYTES
    if _kind(image) in (*MAX_OF_FORMAT, *BYTES_OF_FORMAT) or reduced == pixels:
        return decoder_bytes + pixels * BYTES_OF_FORMAT.get(_kind(image), FULL_BYTES)
    stored = _STORED_BYTES.get(image.mode, 4) * (2 if image.format == "TIFF" and _turned(image) else 1)
    return decoder_bytes + pixels * stored + reduced * FULL_BYTES + STRIP_BYTES


def check_budget(image: Image.Image, needed: int, most: int, name: str) -> None:
    """Refuse a picture that takes more than `most` bytes to decode.

    Raises:
        ImageTooLarge: the message has both numbers.
    """
    if needed > most:
        raise ImageTooLarge(
            f"{name}: {_size(image)} takes {needed / 1e9:.1f} GB to decode, the limit is {most / 1e9:.2f} GB. "
            "Save a smaller or plainer copy and index that."
        )


def check_free_memory(image: Image.Image, needed: int, name: str) -> None:
    """Refuse a large picture that takes more than its share of the memory that is free now.

    Raises:
        ImageTooLarge: the message has both numbers.
    """
    if needed > LARGE and needed > (free := free_memory()) * USABLE:
        raise ImageTooLarge(
            f"{name}: {_size(image)} takes {needed / 1e9:.1f} GB to decode, and of {free / 1e9:.1f} GB of free memory "
            f"{USABLE:.0%} may be used. Close other programs, or save a smaller copy and index that."
        )


def _size(image: Image.Image) -> str:
    return f"{image.width} × {image.height} ({image.width * image.height / 1e6:.0f} megapixels)"


def _kind(image: Image.Image) -> str:
    if image.format == "RAW" and image.info.get("developed"):
        return "RAW, developed"
    rle = image.format == "BMP" and image.info.get("compression") in _RLE
    return "BMP, run-length encoded" if rle else image.format or ""


def _turned(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(ExifTags.Base.Orientation, 1) != 1)


def _tiff_buffers(image: Image.Image, stream: IO[bytes]) -> int:
    """Bytes of a TIFF that are in memory while it is decoded: the file, and one strip or tile."""
    if image.info.get("compression") == "raw":
        return 0
    tags = getattr(image, "tag_v2", {})
    bits = sum(_numbers(tags.get(258, 8))) if 258 in tags else 8  # BitsPerSample
    samples, of_sample = max(_numbers(tags.get(277, 1))), len(_numbers(tags.get(258, 8)))  # SamplesPerPixel
    depth = bits if of_sample >= samples else bits * samples
    rows = min(image.height, max(_numbers(tags.get(278, image.height))))  # RowsPerStrip
    here = stream.tell()
    length = stream.seek(0, 2)
    stream.seek(here)
    return int(length + max(image.width * rows, _tile(tags)) * depth // 8)


def _tile(tags: Any) -> int:
    """Pixels of a tile of a TIFF."""
    sides = [tags.get(tag, 0) for tag in (322, 323)]  # TileWidth, TileLength
    return int(sides[0] * sides[1]) if all(isinstance(side, int) for side in sides) else 0


def _numbers(value: object) -> list[int]:
    members = value if isinstance(value, tuple) else (value,)
    return [member for member in members if isinstance(member, int)] or [1]


def _stored(image: Image.Image) -> int:
    """Pixels in the decoder's memory: those of the picture, or of one tile of a TIFF if that is larger."""
    return max(image.width * image.height, _tile(getattr(image, "tag_v2", {})))


def count(stream: IO[bytes], pattern: bytes) -> int:
    """How often a pattern occurs in a stream, whose position is restored."""
    start, total, tail = stream.tell(), 0, b""
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        total += (tail + chunk).count(pattern)
        tail = (tail + chunk)[1 - len(pattern) :]
    stream.seek(start)
    return total
