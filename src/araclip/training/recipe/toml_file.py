"""Reads TOML files into frozen dataclasses with pydantic; each mistake is reported with its file and key."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidationInfo

from araclip.errors import RecipeError, first_line
from araclip.models.folder import existing_folder

MAX_MISTAKES = 10  # how many mistakes one message lists

Key = tuple[str | int, ...]  # keys and indexes that lead to a value: ("distill", "sources", 0, "path")
Built = TypeVar("Built")


def below_data(value: Any, info: ValidationInfo) -> Any:
    """Join a path, or every path in a tuple or dataclass, to the recipe's `data`; for pydantic's AfterValidator."""
    data = (info.context or {}).get("data")
    if data is None:  # the dataclass was made in Python, not read from a recipe file
        return value
    return _put_below(value, data)


def folder_below_data(name: str, info: ValidationInfo) -> str:
    """Return the folder of this name below the recipe's `data`; if there is none, or without a slash, the name."""
    data = (info.context or {}).get("data")
    folder = existing_folder(data / name) if data is not None and "/" in name else None
    return name if folder is None else str(folder)


def _put_below(value: Any, data: Path) -> Any:
    if isinstance(value, Path):
        return data / value
    if isinstance(value, tuple):
        return tuple(_put_below(item, data) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        paths = {f.name: getattr(value, f.name) for f in fields(value) if isinstance(getattr(value, f.name), Path)}
        return replace(value, **{name: data / path for name, path in paths.items()})
    return value


class TomlFile:
    """The table of a TOML file, and the mistakes found in the table so far."""

    def __init__(self, path: Path, expected: str) -> None:
        """Read a file. If that fails, the RecipeError ends with `expected`, such as «Give a recipe, a TOML file.»"""
        self.path = path
        self.files: dict[str | int, Path] = {}  # key of the table → another file that the key was inherited from
        # message without the section's name → message with it: a mistake that several sections inherit is kept once
        self._mistakes: dict[str, str] = {}
        try:
            self.table = tomllib.loads(path.read_text("utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            why = getattr(error, "strerror", None) or first_line(error)
            raise RecipeError(f"{path}: {why}. {expected}") from error

    def read(self, cls: type[Built], table: Mapping[str, Any], key: Key = (), data: Path | None = None) -> Built | None:
        """Read the table at `key` as a dataclass; if values are wrong, record a mistake for each, and return None.

        Paths in fields marked with `below_data` are joined to `data`.
        """
        # The table is validated as JSON, because pydantic's strict mode makes tuples of arrays and paths of texts only
        # if they come as JSON. The dataclass is wrapped in a tuple, because pydantic refuses a config for a dataclass.
        whole: Any = tuple[cls]  # type: ignore[valid-type]
        adapter: TypeAdapter[tuple[Built]] = TypeAdapter(whole, config=ConfigDict(extra="forbid"))
        try:
            return adapter.validate_json(json.dumps([table], default=str), strict=True, context={"data": data})[0]
        except ValidationError as error:
            for found in error.errors():
                loc = found["loc"][1:]
                self.mistake((*key, *loc), _error_message(cls, found, loc, key))
            return None

    def mistake(self, key: Key, message: str) -> None:
        """Record a mistake for `check` to raise. A mistake that several sections inherit is recorded once."""
        section, bracket, what = message.partition("]")
        self._mistakes.setdefault(what if bracket else section, f"{self.files.get(key[0], self.path)}: {message}")

    def refuse(self, key: Key, message: str) -> NoReturn:
        """Record a mistake and at once raise one RecipeError that lists all mistakes found so far."""
        self.mistake(key, message)
        self.check()
        raise AssertionError("there is a mistake")

    def check(self) -> None:
        """Raise one RecipeError that lists the recorded mistakes, if there are any."""
        found = [message.removeprefix(f"{self.path}: ") for message in self._mistakes.values()]
        if len(found) == 1:
            raise RecipeError(next(iter(self._mistakes.values())))
        if found:
            listed: set[str] = set()  # lists of known keys in the mistakes so far, so that each list is shown once
            for number, message in enumerate(found):
                what, _, known = message.partition(_KNOWN)
                found[number] = what if known in listed else message
                listed.add(known or message)
            more = f" · And {len(found) - MAX_MISTAKES} more." if len(found) > MAX_MISTAKES else ""
            shown = " · ".join(found[:MAX_MISTAKES])
            raise RecipeError(f"{self.path} has {len(found)} mistakes. {shown}{more}")


_KNOWN = " Known are "


def unknown_key(key: str, known: Sequence[str], more: str = "") -> str:
    """Return the message about an unknown key: the most similar known key, or else all known keys and `more`."""
    near = get_close_matches(key, known, 1)
    return f"unknown key '{key}'." + (f" Did you mean {near[0]}?" if near else f"{_KNOWN}{', '.join(known)}{more}.")


_EXPECTED = {"int_type": "int", "float_type": "float", "string_type": "str", "bool_type": "bool", "path_type": "str"}


def _error_message(cls: Any, found: Any, loc: Key, key: Key) -> str:
    """Return a message for one of pydantic's errors: what is wrong with the value, and what would be right."""
    kind, value = found["type"], found["input"]
    whole, inside = _location(key, loc), _location(key, loc[:-1])
    if kind == "unexpected_keyword_argument":
        for part in loc[:-1]:  # the keys that lead to the table
            if isinstance(part, str) and is_dataclass(cls):
                cls = _dataclass_in(get_type_hints(cls)[part])
        return f"{inside}{unknown_key(str(loc[-1]), [field.name for field in fields(cls)])}"
    if kind == "missing":
        return f"{inside}'{loc[-1]}' is missing."
    if kind == "literal_error":
        return f"{whole}{value!r} is not one of {found['ctx']['expected'].replace(' or ', ', ').replace(chr(39), '')}."
    if kind == "tuple_type":
        return f"{whole}{value!r} is no list. Write [{value!r}]."
    if kind in ("dict_type", "mapping_type"):
        return f"{whole}{value!r} is no table. Write {{name = number}}."
    if kind == "dataclass_type":
        return f"{whole}{value!r} is no table."
    if kind == "not_allowed":
        return f"{inside}{loc[-1]} is {value}, {found['msg']}."
    if kind == "value_error":
        return f"{whole}{found['ctx']['error']}"
    if kind in _EXPECTED:
        return f"{whole}{value!r} is a {type(value).__name__}, expected {_EXPECTED[kind]}."
    return f"{whole}{found['msg']}."


def _location(section: Key, loc: Key) -> str:
    """Return where a value stands, as a person would write it: `[section] table.key[0]: `."""
    found = f"[{section[0]}]" if section else ""
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*section[1:], *loc))
    found = f"{found} {inner.removeprefix('.')}".strip()
    return f"{found}: " if found else ""


def _dataclass_in(hint: Any) -> Any:
    if is_dataclass(hint):
        return hint
    return next((found for argument in get_args(hint) if (found := _dataclass_in(argument))), None)
