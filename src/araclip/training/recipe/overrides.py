"""Changes of a recipe on the command line: `--set distill.steps=200`."""

from typing import Any

from araclip.errors import RecipeError
from araclip.training.recipe import bounded_toml


def set_value(table: dict[str, Any], change: str) -> tuple[str, ...]:
    """Apply one `key=value` to nested tables: `distill.steps=200`; a value that is no TOML is a text.

    Returns:
        The key, part by part.

    Raises:
        RecipeError: no `=`, or a key that leads through something that is no table.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change}: expected key=value, such as distill.steps=200.")
    try:
        value = bounded_toml.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        value = text  # a bare word
    *way, last = key.split(".")
    for part in way:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {change}: '{part}' is no section of the recipe.")
        table = inner
    table[last] = value
    return (*way, last)
