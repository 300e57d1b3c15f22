"""Readers of further formats for Pillow, from optional packages: HEIC (pi-heif), JPEG XL (pylibjxl), RAW (rawpy)."""

from functools import cache
from importlib import import_module
from typing import Any

from PIL import AvifImagePlugin, ExifTags, Image, ImageFile

from araclip.picture_formats import kinds
from araclip.picture_formats.raw import RawImageFile, accepts

THREADS = 64  # that decoders may start in the sandbox
_PROBED = 1 << 16  # bytes in which the size of a JPEG XL stands, unless large boxes come first


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read here, by Pillow's names; registers what is installed.

    RAW comes before TIFF, which most of its kinds are as well. Decoders get one thread: pictures are decoded in threads
    of ours, and a decoder's own would escape the limits of time and of processes.
    """
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    found = []
    if kinds.EXTRAS["RAW"].installed:
        Image.register_open("RAW", RawImageFile, accepts)
        found.append("RAW")
    if kinds.EXTRAS["HEIF"].installed:
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
        found.append("HEIF")
    if kinds.EXTRAS["JXL"].installed:
        Image.register_open("JXL", JxlImageFile, _is_jxl)
        found.append("JXL")
    return (*found, *kinds.ALWAYS)


def threads() -> int:
    """How many threads a decoder may start: libde265 and libjxl end the process where they may start none."""
    return THREADS if {"HEIF", "JXL", "RAW"} & set(formats()) else 0


def load() -> None:
    """Import the libraries of all formats that are read here, for a process that may not open files later."""
    formats()
    for extra in kinds.EXTRAS.values():
        if extra.installed:
            import_module(extra.module)


def _is_jxl(prefix: bytes) -> bool:
    return prefix[:2] == b"\xff\x0a" or prefix[:12] == b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a"


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL; pixels and metadata are decoded by `load`. The decoder turns the picture upright by itself."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        import pylibjxl

        assert self.fp is not None
        head = self.fp.read(_PROBED)
        try:
            about = pylibjxl.probe(head)
        except Exception:  # its own errors, RuntimeError and ValueError
            self.fp.seek(0)
            try:
                about = pylibjxl.probe(self.fp.read())
            except Exception as error:
                raise OSError(f"no JPEG XL that can be read: {error}") from None
        self._size = (int(about["width"]), int(about["height"]))
        self._mode = "RGBA" if about["has_alpha"] else "RGB"

    def load(self) -> Any:
        """Decode it, once."""
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
