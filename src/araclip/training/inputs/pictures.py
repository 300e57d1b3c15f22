"""The image vectors of a step: from a locked tower's cache, from cached feature maps, or from pixels.

Each kind has `inputs(rows, step)`, a function of seed, step and row that runs without a graph, and `encode(inputs)`,
which GradCache calls twice. `vectors(pictures)`, for dev recall, leaves the model in eval mode.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError, ImageError, RecipeError
from araclip.pictures.images import map_ahead, open_image
from araclip.training.data.augmentation import augment
from araclip.training.inputs.encoded_images import EncodedImages, encoded, projected
from araclip.training.inputs.locked_images import LockedImages
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.pooled_features import eval_batches, pooled
from araclip.training.model import towers
from araclip.training.model.freezing import freeze
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import ImageSide
from araclip.training.small_cnn import batchnorm
from araclip.training.small_cnn.branches import (
    branches_of,
    is_splittable,
    map_scale_of,
    set_map_scale,
    split,
    upper_modules,
    with_map_scale,
)
from araclip.training.small_cnn.convolutions import narrow_pointwise, quicken_depthwise, restore_convolutions
from araclip.training.small_cnn.frozen_features import FeatureMaps, FrozenFeatures, FrozenFeaturesGraph
from araclip.training.small_cnn.shared_weights import differing_weight

LogLine = Callable[[str], None]


class TrainingImages(Protocol):
    """The pictures of a stage, as its steps encode them."""

    modules: list[nn.Module]  # the parts of the image tower that learn

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """Input of `encode` for these training pictures in this step, a row a picture."""

    def encode(self, inputs: Tensor) -> EncodedImages:
        """Vectors of a step's pictures, with a graph where the tower or its projection learns."""

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures, without augmentation, with the current weights."""

    def close(self) -> None:
        """Restore the tower's modules and precision from before training."""


def training_images(
    model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
    log: LogLine, *, pointwise: bool = False,
) -> TrainingImages:  # fmt: skip
    """The kind of training images that a recipe asks for.

    Args:
        model: with an image tower.
        pictures: the training pictures; `inputs` gets rows of this list.
        cache: folder of what is computed once, unless `side` names its own.
        pointwise: branches on cached maps learn with bfloat16 pointwise convolutions; elsewhere it changes nothing.

    Raises:
        RecipeError: the tower has fewer blocks than are to be frozen.
        DataError: a picture cannot be read; where they are read in every step, the step raises it.
    """
    cache = side.cache or cache
    if side.train == "locked":
        return LockedImages(model, pixels, pictures, cache, log, side)
    if side.train == "partial" and (is_splittable(model.vision_model) or side.map_scale is not None):
        return BranchImages(model, pixels, pictures, side, seed, cache, log, pointwise=pointwise)
    return PixelImages(model, pixels, pictures, side, seed)


class BranchImages:
    """The upper blocks of a convolutional tower learn, on windows of the frozen blocks' cached feature maps."""

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
        log: LogLine, *, pointwise: bool = False,
    ) -> None:  # fmt: skip
        scale_before = map_scale_of(model.vision_model)
        if side.map_scale is not None:
            scaled = with_map_scale(model.vision_model, side.frozen_blocks, side.map_scale)  # a new tower, on the CPU
            model.vision_model = scaled.to(model.logit_scale.device)
            model.config.vision_config = model.vision_model.config
        tower = model.vision_model.requires_grad_(False)
        self._fused = batchnorm.fuse(upper_modules(tower, side.frozen_blocks))
        shared, branch = split(tower, side.frozen_blocks)
        self._shared, self._frozen_blocks = shared, side.frozen_blocks
        self.model, self.seed, self.log, self.cache = model, seed, log, cache
        self._frozen = FrozenFeaturesGraph(FrozenFeatures(shared, pixels.mean, pixels.std), pixels.size)
        self.maps = FeatureMaps(self._frozen, pictures, side.views, self.cache, log)
        self._cached = {tuple(pictures): self.maps}  # their first view is the picture as it is
        self.window = max(1, round(side.window * self.maps.side))
        self._branch = _channels_last(branch).requires_grad_(True)
        self.modules: list[nn.Module] = [self._branch]
        self._branches = branches_of(tower) if side.each_branch else 1
        self._initial_branch = copy.deepcopy(self._branch).requires_grad_(False).eval()
        if side.map_scale is not None:
            set_map_scale(self._initial_branch, scale_before)
        quicken_depthwise(self._branch)
        if pointwise:
            narrow_pointwise(self._branch)

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, C, w, w): windows of the frozen blocks' feature maps."""
        rng = [np.random.default_rng([self.seed, step, row]) for row in rows]
        return self.maps.windows(rows, self.window, rng)

    def encode(self, inputs: Tensor) -> EncodedImages:
        """One vector a picture, or where each branch has its own loss, one a picture and branch.

        The projection is linear: with K times its weights a branch's features give a vector whose mean over the
        branches is that of all features together.
        """
        features = self.features(inputs).float()
        if self._branches == 1:
            return encoded(self.model, features)
        head: nn.Linear = self.model.visual_projection
        parts = zip(features.chunk(self._branches, dim=1), head.weight.chunk(self._branches, dim=1), strict=True)
        vectors = [linear(part, self._branches * weight, head.bias).float() for part, weight in parts]  # K of (B, D)
        return EncodedImages(torch.stack([l2_normalize(found, dim=-1) for found in vectors], dim=1), features)

    def features(self, inputs: Tensor) -> Tensor:
        """(B, W): the branches' outputs before the projection."""
        features: Tensor = self._branch(inputs.contiguous(memory_format=torch.channels_last))
        return features

    def learn_from(self, tower: Any) -> None:
        """Let `initial_features` be those of another tower over the same first blocks.

        Raises:
            RecipeError: its first blocks or the number of its features differ, or it cannot be split.
        """
        shared, branch = split(tower, self._frozen_blocks)
        theirs, ours = towers.image_width(tower), towers.image_width(self.model.vision_model)
        if theirs != ours:
            raise RecipeError(
                f"the tower whose features are learned makes {theirs} numbers, the one that learns them {ours}. Name "
                "towers of one size."
            )
        if differing := differing_weight(self._shared, shared):
            raise RecipeError(
                f"the first {self._frozen_blocks} blocks of the tower whose features are learned are not those of the "
                f"tower that learns them ({differing} differs). Name two that were trained from one start."
            )
        branch = copy.deepcopy(branch).requires_grad_(False).eval()
        self._initial_branch = _channels_last(branch.to(self.model.logit_scale.device))

    def initial_features(self, inputs: Tensor) -> Tensor:
        """(B, W): `features` as before the stage, from maps of the size that they had then; or see `learn_from`."""
        with torch.no_grad():
            features: Tensor = self._initial_branch(inputs.contiguous(memory_format=torch.channels_last))
        return features

    @torch.inference_mode()
    def explained(self, pictures: Sequence[Path]) -> float:
        """The share of the variance of `initial_features` that `features` explain, over whole pictures."""
        maps, device = FeatureMaps(self._frozen, pictures, 1, self.cache, self.log), self.model.logit_scale.device
        self.model.eval()
        batches = [maps.whole(rows).to(device) for rows in eval_batches(len(pictures))]
        before = torch.cat([self.initial_features(batch) for batch in batches])
        now = torch.cat([self.features(batch) for batch in batches])
        return 1 - ((now - before).square().sum() / (before - before.mean(dim=0)).square().sum()).item()

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures, from whole feature maps, with the current weights."""
        key = tuple(pictures)
        if key not in self._cached:
            self._cached[key] = FeatureMaps(self._frozen, pictures, 1, self.cache, self.log)
        maps, device = self._cached[key], self.model.logit_scale.device
        self.model.eval()
        features = (self.features(maps.whole(rows).to(device)) for rows in eval_batches(len(pictures)))
        return torch.cat([projected(self.model, found) for found in features])

    def close(self) -> None:
        """Restore the tower's convolutions and BatchNorms."""
        restore_convolutions(self._branch)
        batchnorm.restore(self._fused)
        self._fused = []


class PixelImages:
    """The tower, or all of it above its first blocks, learns on pictures that are augmented anew in every step."""

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int
    ) -> None:
        self.model, self.pixels, self.pictures, self.seed = model, pixels, list(pictures), seed
        tower: nn.Module = model.vision_model
        if side.train == "partial":
            freeze(tower, side.frozen_blocks, embeddings=True)
        self.modules = [tower]

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, 3, S, S): pictures augmented for this step.

        Raises:
            DataError: one cannot be read.
        """
        size = self.pixels.size

        def read(row: int) -> NDArray[np.uint8]:
            try:
                picture = open_image(self.pictures[row], size)
            except ImageError as error:
                raise DataError(
                    f"{error} Restore the file and start the same command again, or remove its line from "
                    "captions.jsonl and begin the stage anew with --fresh."
                ) from error
            return augment(picture, size, np.random.default_rng([self.seed, step, row]))

        return self.pixels(np.stack([square for _, square in map_ahead(read, rows, torch.get_num_threads())]))

    def encode(self, inputs: Tensor) -> EncodedImages:
        """One vector a picture."""
        return encoded(self.model, pooled(self.model, inputs))

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures, without augmentation, with the current weights."""
        self.model.eval()
        batches = (self.pixels.read([pictures[row] for row in rows]) for rows in eval_batches(len(pictures)))
        return torch.cat([projected(self.model, pooled(self.model, values)) for values in batches])

    def close(self) -> None:
        """Nothing to restore."""


def _channels_last(module: Any) -> nn.Module:  # Any: not all releases of PyTorch declare `memory_format`
    moved: nn.Module = module.to(memory_format=torch.channels_last)
    return moved
