"""Turns pictures into what a tower reads, in batches, and towers' outputs into vectors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.core.display import Log
from araclip.errors import DataError, ImageError, RecipeError
from araclip.pictures.images import decode_ahead, map_ahead, open_image
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor


class EncodedImages(NamedTuple):
    """The output of an image tower and its projection for B pictures."""

    vectors: Tensor  # (B, D) float32, of unit length
    features: Tensor  # (B, W) float32, the tower's output before the projection


def projected(model: AraCLIPModel, features: Tensor) -> Tensor:
    """Project pooled outputs (B, width) to vectors (B, D) of unit length, in float32 even under autocast."""
    vectors: Tensor = model.visual_projection(features.to(model.logit_scale.device))
    return l2_normalize(vectors.float(), dim=-1)


def encoded(model: AraCLIPModel, features: Tensor) -> EncodedImages:
    """Project the pooled outputs of B pictures, (B, width); return the outputs with the vector of each picture."""
    features = features.float()
    return EncodedImages(projected(model, features), features)


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


def eval_batches(count: int, log: Log | None = None) -> Iterator[range]:
    """Yield ranges of at most EVAL_BATCH picture rows; log the progress after each thousand."""
    for start in range(0, count, EVAL_BATCH):
        yield range(start, min(start + EVAL_BATCH, count))
        if log and start and start % 1000 == 0:
            log(f"image vectors computed for {start:,} of {count:,} pictures")


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
