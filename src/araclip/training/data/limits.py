"""Kinds of numbers that the keys of a recipe have, and of a text with a slot, with limits, which messages name."""

import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

SLOTS = ("{}", "{c}")  # of a template, for a label


def limited(allowed: Callable[[Any], bool], expected: str) -> AfterValidator:
    """Refuse other values where a recipe is read; `expected` ends the message."""

    def check(value: Any) -> Any:
        if not allowed(value):
            raise PydanticCustomError("not_allowed", "expected {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


def has_slot(template: str) -> bool:
    """Whether a label can be put into a template, at one place."""
    return sum(template.count(slot) for slot in SLOTS) == 1


Count = Annotated[int, limited(lambda value: 1 <= value <= 10**9, "1 or more")]
Many = Annotated[
    int, limited(lambda value: 1 <= value <= 10**6, "1 or more, at most 1,000,000, which are held at a time")
]
Few = Annotated[int, limited(lambda value: 1 <= value <= 1000, "1 or more, at most 1,000, of each picture")]
OrNone = Annotated[int, limited(lambda value: 0 <= value <= 10**6, "0 or more")]
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
