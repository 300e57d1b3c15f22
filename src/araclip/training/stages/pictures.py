"""Makes the image vectors of a step: from a locked tower's cached outputs, from cached feature maps, or from pixels.

The three classes for this (`LockedImages`, `BranchImages` of `mini.frozen_features`, `PixelImages`) have
`inputs(rows, step)`, which depends on seed, step and rows alone and builds no autograd graph, and `encode(inputs)`,
which GradCache calls twice. `vectors(pictures)`, for dev recall, may leave the model in eval mode.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import DataError, ImageError, RecipeError
from araclip.pictures.images import decode_ahead, map_ahead, open_image
from araclip.training import extensions
from araclip.training.data.pictures import augment, contents_hash
from araclip.training.failures import failures
from araclip.training.model import towers
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.towers import freeze
from araclip.training.recipe.files import stamp
from araclip.training.recipe.stages import ImageSide


class EncodedImages(NamedTuple):
    """The output of an image tower and its projection for B pictures."""

    vectors: Tensor  # (B, K, D) float32, of unit length; K: the number of branches if each has its own loss, else 1
    features: Tensor  # (B, W) float32, the tower's output before the projection


def projected(model: AraCLIPModel, features: Tensor) -> Tensor:
    """Project pooled outputs (B, width) to vectors (B, D) of unit length, in float32 even under autocast."""
    vectors: Tensor = model.visual_projection(features.to(model.logit_scale.device))
    return l2_normalize(vectors.float(), dim=-1)


def encoded(model: AraCLIPModel, features: Tensor) -> EncodedImages:
    """Project the pooled outputs of B pictures, (B, width); return the outputs with the vector of each picture."""
    features = features.float()
    return EncodedImages(projected(model, features).unsqueeze(1), features)


class Pixels:
    """Turns pictures into the tower's input: (B, 3, S, S) float32, normalised by channel.

    Pictures are resized to the S × S square without keeping their proportions (`AraCLIPProcessor.squashing`).
    """

    def __init__(self, size: int, mean: list[float], std: list[float]) -> None:
        self.size, self.mean, self.std = size, mean, std

    @classmethod
    def of(cls, processor: AraCLIPProcessor) -> "Pixels":
        """Make a Pixels with a processor's size, means and deviations; raise RecipeError if it reads no pictures."""
        if processor.image_processor is None:
            raise RecipeError(
                "this model has no image tower, and the stage or its dev set needs one. Name [model] vision."
            )
        how = processor.preprocessing
        return cls(how.size, list(how.mean), list(how.std))

    def __call__(self, squares: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(squares).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return (values - torch.tensor(self.mean).view(1, 3, 1, 1)) / torch.tensor(self.std).view(1, 3, 1, 1)

    def read(self, files: Sequence[Path]) -> Tensor:
        """Read these files, without augmentation, as the tower's input (B, 3, S, S)."""
        return self(self.squares(files))

    def squares(self, files: Sequence[Path]) -> NDArray[np.uint8]:
        """Read these files, without augmentation, as (B, S, S, 3) uint8; an unreadable picture is a DataError."""
        squares = []
        for _, square in decode_ahead(files, self.size, torch.get_num_threads()):
            if isinstance(square, ImageError):
                raise DataError(f"{square} Remove it from its captions.jsonl.")
            squares.append(square)
        return np.stack(squares)


EVAL_BATCH = 50  # pictures that pass a tower at once when no gradients are needed
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


def eval_batches(count: int, log: Log | None = None) -> Iterator[range]:
    """Yield ranges of at most EVAL_BATCH picture rows; log the progress after each thousand."""
    for start in range(0, count, EVAL_BATCH):
        yield range(start, min(start + EVAL_BATCH, count))
        if log and start and start % 1000 == 0:
            log(f"image vectors computed for {start:,} of {count:,} pictures")


def _tower(model: AraCLIPModel, pixels: Pixels, pictures: int) -> Callable[[NDArray[np.uint8]], Tensor]:
    """Return a function that runs the tower: squares (B, side, side, 3) → features (B, width); by ONNX if quicker."""
    maps = extensions.load(extensions.CACHED_MAPS)
    if (
        pictures < MANY
        or not extensions.load(extensions.TOWERS).is_splittable(model.vision_model)
        or model.logit_scale.device.type != "cpu"
    ):
        return lambda squares: pooled(model, pixels(squares))
    graph = maps.FrozenFeaturesGraph(maps.FrozenFeatures(_Pooled(model), pixels.mean, pixels.std), pixels.size)

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
        self._maps = extensions.load(extensions.CACHED_MAPS)
        self._blocks = side.frozen_blocks if extensions.load(extensions.TOWERS).is_splittable(model.vision_model) else 0
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
                features = self._maps.whole_features(
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


def check_readable(pictures: Sequence[Path], size: int) -> None:
    """Open all pictures; a DataError names those that cannot be read, up to twenty."""

    def fault(path: Path) -> str | None:
        try:
            open_image(path, size)
        except ImageError as error:
            return str(error)
        return None

    faults = [found for _, found in map_ahead(fault, pictures, torch.get_num_threads()) if found]
    if faults:
        shown = "\n".join(faults[:20])
        raise DataError(f"{len(faults)} pictures cannot be read. Remove them from their captions.jsonl:\n{shown}")


def training_images(
    model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
    log: Log, *, pointwise: bool = False,
) -> TrainingImages:  # fmt: skip
    """Make the kind of training images that the recipe's `side` asks for; `inputs` takes row numbers of `pictures`.

    With `pointwise`, a tower that learns from cached feature maps computes its 1 × 1 convolutions in bfloat16; other
    towers are not affected.
    """
    maps = extensions.load(extensions.CACHED_MAPS)
    cache = side.cache or cache
    if side.train == "full" and side.frozen_blocks:
        log(f'image.frozen_blocks = {side.frozen_blocks} freezes nothing with train = "full": the whole tower learns.')
    if side.train == "locked":
        return LockedImages(model, pixels, pictures, cache, log, side)
    if side.train == "partial" and (
        extensions.load(extensions.TOWERS).is_splittable(model.vision_model) or side.map_scale is not None
    ):
        own: TrainingImages = maps.BranchImages(model, pixels, pictures, side, seed, cache, log, pointwise=pointwise)
        return own
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
