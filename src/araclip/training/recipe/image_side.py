"""The key `image` of a stage: what of the image tower learns, and from how much of each picture."""

from typing import Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from araclip.training.data.limits import Few, OrNone, Window
from araclip.training.recipe.values import CONFIG, Folder


@dataclass(frozen=True, config=CONFIG)
class ImageSide:
    """What of the image tower learns.

    `locked`: nothing, its vectors are computed once (LiT, Zhai et al. 2022), with `frozen_blocks` from the maps that
    stages with `partial` and the same `views` have cached. `partial`: all but the first
    `frozen_blocks`, whose output is computed once for `views` of each picture where the tower allows it. `full`:
    everything, on freshly augmented pictures.
    """

    train: Literal["locked", "partial", "full"] = "locked"
    frozen_blocks: OrNone = 0
    views: Few = 2
    window: Window = 0.86  # side of a training crop, as a part of the picture's
    map_scale: Window | None = None  # side of the maps that the learning blocks see, as a part of the frozen ones'
    each_branch: bool = False  # of a tower of several branches, each has a loss of its own; else their sum has one
    cache: Folder | None = None  # folder of computed feature maps; None is one beside the stages, for all of them

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.each_branch and self.train != "partial":
            raise ValueError('each_branch needs train = "partial".')
        if self.map_scale is not None and self.train != "partial":
            raise ValueError('map_scale needs train = "partial".')
        return self
