"""Read the facts in a picture's header: those that filters use, and those shown beside the picture.

Date, camera, lens and place are taken from EXIF first, then from XMP, then from IPTC.
"""

from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from araclip.pictures.captions import embedded_caption
from araclip.pictures.metadata import (
    NOTHING_KNOWN,
    PhotoMetadata,
    camera_name,
    clean_name,
    coordinates,
    degrees,
    embedded_properties,
    exif_time,
    iso_time,
    join_place,
    xmp_metadata,
)
from araclip.pictures.upright import ROTATED


@dataclass(frozen=True)
class Facts:
    """What is known of a picture from its file: format, size, caption, date, camera, lens and place.

    `format` is one of FORMATS in `pictures.formats`, or for a scene of a video in `pictures.video.formats`; `width` and
    `height` are the upright picture's, in pixels; `caption` holds embedded titles, descriptions and keywords; date,
    camera, lens and place are written as in `PhotoMetadata`.
    """

    format: str
    width: int
    height: int
    captured_at: str | None
    caption: str = ""
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None

    @property
    def photo(self) -> PhotoMetadata:
        """The date, camera, lens and place among these facts."""
        return PhotoMetadata(self.captured_at, self.camera, self.lens, self.latitude, self.longitude, self.place)


def read_facts(image: Image.Image, size: tuple[int, int]) -> Facts:
    """Read the facts of an opened picture; damaged metadata count as absent. `size`: the header's width and height."""
    width, height = image.info.get("full_size", size)
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) in ROTATED:
            width, height = height, width
    except Exception:  # Pillow may raise any error on a damaged block; such a block is ignored
        pass
    kind, photo = image.format or "PNG", embedded_metadata(image)
    return Facts(
        "JPEG" if kind == "MPO" else kind, width, height, photo.captured_at, embedded_caption(image),
        photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place,
    )  # fmt: skip


_IPTC_DATE = ((2, 55), (2, 60))  # IPTC fields of the date and the time of taking
_IPTC_PLACE = ((2, 92), (2, 90), (2, 95), (2, 101))  # IPTC fields of a place: sublocation, city, state, country


def embedded_metadata(image: Image.Image) -> PhotoMetadata:
    """Read date, camera, lens and place from a picture's EXIF, XMP and IPTC; a damaged block counts as absent."""
    found = NOTHING_KNOWN
    for read in (_read_exif, _read_xmp, _read_iptc):
        try:
            found = found.fill_unknown_from(read(image))
        except Exception:  # Pillow may raise any error on a damaged block; such a block is ignored
            continue
    return found


def _read_exif(image: Image.Image) -> PhotoMetadata:
    exif = image.getexif()
    return exif_metadata(exif, _exif_directory(exif, ExifTags.IFD.Exif), _exif_directory(exif, ExifTags.IFD.GPSInfo))


def exif_metadata(main: Any, taken: Any, gps: Any) -> PhotoMetadata:
    """Read date, camera, lens and place from three EXIF directories, each a mapping from tag number to value.

    `main` is the main directory, `taken` the Exif directory with the settings of the shot, `gps` the GPS directory.
    """
    original, digitized = taken.get(ExifTags.Base.DateTimeOriginal), taken.get(ExifTags.Base.DateTimeDigitized)
    here = coordinates(
        degrees(_as_parts(gps.get(ExifTags.GPS.GPSLatitude)), gps.get(ExifTags.GPS.GPSLatitudeRef)),
        degrees(_as_parts(gps.get(ExifTags.GPS.GPSLongitude)), gps.get(ExifTags.GPS.GPSLongitudeRef)),
    )
    return PhotoMetadata(
        captured_at=exif_time(original) or exif_time(digitized),  # a date of blanks or zeros counts as none
        camera=camera_name(main.get(ExifTags.Base.Make), main.get(ExifTags.Base.Model)),
        lens=clean_name(taken.get(ExifTags.Base.LensModel)),
        latitude=here[0] if here else None,
        longitude=here[1] if here else None,
    )


def _exif_directory(exif: Image.Exif, which: int) -> Any:
    try:
        return exif.get_ifd(which)
    except Exception:  # a damaged EXIF directory is ignored: the file's other directories may be sound
        return {}


def _as_parts(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _read_xmp(image: Image.Image) -> PhotoMetadata:
    return xmp_metadata(embedded_properties(image.info))


def _read_iptc(image: Image.Image) -> PhotoMetadata:
    about = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    values = {key: value[0] if isinstance(value, list) else value for key, value in (about or {}).items()}
    day, time = (clean_name(values.get(key)) or "" for key in _IPTC_DATE)  # such as 20240131 and 175959+0300
    captured_at = iso_time(f"{day}T{time[:6]}") or iso_time(day)
    return PhotoMetadata(captured_at, place=join_place(*map(values.get, _IPTC_PLACE)))
