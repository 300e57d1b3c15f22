"""Translates a library's preparation of pictures into a model folder's fields (`ImageConfig`), and back.

A preparation that the fields cannot express is refused with a ModelMismatch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import CLIPImageProcessor, ViTImageProcessor
from transformers.configuration_utils import PreTrainedConfig

from araclip.errors import InputError, ModelMismatch
from araclip.models.folder import ImageConfig
from araclip.pictures.image_transform import FILTERS
from araclip.training.failures import failures

_NAMES = {number: name for name, number in FILTERS.items()}


def of_open_clip(name: str, config: Mapping[str, Any]) -> ImageConfig:
    """Return the preparation of pictures that open_clip's table `config` describes; the tower's name is left empty."""
    size, mode, interpolation = config["size"], config["resize_mode"], config["interpolation"]
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(set(sides)) != 1:
        raise _cannot_express(name, f"pictures of {sides} pixels, which are no squares")
    if mode not in ("squash", "shortest"):
        raise _cannot_express(name, f"resize_mode '{mode:.40}', which fills pictures up")
    if interpolation not in ("bicubic", "bilinear"):
        interpolation = "bicubic"  # open_clip's own choice if the filter's name is "random" or unknown
    scaling = _three_numbers(config["mean"]), _three_numbers(config["std"])
    return ImageConfig("", int(sides[0]), mode, interpolation, *scaling, "exact")


def of_transformers(name: str, processor: Any) -> ImageConfig:
    """Return the preparation of pictures by an image processor of transformers; the tower's name is left empty."""
    with failures(name, "copy its preprocessor_config.json again", ModelMismatch, cannot="prepare pictures"):
        size = dict(getattr(processor, "size", None) or {})
        crop = dict(getattr(processor, "crop_size", None) or {}) if getattr(processor, "do_center_crop", False) else {}
        if not getattr(processor, "do_resize", True) or getattr(processor, "do_pad", False):
            raise _cannot_express(name, f"a {type(processor).__name__} that fills pictures up or does not resize them")
        if "shortest_edge" in size:
            side, resize = int(size["shortest_edge"]), "shortest"
            if not crop or "longest_edge" in size:
                raise _cannot_express(name, f"pictures of many sizes ({size})")
            if set(crop.values()) != {side}:
                raise _cannot_express(name, f"a crop of {crop} from a shortest side of {side}")
        elif "height" in size and size["height"] == size.get("width"):
            side, resize = int(size["height"]), "squash"
            if crop and set(crop.values()) != {side}:
                raise _cannot_express(name, f"a crop of {crop} from squares of {side}")
        else:
            raise _cannot_express(name, f"pictures of {size or 'many sizes'}, which are no squares of one size")
        resample = getattr(processor, "resample", None)
        if resample not in _NAMES:
            raise _cannot_express(name, f"the resampling filter {resample}")
        per_value = 255.0 * (processor.rescale_factor if getattr(processor, "do_rescale", True) else 1.0)
        scaled = getattr(processor, "do_normalize", True)
        mean = [value / per_value for value in (processor.image_mean if scaled else [0.0] * 3)]
        std = [value / per_value for value in (processor.image_std if scaled else [1.0] * 3)]
        # how the beginning of a crop is rounded; squashing crops nothing, and keeps the default "half-even"
        offset = "floor" if resize == "shortest" else "half-even"
        return ImageConfig(
            "", side, resize, _NAMES[resample], _three_numbers(mean), _three_numbers(std), "exact", offset
        )


def timm_image_processor(config: PreTrainedConfig) -> ViTImageProcessor:
    """Make a plain image processor with the size, mean and standard deviation that a timm model was trained with.

    It squashes pictures to the square and does not crop them, so that things at their edges can be found.
    """
    import timm

    trained = getattr(config, "pretrained_cfg", None) or {}
    if not trained:
        trained = timm.get_pretrained_cfg(config.architecture, allow_unregistered=True)
        trained = trained.to_dict() if trained else {}
    data = timm.data.resolve_data_config({**(config.model_args or {})}, pretrained_cfg=trained)
    _, height, width = data["input_size"]
    return square_processor(height, width, data["mean"], data["std"])


def square_processor(height: int, width: int, mean: Sequence[float], std: Sequence[float]) -> ViTImageProcessor:
    """Make an image processor that squashes pictures to one size with a bicubic filter, as all training does."""
    size = {"height": height, "width": width}
    return ViTImageProcessor(size=size, resample=FILTERS["bicubic"], **_scaling(mean, std))


def squashing_processor(published: Any, size: int | None) -> ViTImageProcessor:
    """Make an image processor that squashes pictures, with mean, deviation and (if `size` is None) size of `published`.

    Training, the exported graph and transformers then all see the same pixels, and nothing is cropped away.
    """
    own = published.size
    side = size or own.get("height") or own.get("shortest_edge")
    return square_processor(side, side, published.image_mean, published.image_std)


def image_processor_of(image: ImageConfig) -> ViTImageProcessor | CLIPImageProcessor:
    """Make an image processor that prepares pictures as `image`, from a model folder's config.json, says."""
    square, how = {"height": image.size, "width": image.size}, _scaling(image.mean, image.std)
    how["resample"] = FILTERS[image.interpolation]
    if image.resize == "squash":
        return ViTImageProcessor(size=square, **how)
    return CLIPImageProcessor(size={"shortest_edge": image.size}, crop_size=square, **how)


def _scaling(mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    return {"image_mean": list(mean), "image_std": list(std), "do_convert_rgb": True}


def _three_numbers(values: Any) -> tuple[float, float, float]:
    """Return three numbers, for red, green and blue; anything else is an InputError."""
    try:
        red, green, blue = values
        return float(red), float(green), float(blue)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{values!r:.60} are no three numbers, for red, green and blue. Copy the folder again."
        ) from error


def _cannot_express(name: str, what: str) -> ModelMismatch:
    return ModelMismatch(
        f"{name} is fed with {what}; a model folder has squares, squashed or cut from the middle. "
        "AraCLIP.load takes the model as it is, with PyTorch."
    )
