"""The pictures of a stage whose image tower never learns."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip import atomic
from araclip.errors import DataError
from araclip.training.foreign.failures import failures
from araclip.training.inputs.encoded_images import EncodedImages, encoded, projected
from araclip.training.inputs.pixels import EVAL_BATCH, Pixels, pooled
from araclip.training.model import towers
from araclip.training.model.model import AraCLIPModel
from araclip.training.small_cnn.branches import is_splittable
from araclip.training.small_cnn.frozen_features import FrozenFeatures, FrozenFeaturesGraph, Log

MANY = 1000  # pictures; writing a graph takes as long as PyTorch takes for some hundreds


class LockedImages:
    """The tower never learns: its pooled outputs are computed once and stored on disk (LiT, Zhai et al. 2022)."""

    def __init__(self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], cache: Path, log: Log) -> None:
        self.model, self.pixels, self.cache, self.log = model, pixels, cache, log
        model.vision_model.requires_grad_(False)
        self.modules: list[nn.Module] = []
        self.features = self._features(pictures)  # (N, W) float16
        self._cached = {tuple(pictures): self.features}

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """(B, W), the tower's pooled outputs."""
        return torch.from_numpy(self.features[list(rows)].astype(np.float32))

    def encode(self, inputs: Tensor) -> EncodedImages:
        """One vector a picture; only the projection computes."""
        return encoded(self.model, inputs)

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """(N, D) of any pictures; they pass the tower at the first call only."""
        key = tuple(pictures)
        if key not in self._cached:
            self._cached[key] = self._features(pictures)
        return projected(self.model, torch.from_numpy(self._cached[key].astype(np.float32)))

    def close(self) -> None:
        """Nothing to restore."""

    def _features(self, pictures: Sequence[Path]) -> NDArray[np.float16]:
        digest = hashlib.sha256(repr((self.pixels.size, self.pixels.mean, self.pixels.std)).encode())
        if self.model.config.vision_mirror:
            digest.update(b"mirror")
        for tensor in self.model.vision_model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        for picture in pictures:
            digest.update(f"{picture} {picture.stat().st_mtime_ns}".encode())
        path = self.cache / f"features-{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            tower = self._tower(len(pictures))
            parts = []
            with torch.inference_mode():
                for start in range(0, len(pictures), EVAL_BATCH):
                    squares = self.pixels.squares(pictures[start : start + EVAL_BATCH])
                    parts.append(tower(squares).to(torch.float16).cpu().numpy())
                    if start and start % 1000 == 0:
                        self.log(f"image vectors computed for {start:,} of {len(pictures):,} pictures")
            atomic.write_array(path, np.concatenate(parts))
        with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
            found: NDArray[np.float16] = np.load(path)
        return found

    def _tower(self, pictures: int) -> Callable[[NDArray[np.uint8]], Tensor]:
        """(B, S, S, 3) → (B, W): the tower, on ONNX Runtime where that is quicker and it can be written as a graph."""
        model = self.model.eval()
        if pictures < MANY or not is_splittable(model.vision_model) or model.logit_scale.device.type != "cpu":
            return lambda squares: pooled(model, self.pixels(squares))
        graph = FrozenFeaturesGraph(FrozenFeatures(_Pooled(model), self.pixels.mean, self.pixels.std), self.pixels.size)

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
