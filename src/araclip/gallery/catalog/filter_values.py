"""Values of filters as people type them, checked. Pure."""

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from araclip.errors import InputError
from araclip.gallery.catalog.photo.matching import is_glob, tokens
from araclip.paths import text_path
from araclip.picture_formats.kinds import FORMATS
from araclip.text.normalization import normalize
from araclip.video.formats import FORMATS as VIDEO_FORMATS

LARGEST = (1 << 63) - 1  # bytes of a file; SQLite's largest integer
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d)?)?)?)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgKMG])?[bB]?")
_NUMBER = r" ?([+-]?\d{1,9}(?:\.\d{1,20})?) ?"
_NEAR = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER}(km|m|كم|م) ?", re.IGNORECASE)
_METRES = {"km": 1000, "m": 1, "كم": 1000, "م": 1}
_AROUND = 20_040_000  # metres: half of the Earth's circumference
_LETTERS = 200
_FORMAT_ALIASES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}


def date_of(name: str, text: str) -> str:
    """A date or the beginning of one; raises InputError, which names the field, for anything else."""
    date = normalize(str(text)[:80]).replace(" ", "T")
    if not _DATE.fullmatch(date):
        raise InputError(f"{name} is '{text!s:.80}'; write a date as 2023, 2023-05, 2023-05-17 or 2023-05-17T18:30.")
    return date


def numbers_of(name: str, given: object, most: int, example: str) -> tuple[int, ...]:
    """Numbers from 1 to `most`, given as one or several, each once; raises InputError for anything else."""
    numbers = (given,) if isinstance(given, int | str) else given
    numbers = tuple(numbers) if isinstance(numbers, Iterable) else (numbers,)
    if not all(
        isinstance(number, int | str) and re.fullmatch("[0-9]{1,2}", str(number)) and 1 <= int(number) <= most
        for number in numbers
    ):
        raise InputError(f"{name} is {given!r:.80}; write numbers from 1 to {most}, as in {example}.")
    return tuple(dict.fromkeys(int(number) for number in numbers))


def ends_of(text: str) -> tuple[str | None, str | None]:
    """first..last with either end open; a single value is both ends."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    return (first or None, last or None) if dots else (first, first)


def hidden_of(text: str) -> bool | None:
    """yes: only hidden pictures (True); no: only the others (False); any: both (None); else InputError."""
    choices = {"yes": True, "no": False, "any": None}
    if text.lower() not in choices:
        raise InputError(f"hidden is '{text:.80}'; write yes (only hidden pictures), no (only the others) or any.")
    return choices[text.lower()]


def near_of(given: object) -> tuple[float, float, float]:
    """Latitude and longitude in degrees and metres around, from a text such as 24.7,46.7,10km or from three numbers.

    Raises:
        InputError: another form, no place on Earth, or no distance.
    """
    if isinstance(given, str):
        match = _NEAR.fullmatch(normalize(given[:120]).replace("،", ",").replace("٫", "."))
        if not match:
            raise InputError(
                f"near is '{given:.80}'; write latitude, longitude, distance: 24.7,46.7,10km or 24.7136,46.6753,500m."
            )
        parts = [float(match[1]), float(match[2]), float(match[3]) * _METRES[match[4].lower()]]
    elif isinstance(given, list | tuple) and len(given) == 3 and all(_is_number(part) for part in given):
        parts = [float(part) for part in given]
    else:
        raise InputError(f"near is {given!r:.80}; pass (latitude, longitude, metres), as in (24.7, 46.7, 10_000).")
    latitude, longitude, metres = round(parts[0], 7) + 0.0, round(parts[1], 7) + 0.0, round(parts[2], 2)
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InputError(
            f"near is at {parts[0]:g}, {parts[1]:g}; latitudes go from -90 to 90, longitudes from -180 to 180, in this "
            "order."
        )
    if not 0 < metres <= _AROUND:
        raise InputError(f"near asks for {parts[2]:g} m around; the distance goes from 1 cm to {_AROUND // 1000} km.")
    return latitude, longitude, metres


def near_text(near: tuple[float, float, float]) -> str:
    """The inverse of `near_of`."""
    latitude, longitude, metres = (f"{part:.7f}".rstrip("0").rstrip(".") for part in near)
    return f"{latitude},{longitude},{metres}m"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def words_wanted(name: str, value: object) -> str:
    """A text whose words are looked for.

    Raises:
        InputError: it is no text, has no word, or is too long.
    """
    check_text(name, value)
    text = normalize(str(value)[: _LETTERS + 1])
    if len(str(value)) > _LETTERS:
        raise InputError(f"{name} has {len(str(value))} letters, the most is {_LETTERS}. Leave some words out.")
    if not tokens(text) and not (name == "name" and is_glob(text)):
        raise InputError(f"{name} is '{value!s:.80}', without a word or a number. Write what it is called.")
    return text


def scenes_of(text: str) -> bool:
    """all: every scene of a video (True); best: the best one (False); else InputError."""
    if text.lower() not in ("all", "best"):
        raise InputError(f"scenes is '{text:.80}'; write all (every scene of a video that is found) or best.")
    return text.lower() == "all"


def bytes_of(text: str) -> int:
    """Bytes of a size with or without a unit; raises InputError for anything else."""
    match = _SIZE.fullmatch(normalize(text[:80]))
    if not match:
        raise InputError(f"'{text:.80}' is no size; write bytes or a unit: 200000, 200kB, 1.5MB.")
    size = int(Decimal(match[1]) * 1000 ** " kmg".index((match[2] or " ").lower()))
    if size > LARGEST:
        raise InputError(f"'{text:.80}' is more than any file can have; the most is {LARGEST} bytes.")
    return size


def written(value: object) -> str:
    """A value of metadata as a text to compare; numbers, true and false as SQLite writes them: 1.0, 1.0e+20, true."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    mantissa, exponent, power = f"{value + 0.0:.15g}".partition("e")  # + 0.0 turns -0.0 into 0.0
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def check_text(name: str, value: object) -> None:
    """Raise InputError unless the value is a text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, a {type(value).__name__}; pass a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is {value!r:.80}, with a byte or half of a character that is no text.") from None


def metadata_wanted(given: object) -> dict[str, str]:
    """Keys and values of metadata as texts, numbers, true and false as they are stored (`written`).

    Raises:
        InputError: no mapping, or with something that is no text, number, true or false.
    """
    if not isinstance(given, Mapping):
        raise InputError(f'metadata is {given!r:.80}; pass a mapping such as {{"album": "رحلة"}}.')
    for key, value in given.items():
        check_text("a key of metadata", key)
        if not isinstance(value, int | float):
            check_text(f"metadata {key}", value)
    return {key: written(value) for key, value in given.items()}


def check_paths(*paths: str | os.PathLike[str] | tuple[str, ...] | None) -> None:
    """Raise InputError unless each is a path, several of them or None."""
    for path in paths:
        for each in path if isinstance(path, tuple) else (path,):
            if each is not None:
                text_path(each)


def folder_names(wanted: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of folders of a filter, which has one, several or none."""
    return wanted if isinstance(wanted, tuple) else () if wanted is None else (wanted,)


def below_any(wanted: str | tuple[str, ...], condition: str) -> tuple[str, tuple[bytes, ...]]:
    """SQL and values: paths below any folder of a name, by the condition that a path has a part."""
    parts = tuple(os.fsencode(f"{os.sep}{name}{os.sep}") for name in folder_names(wanted))
    return " OR ".join([condition] * len(parts)) or "FALSE", parts


def format_of(name: str) -> str:
    """A format by its name in `picture_formats.kinds.FORMATS`; raises InputError for an unknown one."""
    if not isinstance(name, str):
        raise InputError(f"a format is a text such as JPEG, got {name!r:.80}.")
    known = _FORMAT_ALIASES.get(name.upper(), name.upper())
    if known not in (*FORMATS, *VIDEO_FORMATS):
        raise InputError(f"no picture format '{name:.80}'. Choose among {', '.join((*FORMATS, *VIDEO_FORMATS))}.")
    return known
