"""The only code that opens pictures: allowed formats, limits, orientation, scaled decoding, the model's input.

Picture files are untrusted: the header is read first, its size is checked before a pixel is decoded, and every
exception of Pillow becomes an `ImageError` that names the file and the remedy.
"""

import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from os import PathLike, fspath
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from araclip.decode_limits import JPEGS, MAX_PIXELS, check_header, check_stream, decoding, silence_libtiff
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
AHEAD = 32  # decoded inputs that wait for the encoder: 5 MB at 224 pixels
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation → transformation that puts the picture upright
_ROTATED = (5, 6, 7, 8)  # orientations that swap width and height

Item = TypeVar("Item")
Result = TypeVar("Result")
Source = TypeVar("Source", bound="str | PathLike[str] | IO[bytes] | Image.Image")


def open_image(
    source: str | PathLike[str] | IO[bytes] | Image.Image, size: int | None = None, *, name: str = ""
) -> Image.Image:
    """Open the first frame of a picture as upright RGB, with transparency blended onto white.

    Args:
        source: a path, a binary file object, or a PIL picture.
        size: side of the square that `square` will make. JPEG is decoded, and other formats are reduced after decoding,
            to a fraction of their size, but not below 2 × `size`, so that the final resize still averages pixels.
        name: its name in messages, if `source` is not a path.

    Raises:
        UnsupportedFormat, ImageTooLarge, UnreadableImage: each names the picture and says what to do.
    """
    name = name or _name_of(source)
    try:
        with _PILLOW_SILENT:
            if isinstance(source, Image.Image):
                return _upright_rgb(source, None, name)
            with _stream(source) as stream:
                check_stream(stream, name)
                with Image.open(stream, formats=FORMATS) as image:
                    if image.format == "TIFF":
                        silence_libtiff()
                    decoder_bytes = check_header(image, name)
                    if size is not None and image.format in JPEGS:
                        image.draft("RGB", (2 * size, 2 * size))
                    with decoding(image, decoder_bytes, name):
                        return _upright_rgb(image, size, name)
    except UnidentifiedImageError:
        raise UnsupportedFormat(
            f"{name}: not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture. "
            "Convert it to JPEG or PNG, or remove it."
        ) from None
    except FileNotFoundError:
        raise UnreadableImage(f"{name}: no such file. It may have been moved; check the path.") from None
    except PermissionError:
        raise UnreadableImage(f"{name}: no permission to read it. Change its permissions or skip it.") from None
    except (ImageTooLarge, UnreadableImage):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, checked while it opens
        raise ImageTooLarge(
            f"{name}: {str(error).rstrip('.')}; our limit is {MAX_PIXELS / 1e6:.0f} megapixels. "
            "Save a smaller copy and index that."
        ) from None
    except MemoryError:
        raise ImageTooLarge(f"{name}: not enough memory to decode it. Save a smaller copy.") from None
    except Exception as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, IndexError, …
        reason = str(error) or type(error).__name__
        raise UnreadableImage(
            f"{name}: damaged or cut short ({reason}). Restore it from a copy, or remove it."
        ) from error


@dataclass(frozen=True)
class Facts:
    """Facts from a picture's header: one of FORMATS; width and height in pixels of the upright picture; EXIF date.

    `captured_at` is the camera's clock, YYYY-MM-DDTHH:MM:SS without a time zone; None if there is no valid EXIF date.
    """

    format: str
    width: int
    height: int
    captured_at: str | None


def read_facts(source: str | PathLike[str] | IO[bytes] | Image.Image) -> Facts:
    """The facts of a picture that `open_image` accepts, from its header, without decoding pixels.

    A picture in memory without a format counts as PNG. A damaged EXIF block is ignored.
    """
    with _PILLOW_SILENT:
        if isinstance(source, Image.Image):
            return _facts(source)
        with Image.open(source, formats=FORMATS) as image:
            return _facts(image)


def _facts(image: Image.Image) -> Facts:
    width, height = image.size
    try:
        exif = image.getexif()
        if exif.get(ExifTags.Base.Orientation, 1) in _ROTATED:
            width, height = height, width
        times = exif.get_ifd(ExifTags.IFD.Exif)
        captured_at = _time(times.get(ExifTags.Base.DateTimeOriginal) or times.get(ExifTags.Base.DateTimeDigitized))
    except Exception:  # Pillow raises anything on a damaged block, which is ignored
        captured_at = None
    kind = image.format or "PNG"
    return Facts("JPEG" if kind == "MPO" else kind, width, height, captured_at)


def _time(text: object) -> str | None:
    try:
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:  # cameras whose clock is not set write 0000:00:00 00:00:00
        return None


def _stream(source: str | PathLike[str] | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    if isinstance(source, str | PathLike):
        return open(source, "rb")  # noqa: PTH123  (a path that is not UTF-8 stays as it is)
    return nullcontext(source)


def _name_of(source: str | PathLike[str] | IO[bytes] | Image.Image) -> str:
    if isinstance(source, Image.Image):
        return "picture in memory"
    return fspath(source) if isinstance(source, str | PathLike) else "uploaded picture"


class _PillowSilent:
    """Silences Pillow's warnings while any thread is inside; we check limits ourselves and ignore damaged EXIF blocks.

    `catch_warnings` in every thread would leave them off for good: overlapping threads restore each other's filters.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_PILLOW_SILENT = _PillowSilent()


def _upright_rgb(image: Image.Image, size: int | None, name: str) -> Image.Image:
    if min(image.size) < 1:
        raise UnreadableImage(f"{name}: the picture is empty ({image.width} × {image.height}).")
    image.load()  # not inside a try: after a failed load(), Pillow's second one succeeds silently
    turn, sixteen_bit = _turn_of(image), image.mode.startswith("I;16")
    image = _averageable(image)
    if size is not None:
        image = _smaller(image, size)
    if turn is not None:
        image = _turned(image, turn)
    if image.mode in ("I", "F"):  # 16-bit and float grey: convert() would clip instead of scaling
        image = _eight_bit(image, sixteen_bit)
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
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode.startswith("I;16"):
        return image.convert("I")
    return image.convert("L") if image.mode == "1" else image


def _smaller(image: Image.Image, size: int) -> Image.Image:
    """Reduced by an integer factor to no side below 2 × `size`, as `square` would begin; makes later steps cheap."""
    factor = min(image.size) // (2 * size)
    return image.reduce(factor) if factor > 1 else image


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


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The model's input, (size, size, 3) uint8: the picture resized to a square without cropping.

    The published AraCLIP does the same; on captions that mention the edges it beats a centre crop.
    """
    resized = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(resized, dtype=np.uint8)


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[tuple[Item, Result], None, None]:
    """Apply `work` in threads, at most AHEAD items ahead of the consumer; yields (item, result) in order."""
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            while True:
                waiting.extend((item, pool.submit(work, item)) for item in islice(remaining, AHEAD - len(waiting)))
                if not waiting:
                    return
                item, done = waiting.popleft()
                yield item, done.result()
        finally:
            for _, pending in waiting:
                pending.cancel()


def decode_ahead(
    sources: Iterable[Source], size: int, threads: int
) -> Iterator[tuple[Source, NDArray[np.uint8] | ImageError]]:
    """Decode pictures in threads, at most AHEAD ahead of the consumer, in order.

    Yields each source with its (size, size, 3) square, or with the `ImageError` of its failure.
    """

    def decode(source: Source) -> NDArray[np.uint8] | ImageError:
        try:
            return square(open_image(source, size), size)
        except ImageError as error:
            return error

    return map_ahead(decode, sources, threads)
