"""Filters: which pictures a search may return, as a condition on the catalogue's rows. Pure.

A picture passes when one of its paths passes every filter that is set. A picture with an unknown fact (no EXIF date,
for example) does not pass a filter on that fact.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from araclip.errors import InputError
from araclip.images import FORMATS
from araclip.paths import text_path, user_path
from araclip.text.normalization import normalize

ORIENTATIONS = {"landscape": "width > height", "portrait": "width < height", "square": "width = height"}
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d)?)?)?)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgKMG])?[bB]?")
# A list matches when one of its members does; true and false are compared as these words.
_METADATA = """files.metadata <> '{}' AND EXISTS (SELECT 1 FROM json_each(files.metadata) AS pair,
    json_each(CASE pair.type WHEN 'array' THEN pair.value ELSE '[' || json_quote(
        CASE pair.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE pair.value END) || ']' END) AS member
    WHERE pair.key = ? AND CAST(member.value AS TEXT) = ?)"""


Values = tuple[str | int | bytes, ...]


@dataclass(frozen=True)
class Condition:
    """Two SQL conditions that must both hold: one on a row of `files`, one on its row of `contents`.

    They are separate so that each can be answered from an index of its table. A condition on an unknown fact is NULL,
    which does not pass.
    """

    of_file: str = "TRUE"
    file_values: Values = ()
    of_content: str = "TRUE"
    content_values: Values = ()


EVERYTHING = Condition()


@dataclass(frozen=True)
class Filters:
    """Conditions that a picture must fulfil to be found.

    Dates are texts, YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM(:SS); both ends are inclusive: `captured_to="2023"`
    includes all of that year. `captured` is the camera's clock (EXIF), `added` UTC.

    Raises:
        InputError: an invalid date, format, orientation or size; the message names valid ones.
    """

    folder: str | os.PathLike[str] | None = None  # this folder and all below it
    folder_name: str | None = None  # below any folder of this name; does not access the disk
    captured_from: str | None = None
    captured_to: str | None = None
    months: tuple[int, ...] = ()  # of the camera's date, in any year: 1 to 12
    added_from: str | None = None
    added_to: str | None = None
    min_size: int | None = None  # bytes of the file
    max_size: int | None = None
    formats: tuple[str, ...] = ()  # of araclip.images.FORMATS, in any case; jpg and tif too
    orientation: str | None = None  # landscape, portrait or square, as the picture is seen
    metadata: Mapping[str, str] = field(default_factory=dict)  # every key must have its value
    collapse: bool = False  # of near-duplicates (phash), only the best is returned

    def __post_init__(self) -> None:
        self._check_types()
        for name in ("captured_from", "captured_to", "added_from", "added_to"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _date(name, getattr(self, name)))
        formats = (self.formats,) if isinstance(self.formats, str) else self.formats
        object.__setattr__(self, "formats", tuple(map(_format, formats)))
        object.__setattr__(self, "months", _months(self.months))
        if self.orientation is not None and self.orientation not in ORIENTATIONS:
            raise InputError(f"no orientation '{self.orientation}'. Choose one of {', '.join(ORIENTATIONS)}.")
        for name in ("captured", "added"):
            first, last = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
            if first and last and first > last and not first.startswith(last):
                raise InputError(f"{name}_from {first} is after {name}_to {last}: nothing can match. Swap them.")
        if self.min_size is not None and self.max_size is not None and self.min_size > self.max_size:
            raise InputError(f"min_size {self.min_size} is above max_size {self.max_size}: nothing can match.")

    def _check_types(self) -> None:
        for name in ("folder", "folder_name"):
            if getattr(self, name) is not None:
                text_path(getattr(self, name))
        if self.orientation is not None:
            _text("orientation", self.orientation)
        for name in ("min_size", "max_size"):
            size: object = getattr(self, name)
            if size is not None and not (isinstance(size, int) and 0 <= size <= _LARGEST):
                raise InputError(f"{name} is {size!r:.80}; pass a whole number of bytes, at most {_LARGEST}.")
        if not isinstance(self.formats, Iterable):
            raise InputError(f'formats is {self.formats!r:.80}; pass a tuple such as ("JPEG", "PNG").')
        if not isinstance(self.metadata, Mapping):
            raise InputError(f'metadata is {self.metadata!r:.80}; pass a mapping such as {{"album": "رحلة"}}.')
        for key, value in self.metadata.items():
            _text("a key of metadata", key)
            if not isinstance(value, int | float):
                _text(f"metadata {key}", value)

    @classmethod
    def of(cls, where: "Where", *, collapse: bool = False) -> "Filters":
        """Filters from a `where` argument: Filters, a text KEY=VALUE, several of them, or None.

        Raises:
            InputError: another type, or as for `read`.
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
    def read(cls, texts: Iterable[str], *, collapse: bool = False) -> "Filters":
        """Parse filters, KEY=VALUE each.

        folder=PATH, captured=2023 or captured=2023-05..2023-07 (an open end is fine: 2023..), month=6,7,8, added=…,
        size=100kB..2MB, format=JPEG,PNG, orientation=portrait, meta.KEY=VALUE.

        Raises:
            InputError: an unknown key, one given twice, or an invalid value.
        """
        fields: dict[str, Any] = {"collapse": collapse, "metadata": {}}
        seen: set[str] = set()
        for text in texts:
            key, separator, value = (part.strip() for part in text.partition("="))
            if not separator or not value:
                raise InputError(f"'{text}' is no filter; write KEY=VALUE, for example captured=2023..2024.")
            if key in seen:
                raise InputError(f"'{key}' is given twice; join the two, for example format=JPEG,PNG.")
            seen.add(key)
            if key in ("captured", "added"):
                fields[f"{key}_from"], fields[f"{key}_to"] = _range(value)
            elif key == "size":
                fields["min_size"], fields["max_size"] = (end and _bytes(end) for end in _range(value))
            elif key == "month":
                fields["months"] = tuple(part.strip() for part in normalize(value[:80]).split(","))
            elif key == "format":
                fields["formats"] = tuple(name.strip() for name in value.split(","))
            elif key in ("folder", "orientation"):
                fields[key] = value
            elif key.startswith("meta.") and key != "meta.":
                fields["metadata"][key.removeprefix("meta.")] = value
            else:
                raise InputError(
                    f"no filter '{key}'. Choose among folder, captured, month, added, size, format, orientation "
                    "and meta.KEY."
                )
        return cls(**fields)

    def texts(self) -> list[str]:
        """The filters as texts for `read`; `folder_name` and `collapse` have none."""
        values = {f"meta.{key}": value for key, value in self.metadata.items()}
        for key, first, last in (
            ("captured", self.captured_from, self.captured_to),
            ("added", self.added_from, self.added_to),
            ("size", self.min_size, self.max_size),
        ):
            if first is not None or last is not None:
                values[key] = f"{'' if first is None else first}..{'' if last is None else last}"
        if self.months:
            values["month"] = ",".join(map(str, self.months))
        if self.folder is not None:
            values["folder"] = os.fspath(self.folder)
        if self.formats:
            values["format"] = ",".join(self.formats)
        if self.orientation is not None:
            values["orientation"] = self.orientation
        return [f"{key}={value}" for key, value in values.items()]

    def condition(self) -> Condition:
        """All filters that are set, joined by AND; EVERYTHING if none is."""
        of_file: list[tuple[str, Values]] = []
        of_content: list[tuple[str, Values]] = []
        if self.folder is not None:
            of_file.append(_below(self.folder))
        if self.folder_name is not None:
            of_file.append(("instr(path, ?) > 0", (os.fsencode(f"{os.sep}{self.folder_name}{os.sep}"),)))
        for name, column in (("captured", "taken"), ("added", "added")):
            if first := getattr(self, f"{name}_from"):
                of_content.append((f"{column} >= ?", (first,)))
            if last := getattr(self, f"{name}_to"):  # "\x7f" sorts after every character of a longer date
                of_content.append((f"{column} < ?", (last + "\x7f",)))
        if self.months:
            marks = ", ".join("?" * len(self.months))
            of_content.append((f"CAST(substr(taken, 6, 2) AS INTEGER) IN ({marks})", self.months))
        if self.min_size is not None:
            of_file.append(("size >= ?", (self.min_size,)))
        if self.max_size is not None:
            of_file.append(("size <= ?", (self.max_size,)))
        if self.formats:
            of_content.append((f"format IN ({', '.join('?' * len(self.formats))})", self.formats))
        if self.orientation:
            of_content.append((ORIENTATIONS[self.orientation], ()))
        of_file += [(_METADATA, (key, str(value))) for key, value in self.metadata.items()]
        return Condition(*_all(of_file), *_all(of_content))


_LARGEST = (1 << 63) - 1  # bytes of a file; SQLite's largest integer

Where = Filters | str | Sequence[str] | None  # as `BaseGallery.search` takes it


def _all(parts: list[tuple[str, Values]]) -> tuple[str, Values]:
    sql = " AND ".join(f"({part})" for part, _ in parts) or "TRUE"
    return sql, tuple(value for _, values in parts for value in values)


def _date(name: str, text: str) -> str:
    date = normalize(str(text)[:80]).replace(" ", "T")
    if not _DATE.fullmatch(date):
        raise InputError(f"{name} is '{text!s:.80}'; write a date as 2023, 2023-05, 2023-05-17 or 2023-05-17T18:30.")
    return date


def _months(given: object) -> tuple[int, ...]:
    numbers = (given,) if isinstance(given, int | str) else given
    months = tuple(numbers) if isinstance(numbers, Iterable) else (numbers,)
    if not all(isinstance(month, int | str) and re.fullmatch("0?[1-9]|1[0-2]", str(month)) for month in months):
        raise InputError(f"months is {given!r:.80}; write numbers from 1 to 12, as in month=6,7,8.")
    return tuple(dict.fromkeys(int(month) for month in months))


def _range(text: str) -> tuple[str | None, str | None]:
    """first..last with either end open; a single value is both ends."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    return (first or None, last or None) if dots else (first, first)


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(normalize(text[:80]))
    if not match:
        raise InputError(f"'{text:.80}' is no size; write bytes or a unit: 200000, 200kB, 1.5MB.")
    size = int(Decimal(match[1]) * 1000 ** " kmg".index((match[2] or " ").lower()))
    if size > _LARGEST:
        raise InputError(f"'{text:.80}' is more than any file can have; the most is {_LARGEST} bytes.")
    return size


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, a {type(value).__name__}; pass a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is {value!r:.80}, with a byte or half of a character that is no text.") from None


def _format(name: str) -> str:
    if not isinstance(name, str):
        raise InputError(f"a format is a text such as JPEG, got {name!r:.80}.")
    known = {"JPG": "JPEG", "TIF": "TIFF"}.get(name.upper(), name.upper())
    if known not in FORMATS:
        raise InputError(f"no picture format '{name}'. Choose among {', '.join(FORMATS)}.")
    return known


def roots_of(folder: str | os.PathLike[str]) -> list[str]:
    """A folder's path as given and with links resolved, since indexed paths may begin with either."""
    named = user_path(folder).absolute()
    return [str(root) for root in dict.fromkeys((Path(os.path.normpath(named)), named.resolve()))]


def _below(folder: str | os.PathLike[str]) -> tuple[str, Values]:
    """SQL and values: paths below a folder."""
    ranges: list[bytes] = []
    for root in roots_of(folder):
        prefix = os.fsencode(root).rstrip(os.sep.encode()) + os.sep.encode()
        ranges += [prefix, prefix[:-1] + bytes([prefix[-1] + 1])]
    return " OR ".join(["path >= ? AND path < ?"] * (len(ranges) // 2)), tuple(ranges)
