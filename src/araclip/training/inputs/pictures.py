"""Where a step's image vectors come from: a locked tower's cache, cached maps under learning blocks, or pixels.

Each side gives `inputs(rows, step)`, a function of seed, step and row that runs without a graph, and `encode(inputs)`,
which makes (B, D) vectors of unit length and is called again in a second pass of GradCache. `vectors(pictures)` leaves
the model in eval mode.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.functional import normalize as l2_normalize

from araclip import atomic
from araclip.errors import DataError, ImageError
from araclip.images import decode_ahead, map_ahead, open_image
from araclip.training.data.augmentation import augment
from araclip.training.model import towers
from araclip.training.model.freezing import freeze
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import ImageSide
from araclip.training.small_cnn import batchnorm
from araclip.training.small_cnn.branches import branches_of, is_splittable, split, upper_modules
from araclip.training.small_cnn.frozen_features import FeatureMaps, FrozenFeatures, FrozenFeaturesGraph
from araclip.training.small_cnn.pointwise import narrow_pointwise, widen_pointwise

CHUNK = 50  # pictures encoded at once without a graph
Log = Callable[[str], None]


class Images(Protocol):
    """What the loop asks of the image tower's side."""

    modules: list[nn.Module]  # the parts of the tower that learn
    vectors_each: int  # K, how many vectors `encode` makes of a picture

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """What `encode` takes for these pictures in this step."""

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, K · D), each vector of unit length."""

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of other pictures as they are, unchanged, with the tower's weights of now."""

    def close(self) -> None:
        """Leave the tower in the layout it came in."""


def image_side(
    model: AraCLIPModel, size: int, norm: tuple[list[float], list[float]], pictures: Sequence[Path], side: ImageSide,
    seed: int, cache: Path, log: Log, *, pointwise: bool = False,
) -> Images:  # fmt: skip
    """The side that a recipe asks for.

    Args:
        model: with an image tower.
        size, norm: pixels a picture enters with, mean and standard deviation a channel.
        cache: folder of what is computed once, unless `side` names its own.
        pointwise: branches on cached maps learn with `pointwise`'s bfloat16; elsewhere it changes nothing.
        pictures: the training pictures, which rows count.

    Raises:
        RecipeError: the tower has fewer blocks than are to be frozen.
        DataError: a picture cannot be read; where they are read in every step, the step raises it.
    """
    pixels, cache = Pixels(size, *norm), side.cache or cache
    if side.train == "locked":
        return LockedImages(model, pixels, pictures, cache, log)
    if side.train == "partial" and is_splittable(model.vision_model):
        return BranchImages(model, pixels, pictures, side, seed, cache, log, pointwise=pointwise)
    return PixelImages(model, pixels, pictures, side, seed)


class Pixels:
    """Pictures → (B, 3, S, S) normalised: squashed to the square, as the exported model does."""

    def __init__(self, size: int, mean: list[float], std: list[float]) -> None:
        self.size, self.mean, self.std = size, mean, std

    def __call__(self, squares: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(squares).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return (values - torch.tensor(self.mean).view(1, 3, 1, 1)) / torch.tensor(self.std).view(1, 3, 1, 1)

    def read(self, pictures: Sequence[Path]) -> Tensor:
        """Files as they are.

        Raises:
            DataError: one cannot be read.
        """
        squares = []
        for _, square in decode_ahead(pictures, self.size, torch.get_num_threads()):
            if isinstance(square, ImageError):
                raise DataError(f"{square} Remove it from its captions.jsonl.")
            squares.append(square)
        return self(np.stack(squares))


def pooled(model: AraCLIPModel, pixel_values: Tensor) -> Tensor:
    """The tower's output before the projection, (B, W); a learning one sees mirror images by augmentation only."""
    pixels, mirror = pixel_values.to(model.logit_scale.device), model.config.vision_mirror and not model.training
    return towers.image_features(model.vision_model, pixels, model.config, mirror)


def projected(model: AraCLIPModel, features: Tensor) -> Tensor:
    """(B, W) pooled outputs → (B, D), rows of unit length in float32, under autocast too."""
    vectors: Tensor = model.visual_projection(features.to(model.logit_scale.device))
    return l2_normalize(vectors.float(), dim=-1)


class LockedImages:
    """The tower never learns: its pooled outputs are computed once and kept on disk (LiT, Zhai et al. 2022)."""

    def __init__(self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], cache: Path, log: Log) -> None:
        self.model, self.pixels, self.cache, self.log = model, pixels, cache, log
        model.vision_model.requires_grad_(False)
        self.modules: list[nn.Module] = []
        self.vectors_each = 1
        self.features = self._features(pictures)  # (N, W) float16
        self._seen = {tuple(pictures): self.features}

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, W), the tower's pooled outputs."""
        return torch.from_numpy(self.features[list(rows)].astype(np.float32))

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, D), rows of unit length."""
        return projected(self.model, inputs)

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures."""
        key = tuple(pictures)
        if key not in self._seen:
            self._seen[key] = self._features(pictures)
        return self.encode(torch.from_numpy(self._seen[key].astype(np.float32)))

    def close(self) -> None:
        """Nothing to put back."""

    def _features(self, pictures: Sequence[Path]) -> NDArray[np.float16]:
        digest = hashlib.sha256(repr((self.pixels.size, self.pixels.mean, self.pixels.std)).encode())
        for tensor in self.model.vision_model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        for picture in pictures:
            digest.update(f"{picture} {picture.stat().st_mtime_ns}".encode())
        path = self.cache / f"features-{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            self.model.eval()
            parts = []
            with torch.inference_mode():
                for start in range(0, len(pictures), CHUNK):
                    values = self.pixels.read(pictures[start : start + CHUNK])
                    parts.append(pooled(self.model, values).to(torch.float16).cpu().numpy())
                    if start and start % 1000 == 0:
                        self.log(f"image vectors computed for {start:,} of {len(pictures):,} pictures")
            atomic.write_array(path, np.concatenate(parts))
        found: NDArray[np.float16] = np.load(path)
        return found


class BranchImages:
    """The upper blocks of a convolutional tower learn, on windows of the lower ones' cached maps."""

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
        log: Log, *, pointwise: bool = False,
    ) -> None:  # fmt: skip
        tower = model.vision_model.requires_grad_(False)
        self._fused = batchnorm.fuse(upper_modules(tower, side.frozen_blocks))
        shared, branch = split(tower, side.frozen_blocks)
        self.model, self.seed, self.log, self.cache = model, seed, log, cache
        self._frozen = FrozenFeaturesGraph(FrozenFeatures(shared, pixels.mean, pixels.std), pixels.size)
        self.maps = FeatureMaps(self._frozen, pictures, side.views, self.cache, log)
        self._seen = {tuple(pictures): self.maps}  # their first view is the picture as it is
        self.window = max(1, round(side.window * self.maps.side))
        self._branch = branch.to(memory_format=torch.channels_last).requires_grad_(True)  # type: ignore[call-overload]
        self.modules: list[nn.Module] = [self._branch]
        self.vectors_each = branches_of(tower) if side.each_branch else 1
        self._first = copy.deepcopy(self._branch).requires_grad_(False).eval()
        if pointwise:
            narrow_pointwise(self._branch)

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, C, w, w): windows of the frozen blocks' feature maps."""
        rng = [np.random.default_rng([self.seed, step, row]) for row in rows]
        return self.maps.windows(rows, self.window, rng)

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, D), rows of unit length; where each branch learns by itself (B, K · D), its vectors side by side."""
        features = self.features(inputs)
        if self.vectors_each == 1:
            return self.project(features)
        head: nn.Linear = self.model.visual_projection
        parts = zip(features.chunk(self.vectors_each, dim=1), head.weight.chunk(self.vectors_each, dim=1), strict=True)
        vectors = [linear(part, self.vectors_each * weight, head.bias) for part, weight in parts]  # their mean is whole
        return torch.cat([l2_normalize(vector.float(), dim=-1) for vector in vectors], dim=1)

    def project(self, features: Tensor) -> Tensor:
        """(B, W) → (B, D), rows of unit length."""
        return projected(self.model, features)

    def features(self, inputs: Tensor) -> Tensor:
        """(B, W): what the projection sees."""
        found: Tensor = self._branch(inputs.contiguous(memory_format=torch.channels_last))
        return found

    def first_features(self, inputs: Tensor) -> Tensor:
        """(B, W) as they were when the stage began."""
        with torch.no_grad():
            found: Tensor = self._first(inputs.contiguous(memory_format=torch.channels_last))
        return found

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures, whole, with the weights of now."""
        key = tuple(pictures)
        if key not in self._seen:
            self._seen[key] = FeatureMaps(self._frozen, pictures, 1, self.cache, self.log)
        maps, device = self._seen[key], self.model.logit_scale.device
        self.model.eval()
        features = (self.features(maps.whole(rows).to(device)) for rows in _chunks(len(pictures)))
        return torch.cat([self.project(found) for found in features])

    def close(self) -> None:
        """Give the tower its precision and its BatchNorms back."""
        widen_pointwise(self._branch)
        batchnorm.restore(self._fused)
        self._fused = []


class PixelImages:
    """The tower, or all of it above its first blocks, learns on pictures augmented anew in every step."""

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int
    ) -> None:
        self.model, self.pixels, self.pictures, self.seed = model, pixels, list(pictures), seed
        tower: nn.Module = model.vision_model
        if side.train == "partial":
            freeze(tower, side.frozen_blocks, embeddings=True)
        self.modules = [tower]
        self.vectors_each = 1

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
                    f"{error} Restored, it lets the same command go on; without its line in captions.jsonl the stage "
                    "has to begin again with --fresh."
                ) from error
            return augment(picture, size, np.random.default_rng([self.seed, step, row]))

        return self.pixels(np.stack([square for _, square in map_ahead(read, rows, torch.get_num_threads())]))

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, D), rows of unit length."""
        return projected(self.model, pooled(self.model, inputs))

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures, unchanged, with the weights of now."""
        self.model.eval()
        return torch.cat(
            [self.encode(self.pixels.read([pictures[row] for row in rows])) for rows in _chunks(len(pictures))]
        )

    def close(self) -> None:
        """Nothing to put back."""


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def pooled_features(model: AraCLIPModel, pixels: Pixels, files: Sequence[Path]) -> Tensor:
    """(N, W): what the projection sees of pictures."""
    with torch.inference_mode():
        chunks = (files[start : start + CHUNK] for start in range(0, len(files), CHUNK))
        return torch.cat([pooled(model.eval(), pixels.read(chunk)) for chunk in chunks]).clone()
