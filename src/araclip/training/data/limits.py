"""Defines the types of the values in a recipe, each with its limits, which the message about a wrong value names."""

import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

SLOTS = ("{}", "{c}")  # the two ways to write the slot of a text template, where a label is put in


def limited(allowed: Callable[[Any], bool], expected: str) -> AfterValidator:
    """Make a pydantic validator that refuses a value unless it is `allowed`; the message is "expected EXPECTED"."""

    def check(value: Any) -> Any:
        if not allowed(value):
            raise PydanticCustomError("not_allowed", "expected {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


def has_slot(template: str) -> bool:
    """True if a template has exactly one slot for a label."""
    return sum(template.count(slot) for slot in SLOTS) == 1


Count = Annotated[int, limited(lambda value: 1 <= value <= 10**9, "1 or more")]
Many = Annotated[
    int, limited(lambda value: 1 <= value <= 10**6, "1 or more, at most 1,000,000, which are held at a time")
]
Few = Annotated[int, limited(lambda value: 1 <= value <= 1000, "1 or more, at most 1,000, of each picture")]
OrNone = Annotated[int, limited(lambda value: 0 <= value <= 10**6, "0 or more")]
Seed = Annotated[int, limited(lambda value: 0 <= value < 2**32, "a whole number from 0 to 4,294,967,295")]
Rows = Annotated[int, limited(lambda value: 1 <= value <= 10**8, "1 or more")]
Positive = Annotated[float, limited(lambda value: 0 < value < math.inf, "a positive number")]
Length = Annotated[float, limited(lambda value: value > 0, "a positive number, or inf")]
NotNegative = Annotated[float, limited(lambda value: 0 <= value < math.inf, "0 or a positive number")]
Finite = Annotated[float, limited(math.isfinite, "a finite number")]
Chance = Annotated[float, limited(lambda value: 0 <= value <= 1, "a chance from 0 to 1")]
AtLeastOne = Annotated[float, limited(lambda value: value >= 1, "1 or more")]
Dropout = Annotated[float, limited(lambda value: 0 <= value < 1, "a chance from 0 to below 1")]
Window = Annotated[float, limited(lambda value: 0 < value <= 1, "a part of the picture's side: above 0, at most 1")]
Template = Annotated[str, limited(has_slot, "a text with one slot, {} or {c}")]
