"""Kinds of values that the keys of a recipe have beside those of `data.limits`: sizes, paths, sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict

from araclip.training.data.limits import NotNegative, limited
from araclip.training.data.picture_data import PictureSource
from araclip.training.data.text_data import Source
from araclip.training.foreign.settings import MAX_SIDE, MAX_WIDTH
from araclip.training.recipe.toml_file import below_data

CONFIG = ConfigDict(extra="forbid")
Width = Annotated[int, limited(lambda value: 1 <= value <= MAX_WIDTH, f"1 to {MAX_WIDTH:,}")]
Pixels = Annotated[int, limited(lambda value: 1 <= value <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels")]
Folder = Annotated[Path, AfterValidator(below_data)]
Precision = Literal["float32", "bfloat16"]
Pictures = Annotated[tuple[PictureSource, ...], AfterValidator(below_data)]
Sources = Annotated[tuple[Source, ...], AfterValidator(below_data)]
Shares = Mapping[str, NotNegative]
