"""The only code that opens picture files: check format and limits, decode (scaled if possible), turn upright, make
squares.

Picture files are untrusted: the header is read first, the size it claims is checked before a pixel is decoded, and
every exception of Pillow becomes an `ImageError` that names the file and the remedy. Memory is taken from shared
budgets.
"""

import errno
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from io import BufferedReader, BytesIO
from itertools import islice
from os import PathLike, fspath
from typing import IO, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from araclip.core.files import open_to_read, stream_of
from araclip.core.libraries import return_freed_memory
from araclip.core.messages import message
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat
from araclip.pictures import formats, plugins
from araclip.pictures.facts import Facts, read_facts
from araclip.pictures.formats import Openable
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.limits import (
    DECODE_SECONDS,
    DECODING,
    FULL_BYTES,
    JPEGS,
    MAX_PIXELS,
    PARSING,
    TimedStream,
    bytes_to_decode,
    check_budget,
    check_free_memory,
    check_header,
    unpacked_bytes,
)
from araclip.pictures.pillow_messages import PILLOW_MESSAGES, silence_libtiff
from araclip.pictures.upright import factors_for, upright_rgb

LATE_FACTS = ("PNG", "JXL")  # in these formats, EXIF may follow the pixels
AHEAD = 32  # decoded squares that may wait for the encoder: 5 MB at 224 pixels

Item = TypeVar("Item")
Result = TypeVar("Result")
Source = TypeVar("Source", bound=Openable)


def open_image(source: Openable, size: int | None = None, *, name: str = "") -> Image.Image:
    """Open the first frame of a picture as upright RGB, with transparency blended onto white.

    Args:
        size: the side of the square that `square` will make; None: keep the picture's size. With a `size` the picture
            is reduced to a fraction of its own (JPEG while decoding, other formats after it), but not below 2 × `size`,
            so that the final resize still averages pixels.
        name: the picture's name in messages, if `source` is not a path.

    Raises:
        UnsupportedFormat, ImageTooLarge, UnreadableImage: the message names the picture and says what to do.
    """
    with open_with_facts(source, size, name=name) as (image, _):
        return image


@contextmanager
def open_with_facts(
    source: Openable, size: int | None = None, *, name: str = "", distort: bool = False
) -> Iterator[tuple[Image.Image, Facts]]:
    """Open a picture like `open_image`, for the length of a `with` block; yield the picture and its facts.

    Inside the block, the picture's memory counts against the budget of all threads. Errors are as for `open_image`.

    Args:
        distort: True if the picture is only squashed to squares later. Then an extremely long picture is reduced more
            along its long side than along its short side.
    """
    unnamed = "picture in memory" if isinstance(source, Image.Image) else "uploaded picture"
    name = name or (fspath(source) if isinstance(source, str | PathLike) else unnamed)
    with ExitStack() as held:
        with _translate_errors(name):
            found = held.enter_context(_decode(source, size, name, distort))
        yield found


@contextmanager
def _decode(source: Openable, size: int | None, name: str, distort: bool) -> Iterator[tuple[Image.Image, Facts]]:
    """Open and decode a picture, yield it with its facts (see `open_with_facts`); Pillow's errors pass unchanged."""
    if isinstance(source, Image.Image):
        with DECODING.hold(source.width * source.height * FULL_BYTES):
            facts = read_facts(source, source.size)
            yield upright_rgb(source, (1, 1), name), facts
        return
    with _open_stream(source, name) as stream, PARSING.hold(unpacked_bytes(stream, name)):
        timed = TimedStream(stream, name)
        image, upright = _identify(cast(IO[bytes], timed), name), None
        if image.format == "TIFF":
            silence_libtiff()
        decoder_bytes, shown = check_header(image, name), image.size
        early = None if image.format in LATE_FACTS else read_facts(image, shown)
        if size is not None and image.format in (*JPEGS, "RAW"):
            image.draft("RGB", (2 * size, 2 * size))
        factors = factors_for(*image.size, size, distort=distort)
        reduced = image.width * image.height // (factors[0] * factors[1])
        needed = bytes_to_decode(image, decoder_bytes, reduced)
        if size is not None:  # without `size`, a picture above the budget waits until no other is decoded
            check_budget(image, needed, DECODING.total, name)
        with DECODING.hold(needed):
            check_free_memory(image, needed, name)
            timed.allow(DECODE_SECONDS)
            try:
                upright = upright_rgb(image, factors, name)
                found = upright, early or read_facts(image, shown)
            finally:
                if upright is not image:  # frees the pixels at once, even if a traceback still refers to the image
                    vars(image).clear()
                    return_freed_memory(needed)
            yield found


def _identify(stream: IO[bytes], name: str) -> Image.Image:
    """Open a picture with Pillow, without decoding it.

    If its format needs an optional package that is not installed, raise an UnsupportedFormat that names the command.
    """
    try:
        return Image.open(stream, formats=plugins.readable_formats())
    except UnidentifiedImageError:
        stream.seek(0)
        extra = formats.extra_for(stream.read(16), name)
        if extra and not extra.installed:
            raise UnsupportedFormat(
                message("picture package", name=name, format=extra.shown, remedy=extra.remedy)
            ) from None
        raise


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    """Turn all errors that Pillow raises in a `with` block into ImageErrors that name the picture."""
    with PILLOW_MESSAGES.collect() as said:
        try:
            yield
        except UnidentifiedImageError:
            reason = f" ({'; '.join(said)})" if said else ""
            raise UnsupportedFormat(
                message("picture format", name=name, known=", ".join(formats.READ), reason=reason)
            ) from None
        except FileNotFoundError:
            raise UnreadableImage(f"{name}: no such file. It may have been moved; check the path.") from None
        except PermissionError:
            raise UnreadableImage(f"{name}: no permission to read it. Change its permissions or skip it.") from None
        except ImageError:
            raise
        except Image.DecompressionBombError as error:  # raised by a limit of Pillow's own
            claimed = re.search(r"\((\d+) pixels\)", str(error))
            size = f"{int(claimed[1]) / 1e6:.0f}" if claimed else "too many"
            raise ImageTooLarge(message("picture bomb", name=name, megapixels=size, most=MAX_PIXELS / 1e6)) from None
        except MemoryError:
            raise ImageTooLarge(message("picture no memory", name=name)) from None
        except Exception as error:  # Pillow's decoders raise errors of any type: OSError, SyntaxError, struct.error …
            reason = "; ".join(" ".join(text.split())[:200] for text in (str(error) or type(error).__name__, *said))
            raise UnreadableImage(message("picture damaged", name=name, reason=reason)) from error.with_traceback(
                None
            )  # the cause loses its traceback, whose frames keep pixels in memory


def open_file(path: str | PathLike[str]) -> BufferedReader:
    """Open a regular file to read.

    Raises:
        UnreadableImage: the path leads to a pipe, socket, device or folder, or to what blocks like one (/proc/kmsg);
            none of them is waited for.
        OSError: the file cannot be opened.
    """
    try:
        descriptor = open_to_read(path)
    except OSError as error:
        # the errors with which systems refuse to open a socket
        if error.errno in (errno.ENXIO, getattr(errno, "EOPNOTSUPP", None)):
            raise not_a_file(fspath(path), stat.S_IFSOCK) from None
        raise
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise not_a_file(fspath(path), about.st_mode)
    stream = stream_of(descriptor)
    if about.st_size == 0:
        try:
            stream.peek(1)
        except OSError:  # a device that looks like an empty file, such as /proc/kmsg
            stream.close()
            raise not_a_file(fspath(path), stat.S_IFCHR) from None
    return stream


def read_file(path: str | PathLike[str]) -> bytes:
    """Return the bytes of a regular file; raises the errors of `open_file`."""
    with open_file(path) as file:
        return file.read()


def not_a_file(path: str, mode: int) -> UnreadableImage:
    """Return the error for a path that is no regular file; its mode says what it is instead."""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    return UnreadableImage(f"{path}: {kind}, not a picture file; check the path, rename it or remove it.")


@contextmanager
def _open_stream(source: str | PathLike[str] | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Open a path, or take a file that is already open; yield it at its beginning. UnsupportedFormat if it is empty."""
    with open_file(source) if isinstance(source, str | PathLike) else nullcontext(source) as stream:
        stream.seek(0)  # rewinds the stream, which is at its end after hashing
        if not stream.read(1):
            raise UnsupportedFormat(f"{name}: an empty file (0 bytes). Restore it from a copy, or remove it.")
        stream.seek(0)
        yield stream


def encode_picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as a file of a kind such as "JPEG", with the options of Pillow's `save`."""
    written = BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize a picture to a square, without cropping: the model's input, (size, size, 3) uint8.

    The published AraCLIP does the same. For captions that mention things at the edges, this beats a centre crop.
    """
    return ImageTransform(size).pixels(image)


def squares_ahead(size: int) -> int:
    """Return how many decoded squares with `size` pixels a side may wait for the encoder.

    Above 224 pixels fewer squares may wait, so that they take no more memory, but never less than 4.
    """
    return max(4, AHEAD * 224**2 // max(size, 224) ** 2)


def map_ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    most: int = AHEAD,
    stop: Callable[[], object] = lambda: None,
) -> Generator[tuple[Item, Result], None, None]:
    """Apply `work` to items in threads, at most `most` items ahead of the consumer; yield (item, result) in order.

    If the consumer ends early, or an error ends the generator, `stop` is called; then the calls of `work` that still
    run are waited for.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            while True:
                waiting.extend((item, pool.submit(work, item)) for item in islice(remaining, most - len(waiting)))
                if not waiting:
                    return
                item, done = waiting.popleft()
                yield item, done.result()
        except BaseException:
            stop()
            raise
        finally:
            for _, pending in waiting:
                pending.cancel()


def decode_ahead(
    sources: Iterable[Source], size: int, threads: int
) -> Iterator[tuple[Source, NDArray[np.uint8] | ImageError]]:
    """Decode pictures in threads, at most AHEAD pictures ahead of the consumer.

    Yield each source in order, with its (size, size, 3) square, or with the `ImageError` if decoding failed.
    """

    def decode(source: Source) -> NDArray[np.uint8] | ImageError:
        try:
            return square(open_image(source, size), size)
        except ImageError as error:
            return error.with_traceback(None)  # the traceback's frames would keep the source in memory

    return map_ahead(decode, sources, threads)
