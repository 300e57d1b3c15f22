"""Whether a model that settings describe can be in the files beside them, before memory is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from araclip.errors import ModelMismatch

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
_SPARE = 1_000_000  # numbers that a model may have and its files not, such as projections that are trained later


def check_fits(build: Callable[[], Any], folder: Path, settings: str = "config.json") -> None:
    """Refuse settings that ask for many more numbers than the folder's files of weights have bytes.

    Args:
        build: makes the model; called without memory for its weights (on PyTorch's meta device).
        settings: the file that describes the model.

    Raises:
        ModelMismatch: both numbers are named.
    """
    stored = sum(path.stat().st_size for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file())
    with torch.device("meta"):
        model = build()
    numbers = sum(parameter.numel() for parameter in model.parameters())
    if numbers > stored + _SPARE:
        raise ModelMismatch(
            f"{folder / settings} describes a model of {numbers:,} numbers, but the weights beside it have "
            f"{stored:,} bytes. The two do not belong together: copy the whole folder again."
        )
