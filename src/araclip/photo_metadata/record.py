"""What is known about the taking of a photograph: date, camera, lens, place. Pure."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

MAX_LETTERS = 200  # of a camera's, a lens's or a place's name
_SPACE = re.compile(r"\s+")
_written = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class PhotoMetadata:
    """Date, camera, lens and place of a photograph; None where nothing is known.

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

    def completed(self, other: "PhotoMetadata") -> "PhotoMetadata":
        """With what only the other one knows."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        missing = {name: getattr(other, name) for name, value in known.items() if value is None}
        if self.latitude is not None:
            missing = {name: value for name, value in missing.items() if name not in ("latitude", "longitude")}
        return replace(self, **missing)

    def to_json(self) -> str:
        """What is known, as a JSON object."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return _written(known)

    @classmethod
    def from_json(cls, text: str) -> "PhotoMetadata":
        """The inverse of `to_json`; nothing where the text is damaged."""
        try:
            about: Any = json.loads(text)
            return cls(**about)
        except (ValueError, TypeError):
            return NOTHING_KNOWN


NOTHING_KNOWN = PhotoMetadata()


def name_of(text: object) -> str | None:
    """A name from a file as one line of at most MAX_LETTERS characters; None if nothing is left of it."""
    if isinstance(text, bytes):
        text = text[: 4 * MAX_LETTERS].decode("utf-8", "replace")
    if not isinstance(text, str):
        return None
    text = text[: 4 * MAX_LETTERS].partition("\0")[0]  # cameras leave old bytes behind the end
    clean = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in text)
    return _SPACE.sub(" ", clean).strip()[:MAX_LETTERS].strip() or None


def camera_of(make: object, model: object) -> str | None:
    """A camera's name from its maker's and its model's, the maker said once: Canon EOS R5, Apple iPhone 14."""
    maker, own = name_of(make), name_of(model)
    if not maker or not own:
        return own or maker
    return own if own.split()[0].casefold() == maker.split()[0].casefold() else name_of(f"{maker} {own}")


def place_of(*names: object) -> str | None:
    """Names from the nearest to the widest, each once: Souq Waqif, Doha, Qatar."""
    known = dict.fromkeys(name for name in map(name_of, names) if name)
    return name_of(", ".join(known))


def coordinates(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """Degrees, to a centimetre; None if they are no place on Earth, or the 0° 0° of a receiver without a fix."""
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # NaN neither
        return None
    return round(latitude, 7) + 0.0, round(longitude, 7) + 0.0


def degrees(parts: Iterable[object], reference: object) -> float | None:
    """Degrees from degrees, minutes and seconds, negative in the south (S) and the west (W); None if malformed."""
    try:
        values = [float(part) for part in parts]  # type: ignore[arg-type]  # what is no number is caught
        if not 1 <= len(values) <= 3 or any(not 0 <= value <= 360 for value in values):
            return None
        size = float(sum(value / (1, 60, 3600)[power] for power, value in enumerate(values)))
        letter = name_of(reference)
        return -size if letter and letter[0].upper() in "SW" else size
    except (TypeError, ValueError, ArithmeticError):
        return None


def exif_time(text: object) -> str | None:
    """An EXIF date, YYYY:MM:DD HH:MM:SS, as ISO 8601; None if it is none."""
    try:
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:  # cameras whose clock is not set write 0000:00:00 00:00:00
        return None


def iso_time(text: object) -> str | None:
    """An ISO 8601 date of XMP, with or without time and zone, as the clock showed it; None if it is none."""
    try:
        return datetime.fromisoformat(str(text).strip()[:40]).replace(tzinfo=None, microsecond=0).isoformat()
    except ValueError:
        return None
