"""XMP, the metadata of photo managers (digiKam, Lightroom, darktable): a packet in a picture, or a file beside it.

A stranger's XML: it is bounded in bytes, elements and depth, and a document type, without which there are no entities,
is refused. The properties are those of https://github.com/adobe/xmp-docs and the IPTC Photo Metadata Standard.
"""

import re
from collections.abc import Mapping
from xml.parsers import expat

from araclip.errors import InputError
from araclip.photo_metadata.record import (
    NOTHING_KNOWN,
    PhotoMetadata,
    camera_of,
    coordinates,
    degrees,
    exif_time,
    iso_time,
    name_of,
    place_of,
)

MAX_BYTES = 2_000_000  # edits with masks take some hundred kilobytes
MAX_ELEMENTS, MAX_DEPTH = 100_000, 60
MAX_VALUES, MAX_LETTERS = 200, 4_000  # of a property
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
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
_CAPTIONS = ("dc:title", "dc:description", "dc:subject", "Iptc4xmpCore:AltTextAccessibility")
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d{1,20})?)(?:,(\d{1,2}(?:\.\d{1,20})?))?(?:,(\d{1,2}(?:\.\d{1,20})?))?([NSEW])")

Properties = Mapping[str, list[str]]  # values by name, such as dc:title


def properties(data: bytes, name: str) -> Properties:
    """The properties of an XMP packet in the namespaces that are read here; nested structures are left out.

    Raises:
        InputError: it is no XML, too large, or has a document type.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: XMP of more than {MAX_BYTES / 1e6:.0f} MB. Save it without its edits, or remove it.")
    reader = _Reader(name)
    try:
        reader.parse(data.rstrip(b"\0 \r\n\t"))
    except expat.ExpatError as error:
        raise InputError(f"{name}: XMP that cannot be read ({error}). Save it again with your photo manager.") from None
    return reader.found


def embedded_properties(data: bytes | str) -> Properties:
    """The properties of a packet embedded in a picture; none if it cannot be read."""
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    try:
        return properties(raw, "embedded XMP")
    except InputError:
        return {}


def photo_metadata(found: Properties) -> PhotoMetadata:
    """Date, camera, lens and place of XMP properties."""

    def first(*names: str) -> str | None:
        return next((values[0] for name in names if (values := found.get(name))), None)

    here = coordinates(_degrees(first("exif:GPSLatitude")), _degrees(first("exif:GPSLongitude")))
    if not found:
        return NOTHING_KNOWN
    dates = (first("exif:DateTimeOriginal"), first("photoshop:DateCreated"), first("xmp:CreateDate"))
    return PhotoMetadata(
        captured_at=next((time for date in dates if date and (time := iso_time(date) or exif_time(date))), None),
        camera=camera_of(first("tiff:Make"), first("tiff:Model")),
        lens=name_of(first("exifEX:LensModel", "aux:Lens")),
        latitude=here[0] if here else None,
        longitude=here[1] if here else None,
        place=place_of(
            first("Iptc4xmpCore:Location"),
            first("photoshop:City"),
            first("photoshop:State"),
            first("photoshop:Country"),
        ),
    )


def captions(found: Properties) -> list[str]:
    """Titles, descriptions and keywords."""
    return [value for name in _CAPTIONS for value in found.get(name, ())]


def _degrees(text: str | None) -> float | None:
    """24,42.5N or 24,42,30N as degrees."""
    match = _DEGREES.fullmatch((text or "")[:80].strip())
    return degrees([part for part in match.groups()[:3] if part is not None], match[4]) if match else None


class _Reader:
    """Collects the properties of the descriptions in one RDF element."""

    def __init__(self, name: str) -> None:
        self.found: dict[str, list[str]] = {}
        self._name = name
        self._open: list[str] = []
        self._elements = 0
        self._text: list[str] = []
        self._letters = 0

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
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
        if self._inside() == 1:
            for key, value in attributes.items():
                self._add(key, value)

    def _end(self, tag: str) -> None:
        inside = self._inside()
        if inside == 2 or (inside == 4 and tag == f"{_RDF}li"):  # a property, or a member of its list
            self._add(self._open[self._root() + 2], "".join(self._text))
        self._text.clear()
        self._letters = 0
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._letters < MAX_LETTERS:
            self._text.append(text[:MAX_LETTERS])
            self._letters += len(text)

    def _root(self) -> int:
        return self._open.index(f"{_RDF}RDF") if f"{_RDF}RDF" in self._open[:3] else -MAX_DEPTH

    def _inside(self) -> int:
        """Levels below the RDF element: 1 a description, 2 a property, 4 a member of a list; 0 elsewhere."""
        root = self._root()
        if root < 0 or self._open[root + 1 : root + 2] not in ([], [f"{_RDF}Description"]):
            return 0
        return len(self._open) - 1 - root

    def _add(self, tag: str, value: str) -> None:
        space, _, local = tag.rpartition(" ")
        values = self.found.setdefault(f"{_PREFIXES[space]}:{local[:80]}", []) if space in _PREFIXES else []
        if len(values) < MAX_VALUES and (text := value.strip()[:MAX_LETTERS]):
            values.append(text)
