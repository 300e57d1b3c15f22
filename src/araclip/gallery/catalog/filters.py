"""Filters say which pictures a search may return; they are turned into a condition on the catalogue's rows.

A picture passes when one of its paths passes every filter that is set. A picture with an unknown fact (no EXIF date,
for example) does not pass a filter on that fact.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from araclip.core.files import as_stored
from araclip.core.messages import message
from araclip.core.paths import text_path, user_path
from araclip.errors import InputError
from araclip.gallery.catalog.matching import is_glob, metadata_text, tokens
from araclip.gallery.catalog.records import prefix_range
from araclip.pictures.formats import FORMATS
from araclip.pictures.video.formats import FORMATS as VIDEO_FORMATS
from araclip.text.normalization import normalize
from araclip.text.places import EARTH_M

WORDS = ("camera", "lens", "place", "name")  # filters whose value is a text with words to find
KINDS = ("picture", "video")
ORIENTATIONS = {"landscape": "width > height", "portrait": "width < height", "square": "width = height"}
LARGEST = (1 << 63) - 1  # the largest size in bytes, and SQLite's largest integer
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d)?)?)?)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgKMG])?[bB]?")
_NUMBER = r" ?([+-]?\d{1,9}(?:\.\d{1,20})?) ?"
_NEAR = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER}(km|m|كم|م) ?", re.IGNORECASE)
_METRES = {"km": 1000, "m": 1, "كم": 1000, "م": 1}
_MOST_METRES = 20_040_000  # greatest distance of `near` in metres: half of the Earth's circumference
_MOST_LETTERS = 200
FILTER_NAMES = (
    "folder, folder!, captured, month, day, added, size, format, orientation, camera, lens, place, name, near, kind, "
    "scenes, hidden and meta.KEY"
)
# name of a filter with few values → (the field of Filters that it sets, text of the value → value of the field)
_CHOICES: dict[str, tuple[str, dict[str, bool | None]]] = {
    "hidden": ("hidden", {"yes": True, "no": False, "any": None}),
    "scenes": ("every_scene", {"all": True, "best": False}),
}
_FORMAT_ALIASES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}

Values = tuple[Any, ...]
Part = tuple[str, Values]  # an SQL condition, and the values of its parameters


@dataclass(frozen=True)
class Condition:
    """Two SQL conditions that must both hold: on a row of `files`, and on its picture's row of `contents`.

    They are kept apart so that SQLite can use an index of each table. A condition on an unknown fact is NULL, which
    does not pass. `hidden`: True for only hidden pictures, False for only visible ones, None for both.
    """

    of_file: str = "TRUE"
    file_values: Values = ()
    of_content: str = "TRUE"
    content_values: Values = ()
    hidden: bool | None = None


EVERYTHING = Condition()


@dataclass(frozen=True)
class Filters:
    """Conditions that a picture must fulfil to be found.

    Dates are texts: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM(:SS). Both ends are included: `captured_to="2023"`
    includes all of that year. `captured` is the time of the camera's clock (EXIF), `added` is in UTC.

    Raises:
        InputError: a date, format, orientation, size or another value is invalid; the message names valid values.
    """

    folder: str | os.PathLike[str] | None = None  # pictures in this folder or below it
    # pictures in or below any folder with this name, or with one of these names
    folder_name: str | tuple[str, ...] | None = None
    # only pictures outside of these folders, given by paths or by names as for `folder_name`
    outside: tuple[str | os.PathLike[str], ...] = ()
    below: str | None = None  # like `folder`, but only this exact path: links are not resolved
    captured_from: str | None = None
    captured_to: str | None = None
    months: tuple[int, ...] = ()  # pictures taken in one of these months (1 to 12), in any year
    days: tuple[int, ...] = ()  # pictures taken on one of these days (1 to 31), in any month
    added_from: str | None = None
    added_to: str | None = None
    min_size: int | None = None  # least size of the file, in bytes
    max_size: int | None = None
    formats: tuple[str, ...] = ()  # formats of pictures or videos, in capitals or not; jpg, tif, heic and jp2 work, too
    orientation: str | None = None  # landscape, portrait or square, as the picture is seen
    camera: str | None = None  # all these words are in the camera's name; case and order make no difference
    lens: str | None = None  # all these words are in the lens's name
    place: str | None = None  # a spot, town, region or country, in Arabic or English; or words of its names
    name: str | None = None  # the file's name has all these words, or matches a glob such as IMG_20*
    # latitude and longitude in degrees, and the greatest distance in metres
    near: tuple[float, float, float] | None = None
    kind: str | None = None  # "picture" or "video"
    metadata: Mapping[str, Any] = field(default_factory=dict)  # every key must have this value (text, number, boolean)
    hidden: bool | None = False  # False: only pictures that are not hidden; True: only hidden ones; None: both
    every_scene: bool = False  # True to return every scene of a video, instead of only the best one
    collapse: bool = False  # True to return only the best picture of each group of near-duplicates

    def __post_init__(self) -> None:
        if isinstance(self.outside, str | os.PathLike):
            object.__setattr__(self, "outside", (self.outside,))
        self._check_types()
        for name in ("captured_from", "captured_to", "added_from", "added_to"):
            if (given := getattr(self, name)) is not None:
                date = normalize(str(given)[:80]).replace(" ", "T")
                if not _DATE.fullmatch(date):
                    raise InputError(message("date", name=name, given=str(given)))
                object.__setattr__(self, name, date)
        formats = (self.formats,) if isinstance(self.formats, str) else self.formats
        object.__setattr__(self, "formats", tuple(map(parse_format, formats)))
        object.__setattr__(self, "months", parse_numbers("months", self.months, 12, "month=6,7,8"))
        object.__setattr__(self, "days", parse_numbers("days", self.days, 31, "day=1,2"))
        for name in WORDS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_words(name, getattr(self, name)))
        if self.near is not None:
            object.__setattr__(self, "near", parse_near(self.near))
        object.__setattr__(self, "metadata", check_metadata(self.metadata))
        for name, choices in (("orientation", ORIENTATIONS), ("kind", KINDS)):
            if (chosen := getattr(self, name)) is not None and chosen not in choices:
                raise InputError(message("choice", name=name, given=str(chosen), known=", ".join(choices)))
        for name in ("captured", "added"):
            first, last = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
            if first and last and first > last and not first.startswith(last):
                raise InputError(message("date range", name=name, first=first, last=last))
        if self.min_size is not None and self.max_size is not None and self.min_size > self.max_size:
            raise InputError(message("size range", first=self.min_size, last=self.max_size))

    def _check_types(self) -> None:
        for path in (self.folder, self.below, self.folder_name, self.outside):
            for each in path if isinstance(path, tuple) else (path,):
                if each is not None:
                    text_path(each)
        if self.orientation is not None:
            check_text("orientation", self.orientation)
        if not (self.hidden is None or isinstance(self.hidden, bool)):
            raise InputError(f"hidden is {self.hidden!r:.80}; pass False, True (only hidden ones) or None (both).")
        for name in ("min_size", "max_size"):
            size: object = getattr(self, name)
            if size is not None and not (isinstance(size, int) and 0 <= size <= LARGEST):
                raise InputError(f"{name} is {size!r:.80}; pass a whole number of bytes, at most {LARGEST}.")
        if not isinstance(self.formats, Iterable):
            raise InputError(f'formats is {self.formats!r:.80}; pass a tuple such as ("JPEG", "PNG").')

    @classmethod
    def of(cls, where: "Where", *, collapse: bool = False) -> "Filters":
        """Make filters from a `where` argument: Filters, a text KEY=VALUE, a list of such texts, or None.

        `collapse`: True to return only the best picture of each group of near-duplicates.
        """
        if isinstance(where, Filters):
            return replace(where, collapse=True) if collapse else where
        texts = [where] if isinstance(where, str) else where or ()
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise InputError(
                f'where is {where!r:.80}; pass a text such as "format=JPEG", a list of such texts, or Filters(…).'
            )
        return cls.read(texts, collapse=collapse)

    @classmethod
    def inside(cls, folder: str | os.PathLike[str]) -> "Filters":
        """Make the filter for pictures in a folder, given by a path (/data/trip, ~/trip, trip/2023) or by its name."""
        if isinstance(folder, str) and os.sep not in folder and not folder.startswith("~"):
            return cls(folder_name=folder)
        return cls(folder=folder)

    @classmethod
    def read(cls, texts: Iterable[str], *, collapse: bool = False) -> "Filters":
        """Parse filters, each written as KEY=VALUE; `collapse`: keep only the best of near-duplicates.

        folder=PATH, folder!=PATH (outside of it; may be given several times), captured=2023 or
        captured=2023-05..2023-07 (an open end is fine: 2023..), month=6,7,8, day=17,
        added=…, size=100kB..2MB, format=JPEG,PNG, orientation=portrait, camera=WORDS, lens=WORDS,
        place=NAME, name=WORDS (or a glob: IMG_20*), near=24.7,46.7,10km (or 500m), kind=video (or picture),
        scenes=all (of a video, not only the best), hidden=yes (or no, any), meta.KEY=VALUE.
        """
        fields: dict[str, Any] = {"collapse": collapse, "metadata": {}, "outside": ()}
        seen: set[str] = set()
        for text in texts:
            key, separator, value = (part.strip() for part in text.partition("="))
            if not separator or not value:
                raise InputError(message("filter form", given=text))
            if key in seen and key != "folder!":
                raise InputError(message("filter twice", key=key))
            seen.add(key)
            if value == "..":
                raise InputError(message("range empty", key=key))
            if key in ("captured", "added"):
                fields[f"{key}_from"], fields[f"{key}_to"] = split_range(value)
            elif key == "size":
                fields["min_size"], fields["max_size"] = (end and parse_size(end) for end in split_range(value))
            elif key == "folder!":
                fields["outside"] += (value,)
            elif key in ("month", "day"):
                fields[f"{key}s"] = tuple(part.strip() for part in normalize(value[:120]).split(","))
            elif key == "format":
                fields["formats"] = tuple(name.strip() for name in value.split(","))
            elif key in _CHOICES:
                name, choices = _CHOICES[key]
                if value.lower() not in choices:
                    raise InputError(message(key, given=value))
                fields[name] = choices[value.lower()]
            elif key in ("folder", "orientation", "kind", "near", *WORDS):
                fields[key] = value
            elif key.startswith("meta.") and key != "meta.":
                fields["metadata"][key.removeprefix("meta.")] = value
            else:
                raise InputError(message("filter unknown", key=key, known=FILTER_NAMES))
        return cls(**fields)

    def texts(self) -> list[str]:
        """Write the filters as texts that `read` can parse.

        `folder_name`, `below` and `collapse`, for which there is no text, are left out.

        Raises:
            InputError: metadata that no text can name: a key with "=", an empty value, spaces at an end.
        """
        values = {f"meta.{key}": value for key, value in self.metadata.items()}
        for key, value in values.items():
            unnamed = key == "meta." or value in ("", "..") or "=" in key
            if unnamed or (key, value) != (key.strip(), value.strip()):
                raise InputError(message("filter form", given=f"{key}={value}"))
        for key, first, last in (
            ("captured", self.captured_from, self.captured_to),
            ("added", self.added_from, self.added_to),
            ("size", self.min_size, self.max_size),
        ):
            if first is not None or last is not None:
                values[key] = f"{'' if first is None else first}..{'' if last is None else last}"
        if self.months:
            values["month"] = ",".join(map(str, self.months))
        if self.days:
            values["day"] = ",".join(map(str, self.days))
        if self.folder is not None:
            values["folder"] = os.fspath(self.folder)
        if self.formats:
            values["format"] = ",".join(self.formats)
        named = ("orientation", "kind", *WORDS)
        values |= {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        if self.near is not None:
            values["near"] = "{},{},{}m".format(*(f"{part:.7f}".rstrip("0").rstrip(".") for part in self.near))
        values |= {"scenes": "all"} if self.every_scene else {}
        values |= {"hidden": "any" if self.hidden is None else "yes"} if self.hidden is not False else {}
        outside = [f"folder!={os.fspath(folder)}" for folder in self.outside]
        return [*(f"{key}={value}" for key, value in values.items()), *outside]

    def shared_conditions(self, contains: str) -> tuple[list[Part], list[Part]]:
        """Return the SQL conditions that SQLite and PostgreSQL share: a list on `files`, and a list on `contents`.

        Args:
            contains: SQL that is true if the column `path` contains the value of its parameter, which is the name of a
                folder between two separators.
        """
        of_file: list[Part] = []
        of_content: list[Part] = []
        if self.folder is not None:
            of_file.append(any_of([_path_is_below(root) for root in possible_roots(self.folder)]))
        if self.folder_name is not None:
            names = (os.fsencode(f"{os.sep}{name}{os.sep}") for name in folder_names(self.folder_name))
            of_file.append(any_of([(contains, (name,)) for name in names]))
        for folder in self.outside:
            sql, values = all_of(Filters.inside(folder).shared_conditions(contains)[0])
            of_file.append((f"NOT ({sql})", values))
        if self.below is not None:
            of_file.append(_path_is_below(self.below))
        for sign, size in ((">=", self.min_size), ("<=", self.max_size)):
            if size is not None:
                of_file.append((f"size {sign} ?", (size,)))
        for name, column in (("captured", "taken"), ("added", "added")):
            if first := getattr(self, f"{name}_from"):
                of_content.append((f"{column} >= ?", (first,)))
            # "\x7f" sorts after all characters of dates, so that 2023 includes 2023-05
            if last := getattr(self, f"{name}_to"):
                of_content.append((f"{column} < ?", (last + "\x7f",)))
        if self.formats:
            of_content.append((f"format IN ({', '.join('?' * len(self.formats))})", self.formats))
        if self.orientation:
            of_content.append((ORIENTATIONS[self.orientation], ()))
        if self.kind:
            marks = ", ".join("?" * len(VIDEO_FORMATS))
            of_content.append((f"format {'IN' if self.kind == 'video' else 'NOT IN'} ({marks})", VIDEO_FORMATS))
        return of_file, of_content

    def condition(self, *, hidden_exist: bool = True) -> Condition:
        """Return the SQL condition of all filters that are set, for SQLite; EVERYTHING if they leave out no picture.

        Args:
            hidden_exist: False if the gallery has no hidden picture, so that none needs to be left out.
        """
        of_file, of_content = self.shared_conditions("instr(path, ?) > 0")
        for start, numbers in ((6, self.months), (9, self.days)):
            if numbers:
                marks = ", ".join("?" * len(numbers))
                of_content.append((f"CAST(substr(taken, {start}, 2) AS INTEGER) IN ({marks})", numbers))
        for name in ("camera", "lens", "place"):
            if (wanted := getattr(self, name)) is not None:
                # A million pictures have only a few hundred cameras, so the SQL lists the different values from an
                # index and compares each of them once.
                values = f"SELECT DISTINCT {name} FROM photos WHERE {name} IS NOT NULL"
                test = "at_place" if name == "place" else "has_words"
                passing = f"SELECT {name} FROM ({values}) WHERE {test}({name}, ?)"
                of_content.append((f"id IN (SELECT content FROM photos WHERE {name} IN ({passing}))", (wanted,)))
        if self.name is not None:
            of_file.append(("name_matches(path, metadata, ?)", (self.name,)))
        if self.near is not None:
            latitude, longitude, metres = self.near
            of_content.append((  # an index finds pictures at near latitudes; only their distances are computed
                "id IN (SELECT content FROM photos WHERE latitude BETWEEN ? AND ? "
                "AND metres_between(latitude, longitude, ?, ?) <= ?)",
                (*latitudes_near(latitude, metres), latitude, longitude, metres),
            ))  # fmt: skip
        for key, value in self.metadata.items():
            of_file.append(("metadata <> '{}' AND has_metadata(metadata, ?, ?)", (key, value)))
        hidden = None if self.hidden is False and not hidden_exist else self.hidden
        return Condition(*all_of(of_file), *all_of(of_content), hidden)


Where = Filters | str | Sequence[str] | None  # the type of the argument `where` of `BaseGallery.search`


def all_of(parts: Sequence[Part]) -> Part:
    """Return an SQL condition, with its values, that is true if all given conditions are true."""
    values = tuple(value for _, some in parts for value in some)
    return " AND ".join(f"({sql})" for sql, _ in parts) or "TRUE", values


def any_of(parts: Sequence[Part]) -> Part:
    """Return an SQL condition, with its values, that is true if any given condition is true."""
    values = tuple(value for _, some in parts for value in some)
    return " OR ".join(f"({sql})" for sql, _ in parts) or "FALSE", values


def possible_roots(folder: str | os.PathLike[str]) -> list[str]:
    """Return a folder's path as given, and with links resolved, because indexed paths may begin with either."""
    named = user_path(folder).absolute()
    return list(dict.fromkeys(str(as_stored(root)) for root in (Path(os.path.normpath(named)), named.resolve())))


def _path_is_below(folder: str) -> Part:
    return "path > ? AND path < ?", prefix_range(os.fsencode(folder).rstrip(os.sep.encode()) + os.sep.encode())


def latitudes_near(latitude: float, metres: float) -> tuple[float, float]:
    """Return a range of latitudes that holds all places at most `metres` from a latitude."""
    # make the range slightly larger, because of rounding errors
    degrees = math.degrees(metres / EARTH_M) * 1.000001 + 1e-9
    return latitude - degrees, latitude + degrees


# ------------------------------------------------------------------ values as people type them


def parse_numbers(name: str, given: object, most: int, example: str) -> tuple[int, ...]:
    """Return one or several given numbers from 1 to `most`, each once; raise InputError if anything else is given."""
    numbers = (given,) if isinstance(given, int | str) else given
    numbers = tuple(numbers) if isinstance(numbers, Iterable) else (numbers,)
    if not all(
        isinstance(number, int | str) and re.fullmatch("[0-9]{1,2}", str(number)) and 1 <= int(number) <= most
        for number in numbers
    ):
        raise InputError(f"{name} is {given!r:.80}; write numbers from 1 to {most}, as in {example}.")
    return tuple(dict.fromkeys(int(number) for number in numbers))


def split_range(text: str) -> tuple[str | None, str | None]:
    """Split "first..last" into its two ends; a missing end is None, and a single value is both ends."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    return (first or None, last or None) if dots else (first, first)


def parse_near(given: object) -> tuple[float, float, float]:
    """Return latitude and longitude in degrees and a distance in metres, from "24.7,46.7,10km" or three numbers.

    Raises:
        InputError: the text has another form, or a number is out of range.
    """
    if isinstance(given, str):
        match = _NEAR.fullmatch(normalize(given[:120]).replace("،", ",").replace("٫", "."))
        if not match:
            raise InputError(message("near form", given=given))
        parts = [float(match[1]), float(match[2]), float(match[3]) * _METRES[match[4].lower()]]
    elif (
        isinstance(given, list | tuple)
        and len(given) == 3
        and all(isinstance(part, int | float) and not isinstance(part, bool) for part in given)
    ):
        parts = [float(part) for part in given]
    else:
        raise InputError(f"near is {given!r:.80}; pass (latitude, longitude, metres), as in (24.7, 46.7, 10_000).")
    latitude, longitude, metres = round(parts[0], 7) + 0.0, round(parts[1], 7) + 0.0, round(parts[2], 2)
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InputError(message("near place", latitude=parts[0], longitude=parts[1]))
    if not 0 < metres <= _MOST_METRES:
        raise InputError(message("near distance", metres=parts[2], most=_MOST_METRES // 1000))
    return latitude, longitude, metres


def check_words(name: str, value: object) -> str:
    """Check and normalise a text whose words are looked for; raise InputError if it has no words or is too long."""
    check_text(name, value)
    text = normalize(str(value)[: _MOST_LETTERS + 1])
    if len(str(value)) > _MOST_LETTERS:
        raise InputError(message("words letters", name=name, letters=len(str(value)), most=_MOST_LETTERS))
    if not tokens(text) and not (name == "name" and is_glob(text)):
        raise InputError(message("words", name=name, given=str(value)))
    return text


def parse_size(text: str) -> int:
    """Convert a size such as 500, 100kB or 2MB to bytes; raise InputError for other texts."""
    match = _SIZE.fullmatch(normalize(text[:80]))
    if not match:
        raise InputError(message("size", given=text))
    size = int(Decimal(match[1]) * 1000 ** " kmg".index((match[2] or " ").lower()))
    if size > LARGEST:
        raise InputError(message("size most", given=text, most=LARGEST))
    return size


def check_text(name: str, value: object) -> None:
    """Raise InputError unless the value is a text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, a {type(value).__name__}; pass a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is {value!r:.80}, with a byte or half of a character that is no text.") from None


def check_metadata(given: object) -> dict[str, str]:
    """Return the wanted metadata with all values as texts, in the form in which they are compared (`metadata_text`).

    Raises:
        InputError: `given` is not a mapping, or a key or value is no valid text.
    """
    if not isinstance(given, Mapping):
        raise InputError(f'metadata is {given!r:.80}; pass a mapping such as {{"album": "رحلة"}}.')
    for key, value in given.items():
        check_text("a key of metadata", key)
        if not isinstance(value, int | float):
            check_text(f"metadata {key}", value)
    return {key: metadata_text(value) for key, value in given.items()}


def folder_names(wanted: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the folder names of a filter as a tuple, whether it has one, several or none."""
    return wanted if isinstance(wanted, tuple) else () if wanted is None else (wanted,)


def parse_format(name: str) -> str:
    """Return the name of a picture or video format, given in any case; raise InputError if it is unknown."""
    if not isinstance(name, str):
        raise InputError(f"a format is a text such as JPEG, got {name!r:.80}.")
    known = _FORMAT_ALIASES.get(name.upper(), name.upper())
    if known not in (*FORMATS, *VIDEO_FORMATS):
        raise InputError(message("format", given=name, known=", ".join((*FORMATS, *VIDEO_FORMATS))))
    return known
