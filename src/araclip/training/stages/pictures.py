"""Makes the image vectors of a step: from a locked tower's cached outputs, from cached feature maps, or from pixels.

The three classes for this (`LockedImages`, `BranchImages` of `frozen_features`, `PixelImages`) have
`inputs(rows, step)`, which depends on seed, step and rows alone and builds no autograd graph, and `encode(inputs)`,
which GradCache calls twice. `vectors(pictures)`, for dev recall, may leave the model in eval mode.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import DataError, ImageError
from araclip.pictures.images import map_ahead, open_image
from araclip.training.data.pictures import augment, contents_hash
from araclip.training.failures import failures
from araclip.training.model import towers
from araclip.training.model.branches import is_splittable
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.towers import freeze
from araclip.training.recipe.files import stamp
from araclip.training.recipe.stages import ImageSide
from araclip.training.stages.frozen_features import BranchImages, FrozenFeatures, FrozenFeaturesGraph, whole_features
from araclip.training.stages.pixels import EncodedImages, Pixels, check_readable, encoded, eval_batches, projected

# With this many pictures or more, an ONNX graph is written to encode them. Writing the graph takes as long as PyTorch
# takes to encode some hundreds of pictures.
MANY = 1000


def pooled(model: AraCLIPModel, pixel_values: Tensor) -> Tensor:
    """Return the tower's output before the projection: pixels (B, 3, S, S) → features (B, width).

    A model with `vision_mirror` averages over each picture and its mirror image, but in eval mode only: in training,
    augmentation mirrors half of the pictures anyway.
    """
    pixels, mirror = pixel_values.to(model.logit_scale.device), model.config.vision_mirror and not model.training
    return towers.image_features(model.vision_model, pixels, model.config, mirror)[1]


def pooled_features(model: AraCLIPModel, pixels: Pixels, files: Sequence[Path], log: Log | None = None) -> Tensor:
    """Return the tower's outputs (N, width) for N unaugmented pictures, no gradients; leave the model in eval mode.

    If there are at least MANY pictures, a convolutional tower runs on ONNX Runtime, several times as fast.
    """
    tower = _tower(model.eval(), pixels, len(files))
    with torch.inference_mode():
        batches = (files[rows.start : rows.stop] for rows in eval_batches(len(files), log))
        return torch.cat([tower(pixels.squares(batch)) for batch in batches]).clone()


def _tower(model: AraCLIPModel, pixels: Pixels, pictures: int) -> Callable[[NDArray[np.uint8]], Tensor]:
    """Return a function that runs the tower: squares (B, side, side, 3) → features (B, width); by ONNX if quicker."""
    if pictures < MANY or not is_splittable(model.vision_model) or model.logit_scale.device.type != "cpu":
        return lambda squares: pooled(model, pixels(squares))
    graph = FrozenFeaturesGraph(FrozenFeatures(_Pooled(model), pixels.mean, pixels.std), pixels.size)

    def run(squares: NDArray[np.uint8]) -> Tensor:
        sides = [squares, squares[:, :, ::-1]] if model.config.vision_mirror else [squares]
        found = [graph.session.run(None, {"pixels": np.ascontiguousarray(side)})[0] for side in sides]
        return torch.from_numpy(np.mean(found, axis=0))

    return run


class _Pooled(nn.Module):
    """A tower and its pooling without mirror images, for export: normalised pixels (B, 3, S, S) → (B, width)."""

    def __init__(self, model: AraCLIPModel) -> None:
        super().__init__()
        self.tower, self._config = model.vision_model, model.config

    def forward(self, pixels: Tensor) -> Tensor:
        return towers.image_features(self.tower, pixels, self._config, mirror=False)[1]


_FROM_PIXELS = ImageSide()


class LockedImages:
    """Images for a tower that never learns: its outputs are computed once and kept on disk (LiT, Zhai et al. 2022).

    Args:
        side: the recipe's settings of the image tower. If they set `frozen_blocks`, a convolutional tower's outputs
            are computed from cached feature maps of these blocks: each picture's first map and, for a model with
            `vision_mirror`, the second map, of the mirrored picture, which is recoloured as in training.
    """

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], cache: Path, log: Log,
        side: ImageSide = _FROM_PIXELS,
    ) -> None:  # fmt: skip
        self.model, self.pixels, self.cache, self.log = model, pixels, cache, log
        self._blocks = side.frozen_blocks if is_splittable(model.vision_model) else 0
        model.vision_model.requires_grad_(False)
        self.modules: list[nn.Module] = []
        self._degradation = side.degradation
        self.features = self._features(pictures, side.views)  # the tower's outputs, (N, W) float16
        self._cached = {tuple(pictures): self.features}

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """Return the tower's stored outputs (B, width) for these B training pictures."""
        return torch.from_numpy(self.features[list(rows)].astype(np.float32))

    def encode(self, inputs: Tensor) -> EncodedImages:
        """Return one vector for each picture; only the projection computes."""
        return encoded(self.model, inputs)

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """Return vectors (N, D) of any pictures; their tower outputs are computed at the first call."""
        key = tuple(pictures)
        if key not in self._cached:
            self._cached[key] = self._features(pictures)
        return projected(self.model, torch.from_numpy(self._cached[key].astype(np.float32)))

    def close(self) -> None:
        """Do nothing: a locked tower was not changed for the training, so nothing must be restored."""

    def _features(self, pictures: Sequence[Path], views: int = 1) -> NDArray[np.float16]:
        """Return the tower's outputs (N, width) for N pictures; a picture listed twice passes the tower once.

        If outputs come from feature maps that an earlier training stage cached, `views` is how many variants (crops …)
        of each picture that stage cached.
        """
        once = {picture: row for row, picture in enumerate(dict.fromkeys(pictures))}
        scales = getattr(self.model.vision_model.config, "map_scales", None)
        pixels = (self.pixels.size, self.pixels.mean, self.pixels.std)
        digest = hashlib.sha256(repr((pixels, self.model.config.vision_pooling, scales)).encode())
        if self.model.config.vision_mirror:
            digest.update(b"mirror")
        if self._blocks:
            digest.update(b"maps")
        digest.update(f"{towers.fingerprint(self.model.vision_model)} {contents_hash(once)}".encode())
        path = self.cache / f"features-{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            if self._blocks:
                features = whole_features(
                    self.model, self.pixels, list(once), self._blocks, views, self._degradation, self.cache, self.log
                )
            else:
                features = pooled_features(self.model, self.pixels, list(once), self.log)
            atomic.write_array(path, features.to(torch.float16).cpu().numpy())
        with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
            found: NDArray[np.float16] = np.load(path)
        return found if len(once) == len(pictures) else found[[once[picture] for picture in pictures]]


class TrainingImages(Protocol):
    """The pictures of a stage, and how its steps encode them."""

    modules: list[nn.Module]  # the parts of the image tower that learn

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """Return the input of `encode` for these training pictures in this step, one row for each picture."""

    def encode(self, inputs: Tensor) -> EncodedImages:
        """Return the vectors of a step's pictures, with gradients if the tower or its projection learns."""

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """Return vectors (N, D) of any pictures, without augmentation, with the current weights."""

    def close(self) -> None:
        """Undo the changes of the tower's modules and precision that made training faster, if any were made."""


@runtime_checkable
class RememberingImages(Protocol):
    """Training images that can also return the tower's outputs from before the stage."""

    def initial_features(self, inputs: Tensor) -> Tensor:
        """Return the outputs (B, width) that the tower gave before the stage, for the same inputs as `encode`."""


def training_images(
    model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
    log: Log, *, pointwise: bool = False,
) -> TrainingImages:  # fmt: skip
    """Make the kind of training images that the recipe's `side` asks for; `inputs` takes row numbers of `pictures`.

    With `pointwise`, a tower that learns from cached feature maps computes its 1 × 1 convolutions in bfloat16; other
    towers are not affected.
    """
    cache = side.cache or cache
    if side.train == "full" and side.frozen_blocks:
        log(f'image.frozen_blocks = {side.frozen_blocks} freezes nothing with train = "full": the whole tower learns.')
    if side.train == "locked":
        return LockedImages(model, pixels, pictures, cache, log, side)
    if side.train == "partial" and (is_splittable(model.vision_model) or side.map_scale is not None):
        return BranchImages(model, pixels, pictures, side, seed, cache, log, pointwise=pointwise)
    stamps = repr([(str(path), stamp(path)) for path in pictures]).encode()
    # this empty file says that all these pictures could be opened before, so they are not checked again
    readable = cache / f"readable-{hashlib.sha256(stamps).hexdigest()[:16]}"
    if not readable.exists():
        check_readable(pictures, pixels.size)
        cache.mkdir(parents=True, exist_ok=True)
        readable.touch()
    return PixelImages(model, pixels, pictures, side, seed)


class PixelImages:
    """Images for a tower that learns from pixels, wholly or in its upper blocks; they are augmented anew each step."""

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int
    ) -> None:
        self.model, self.pixels, self.pictures, self.seed = model, pixels, list(pictures), seed
        self.degradation = side.degradation
        tower: nn.Module = model.vision_model
        if side.train == "partial":
            freeze(tower, side.frozen_blocks, embeddings=True)
        self.modules = [tower]

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """Read these training pictures, augmented anew for this step: (B, 3, S, S)."""
        size = self.pixels.size

        def read(row: int) -> NDArray[np.uint8]:
            try:
                picture = open_image(self.pictures[row], size)
            except ImageError as error:
                raise DataError(
                    f"{error} Restore the file and start the same command again, or remove its line from "
                    "captions.jsonl and begin the stage anew with --fresh."
                ) from error
            return augment(picture, size, np.random.default_rng([self.seed, step, row]), self.degradation)

        return self.pixels(np.stack([square for _, square in map_ahead(read, rows, torch.get_num_threads())]))

    def encode(self, inputs: Tensor) -> EncodedImages:
        """Return one vector for each picture."""
        return encoded(self.model, pooled(self.model, inputs))

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """Return vectors (N, D) of any pictures, without augmentation, with the current weights."""
        self.model.eval()
        batches = (self.pixels.read([pictures[row] for row in rows]) for rows in eval_batches(len(pictures)))
        return torch.cat([projected(self.model, pooled(self.model, values)) for values in batches])

    def close(self) -> None:
        """Do nothing: training from pixels needs no changes of the tower that must be undone at the end."""
