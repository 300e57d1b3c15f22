"""The pixel scaling of an image processor, for the exported image graph."""

from collections.abc import Sequence
from dataclasses import dataclass

from araclip.errors import InputError
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import BICUBIC, AraCLIPProcessor


@dataclass(frozen=True)
class Scaling:
    """The side of the input, and mean and deviation of each channel for values from 0 to 1."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    warnings: tuple[str, ...] = ()


def scaling_of(model: AraCLIPModel, processor: AraCLIPProcessor) -> Scaling:
    """The scaling that a model's image processor does.

    Raises:
        InputError: the model has no image tower, or its pictures are no squares.
    """
    own = processor.image_processor
    if model.vision_model is None or own is None:
        raise InputError(
            "the model has no image tower or its processor takes no pictures; a model folder holds both towers. Train "
            "it beside the image tower whose vectors it learned."
        )
    crops = bool(getattr(own, "do_center_crop", False) and getattr(own, "crop_size", None))
    sides = own.crop_size if crops else getattr(own, "size", None) or {}
    height = sides.get("height") or sides.get("shortest_edge")
    width = sides.get("width") or sides.get("shortest_edge")
    if not height or height != width:
        raise InputError(
            f"{type(own).__name__} makes no squares of one size ({dict(sides)}); a model folder needs them. "
            "Train with an image processor that squashes pictures to a square."
        )
    per_value = 255.0 * (own.rescale_factor if getattr(own, "do_rescale", True) else 1.0)  # 1 for values from 0 to 1
    normalises = getattr(own, "do_normalize", True)
    mean = [value / per_value for value in (own.image_mean if normalises else [0.0] * 3)]
    std = [value / per_value for value in (own.image_std if normalises else [1.0] * 3)]
    warnings = []
    if crops or not (sides.get("height") and sides.get("width")):
        warnings.append(f"The processor crops pictures; the exported model squashes them to {height} × {height}.")
    if getattr(own, "resample", BICUBIC) != BICUBIC:
        warnings.append("The processor resizes pictures with another filter; the exported model uses bicubic.")
    return Scaling(int(height), _three(mean), _three(std), tuple(warnings))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
