"""List the picture formats by their suffixes: those that are always read, those that need an extra, those never read.

The walk of folders, its count of files that were not read, and messages all use these lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import PurePath
from typing import IO

from PIL import Image

Openable = str | PathLike[str] | IO[bytes] | Image.Image  # a path, a binary file object, or a PIL picture
ALWAYS: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
}


@dataclass(frozen=True)
class Extra:
    """A picture format that needs an optional dependency (extra).

    It has a name to display, the extra's name, the module that reads the format, and the suffixes of its files.
    """

    shown: str
    extra: str
    module: str
    suffixes: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """True if the module that reads the format is installed."""
        return find_spec(self.module) is not None

    @property
    def remedy(self) -> str:
        """The command that installs the extra."""
        return f"pip install 'araclip[{self.extra}]'"


EXTRAS: Mapping[str, Extra] = {
    "HEIF": Extra("HEIC", "heic", "pi_heif", (".heic", ".heif", ".heics", ".heifs", ".hif")),
    "JXL": Extra("JPEG XL", "jxl", "pylibjxl", (".jxl",)),
    "RAW": Extra("RAW", "raw", "rawpy", (
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
        ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    )),
}  # fmt: skip
NOT_READ: Mapping[str, tuple[str, ...]] = {
    "Photoshop": (".psd", ".psb"),
    "SVG": (".svg", ".svgz"),
    "PDF": (".pdf",),
    "EPS or AI": (".eps", ".ai"),
    "GIMP or Krita": (".xcf", ".kra", ".ora"),
    "OpenEXR or HDR": (".exr", ".hdr"),
    "icon": (".ico", ".icns"),
    "TGA or PCX": (".tga", ".pcx", ".dds"),
    "PNM": (".pnm", ".ppm", ".pgm", ".pbm", ".pam"),
    "DjVu": (".djvu", ".djv"),
}  # fmt: skip
FORMATS = (*ALWAYS, *EXTRAS)  # all formats, by Pillow's names, which the catalogue stores
SUFFIXES = frozenset(
    suffix
    for suffixes in (*ALWAYS.values(), *(extra.suffixes for extra in EXTRAS.values() if extra.installed))
    for suffix in suffixes
)  # suffixes of the files that this machine can read
_SHOWN = {"WEBP": "WebP", "JPEG2000": "JPEG 2000"}
# the formats that this machine reads, as messages name them
READ = (*(_SHOWN.get(name, name) for name in ALWAYS), *(extra.shown for extra in EXTRAS.values() if extra.installed))
# formats that browsers show; others are converted first
SHOWN_BY_BROWSERS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")


def extra_for(head: bytes, name: str) -> Extra | None:
    """Return the extra that a file needs, by its first bytes (`head`) or else by its suffix; None if it needs none."""
    suffix = PurePath(name).suffix.lower()
    by_suffix = next((extra for extra in EXTRAS.values() if suffix in extra.suffixes), None)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
        return EXTRAS["HEIF"]
    return EXTRAS["JXL"] if is_jxl(head) else by_suffix


def is_jxl(head: bytes) -> bool:
    """True if a file is a JPEG XL, judged by its first bytes."""
    return head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a"
