"""Reads date, camera, lens and place of a photograph, and XMP, a format that holds these and captions.

XMP is the metadata of photo managers (digiKam, Lightroom, darktable): a packet in a picture, or a file beside it. It is
XML from strangers, so bytes, elements and depth are limited, and a document type is refused (without one, XML cannot
define entities). https://github.com/adobe/xmp-docs and the IPTC Photo Metadata Standard define the properties.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from xml.parsers import expat

from araclip.errors import InputError
from araclip.text.places import BETWEEN, place_at, place_tokens

MAX_LETTERS = 200  # limit: letters of the name of a camera, lens or place
_SPACE = re.compile(r"\s+")
_to_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class PhotoMetadata:
    """Date, camera, lens and place of a photograph; a field is None if it is not known.

    `captured_at` is the camera's clock, YYYY-MM-DDTHH:MM:SS without a time zone. Latitude and longitude are degrees of
    WGS 84, north and east positive; both are known or neither. `place` is text: the names of spot, city, region and
    country, as far as they are given.
    """

    captured_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None

    def fill_unknown_from(self, other: "PhotoMetadata") -> "PhotoMetadata":
        """Return this metadata with unknown fields filled in from `other`; coordinates are taken over as a pair."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        missing = {name: getattr(other, name) for name, value in known.items() if value is None}
        if self.latitude is not None:
            missing = {name: value for name, value in missing.items() if name not in ("latitude", "longitude")}
        return replace(self, **missing)

    def add_place_names(self) -> "PhotoMetadata":
        """Return this metadata, with the town, region and country of the coordinates added to the place."""
        there = (place_at(self.latitude, self.longitude) or "").split(BETWEEN)
        new = [part for part in there if not place_tokens(part) <= place_tokens(self.place or "")]
        return replace(self, place=BETWEEN.join([self.place or "", *new]).removeprefix(BETWEEN) or None)

    def to_json(self) -> str:
        """Write the known fields as a JSON object."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return _to_json(known)

    @classmethod
    def from_json(cls, text: str) -> "PhotoMetadata":
        """Read what `to_json` wrote; if the text is damaged, return metadata whose fields are all None."""
        try:
            about: Any = json.loads(text)
            return cls(**about)
        except (ValueError, TypeError):
            return NOTHING_KNOWN


NOTHING_KNOWN = PhotoMetadata()


def clean_name(text: object) -> str | None:
    """Clean a name that a file holds: one line of at most MAX_LETTERS letters; None if nothing is left."""
    if isinstance(text, bytes):
        text = text[: 4 * MAX_LETTERS].decode("utf-8", "replace")
    if not isinstance(text, str):
        return None
    text = text[: 4 * MAX_LETTERS].partition("\0")[0]  # cut at NUL: behind it, cameras leave bytes of earlier texts
    clean = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in text)
    return _SPACE.sub(" ", clean).strip()[:MAX_LETTERS].strip() or None


def camera_name(make: object, model: object) -> str | None:
    """Join the names of a camera's maker and model, the maker only once: Apple iPhone 14; None without names."""
    maker, own = clean_name(make), clean_name(model)
    if not maker or not own:
        return own or maker
    return own if own.split()[0].casefold() == maker.split()[0].casefold() else clean_name(f"{maker} {own}")


def join_place(*names: object) -> str | None:
    """Join names of a place, given from the nearest to the widest, each once: Souq Waqif, Doha; None without names."""
    known = dict.fromkeys(name for name in map(clean_name, names) if name)
    return clean_name(", ".join(known))


def coordinates(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """Round degrees to about a centimetre; None if one is missing or out of range, or for 0° 0° (no GPS fix)."""
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # NaN is refused, too
        return None
    return round(latitude, 7) + 0.0, round(longitude, 7) + 0.0


def degrees(parts: Iterable[object], reference: object) -> float | None:
    """Convert degrees, minutes and seconds to degrees, negative in the south (S) and west (W); None if malformed."""
    try:
        values = [float(part) for part in parts]  # type: ignore[arg-type]  # other types raise, which is caught
        if not 1 <= len(values) <= 3 or any(not 0 <= value <= 360 for value in values):
            return None
        size = float(sum(value / (1, 60, 3600)[power] for power, value in enumerate(values)))
        letter = clean_name(reference)
        return -size if letter and letter[0].upper() in "SW" else size
    except (TypeError, ValueError, ArithmeticError):
        return None


def exif_time(text: object) -> str | None:
    """Convert an EXIF date, YYYY:MM:DD HH:MM:SS, to ISO 8601; None if it is no valid date."""
    try:
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:  # cameras whose clock is not set write 0000:00:00 00:00:00
        return None


def iso_time(text: object) -> str | None:
    """Return an ISO 8601 date with its clock time, if it has one, but without zone and fractions; None if invalid."""
    try:
        return datetime.fromisoformat(str(text).strip()[:40]).replace(tzinfo=None, microsecond=0).isoformat()
    except ValueError:
        return None


# Finds a date, and perhaps a time after it, in the name of a file. Year, month and day may be separated by -, _ or a
# dot: IMG_20240131_175959, PXL_…, IMG20240131175959, Screenshot 2024-01-31 at 5.59.59 PM, photo_2024-01-31_17-59-59.
# WhatsApp's names (IMG-20240131-WA0007) have only a date.
_DATE_IN_NAME = re.compile(
    r"(?<!\d)((?:19[89]|20\d)\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:(?:[ _T-]|,? at |(?=(?:\d{3}){2,3}(?!\d)))(\d\d?)([-_.:h]?)([0-5]\d)\6([0-5]\d)(?:\d{3})?"
    r"(?:\W?([AaPp])\.?[Mm])?)?(?!\d)"
)


def date_in_name(path: str) -> str | None:
    """Return the date and time in a file's name as YYYY-MM-DDTHH:MM:SS; None if there is no date.

    If the name has no time, the time is midnight.
    """
    name = path.rpartition("/")[2]
    for found in _DATE_IN_NAME.finditer(name):
        year, _, month, day, hour, _, minute, second, half = found.groups()
        hours = int(hour or 0)
        if half and 1 <= hours <= 12:
            hours = hours % 12 + (12 if half in "Pp" else 0)
        with suppress(ValueError):  # the digits may be no date or time: 31 February, 25 o'clock
            return datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0)).isoformat()
    return None


MAX_XMP_BYTES = 2_000_000  # limit: bytes of an XMP packet; edits with masks take some hundred kilobytes
MAX_ELEMENTS, MAX_DEPTH = 100_000, 60
MAX_VALUES, MAX_XMP_LETTERS = 200, 4_000  # limits: values of a property; letters of a value
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
}
CAPTIONS = ("dc:title", "dc:description", "dc:subject", "Iptc4xmpCore:AltTextAccessibility")
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d{1,20})?)(?:,(\d{1,2}(?:\.\d{1,20})?))?(?:,(\d{1,2}(?:\.\d{1,20})?))?([NSEW])")

Properties = Mapping[str, list[str]]  # the values of each property by its name, such as dc:title


def xmp_properties(data: bytes, name: str) -> Properties:
    """Read the properties of an XMP packet in the namespaces of _PREFIXES; nested structures are left out.

    Raises:
        InputError: the packet is too large or malformed; the message begins with `name`.
    """
    if len(data) > MAX_XMP_BYTES:
        raise InputError(
            f"{name}: XMP of more than {MAX_XMP_BYTES / 1e6:.0f} MB. Save it without its edits, or remove it."
        )
    reader = _XmpReader(name)
    try:
        reader.parse(data.rstrip(b"\0 \r\n\t"))
    except (expat.ExpatError, LookupError, ValueError) as error:  # LookupError: the XML names an unknown encoding
        raise InputError(f"{name}: XMP that cannot be read ({error}). Save it again with your photo manager.") from None
    return reader.found


def embedded_properties(info: Mapping[Any, Any]) -> Properties:
    """Read the properties of the XMP packet in `Image.info` of a picture that Pillow has opened.

    The result is empty if there is no packet, or if the packet cannot be read.
    """
    data = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    try:
        return xmp_properties(raw, "embedded XMP") if raw and isinstance(raw, bytes) else {}
    except InputError:
        return {}


def xmp_metadata(found: Properties) -> PhotoMetadata:
    """Return the date, camera, lens and place that XMP properties tell."""

    def first(*names: str) -> str | None:
        return next((values[0] for name in names if (values := found.get(name))), None)

    here = coordinates(_parse_degrees(first("exif:GPSLatitude")), _parse_degrees(first("exif:GPSLongitude")))
    if not found:
        return NOTHING_KNOWN
    dates = (first("exif:DateTimeOriginal"), first("photoshop:DateCreated"), first("xmp:CreateDate"))
    return PhotoMetadata(
        captured_at=next((time for date in dates if date and (time := _xmp_time(date))), None),
        camera=camera_name(first("tiff:Make"), first("tiff:Model")),
        lens=clean_name(first("exifEX:LensModel", "aux:Lens")),
        latitude=here[0] if here else None,
        longitude=here[1] if here else None,
        place=join_place(
            first("Iptc4xmpCore:Location"),
            first("photoshop:City"),
            first("photoshop:State"),
            first("photoshop:Country"),
        ),
    )


def xmp_captions(found: Properties) -> list[str]:
    """Return the titles, descriptions and keywords among XMP properties."""
    return [value for name in CAPTIONS for value in found.get(name, ())]


def _xmp_time(date: str) -> str | None:
    """Convert an XMP date to ISO 8601; a year or month alone, as in scans, becomes its first day. None if invalid."""
    return iso_time(date) or exif_time(date) or iso_time(f"{date}-01") or iso_time(f"{date}-01-01")


def _parse_degrees(text: str | None) -> float | None:
    """Convert XMP coordinates such as 24,42.5N or 24,42,30N to degrees; None if they have another form."""
    match = _DEGREES.fullmatch((text or "")[:80].strip())
    return degrees([part for part in match.groups()[:3] if part is not None], match[4]) if match else None


def xml_parser(start: Callable[[str, dict[str, str]], None], end: Callable[[str], None]) -> expat.XMLParserType:
    """Return a parser of XML that calls `start` and `end` with names such as "http://purl.org/dc/elements/1.1/ title".

    The parser can write namespaces into names itself, but it does so in front of every name: 2 MB of XML with a long
    namespace and many attributes would take 40 GB. Here a namespace of more than MAX_LETTERS is left out of names.

    Raises:
        ValueError: while parsing, at a prefix that stands for no namespace.
    """
    scopes: list[dict[str, str]] = [{"": "", "xml": "xml"}]  # for each open element, the namespaces of prefixes
    opened: list[str] = []

    def resolve(name: str) -> str:
        prefix, _, local = name.rpartition(":")
        space = next((scope[prefix] for scope in reversed(scopes) if prefix in scope), None)
        if space is None:
            raise ValueError(f"unbound prefix {prefix[:MAX_LETTERS]}")
        return f"{space} {local}" if 0 < len(space) <= MAX_LETTERS else local

    def enter(tag: str, attributes: dict[str, str]) -> None:
        scopes.append({key[6:]: attributes.pop(key) for key in [*attributes] if f"{key}:".startswith("xmlns:")})
        opened.append(resolve(tag))
        start(opened[-1], {resolve(key) if ":" in key else key: value for key, value in attributes.items()})

    def leave(_: str) -> None:
        end(opened.pop())
        scopes.pop()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = enter, leave
    return parser


class _XmpReader:
    """Parses XMP, and collects the properties of the descriptions in its RDF element."""

    def __init__(self, name: str) -> None:
        self.found: dict[str, list[str]] = {}
        self._name = name
        self._open: list[str] = []
        self._elements = 0
        self._text: list[str] = []
        self._letters = 0

    def parse(self, data: bytes) -> None:
        parser = xml_parser(self._start, self._end)
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.CharacterDataHandler = self._characters
        parser.Parse(data, True)

    def _refuse_doctype(self, *_: object) -> None:
        raise InputError(f"{self._name}: XMP with a document type, which no photo manager writes. Remove it.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise InputError(f"{self._name}: XMP with too many or too deep elements. Write it again, or remove it.")
        self._open.append(tag)
        self._text.clear()
        self._letters = 0
        if self._level() == 1:
            for key, value in attributes.items():
                self._add(key, value)

    def _end(self, tag: str) -> None:
        inside = self._level()
        # the element that ends here is a property, or a member of a property's list
        if inside == 2 or (inside == 4 and tag == f"{RDF}li"):
            self._add(self._open[self._root_position() + 2], "".join(self._text))
        self._text.clear()
        self._letters = 0
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._letters < MAX_XMP_LETTERS:
            self._text.append(text[:MAX_XMP_LETTERS])
            self._letters += len(text)

    def _root_position(self) -> int:
        """Return the depth of the RDF element among the open elements; a negative number if no RDF element is open."""
        return self._open.index(f"{RDF}RDF") if f"{RDF}RDF" in self._open[:3] else -MAX_DEPTH

    def _level(self) -> int:
        """Return the level below RDF: 1 a description, 2 a property, 3 a list, 4 its member; 0 outside descriptions."""
        root = self._root_position()
        if root < 0 or self._open[root + 1 : root + 2] not in ([], [f"{RDF}Description"]):
            return 0
        return len(self._open) - 1 - root

    def _add(self, tag: str, value: str) -> None:
        """Add a value to a property, within the limits; other namespaces than those of _PREFIXES are left out."""
        space, _, local = tag.rpartition(" ")
        values = self.found.setdefault(f"{_PREFIXES[space]}:{local[:80]}", []) if space in _PREFIXES else []
        if len(values) < MAX_VALUES and (text := value.strip()[:MAX_XMP_LETTERS]):
            values.append(text)
