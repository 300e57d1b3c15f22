"""The pooled features that an image tower has for pictures, before the projection."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip.training.inputs.pixels import Pixels
from araclip.training.model import towers
from araclip.training.model.model import AraCLIPModel
from araclip.training.small_cnn.branches import is_splittable
from araclip.training.small_cnn.frozen_features import FrozenFeatures, FrozenFeaturesGraph, Log

EVAL_BATCH = 50  # pictures that pass a tower at once without a graph
MANY = 1000  # pictures; writing a graph takes as long as PyTorch takes for some hundreds


def pooled(model: AraCLIPModel, pixel_values: Tensor) -> Tensor:
    """The tower's output before the projection: (B, 3, S, S) → (B, W).

    In training mode mirror images come from augmentation only, also where the model averages over them.
    """
    pixels, mirror = pixel_values.to(model.logit_scale.device), model.config.vision_mirror and not model.training
    return towers.image_features(model.vision_model, pixels, model.config, mirror)[1]


def pooled_features(model: AraCLIPModel, pixels: Pixels, files: Sequence[Path], log: Log | None = None) -> Tensor:
    """(N, W): the tower's outputs for pictures as they are, without a graph; leaves the model in eval mode.

    Many pictures pass a convolutional tower on ONNX Runtime, several times as fast.
    """
    tower, parts = _tower(model.eval(), pixels, len(files)), []
    with torch.inference_mode():
        for rows in eval_batches(len(files), log):
            parts.append(tower(pixels.squares(files[rows.start : rows.stop])))
        return torch.cat(parts).clone()


def eval_batches(count: int, log: Log | None = None) -> Iterator[range]:
    """Rows of pictures that pass a tower at once without a graph; says after each thousand how far it is."""
    for start in range(0, count, EVAL_BATCH):
        yield range(start, min(start + EVAL_BATCH, count))
        if log and start and start % 1000 == 0:
            log(f"image vectors computed for {start:,} of {count:,} pictures")


def _tower(model: AraCLIPModel, pixels: Pixels, pictures: int) -> Callable[[NDArray[np.uint8]], Tensor]:
    """(B, S, S, 3) → (B, W): the tower, as a graph where that is quicker and one can be written."""
    if pictures < MANY or not is_splittable(model.vision_model) or model.logit_scale.device.type != "cpu":
        return lambda squares: pooled(model, pixels(squares))
    graph = FrozenFeaturesGraph(FrozenFeatures(_Pooled(model), pixels.mean, pixels.std), pixels.size)

    def run(squares: NDArray[np.uint8]) -> Tensor:
        sides = [squares, squares[:, :, ::-1]] if model.config.vision_mirror else [squares]
        found = [graph.session.run(None, {"pixels": np.ascontiguousarray(side)})[0] for side in sides]
        return torch.from_numpy(np.mean(found, axis=0))

    return run


class _Pooled(nn.Module):
    """(B, 3, S, S) normalised → (B, W): a tower and its pooling, without a mirror image."""

    def __init__(self, model: AraCLIPModel) -> None:
        super().__init__()
        self.tower, self._config = model.vision_model, model.config

    def forward(self, pixels: Tensor) -> Tensor:
        return towers.image_features(self.tower, pixels, self._config, mirror=False)[1]
