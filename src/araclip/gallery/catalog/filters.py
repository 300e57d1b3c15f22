"""Filters say which pictures a search may return; they are turned into a condition on the catalogue's rows.

A picture passes when one of its paths passes every filter that is set. A picture with an unknown fact (no EXIF date,
for example) does not pass a filter on that fact.

The table FILTERS has one row for each filter. How filters are read, written, checked and turned into SQL, the shell's
completion, the table in docs/gallery.md and the names on the page all follow from it; a new filter is a new row, and
its fields in `Filters`.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from araclip.core.files import as_stored
from araclip.core.messages import message
from araclip.core.paths import is_below, text_path, user_path
from araclip.errors import InputError
from araclip.gallery.catalog.matching import (
    is_glob,
    mark,
    marks_of,
    metadata_text,
    name_at,
    name_matches,
    pg_entry,
    tokens,
)
from araclip.gallery.catalog.records import File, prefix_range
from araclip.pictures.formats import FORMATS
from araclip.pictures.video.formats import FORMATS as VIDEO_FORMATS
from araclip.text.normalization import normalize
from araclip.text.places import EARTH_M, wanted_tokens

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
_FORMAT_ALIASES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}

Values = tuple[Any, ...]
Clause = tuple[str, Values]  # an SQL condition, and the values of its parameters


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


# ------------------------------------------------------------------ values as people type them


def check_date(name: str, given: object) -> str | None:
    """Return a date in the form in which the catalogue has it; raise InputError if it is no date. None stays None."""
    if given is None:
        return None
    date = normalize(str(given)[:80]).replace(" ", "T")
    if not _DATE.fullmatch(date):
        raise InputError(message("date", name=name, given=str(given)))
    return date


def check_dates(name: str, first: object, last: object) -> tuple[str | None, str | None]:
    """Check both ends of a range of dates; raise InputError if one is no date or they are in the wrong order."""
    begin, end = check_date(f"{name}_from", first), check_date(f"{name}_to", last)
    if begin and end and begin > end and not begin.startswith(end):
        raise InputError(message("date range", name=name, first=begin, last=end))
    return begin, end


def check_sizes(least: object, most: object) -> tuple[int | None, int | None]:
    """Check the least and the greatest size of a file in bytes; None for an open end."""
    for name, size in (("min_size", least), ("max_size", most)):
        if size is not None and not (isinstance(size, int) and 0 <= size <= LARGEST):
            raise InputError(f"{name} is {size!r:.80}; pass a whole number of bytes, at most {LARGEST}.")
    if least is not None and most is not None and least > most:  # type: ignore[operator]
        raise InputError(message("size range", first=least, last=most))
    return least, most  # type: ignore[return-value]


def check_formats(given: object) -> tuple[str, ...]:
    """Return formats of pictures or videos in capitals, from one name or several in any case."""
    if not isinstance(given, Iterable):
        raise InputError(f'formats is {given!r:.80}; pass a tuple such as ("JPEG", "PNG").')
    return tuple(map(parse_format, (given,) if isinstance(given, str) else given))


def check_choice(name: str, choices: Sequence[str], given: object) -> str | None:
    """Return the given one of the choices, or None; raise InputError if it is none of them."""
    if given is None:
        return None
    check_text(name, given)
    if (chosen := str(given)) not in choices:
        raise InputError(message("choice", name=name, given=chosen, known=", ".join(choices)))
    return chosen


def check_hidden(given: object) -> bool | None:
    """Return False, True or None; raise InputError for anything else."""
    if not (given is None or isinstance(given, bool)):
        raise InputError(f"hidden is {given!r:.80}; pass False, True (only hidden ones) or None (both).")
    return given


def check_folders(given: object) -> Any:
    """Check one folder or several, each a path or a name; raise InputError for a value of another type."""
    for each in given if isinstance(given, tuple) else (given,):
        if each is not None:
            text_path(each)
    return given


def parse_choice(name: str, choices: Mapping[str, Any], text: str) -> Any:
    """Return the value that a word stands for; raise InputError for any other word."""
    if text.lower() not in choices:
        raise InputError(message(name, given=text))
    return choices[text.lower()]


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


def split_numbers(text: str) -> tuple[str, ...]:
    """Split numbers at commas."""
    return tuple(part.strip() for part in normalize(text[:120]).split(","))


def split_range(text: str) -> tuple[str | None, str | None]:
    """Split "first..last" into its two ends; a missing end is None, and a single value is both ends."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    return (first or None, last or None) if dots else (first, first)


def join_range(first: object, last: object) -> str:
    """Write the ends of a range as `split_range` reads them; None is an open end."""
    return f"{'' if first is None else first}..{'' if last is None else last}"


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


def check_words(name: str, value: object) -> str | None:
    """Check and normalise a text whose words are looked for; raise InputError if it has no words or is too long."""
    if value is None:
        return None
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


# ------------------------------------------------------------------ SQL


def all_of(parts: Sequence[Clause]) -> Clause:
    """Return an SQL condition, with its values, that is true if all given conditions are true."""
    values = tuple(value for _, some in parts for value in some)
    return " AND ".join(f"({sql})" for sql, _ in parts) or "TRUE", values


def any_of(parts: Sequence[Clause]) -> Clause:
    """Return an SQL condition, with its values, that is true if any given condition is true."""
    values = tuple(value for _, some in parts for value in some)
    return " OR ".join(f"({sql})" for sql, _ in parts) or "FALSE", values


def possible_roots(folder: str | os.PathLike[str]) -> list[str]:
    """Return a folder's path as given, and with links resolved, because indexed paths may begin with either."""
    named = user_path(folder).absolute()
    return list(dict.fromkeys(str(as_stored(root)) for root in (Path(os.path.normpath(named)), named.resolve())))


def _path_is_below(folder: str) -> Clause:
    return "path > ? AND path < ?", prefix_range(os.fsencode(folder).rstrip(os.sep.encode()) + os.sep.encode())


def latitudes_near(latitude: float, metres: float) -> tuple[float, float]:
    """Return a range of latitudes that holds all places at most `metres` from a latitude."""
    # make the range slightly larger, because of rounding errors
    degrees = math.degrees(metres / EARTH_M) * 1.000001 + 1e-9
    return latitude - degrees, latitude + degrees


@dataclass(frozen=True)
class Filter:
    """One filter: how people write it, which fields of `Filters` hold its values, and the SQL for these values.

    The functions take the values of the fields, in the order of `fields`; but `read` takes the text after the "=".
    """

    name: str  # KEY of KEY=VALUE; "" if no text sets these fields; a name that ends with "." goes on with any key
    fields: tuple[str, ...]  # fields of `Filters`
    label: tuple[str, str] = ("", "")  # its name on the page: Arabic, English; ("", "") to show KEY
    example: str = ""  # values, as the shell's completion shows them
    help: str = ""  # meaning, as docs/gallery.md says it
    read: Callable[[str], Values] = lambda text: (text,)
    write: Callable[..., Iterable[str]] = lambda value: (str(value),)  # the texts after "KEY=", if any value is set
    check: Callable[..., Values] = lambda *values: values  # returns the values in one form, or raises InputError
    of_file: bool = False  # True: the SQL is about the table `files`; False: about `contents`
    sqlite: Callable[..., list[Clause]] = lambda *values: []
    postgres: Callable[..., list[Clause]] | None = None  # None: the same SQL as `sqlite`
    passes: Callable[..., bool] = lambda file, metadata, *values: True  # whether a file passes, for filters of files
    repeatable: bool = False
    part: str | None = None  # the part of a query's words that sets it: date, folder, place, kind
    exists: bool = False  # True: a value that no picture has is an error, which lists what there is


# ------------------------------------------------------------------ the filters

# SQL of PostgreSQL: the distance in metres between a picture's position and a point, on a sphere
_PG_METRES = f"""2 * {EARTH_M} * asin(least(1, sqrt(sin(radians(latitude - ?) / 2) ^ 2
    + cos(radians(latitude)) * cos(radians(?)) * sin(radians(longitude - ?) / 2) ^ 2)))"""
_IN_FOLDER = "instr(path, ?) > 0"  # the path contains the name of a folder between two separators
_PG_IN_FOLDER = "position(?::bytea IN path) > 0"


def split_folder(folder: str | os.PathLike[str]) -> tuple[str | os.PathLike[str] | None, str | None]:
    """Return a folder as a path (/data/trip, ~/trip, trip/2023) or as a name; the other one is None."""
    is_name = isinstance(folder, str) and os.sep not in folder and not folder.startswith("~")
    return (None, str(folder)) if is_name else (folder, None)


def _in_folder(folder: str | os.PathLike[str] | None) -> list[Clause]:
    return [] if folder is None else [any_of([_path_is_below(root) for root in possible_roots(folder)])]


def _in_named_folder(contains: str, names: str | tuple[str, ...] | None) -> list[Clause]:
    raw = (os.fsencode(f"{os.sep}{name}{os.sep}") for name in folder_names(names))
    return [] if names is None else [any_of([(contains, (name,)) for name in raw])]


def _outside(contains: str, folders: Sequence[str | os.PathLike[str]]) -> list[Clause]:
    inside = [(*_in_folder(path), *_in_named_folder(contains, name)) for path, name in map(split_folder, folders)]
    return [(f"NOT ({sql})", values) for sql, values in map(all_of, inside)]


def _is_in(path: str, folder: str | os.PathLike[str] | None, name: str | tuple[str, ...] | None = None) -> bool:
    if folder is not None:
        return any(is_below(path, root) for root in possible_roots(folder))
    return name is None or bool({*folder_names(name)} & {*PurePath(path).parent.parts})


def _between_dates(column: str, first: str | None, last: str | None) -> list[Clause]:
    # "\x7f" sorts after all characters of dates, so that 2023 includes 2023-05
    ends = ((f"{column} >= ?", first), (f"{column} < ?", last and f"{last}\x7f"))
    return [(sql, (end,)) for sql, end in ends if end]


def _between_sizes(least: int | None, most: int | None) -> list[Clause]:
    return [(f"size {sign} ?", (size,)) for sign, size in ((">=", least), ("<=", most)) if size is not None]


def _in_numbers(start: int, numbers: tuple[int, ...]) -> list[Clause]:
    marks = ", ".join("?" * len(numbers))
    return [(f"CAST(substr(taken, {start}, 2) AS INTEGER) IN ({marks})", numbers)] if numbers else []


def _pg_in_numbers(start: int, numbers: tuple[int, ...]) -> list[Clause]:
    return [(f"substr(taken, {start}, 2) = ANY(?)", ([f"{number:02}" for number in numbers],))] if numbers else []


def _in_formats(formats: tuple[str, ...], is_in: str = "IN") -> list[Clause]:
    return [(f"format {is_in} ({', '.join('?' * len(formats))})", formats)] if formats else []


def _of_photo(column: str, test: str, wanted: str | None) -> list[Clause]:
    # A million pictures have only a few hundred cameras, so the SQL lists the different values from an index and
    # compares each of them once.
    listed = f"SELECT DISTINCT {column} FROM photos WHERE {column} IS NOT NULL"
    passing = f"SELECT {column} FROM ({listed}) WHERE {test}({column}, ?)"
    sql = f"id IN (SELECT content FROM photos WHERE {column} IN ({passing}))"
    return [] if wanted is None else [(sql, (wanted,))]


def _pg_of_photo(column: str, wanted: str | None) -> list[Clause]:
    return [] if wanted is None else [(f"{column}_words @> ?", (sorted(tokens(wanted)),))]


def _pg_at_place(wanted: str | None) -> list[Clause]:
    alternatives = [] if wanted is None else wanted_tokens(wanted)
    return [] if wanted is None else [any_of([("place_words @> ?", (sorted(each),)) for each in alternatives])]


def _near(near: tuple[float, float, float] | None) -> list[Clause]:
    if near is None:
        return []
    latitude, longitude, metres = near  # an index finds pictures at near latitudes; only their distances are computed
    sql = (
        "id IN (SELECT content FROM photos WHERE latitude BETWEEN ? AND ? "
        "AND metres_between(latitude, longitude, ?, ?) <= ?)"
    )
    return [(sql, (*latitudes_near(latitude, metres), latitude, longitude, metres))]


def _pg_near(near: tuple[float, float, float] | None) -> list[Clause]:
    if near is None:
        return []
    latitude, longitude, metres = near
    sql = f"latitude BETWEEN ? AND ? AND {_PG_METRES} <= ?"
    return [(sql, (*latitudes_near(latitude, metres), latitude, latitude, longitude, metres))]


def _write_near(near: tuple[float, float, float]) -> tuple[str]:
    return ("{},{},{}m".format(*(f"{part:.7f}".rstrip("0").rstrip(".") for part in near)),)


def _pg_name(name: str | None) -> list[Clause]:
    if name is None or is_glob(name):  # PostgreSQL knows no globs: they are compared in Python, after the query
        return []
    return [("name_words @> ?", (sorted(tokens(name)),))]


def _write_metadata(metadata: Mapping[str, str]) -> Iterable[str]:
    for key, value in metadata.items():
        if not key or value in ("", "..") or "=" in key or (f".{key}", value) != (f".{key}".strip(), value.strip()):
            raise InputError(message("filter form", given=f"meta.{key}={value}"))
        yield f"{key}={value}"


def _words_filter(name: str, label: tuple[str, str], example: str, help: str, **changes: Any) -> Filter:
    """Make a filter whose value is a text with words to find."""
    return Filter(name, (name,), label, example, help, check=lambda value: (check_words(name, value),), **changes)


FILTERS: tuple[Filter, ...] = (
    Filter(
        "folder", ("folder",), ("المجلد", "Folder"), "PATH or NAME",
        "this folder and all below it; every folder of this name. A folder, camera, lens or place that no picture has "
        "is an error, which lists what there is",
        write=lambda folder: (os.fspath(folder),), check=lambda folder: (check_folders(folder),), of_file=True,
        sqlite=_in_folder, passes=lambda file, _, folder: _is_in(file.path, folder), part="folder", exists=True,
    ),
    Filter(
        "folder!", ("outside",), ("خارج المجلد", "Outside of folder"), "PATH or NAME",
        "not in this folder nor below it; may be given several times",
        read=lambda text: ((text,),), write=lambda folders: map(os.fspath, folders),
        check=lambda given: (check_folders((given,) if isinstance(given, str | os.PathLike) else given),),
        of_file=True, sqlite=partial(_outside, _IN_FOLDER), postgres=partial(_outside, _PG_IN_FOLDER),
        passes=lambda file, _, folders: not any(_is_in(file.path, *split_folder(folder)) for folder in folders),
        repeatable=True, part="folder",
    ),
    Filter(
        "", ("folder_name",),
        help="below any folder of this name, wherever it is; a tuple: of one of these names",
        check=lambda names: (check_folders(names),), of_file=True,
        sqlite=partial(_in_named_folder, _IN_FOLDER), postgres=partial(_in_named_folder, _PG_IN_FOLDER),
        passes=lambda file, _, names: _is_in(file.path, None, names), part="folder", exists=True,
    ),
    Filter(
        "", ("below",), help="like `folder`, but only this exact path: links are not resolved",
        check=lambda folder: (check_folders(folder),), of_file=True,
        sqlite=lambda folder: [] if folder is None else [_path_is_below(folder)],
        passes=lambda file, _, folder: folder is None or is_below(file.path, folder),
    ),
    Filter(
        "captured", ("captured_from", "captured_to"), ("تاريخ الالتقاط", "Taken"), "2023-05..2024",
        "date by EXIF, else by file name: `2023`, `2023-05`, `2023-05-17`, `2023-05-17T18:30`; both ends count, either "
        "may be left out",
        read=split_range, write=lambda *ends: (join_range(*ends),),
        check=lambda *ends: check_dates("captured", *ends), sqlite=partial(_between_dates, "taken"), part="date",
    ),
    Filter(
        "month", ("months",), ("الشهر", "Month"), "6,7,8",
        "months of any year; together with `captured`, of those years",
        read=lambda text: (split_numbers(text),), write=lambda numbers: (",".join(map(str, numbers)),),
        check=lambda given: (parse_numbers("months", given, 12, "month=6,7,8"),),
        sqlite=partial(_in_numbers, 6), postgres=partial(_pg_in_numbers, 6), part="date",
    ),
    Filter(
        "day", ("days",), ("اليوم", "Day"), "17", "days of a month; with `month`, the same day of every year",
        read=lambda text: (split_numbers(text),), write=lambda numbers: (",".join(map(str, numbers)),),
        check=lambda given: (parse_numbers("days", given, 31, "day=1,2"),),
        sqlite=partial(_in_numbers, 9), postgres=partial(_pg_in_numbers, 9), part="date",
    ),
    Filter(
        "added", ("added_from", "added_to"), ("تاريخ الإضافة", "Added"), "2024-01..",
        "when the picture first came into the gallery, UTC; written like `captured`",
        read=split_range, write=lambda *ends: (join_range(*ends),),
        check=lambda *ends: check_dates("added", *ends), sqlite=partial(_between_dates, "added"),
    ),
    Filter(
        "size", ("min_size", "max_size"), ("حجم الملف", "File size"), "100kB..2MB", "bytes of the file",
        read=lambda text: tuple(end and parse_size(end) for end in split_range(text)),
        write=lambda *ends: (join_range(*ends),), check=check_sizes, of_file=True, sqlite=_between_sizes,
        passes=lambda file, _, least, most: (least or 0) <= file.size and (most is None or file.size <= most),
    ),
    Filter(
        "format", ("formats",), ("الصيغة", "Format"), "JPEG,PNG",
        "of JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, JPEG2000, HEIF (HEIC), JXL, RAW, and the containers of "
        "[videos](gallery-pictures.md#videos), such as MP4",
        read=lambda text: (tuple(name.strip() for name in text.split(",")),),
        write=lambda formats: (",".join(formats),), check=lambda given: (check_formats(given),), sqlite=_in_formats,
    ),
    Filter(
        "kind", ("kind",), ("النوع", "Kind"), "video", "`video` or `picture`",
        check=lambda given: (check_choice("kind", KINDS, given),),
        sqlite=lambda kind: _in_formats(VIDEO_FORMATS, "IN" if kind == "video" else "NOT IN") if kind else [],
        part="kind",
    ),
    Filter(
        "scenes", ("every_scene",), ("المشاهد", "Scenes"), "all",
        "every scene of a video that is found, instead of the best one",
        read=lambda text: (parse_choice("scenes", {"all": True, "best": False}, text),), write=lambda every: ("all",),
    ),
    _words_filter(
        "camera", ("الكاميرا", "Camera"), "canon r5",
        "all these words are in the name of the camera, in any order, case and spelling of Arabic",
        sqlite=partial(_of_photo, "camera", "has_words"), postgres=partial(_pg_of_photo, "camera"), exists=True,
    ),
    _words_filter(
        "lens", ("العدسة", "Lens"), "50mm", "all these words are in the name of the lens, likewise",
        sqlite=partial(_of_photo, "lens", "has_words"), postgres=partial(_pg_of_photo, "lens"), exists=True,
    ),
    _words_filter(
        "place", ("المكان", "Place"), "Egypt",
        "taken at this town, region or country, or at the spot that the file names: in Arabic or English, in any "
        "spelling. Words that are no whole name must all be in the names of the place",
        sqlite=partial(_of_photo, "place", "at_place"), postgres=_pg_at_place, part="place", exists=True,
    ),
    Filter(
        "near", ("near",), ("المكان", "Place"), "24.7,46.7,10km",
        "taken at most this far (`km` or `m`, also كم, م) from this latitude and longitude in degrees; on a sphere",
        write=_write_near, check=lambda given: (None if given is None else parse_near(given),),
        sqlite=_near, postgres=_pg_near,
    ),
    _words_filter(
        "name", ("اسم الملف", "Name of the file"), "رحلة 2023 or IMG_20*",
        "the file's name has all these words; or is matched whole, with or without its suffix, by a pattern with `*`, "
        "`?`, `[…]`",
        of_file=True, sqlite=lambda name: [] if name is None else [("name_matches(path, metadata, ?)", (name,))],
        postgres=_pg_name,
        passes=lambda file, metadata, name: name is None or name_matches(name_at(file.path, dict(metadata)), name),
    ),
    Filter(
        "hidden", ("hidden",), ("الصور المخفية", "Hidden pictures"), "yes or any",
        "only pictures that `hide` has hidden (`True`); hidden and other pictures (`None`). Without this filter hidden "
        "pictures are left out",
        read=lambda text: (parse_choice("hidden", {"yes": True, "no": False, "any": None}, text),),
        write=lambda hidden: ("any" if hidden is None else "yes",), check=lambda given: (check_hidden(given),),
        # SQLite has this in `Condition.hidden`
        postgres=lambda hidden: [] if hidden is None else [("hidden" if hidden else "NOT hidden", ())],
    ),
    Filter(
        "orientation", ("orientation",), ("الاتجاه", "Orientation"), "portrait",
        "`landscape`, `portrait` or `square`, of the upright picture",
        check=lambda given: (check_choice("orientation", tuple(ORIENTATIONS), given),),
        sqlite=lambda orientation: [(ORIENTATIONS[orientation], ())] if orientation else [],
    ),
    Filter(
        "meta.", ("metadata",), ("", ""), "KEY=VALUE",
        "every key must have this value (a text, number or boolean); a list matches when one member does",
        read=lambda text: ({},), write=_write_metadata, check=lambda given: (check_metadata(given),), of_file=True,
        sqlite=lambda about: [
            ("metadata <> '{}' AND has_metadata(metadata, ?, ?)", (key, value)) for key, value in about.items()
        ],
        postgres=lambda about: [
            ("marks @> ?", ([pg_entry(mark(key, value)) for key, value in about.items()],))
        ] if about else [],
        passes=lambda file, metadata, about: {mark(*each) for each in about.items()} <= {*marks_of(metadata)},
    ),
)  # fmt: skip
NAMED = {filter.name: filter for filter in FILTERS if filter.name}
LABELS = [  # KEY, its name in Arabic, its name in English
    (filter.name, *filter.label) for filter in NAMED.values() if filter.label[0]
]
FILTER_NAMES = ", ".join(name + "KEY" if name.endswith(".") else name for name in NAMED)


def fields_of(part: str) -> tuple[str, ...]:
    """Return the fields of `Filters` that a part of a query's words (date, folder, place, kind) sets."""
    return tuple(name for filter in FILTERS if filter.part == part for name in filter.fields)


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
        for filter in FILTERS:
            for name, value in zip(filter.fields, filter.check(*self.values_of(filter)), strict=True):
                object.__setattr__(self, name, value)

    def values_of(self, filter: Filter) -> Values:
        """Return the values of a filter's fields."""
        return tuple(getattr(self, name) for name in filter.fields)

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
        path, name = split_folder(folder)
        return cls(folder=path, folder_name=name)

    @classmethod
    def read(cls, texts: Iterable[str], *, collapse: bool = False) -> "Filters":
        """Parse filters, each written as KEY=VALUE, see FILTERS; `collapse`: keep only the best of near-duplicates."""
        found: dict[str, Any] = {"collapse": collapse, "metadata": {}}
        seen: set[str] = set()
        for text in texts:
            key, separator, value = (part.strip() for part in text.partition("="))
            if not separator or not value:
                raise InputError(message("filter form", given=text))
            begin, dot, of_metadata = key.partition(".")
            filter = NAMED.get(begin + dot if of_metadata else key)
            if filter is None or key.endswith("."):
                raise InputError(message("filter unknown", key=key, known=FILTER_NAMES))
            if key in seen and not filter.repeatable:
                raise InputError(message("filter twice", key=key))
            seen.add(key)
            if value == "..":
                raise InputError(message("range empty", key=key))
            if of_metadata:
                found["metadata"][of_metadata] = value
                continue
            for name, read in zip(filter.fields, filter.read(value), strict=True):
                found[name] = found.get(name, ()) + read if filter.repeatable else read
        return cls(**found)

    def texts(self) -> list[str]:
        """Write the filters as texts that `read` can parse.

        `folder_name`, `below` and `collapse`, for which there is no text, are left out.

        Raises:
            InputError: metadata that no text can name: a key with "=", an empty value, spaces at an end.
        """
        return [
            f"{name}{'' if name.endswith('.') else '='}{text}"
            for name, filter in NAMED.items()
            if self.values_of(filter) != UNSET.values_of(filter)
            for text in filter.write(*self.values_of(filter))
        ]

    def conditions(self, *, postgres: bool = False) -> tuple[list[Clause], list[Clause]]:
        """Return the SQL conditions of all filters that are set: a list on `files`, and a list on `contents`."""
        of_file: list[Clause] = []
        of_content: list[Clause] = []
        for filter in FILTERS:
            sql = filter.postgres if postgres and filter.postgres else filter.sqlite
            (of_file if filter.of_file else of_content).extend(sql(*self.values_of(filter)))
        return of_file, of_content

    def condition(self, *, hidden_exist: bool = True) -> Condition:
        """Return the SQL condition of all filters that are set, for SQLite; EVERYTHING if they leave out no picture.

        Args:
            hidden_exist: False if the gallery has no hidden picture, so that none needs to be left out.
        """
        of_file, of_content = self.conditions()
        hidden = None if self.hidden is False and not hidden_exist else self.hidden
        return Condition(*all_of(of_file), *all_of(of_content), hidden)

    def pass_file(self, file: File, metadata: Mapping[str, Any]) -> bool:
        """True if a file passes those filters that ask about the file: its name, folder, size and metadata."""
        return all(filter.passes(file, metadata, *self.values_of(filter)) for filter in FILTERS)


UNSET = Filters()
Where = Filters | str | Sequence[str] | None  # the type of the argument `where` of `BaseGallery.search`
