"""The only code that opens pictures: allow-list, pixel cap, orientation, cheap decode, the model's square.

A picture file is hostile until proven otherwise: its header is read first, its size is checked before a pixel is
decoded, and whatever Pillow raises becomes one `ImageError` that names the file and the remedy.
"""

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from os import PathLike, fspath
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from araclip.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
AHEAD = 32  # decoded squares that wait for the network: 5 MB at 224 pixels
MAX_PIXELS = 150_000_000  # 450 MB once decoded to RGB: the largest consumer cameras (100–150 MP) still fit
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation → what puts the picture upright
_LYING = (5, 6, 7, 8)  # orientations of which width and height change places

Item = TypeVar("Item")
Result = TypeVar("Result")
Source = TypeVar("Source", bound="str | PathLike[str] | IO[bytes] | Image.Image")


def open_image(
    source: str | PathLike[str] | IO[bytes] | Image.Image, size: int | None = None, *, name: str = ""
) -> Image.Image:
    """Open one picture as upright RGB, its first frame, transparency laid on white.

    Args:
        source: a path, a binary file object, or a PIL picture (which is converted, not reopened).
        size: the square the picture is headed for. Lets JPEG decode at a fraction of its size (never below
            2 × `size`, so that the later resize still averages over real pixels).
        name: what messages call it, when `source` is no path.

    Raises:
        UnsupportedFormat, ImageTooLarge, UnreadableImage: each names the picture and says what to do.
    """
    name = name or _name_of(source)
    try:
        with _PILLOW_SILENT:
            if isinstance(source, Image.Image):
                return _upright_rgb(source, name)
            with Image.open(source, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageTooLarge(
                        f"{name}: {image.width} × {image.height} is {image.width * image.height / 1e6:.0f} megapixels, "
                        f"the limit is {MAX_PIXELS / 1e6:.0f}. Save a smaller copy and index that."
                    )
                if size is not None and image.format in ("JPEG", "MPO"):  # MPO: a JPEG with more pictures behind it
                    image.draft("RGB", (2 * size, 2 * size))
                return _upright_rgb(image, name)
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
    except Image.DecompressionBombError as error:  # Pillow has a cap of its own and strikes while it opens
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
    """What a picture says of itself: one of FORMATS, size in pixels as it is seen (upright), and when it was taken.

    `taken` is the camera's own clock, YYYY-MM-DDTHH:MM:SS without a time zone; None when no EXIF block tells.
    """

    format: str
    width: int
    height: int
    taken: str | None


def read_facts(source: str | PathLike[str] | IO[bytes] | Image.Image) -> Facts:
    """The facts of a picture that `open_image` accepts, from its header; no pixel is decoded.

    A picture in memory that came from no file counts as PNG. A damaged EXIF block tells nothing.
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
        if exif.get(ExifTags.Base.Orientation, 1) in _LYING:
            width, height = height, width
        times = exif.get_ifd(ExifTags.IFD.Exif)
        taken = _time(times.get(ExifTags.Base.DateTimeOriginal) or times.get(ExifTags.Base.DateTimeDigitized))
    except Exception:  # as in _upright: what cannot be read says nothing
        taken = None
    kind = image.format or "PNG"
    return Facts("JPEG" if kind == "MPO" else kind, width, height, taken)


def _time(text: object) -> str | None:
    try:
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:  # an empty date, as cameras without a set clock write it: 0000:00:00 00:00:00
        return None


def _name_of(source: str | PathLike[str] | IO[bytes] | Image.Image) -> str:
    if isinstance(source, Image.Image):
        return "picture in memory"
    return fspath(source) if isinstance(source, str | PathLike) else "uploaded picture"


class _PillowSilent:
    """Pillow's warnings are off while any thread is inside: we have a cap of our own, and a damaged EXIF block is no
    reason to talk.

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


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    if min(image.size) < 1:
        raise UnreadableImage(f"{name}: the picture is empty ({image.width} × {image.height}).")
    image.load()  # not inside a try: Pillow's second load() of a damaged picture succeeds without a word
    image = _upright(image)
    if image.mode.startswith(("I", "F")):  # 16-bit and float greys: convert() would clip instead of scaling
        image = _eight_bit(image)
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    # ImageOps.exif_transpose also writes the block anew, and one odd tag of a camera keeps it from turning the picture.
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # an unreadable EXIF block must not cost the picture
        return image
    if turn is None:
        return image
    image = image.transpose(turn)
    for block in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        image.info.pop(block, None)  # nobody shall turn it again
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    grey = np.asarray(image, dtype=np.float32)  # (H, W)
    finite = grey[np.isfinite(grey)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if image.mode.startswith("I;16") or (low >= 0 and high > 255):
        low, high = 0.0, max(65535.0, high)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    with np.errstate(all="ignore"):  # infinities end at 0 or 255, NaN at 0
        scaled = np.nan_to_num((grey - low) * (255.0 / max(high - low, 1e-12)))
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The picture squashed to the model's square: (size, size, 3) uint8. Nothing is cropped away.

    Squashing is what the published AraCLIP does too; on captions that speak of the edges it beats a centre crop.
    """
    resized = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(resized, dtype=np.uint8)


def map_ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[tuple[Item, Result]]:
    """Apply `work` in threads, a bounded number of items ahead of the consumer; pairs come in the order given."""
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
    """Decode pictures a bounded number ahead of the consumer, in the order given.

    Yields each source with its (size, size, 3) square, or with the `ImageError` that says why there is none.
    """

    def decode(source: Source) -> NDArray[np.uint8] | ImageError:
        try:
            return square(open_image(source, size), size)
        except ImageError as error:
            return error

    return map_ahead(decode, sources, threads)
