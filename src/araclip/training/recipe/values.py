"""Kinds of values that the keys of a recipe have, with their limits, which messages name."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict
from pydantic_core import PydanticCustomError

from araclip.training.data.picture_data import PictureSource
from araclip.training.data.text_data import Source
from araclip.training.foreign.settings import MAX_SIDE, MAX_WIDTH
from araclip.training.recipe.toml_file import below_data


def _limited(allowed: Callable[[Any], bool], expected: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if not allowed(value):
            raise PydanticCustomError("not_allowed", "expected {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


CONFIG = ConfigDict(extra="forbid")
Count = Annotated[int, _limited(lambda value: 1 <= value <= 10**9, "1 or more")]
Many = Annotated[
    int, _limited(lambda value: 1 <= value <= 10**6, "1 or more, at most 1,000,000, which are held at a time")
]
Few = Annotated[int, _limited(lambda value: 1 <= value <= 1000, "1 or more, at most 1,000, of each picture")]
OrNone = Annotated[int, _limited(lambda value: 0 <= value <= 10**6, "0 or more")]
Rows = Annotated[int, _limited(lambda value: 1 <= value <= 10**8, "1 or more")]
Width = Annotated[int, _limited(lambda value: 1 <= value <= MAX_WIDTH, f"1 to {MAX_WIDTH:,}")]
Pixels = Annotated[int, _limited(lambda value: 1 <= value <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels")]
Positive = Annotated[float, _limited(lambda value: 0 < value < math.inf, "a positive number")]
Length = Annotated[float, _limited(lambda value: value > 0, "a positive number, or inf")]
NotNegative = Annotated[float, _limited(lambda value: 0 <= value < math.inf, "0 or a positive number")]
Finite = Annotated[float, _limited(math.isfinite, "a finite number")]
Chance = Annotated[float, _limited(lambda value: 0 <= value <= 1, "a chance from 0 to 1")]
AtLeastOne = Annotated[float, _limited(lambda value: value >= 1, "1 or more")]
Dropout = Annotated[float, _limited(lambda value: 0 <= value < 1, "a chance from 0 to below 1")]
Window = Annotated[float, _limited(lambda value: 0 < value <= 1, "a part of the picture's side: above 0, at most 1")]
Folder = Annotated[Path, AfterValidator(below_data)]
Precision = Literal["float32", "bfloat16"]
Pictures = Annotated[tuple[PictureSource, ...], AfterValidator(below_data)]
Sources = Annotated[tuple[Source, ...], AfterValidator(below_data)]
Shares = Mapping[str, float]
