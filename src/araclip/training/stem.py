"""The frozen stem's output for every training picture, computed once and kept on disk.

Two views a picture: as it is, and mirrored with its colours shifted a little. A training step crops a window out of
the cached map, which stands for a crop of the picture, so the early and costly layers never run again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor, nn

from araclip.images import open_image, square
from araclip.training.graph import write_graph
from araclip.training.modeling import ImageTower

VIEWS = 2


def views(image: Image.Image, size: int, seed: int) -> NDArray[np.uint8]:
    """(VIEWS, size, size, 3): the picture, and its mirror image with brightness, contrast and colour shifted."""
    dice = np.random.default_rng(seed)
    shifted = ImageOps.mirror(image)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        shifted = enhance(shifted).enhance(float(dice.uniform(0.7, 1.3)))
    return np.stack([square(image, size), square(shifted, size)])


class _Stem(nn.Module):
    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tower.stem(pixels)


def stem_session(tower: ImageTower, size: int, file: Path) -> onnxruntime.InferenceSession:
    """The stem on ONNX Runtime: 5 ms a picture where PyTorch takes 30 on two cores without AVX-512."""
    pixels = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    batch = {"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}}
    write_graph(_Stem(tower), (pixels,), file, batch, "maps")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(file), options)


def cache_stem(
    tower: ImageTower, pictures: Sequence[Path | Image.Image], size: int, file: Path, progress: Callable[[int], None]
) -> NDArray[np.float16]:
    """(N, VIEWS, h, w, 48) float16, memory-mapped from `file`, which is written once and reused when it is complete."""
    side = -(-size // 8)
    shape = (len(pictures), VIEWS, side, side, 48)
    if not file.exists():
        partial = file.with_suffix(".partial.npy")
        out = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        session = stem_session(tower, size, file.with_suffix(".onnx"))
        with ThreadPoolExecutor(1) as decoder:
            batches = [range(s, min(s + 16, len(pictures))) for s in range(0, len(pictures), 16)]

            def decode(batch: range) -> NDArray[np.uint8]:
                return np.concatenate([views(open_image(pictures[i], size), size, seed=i) for i in batch])

            ahead = decoder.submit(decode, batches[0])
            for i, batch in enumerate(batches):
                pixels = ahead.result()
                if i + 1 < len(batches):
                    ahead = decoder.submit(decode, batches[i + 1])
                maps = session.run(None, {"pixels": pixels})[0].transpose(0, 2, 3, 1)  # (B·V, h, w, 48)
                out[batch.start : batch.stop] = maps.reshape(len(batch), VIEWS, side, side, 48)
                progress(batch.stop)
        out.flush()
        partial.rename(file)
    cached: NDArray[np.float16] = np.load(file, mmap_mode="r")
    if cached.shape != shape:
        raise ValueError(
            f"{file} holds maps of shape {cached.shape}, these pictures need {shape}. Delete it to rebuild."
        )
    return cached


def crops(cache: NDArray[np.float16], rows: Sequence[int], window: int, dice: np.random.Generator) -> Tensor:
    """One random view and window of each row: (B, 48, window, window) float32."""
    slack = cache.shape[2] - window + 1
    out = np.empty((len(rows), window, window, cache.shape[4]), np.float32)
    for i, row in enumerate(rows):
        top, left = dice.integers(slack, size=2)
        out[i] = cache[row, dice.integers(VIEWS), top : top + window, left : left + window]
    return torch.from_numpy(out).permute(0, 3, 1, 2)
