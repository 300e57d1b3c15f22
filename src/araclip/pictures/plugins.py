"""Let Pillow read further formats with optional packages: HEIC (pi-heif), JPEG XL (pylibjxl), RAW (rawpy).

Of a camera's RAW file, LibRaw (rawpy) reads the embedded preview, or else the sensor's data at half size. Most RAW
files are also TIFF files. A TIFF counts as RAW if it is marked as Canon's CR2, has a DNG version, or is packed in a way
that only cameras use; or if its first directory names the camera's maker, holds a reduced copy and points to others.
"""

import contextlib
import io
import struct
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import IO, Any, Literal

from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, JpegImagePlugin

from araclip.pictures import formats

THREADS = 64  # limit: threads that decoders may start in the sandbox
_PROBED = 1 << 16  # first bytes of a JPEG XL that are searched for its size; large boxes may come before the size


@cache
def readable_formats() -> tuple[str, ...]:
    """Register the readers that are installed; return the formats that are read on this machine, by Pillow's names.

    RAW comes before TIFF, because most RAW files are also TIFF files. Each decoder gets a single thread: pictures are
    decoded in araclip's threads, and threads of a decoder would escape the limits on time and processes.
    """
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    found = []
    if formats.EXTRAS["RAW"].installed:
        Image.register_open("RAW", RawImageFile, may_be_raw)
        found.append("RAW")
    if formats.EXTRAS["HEIF"].installed:
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
        found.append("HEIF")
    if formats.EXTRAS["JXL"].installed:
        Image.register_open("JXL", JxlImageFile, formats.is_jxl)
        found.append("JXL")
    return (*found, *formats.ALWAYS)


def most_decoder_threads() -> int:
    """Return how many threads decoders must be allowed to start: 0 if no optional format is read.

    If libde265 or libjxl cannot start a thread, they end the process.
    """
    return THREADS if {"HEIF", "JXL", "RAW"} & set(readable_formats()) else 0


def import_libraries() -> None:
    """Import the libraries of all formats that are read here; for a process that may not open files later."""
    readable_formats()
    for extra in formats.EXTRAS.values():
        if extra.installed:
            import_module(extra.module)


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL file; `load` decodes pixels and metadata. The decoder itself turns the picture upright."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        import pylibjxl

        assert self.fp is not None
        head = self.fp.read(_PROBED)
        try:
            about = pylibjxl.probe(head)
        except Exception:  # any error may mean that the size is not in the first bytes: try the whole file
            self.fp.seek(0)
            try:
                about = pylibjxl.probe(self.fp.read())
            except Exception as error:
                raise OSError(f"no JPEG XL that can be read: {error}") from None
        self._size = (int(about["width"]), int(about["height"]))
        self._mode = "RGBA" if about["has_alpha"] else "RGB"

    def load(self) -> Any:
        """Decode pixels and metadata at the first call; later calls change nothing."""
        if self.fp is not None:
            import pylibjxl

            self.fp.seek(0)
            pixels, about = pylibjxl.decode(self.fp.read(), metadata=True)  # (H, W, 1 … 4) or (H, W)
            self.fp = None
            decoded = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
            if decoded.size != self._size:
                raise OSError(f"its header says {self._size}, its pixels are {decoded.size}")
            self.im, self._mode = decoded.im, decoded.mode
            self.info |= {ours: about[theirs] for ours, theirs in _JXL_BLOCKS.items() if about.get(theirs)}
            self.getexif()[ExifTags.Base.Orientation] = 1
        return super().load()


_JXL_BLOCKS = {"exif": "exif", "xmp": "xmp", "icc_profile": "icc"}


_TIFF = (b"II*\0", b"MM\0*")
# first bytes of ORF, RW2, RAF, X3F and MRW files
_OTHERS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILM", b"FOVb", b"\0MRM")
_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_ENTRIES = 512  # limit: entries of a TIFF's first directory that are read; cameras write a few dozen
# A preview is only a thumbnail if its longer side has fewer pixels than this, and fewer than half of the pixels of the
# sensor's longer side. Then the sensor's data are used.
_SMALLEST = 500
_TURNED = {3: 3, 5: 8, 6: 6}  # LibRaw's number for a rotation → EXIF's number


def may_be_raw(prefix: bytes) -> bool:
    """True if a file may be RAW, judged by its first bytes."""
    return prefix[:4] in _TIFF or prefix.startswith(_OTHERS) or prefix[4:12] == b"ftypcrx "


class RawImageFile(ImageFile.ImageFile):
    """A RAW file: its embedded preview, or else the sensor's data, which `load` develops at half size."""

    format = "RAW"
    format_description = "camera RAW"

    def _open(self) -> None:
        assert self.fp is not None
        self.fp.seek(0)
        head = self.fp.read(16)
        if head[:4] in _TIFF and not _is_raw_tiff(head, self.fp):
            raise SyntaxError("a TIFF that is no RAW")
        self.fp.seek(0)
        self._data = self.fp.read()
        with _open_raw(self._data) as raw:
            sizes = raw.sizes
            self._read_preview = _read_preview(raw)
        self._mode, full = "RGB", (sizes.width, sizes.height)
        self._size = self._read_preview.size if self._read_preview else (-(-full[0] // 2), -(-full[1] // 2))
        orientation = _TURNED.get(sizes.flip, 1)
        if orientation in (6, 8) and (self._size[0] < self._size[1]) != (full[0] < full[1]):
            orientation = 1  # no turn, as the camera has already turned the preview upright
            full = full[::-1]
        self.info |= {"full_size": full, "developed": self._read_preview is None}
        self._raw_exif = _read_exif(self._data, self._read_preview)
        self._raw_exif[ExifTags.Base.Orientation] = orientation

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> Any:
        """Prepare the preview to be decoded at a fraction of its size."""
        if isinstance(self._read_preview, JpegImagePlugin.JpegImageFile):
            self._read_preview.draft("RGB", size)
            self._size = self._read_preview.size
        return None

    def getexif(self) -> Image.Exif:
        """Return the EXIF of the RAW file, with the orientation that its preview has."""
        return self._raw_exif

    def load(self) -> Any:
        """Decode the preview, or develop the sensor's data."""
        if self.fp is not None:
            self.fp = None
            if self._read_preview:
                decoded = self._read_preview.convert("RGB")
            else:
                with _open_raw(self._data) as raw:
                    pixels = raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)  # (H, W, 3) uint8
                    decoded = Image.fromarray(pixels)
            self._data = b""
            self.im, self._size = decoded.im, decoded.size
        return super().load()


@contextlib.contextmanager
def _open_raw(data: bytes) -> Iterator[Any]:
    """Open a RAW file with rawpy, for the length of a `with` block; OSError if it cannot be read."""
    import rawpy

    with contextlib.closing(rawpy.RawPy()) as raw:
        try:
            raw.open_buffer(io.BytesIO(data))
            yield raw
        except rawpy.LibRawError as error:
            raise OSError(f"no RAW that can be read: {error!s:.200}") from None


def _read_preview(raw: Any) -> Image.Image | None:
    """Return the embedded preview; None if there is none, or only a thumbnail."""
    import rawpy

    with contextlib.suppress(rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError, OSError):
        found = raw.extract_thumb()
        small = (
            Image.open(io.BytesIO(found.data), formats=("JPEG",))
            if found.format == rawpy.ThumbFormat.JPEG
            else Image.fromarray(found.data)
        )
        if max(small.size) >= min(_SMALLEST, max(raw.sizes.width, raw.sizes.height) // 2):
            return small
    return None


def _is_raw_tiff(head: bytes, stream: IO[bytes]) -> bool:
    """True if a TIFF is a camera's RAW file, by the rules of this module's docstring; `head` is its first 16 bytes."""
    if head[8:10] == b"CR":  # Canon's format CR2
        return True
    order = "<" if head[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", head, 4)
    stream.seek(start)
    directory = stream.read(2 + 12 * _ENTRIES)
    tags: dict[int, int] = {}
    for at in range(2, min(len(directory), 2 + 12 * int.from_bytes(directory[:2], _ORDERS[order])) - 11, 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHII", directory, at)
        tags[tag] = value if kind != 3 else struct.unpack_from(f"{order}H", directory, at + 8)[0]
    if 50706 in tags:  # the tag DNGVersion, which every DNG has
        return True
    reduced, has_others, compression = tags.get(254) == 1, 330 in tags, tags.get(259)
    return (271 in tags and reduced and has_others) or compression in (34713, 32767, 65535, 32770)


def _read_exif(data: bytes, preview: Image.Image | None) -> Image.Exif:
    """Return the EXIF of a RAW file, or of its preview; empty if it has none that can be read."""
    found = Image.Exif()
    with contextlib.suppress(Exception):  # Pillow may raise any error on a damaged block; such a block is ignored
        if data[:4] in _TIFF:
            found.load(data)
        elif data[:4] in (b"IIRO", b"IIRS", b"IIU\0"):
            found.load(b"II*\0" + data[4:])
        elif preview:
            return preview.getexif()
    return found
