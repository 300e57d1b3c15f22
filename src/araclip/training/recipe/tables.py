"""TOML tables → dataclasses, every value checked against the type of its field."""

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from araclip.errors import RecipeError

Built = TypeVar("Built")


def check_positive(table: Any, *names: str) -> None:
    """For a dataclass's `__post_init__`: each of these fields is at least 1, or None.

    Raises:
        RecipeError: one is not.
    """
    for name in names:
        if (value := getattr(table, name)) is not None and value < 1:
            raise RecipeError(f"{name} is {value}, expected 1 or more.")


def check_chance(table: Any, name: str) -> None:
    """For a dataclass's `__post_init__`: this field is a chance.

    Raises:
        RecipeError: it is not.
    """
    if not 0 <= (value := getattr(table, name)) <= 1:
        raise RecipeError(f"{name} is {value}, expected a chance from 0 to 1.")


def build(cls: type[Built], table: Mapping[str, Any], where: str, data: Path) -> Built:
    """A dataclass from a table, each value checked against its field's type; paths are joined to `data`.

    Raises:
        RecipeError: an unknown or missing key, a value of the wrong kind or out of range; `where` stands before it.
    """
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]  # a dataclass
    if unknown := [key for key in table if key not in known]:
        raise RecipeError(f"{where}: unknown key '{unknown[0]}'. Known are {', '.join(known)}.")
    if absent := [
        n for n, f in known.items() if n not in table and f.default is MISSING and f.default_factory is MISSING
    ]:
        raise RecipeError(f"{where}: '{absent[0]}' is missing.")
    values = {key: value_of(hints[key], value, f"{where} {key}", data) for key, value in table.items()}
    try:
        return cls(**values)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def value_of(wanted: Any, value: Any, where: str, data: Path) -> Any:
    """One value as the type `wanted`; see `build`."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (types.UnionType, Union):
        wanted = next(a for a in args if a is not type(None))
        return value_of(wanted, value, where, data)
    if origin is Literal:
        if value not in args:
            raise RecipeError(f"{where}: '{value}' is not one of {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{where}: {value!r} is no list. Write [{value!r}].")
        return tuple(value_of(args[0], item, f"{where}[{i}]", data) for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: {value!r} is no table. Write {{name = number}}.")
        return {key: value_of(args[1], item, f"{where}.{key}", data) for key, item in value.items()}
    if is_dataclass(wanted):
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: {value!r} is no table.")
        return build(wanted, value, where, data)  # type: ignore[arg-type]
    return _scalar(wanted, value, where, data)


def _scalar(wanted: Any, value: Any, where: str, data: Path) -> Any:
    if wanted is Path and isinstance(value, str):
        return data / value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise RecipeError(f"{where}: {value!r} is a {type(value).__name__}, expected {wanted.__name__}.")
    return value


def set_value(table: dict[str, Any], change: str) -> None:
    """Apply one `key=value` to nested tables: `distill.steps=200`; a value that is no TOML is a text.

    Raises:
        RecipeError: no `=`, or a key that leads through something that is no table.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change}: expected key=value, such as distill.steps=200.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word
    *way, last = key.split(".")
    for part in way:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {change}: '{part}' is no section of the recipe.")
        table = inner
    table[last] = value
