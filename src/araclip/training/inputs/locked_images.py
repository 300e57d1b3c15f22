"""The pictures of a stage whose image tower never learns."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip import atomic
from araclip.errors import DataError
from araclip.training.foreign.failures import failures
from araclip.training.inputs.encoded_images import EncodedImages, encoded, projected
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.pooled_features import pooled_features
from araclip.training.model.model import AraCLIPModel
from araclip.training.small_cnn.frozen_features import Log


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
            features = pooled_features(self.model, self.pixels, pictures, self.log)
            atomic.write_array(path, features.to(torch.float16).cpu().numpy())
        with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
            found: NDArray[np.float16] = np.load(path)
        return found
