"""A model folder's graphs → the AraCLIPModel that they were written from, to be trained further.

An export notes in each graph the model's configuration and where its weights went, see `graph.note`. What was stored
narrow comes back as the graphs read it, so the unpacked model gives the vectors that the folder gives.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from araclip import model_folder
from araclip.encoder import AraCLIP
from araclip.errors import AraCLIPError, ModelMismatch
from araclip.training.export.checks import check_parity, closeness, probes
from araclip.training.export.graph import NOTES
from araclip.training.export.quantize import widened
from araclip.training.model.configuration import AraCLIPConfig
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor, squashing
from araclip.training.small_cnn import batchnorm
from araclip.training.small_cnn.branches_configuration import current_weight_name


def unpack(name_or_path: str | Path) -> tuple[AraCLIPModel, AraCLIPProcessor]:
    """The AraCLIPModel of a model folder or bundled model, and its processor.

    Raises:
        ModelNotFound: there is none.
        ModelMismatch: its graphs do not say what they were made of: they were exported before that was noted, their
            weights are stored as dynamic-int8, or the model made of them does not give their vectors; or a file is
            damaged.
    """
    exported = AraCLIP(model_folder.find(name_or_path))
    for part in model_folder.HASHED:
        model_folder.check_hash(exported.folder, exported.config, part)
    graphs = {part: onnx.load(str(exported.folder / part)) for part in ("text.onnx", "image.onnx")}
    notes = {part: _notes(exported, part, graph) for part, graph in graphs.items()}
    model = AraCLIPModel(AraCLIPConfig.from_dict(notes["text.onnx"]["config"])).eval()
    weights: dict[str, Tensor] = {}
    size = exported.config.image.size
    merged = _norms_after_convolutions(model, size)
    for part, graph in graphs.items():
        weights |= _found(model, _held(graph), notes[part]["moved"], merged)
    model.load_state_dict(weights, strict=False)
    if lost := _missed(model, weights, size):
        raise ModelMismatch(
            f"{exported.folder}: {lost[0]} was computed away when the graphs were written, and {len(lost) - 1} more of "
            "the model's weights. Start from the saved AraCLIPModel."
        )
    processor = _processor(exported)
    try:
        check_parity(closeness(exported, probes(model, processor, size)))
    except AraCLIPError as error:
        raise ModelMismatch(f"{exported.folder}: the graphs do not give back their model ({error})") from error
    return model, processor


def _notes(exported: AraCLIP, part: str, graph: Any) -> dict[str, Any]:
    found = next((entry.value for entry in graph.metadata_props if entry.key == NOTES), None)
    if found is None:
        raise ModelMismatch(
            f"{exported.folder / part} does not say what model it was made of: an older release exported it. Export "
            "the model again, or start from the saved AraCLIPModel."
        )
    notes: dict[str, Any] = json.loads(found)
    notes["moved"] = {
        current_weight_name(name): (current_weight_name(source), turned)
        for name, (source, turned) in notes["moved"].items()
    }
    return notes


def _found(
    model: AraCLIPModel,
    held: Mapping[str, NDArray[Any]],
    moved: Mapping[str, tuple[str, bool]],
    merged: Mapping[str, str],
) -> dict[str, Tensor]:
    """The weights that one graph holds.

    Args:
        held: the graph's, wide. moved: see `graph.note`. merged: convolution → the norm that the exporter merged into
            it.
    """
    found: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        source, turned = moved.get(name, (f"model.{name}", False))
        if (values := held.get(source)) is not None:
            laid = values.reshape(weight.shape[::-1] if turned else weight.shape)
            found[name] = torch.tensor(laid.T if turned else laid)
    for convolution, norm in merged.items():
        if (bias := held.get(f"model.{convolution}.weight_bias")) is not None:
            own: Any = model.get_submodule(norm)
            batchnorm.only_add(own, torch.tensor(bias))
            found |= {f"{norm}.{name}": tensor for name, tensor in own.state_dict().items()}
    return found


def _held(graph: Any) -> dict[str, NDArray[Any]]:
    return {current_weight_name(name): values for name, values in widened(graph.graph).items()}


def _missed(model: AraCLIPModel, found: Collection[str], size: int) -> list[str]:
    """The weights not among those found of which the vectors are made; a mask token, for one, is none."""
    text = model.get_text_features(torch.zeros((1, 2), dtype=torch.long))
    image = model.get_image_features(torch.zeros(1, 3, size, size))
    names, learned = zip(*model.named_parameters(), strict=True)
    slopes = torch.autograd.grad(text.sum() + image.sum(), learned, allow_unused=True)
    return [name for name, slope in zip(names, slopes, strict=True) if slope is not None and name not in found]


def _norms_after_convolutions(model: AraCLIPModel, size: int) -> dict[str, str]:
    """Convolution → the BatchNorm that reads its output; PyTorch's exporter makes one layer of the two."""
    made: dict[int, str] = {}
    pairs: dict[str, str] = {}
    kept = []  # an output that were freed could give its address to another

    def after(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            made[id(output)] = name
            kept.append(output)

        return hook

    def before(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            if (convolution := made.get(id(inputs[0]))) is not None:
                pairs[convolution] = name

        return hook

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before(name)))
    with torch.inference_mode():
        model.get_image_features(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return pairs


def _processor(exported: AraCLIP) -> AraCLIPProcessor:
    text, image = exported.config.text, exported.config.image
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(exported.folder / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(text.pad_id)
    pictures = squashing(image.size, image.size, image.mean, image.std)
    return AraCLIPProcessor(pictures, tokenizer, max_tokens=text.max_tokens)
