"""Picture files → normalised pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from araclip.errors import DataError, ImageError, RecipeError
from araclip.pictures.images import decode_ahead
from araclip.training.model.processing import AraCLIPProcessor


class Pixels:
    """Pictures → (B, 3, S, S) float32, normalised: squashed to the square, see `AraCLIPProcessor.squashing`.

    Args:
        size: S.
        mean, std: of each channel, for values from 0 to 1.
    """

    def __init__(self, size: int, mean: list[float], std: list[float]) -> None:
        self.size, self.mean, self.std = size, mean, std

    @classmethod
    def of(cls, processor: AraCLIPProcessor) -> "Pixels":
        """Of the size and scaling of a model's processor.

        Raises:
            RecipeError: the model has no image tower.
            ModelMismatch: its processor makes no squares.
        """
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
        """Pictures as they are, without augmentation, as `squares`."""
        return self(self.squares(files))

    def squares(self, files: Sequence[Path]) -> NDArray[np.uint8]:
        """(B, S, S, 3): pictures as they are.

        Raises:
            DataError: one cannot be read.
        """
        squares = []
        for _, square in decode_ahead(files, self.size, torch.get_num_threads()):
            if isinstance(square, ImageError):
                raise DataError(f"{square} Remove it from its captions.jsonl.")
            squares.append(square)
        return np.stack(squares)
