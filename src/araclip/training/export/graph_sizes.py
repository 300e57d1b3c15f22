"""The graphs of an exported folder in numbers: size, speed, closeness to the trained model."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.encoder import AraCLIP
from araclip.encoder_base import IMAGE_BATCH, TEXT_BATCH
from araclip.training.model.parity import Closeness, Probes, closeness, pictures_at_once

SECONDS = 0.5  # a speed is measured for this long, and for three runs at least
TEXT = "قطة سوداء تنام على طاولة قرب النافذة"  # of usual length, for speeds


@dataclass(frozen=True)
class GraphSize:
    """One graph of an exported folder, in numbers.

    Megabytes (10⁶ bytes) in float32 and as stored; milliseconds an item alone and in a batch of `batch`; cosines to the
    PyTorch model of the float32 graph (the least) and of the stored one (the least and the mean).
    """

    name: str
    megabytes_float32: float
    megabytes: float
    milliseconds: float
    milliseconds_batched: float
    batch: int
    cosine_float32: float
    cosine: float
    cosine_mean: float


def graph_sizes(full: Path, small: AraCLIP, probes: Probes, before: Sequence[Closeness]) -> tuple[GraphSize, ...]:
    """How large the two graphs are, how fast, and how close to PyTorch.

    Args:
        full: folder of the float32 graphs. before: their closeness. small: the model as stored.
    """
    pictures = min(IMAGE_BATCH, pictures_at_once(probes.squares.shape[1]))
    squares = np.resize(probes.squares, (pictures, *probes.squares.shape[1:]))
    encode: Mapping[str, tuple[Callable[[int], Any], int]] = {
        "text.onnx": (lambda n: small.encode_text([TEXT] * n), TEXT_BATCH),
        "image.onnx": (lambda n: small.encode_pixels(squares[:n]), pictures),
    }
    sizes = []
    for exact, stored in zip(before, closeness(small, probes), strict=True):
        run, batch = encode[exact.graph]
        sizes.append(
            GraphSize(
                exact.graph, _megabytes(full / exact.graph), _megabytes(small.folder / exact.graph),
                _milliseconds(run, 1), _milliseconds(run, batch) / batch, batch,
                exact.least, stored.least, stored.mean,
            )
        )  # fmt: skip
    return tuple(sizes)


def _milliseconds(run: Callable[[int], Any], count: int) -> float:
    run(count)  # warm
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
