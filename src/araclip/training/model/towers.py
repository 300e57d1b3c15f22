"""Builds, loads and pools towers: any text or vision encoder of transformers or, through transformers, of timm."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from araclip.errors import InputError, ModelMismatch, RecipeError
from araclip.training.model.configuration import AraCLIPConfig, usual_vision_pooling
from araclip.training.model.foreign import config_at

# Vision towers that have a projection of their own into the space they share with their text tower.
_PROJECTED = {
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "metaclip_2_vision_model": "MetaClip2VisionModelWithProjection",
}


def text_tower(config: PreTrainedConfig) -> PreTrainedModel:
    """Make a text encoder with random weights, without a pooler if it can be left out."""
    return AutoModel.from_config(config, trust_remote_code=False, **_text_options(config))


def image_tower(config: PreTrainedConfig, projected: bool, pooling: str) -> PreTrainedModel:
    """Make a vision tower with random weights. With `projected`, it has its own projection, if its kind has one.

    The tower has a pooler only if `pooling` is "pooler" or the pooler cannot be left out.
    """
    name = _PROJECTED.get(config.model_type) if projected else None
    if name:
        return getattr(transformers, name)(config)
    return AutoModel.from_config(config, trust_remote_code=False, **_without_pooler(config, pooling != "pooler"))


def load_text_tower(source: str | Path | PreTrainedModel) -> PreTrainedModel:
    """Load the pretrained text encoder of a hub id or folder, in float32; of a dual encoder, take the text tower.

    A loaded model is returned unchanged.
    """
    if isinstance(source, PreTrainedModel):
        return source
    config = config_at(source)
    if config.model_type == "araclip":
        return load_complete(AutoModel, source).text_model
    config = getattr(config, "text_config", None) or config
    return load_complete(AutoModel, source, config=config, **_text_options(config))


def load_image_tower(source: str | Path | PreTrainedModel, projected: bool, pooling: str | None) -> PreTrainedModel:
    """Load the pretrained vision tower of a hub id or folder, in float32; of a dual encoder, take the vision tower.

    A loaded model is returned unchanged. `projected` and `pooling` are as in `image_tower`, but None
    means the tower's usual pooling.
    """
    if isinstance(source, PreTrainedModel):
        return source
    whole = config_at(source)
    if whole.model_type == "araclip":
        tower = load_complete(AutoModel, source).vision_model
        if tower is None:
            raise ModelMismatch(f"{source} has no image tower. Take one from another model.")
        return tower
    config = getattr(whole, "vision_config", None) or whole
    if config is not whole and hasattr(config, "projection_dim"):
        # The whole model's width counts; the configuration of the vision part may state a default.
        config.projection_dim = whole.projection_dim
    name = _PROJECTED.get(config.model_type) if projected else None
    if name:
        return load_complete(getattr(transformers, name), source, config=config)
    drop = _without_pooler(config, (pooling or usual_vision_pooling(config)) != "pooler")
    return load_complete(AutoModel, source, config=config, **drop)


def load_complete(kind: Any, source: str | Path, *, name: str = "", **options: Any) -> Any:
    """Call `kind.from_pretrained` in float32; raise ModelMismatch if weights are missing or have other shapes.

    Messages name the model by `name`, or by `source` if `name` is empty.
    """
    model, report = kind.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, ignore_mismatched_sizes=True,
        **options,
    )  # fmt: skip
    # transformers' own error about shapes, which `ignore_mismatched_sizes` turns off, names no weight
    if found := sorted(
        (weight, tuple(given), tuple(expected)) for weight, given, expected in report["mismatched_keys"]
    ):
        weight, given, expected = found[0]
        more = f", and {len(found) - 1} more do not fit" if len(found) > 1 else ""
        raise ModelMismatch(
            f"{name or source}: the weight {weight} is {given}, config.json asks for {expected}{more}. The two belong "
            "to different models: copy the whole folder again."
        )
    check_complete(model, report["missing_keys"], name or source)
    return model


def check_complete(model: nn.Module, missing: Iterable[str], source: Any, spare: Iterable[str] = ()) -> None:
    """Raise ModelMismatch if some weights of the model are random; transformers only logs this.

    Args:
        missing: names that the checkpoint did not have; buffers, which are computed, do not count.
        spare: names that may be missing.
    """
    weights = {name for name, _ in model.named_parameters()}
    lost = sorted((weights & set(missing)) - set(spare))
    if lost:
        raise ModelMismatch(
            f"{source} lacks {len(lost)} of the {len(weights)} weights of {type(model).__name__}, {lost[0]} for one. "
            f"It holds another kind of model, or was written by a newer transformers than {transformers.__version__}, "
            "which is installed: check the path, or upgrade transformers."
        )


def image_width(tower: PreTrainedModel) -> int:
    """Return W, the width of the features that `pooled_image` returns."""
    config = tower.config
    if config.model_type in _PROJECTED and hasattr(tower, "visual_projection"):
        return int(config.projection_dim)
    if config.model_type == "timm_wrapper":
        return int(tower.timm_model.head_hidden_size)
    if hasattr(config, "hidden_size"):
        return int(config.hidden_size)
    return int(config.hidden_sizes[-1])


def pooled_text(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pool the tokens of texts (B, T, width) to (B, width); `mask` (B, T) is 0 for padding, which does not count."""
    if pooling == "cls":
        return tokens[:, 0]
    real = mask.unsqueeze(-1)  # (B, T, 1)
    if pooling == "max":
        return tokens.masked_fill(real == 0, torch.finfo(tokens.dtype).min).amax(dim=1)
    return (tokens * real.to(tokens.dtype)).sum(dim=1) / real.sum(dim=1).clamp_min(1).to(tokens.dtype)


def image_features(
    tower: Any, pixels: Tensor, config: AraCLIPConfig, mirror: bool, **options: Any
) -> tuple[Any, Tensor]:
    """Run the tower on pixels (B, 3, S, S); return its output, and the pooled features (B, width) of the B pictures.

    With `mirror` the features are the mean over the picture and its mirror image; the output then has 2B rows, first
    the pictures, then the mirror images.
    """
    if mirror:
        if pixels.ndim != 4:
            raise InputError(
                f"vision_mirror needs pixels (B, 3, S, S), these have the shape {tuple(pixels.shape)}. Set it to false "
                "for a tower that takes patches."
            )
        pixels = torch.cat([pixels, pixels.flip(-1)])
    output = tower(pixel_values=pixels, return_dict=True, **options)
    pooled = pooled_image(output, config.vision_pooling, config.vision_config.model_type)
    return output, pooled.view(2, -1, pooled.shape[-1]).mean(dim=0) if mirror else pooled


def pooled_image(output: Any, pooling: str, tower: str) -> Tensor:
    """Pool a vision tower's output to features (B, width); raise ModelMismatch for "pooler" without a pooler."""
    if getattr(output, "image_embeds", None) is not None:
        projected: Tensor = output.image_embeds
        return projected
    if pooling == "pooler":
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ModelMismatch(
                f'vision tower "{tower}" has no pooled output. Set vision_pooling="cls" or "mean", '
                "for a timm tower do_pooling=True."
            )
        return pooled.flatten(1)  # convolutional towers pool to (B, W, 1, 1)
    tokens: Tensor = output.last_hidden_state  # (B, T, W); a convolutional tower gives (B, W, h, w)
    if tokens.ndim == 4:
        tokens = tokens.flatten(2).transpose(1, 2)
    return tokens[:, 0] if pooling == "cls" else tokens.mean(dim=1)


def _text_options(config: PreTrainedConfig) -> dict[str, Any]:
    if getattr(config, "is_encoder_decoder", False):
        raise ModelMismatch(
            f'"{config.model_type}" is an encoder-decoder, the text tower must be an encoder: '
            "BERT, RoBERTa, XLM-R, ModernBERT or the like."
        )
    return _without_pooler(config, True)


def _without_pooler(config: PreTrainedConfig, drop_pooler: bool) -> dict[str, Any]:
    if not drop_pooler:
        return {}
    model = MODEL_MAPPING[type(config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(model.__init__).parameters else {}


# names that encoders give their list of layers
STACKS = {"layer", "layers", "block", "blocks", "resblocks", "stages", "h"}


def parameters_by_layer(module: nn.Module | nn.Parameter) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Yield each parameter's name, the parameter, and its layer's distance from the last layer, in the module's order.

    Parameters before the first layer have the number of layers as distance, parameters after the last layer have 0.
    """
    if isinstance(module, nn.Parameter):
        yield "", module, 0
        return
    prefixes, count = _find_layers(module)
    reached = False  # becomes true at the first parameter that belongs to a layer
    for name, parameter in module.named_parameters():
        if of := [prefix for prefix in prefixes if name.startswith(prefix)]:
            reached = True
            yield name, parameter, count - 1 - int(name[len(of[0]) :].split(".")[0])
        else:
            yield name, parameter, 0 if reached else count


def _find_layers(module: nn.Module) -> tuple[tuple[str, ...], int]:
    """Find the module's list of layers: return prefixes of its parameters' names, and the number of layers.

    The list of layers is the largest list that is not inside another list; it has one prefix. A tower of several
    branches has a list in each branch, of the same name and length, and so a prefix for each branch.
    """
    found: list[tuple[int, str, int]] = []
    outer: tuple[str, ...] = ()
    for name, child in module.named_modules():
        is_list = isinstance(child, nn.ModuleList | nn.Sequential) and name.split(".")[-1] in STACKS
        if is_list and not name.startswith(outer):
            outer = (*outer, f"{name}.")
            found.append((sum(p.numel() for p in child.parameters()), f"{name}.", len(child)))
    if not found:
        raise RecipeError(
            f"{type(module).__name__} has no list of layers by a name of {', '.join(sorted(STACKS))}, so its layers "
            "cannot be told apart. Set layer_decay to 1 and freeze no single layers of it."
        )
    _, largest, count = max(found, key=lambda row: row[0])
    alike = [
        prefix for _, prefix, length in found if length == count and prefix.split(".")[-2] == largest.split(".")[-2]
    ]
    return tuple(alike), count


def freeze(module: nn.Module, first_layers: int, *, embeddings: bool = False) -> int:
    """Freeze the first layers and all modules before them; return how many numbers stopped learning.

    With `embeddings`, the modules before the layers are frozen even if `first_layers` is 0. Only gradients stop: a
    BatchNorm in a frozen layer still gathers statistics unless it is in eval mode.
    """
    if first_layers == 0 and not embeddings:
        return 0
    prefixes, count = _find_layers(module)
    if not 0 <= first_layers <= count:
        raise RecipeError(f"{first_layers} layers to freeze, but {type(module).__name__} has {count}. Freeze fewer.")
    frozen = 0
    for name, parameter, distance in parameters_by_layer(module):
        is_before = not name.startswith(prefixes) and distance == count
        if is_before or (name.startswith(prefixes) and count - 1 - distance < first_layers):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    return frozen


def freeze_batchnorm(model: nn.Module) -> None:
    """Put every BatchNorm into eval mode, so that it keeps its pretrained statistics.

    Batches are too small for new statistics, and rows of a chunk must not influence each other.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.eval()


def fingerprint(model: nn.Module) -> str:
    """Return twelve hex digits: a hash of all weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]
