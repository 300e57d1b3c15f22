"""A model folder's ONNX graphs → the AraCLIPModel that they were written from, to be trained further.

An export writes into each graph the model's configuration and where its weights are, see `tower_graphs.write_origin`.
Quantised weights come back as they are, so the rebuilt model gives the same vectors as the folder, which is checked;
but for what a graph that is computed in int8 rounds on the way.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip import __version__ as araclip_version
from araclip import model_folder
from araclip.display import shown
from araclip.encoder import AraCLIP
from araclip.errors import AraCLIPError, ModelMismatch
from araclip.model_checks import model_check
from araclip.model_checks.checked_models import is_remembered, remember
from araclip.model_folder import ModelConfig
from araclip.training.model.configuration import AraCLIPConfig
from araclip.training.model.parity import LEAST_COSINE, LEAST_IN_INT8, check_parity, closeness, probes
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.onnx_weights import wide_weights
from araclip.training.onnx_writer import ORIGIN_KEY
from araclip.training.small_cnn import batchnorm

CHECKS = 1  # raise it when unpacking changes: what was compared before is compared again
EVERY = 4  # probes of a rebuilt model: every fourth of those that an export, which checks the tracing too, compares


@torch.inference_mode(False)  # whoever calls it: what depends on a weight is found by gradients
@torch.enable_grad()
def model_of_graphs(build: Callable[[AraCLIPConfig], Any], folder: Path) -> Any:
    """The AraCLIPModel that a model folder was exported from, in float32 and eval mode.

    Args:
        build: the model's class; it is not imported here, since its `from_pretrained` calls this function.

    Raises:
        ModelMismatch: the graphs do not hold their model's configuration (an older release exported them), weights
            were folded away (as by dynamic-int8), the rebuilt model does not give the folder's vectors, or a file is
            damaged.
    """
    exported = AraCLIP(folder)
    check_trained_here(exported.config, exported.folder)
    for part in exported.config.files:
        model_folder.check_hash(exported.folder, exported.config, part)
    model_check.check_model_folder(exported.folder)
    graphs = {part: onnx.load(str(exported.folder / part)) for part in ("text.onnx", "image.onnx")}
    origins = {part: _origin(exported, part, graph) for part, graph in graphs.items()}
    model = build(AraCLIPConfig.from_dict(origins["text.onnx"]["config"])).eval()
    weights: dict[str, Tensor] = {}
    size = exported.config.image.size
    merged = _norms_after_convolutions(model, size)
    for part, graph in graphs.items():
        weights |= _weights_of_graph(model, wide_weights(graph), origins[part]["moved"], merged)
    model.load_state_dict(weights, strict=False)
    known = _content(exported)
    if is_remembered(known):  # these files gave this model before, with these libraries
        return model
    if lost := _missing_weights(model, weights, size):
        raise ModelMismatch(
            f"{exported.folder}: {lost[0]} was folded away when the graphs were written, and {len(lost) - 1} more of "
            "the model's weights. Start from the saved AraCLIPModel."
        )
    try:
        expected = probes(model, AraCLIPProcessor.from_pretrained(folder), size, every=EVERY)
        for graph in closeness(exported, expected):
            in_int8 = exported.config.in_int8(graph.graph.removesuffix(".onnx"))
            check_parity([graph], LEAST_IN_INT8 if in_int8 else LEAST_COSINE)
    except AraCLIPError as error:
        raise ModelMismatch(f"{exported.folder}: the graphs do not give back their model ({error})") from error
    remember(known, f"{exported.label} as AraCLIPModel")
    return model


def _content(exported: AraCLIP) -> list[object]:
    """All that the outcome of unpacking a folder depends on: its files, how it is read, and who computes."""
    files = exported.config.files
    prepared = [exported.config.text.max_tokens, exported.config.text.pad_id, exported.config.image.size]
    return ["unpack", CHECKS, araclip_version, torch.__version__, transformers.__version__, files, prepared]


def check_trained_here(config: ModelConfig, folder: Path) -> None:
    """Refuse a folder that `araclip pull` made of somebody else's model: no AraCLIPModel has its architecture.

    Raises:
        ModelMismatch: it is one; the message names `AraCLIP.load`.
    """
    if config.source is not None:
        theirs = shown(str(config.source.get("id", "another model")))
        raise ModelMismatch(
            f"{folder} holds the graphs of {theirs}, not those of an AraCLIPModel, so it cannot become one. Use it "
            "with AraCLIP.load, which needs no PyTorch; to train, start from the published weights "
            "(AraCLIPModel.from_towers)."
        )


def _origin(exported: AraCLIP, part: str, graph: Any) -> dict[str, Any]:
    found = next((entry.value for entry in graph.metadata_props if entry.key == ORIGIN_KEY), None)
    if found is None:
        raise ModelMismatch(
            f"{exported.folder / part} does not say what model it was made of: an older release exported it, or "
            "another program. Use it with AraCLIP.load; to train, export the model again, or start from the saved "
            "AraCLIPModel."
        )
    origin: dict[str, Any] = json.loads(found)
    return origin


def _weights_of_graph(
    model: nn.Module,
    graph_weights: Mapping[str, NDArray[Any]],
    moved: Mapping[str, tuple[str, bool]],
    merged: Mapping[str, str],
) -> dict[str, Tensor]:
    """The weights that one graph holds.

    Args:
        graph_weights: in float32. moved: see `write_origin`. merged: convolution → the BatchNorm that the
            exporter merged into it.
    """
    weights: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        source, transposed = moved.get(name, (f"model.{name}", False))
        if (values := graph_weights.get(source)) is not None:
            array = values.reshape(weight.shape[::-1] if transposed else weight.shape)
            weights[name] = torch.tensor(array.T if transposed else array)
    for convolution, norm in merged.items():
        if (bias := graph_weights.get(f"model.{convolution}.weight_bias")) is not None:
            own: Any = model.get_submodule(norm)
            batchnorm.only_add(own, torch.tensor(bias))
            weights |= {f"{norm}.{name}": tensor for name, tensor in own.state_dict().items()}
    return weights


def _missing_weights(model: Any, found: Collection[str], size: int) -> list[str]:
    """Weights that the vectors depend on and that were not found; a mask token, for one, has no influence."""
    text = model.get_text_features(torch.zeros((1, 2), dtype=torch.long)).pooler_output
    image = model.get_image_features(torch.zeros(1, 3, size, size)).pooler_output
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(text.sum() + image.sum(), parameters, allow_unused=True)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is not None and name not in found]


def _norms_after_convolutions(model: Any, size: int) -> dict[str, str]:
    """Convolution → the BatchNorm that reads its output; PyTorch's exporter makes one layer of the two."""
    producer: dict[int, str] = {}
    pairs: dict[str, str] = {}
    outputs = []  # a freed output could pass its address on to another

    def after(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            producer[id(output)] = name
            outputs.append(output)

        return hook

    def before(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            if (convolution := producer.get(id(inputs[0]))) is not None:
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
