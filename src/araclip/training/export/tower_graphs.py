"""Writes the two towers of a model as ONNX graphs, from raw input to unit vector, with the model's configuration."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import ExportRejected, first_line
from araclip.training.export.graphs import numbers, read_graph, take_in, trace_graph
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.unpack import ORIGIN_KEY

OUTPUT = "embedding"
BATCH, TOKENS = "batch", "tokens"  # names of the axes whose length is free


class TextGraph(nn.Module):
    """The text tower with pooling and projection: ids and mask (texts, tokens) → vectors (texts, D) of unit length."""

    def __init__(self, model: AraCLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return l2_normalize(self.model.get_text_features(input_ids, attention_mask).pooler_output, dim=-1)


class Scaled(nn.Module):
    """Scales pixels by each channel's mean and std: uint8 (pictures, S, S, 3) → float32 (pictures, 3, S, S)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def scaled(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - self.mean) / self.std


class ImageGraph(nn.Module):
    """The image tower with scaling and projection: uint8 (pictures, S, S, 3) → vectors (pictures, D) of unit length."""

    def __init__(self, model: AraCLIPModel, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        factors = [1 / (255 * deviation) for deviation in std]
        offsets = [-middle / deviation for middle, deviation in zip(mean, std, strict=True)]
        self._factor, self._offset = _number_or_channels(factors), _number_or_channels(offsets)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) * self._factor + self._offset  # (B, 3, S, S)
        return l2_normalize(self.model.get_image_features(x).pooler_output, dim=-1)


def _number_or_channels(values: Sequence[float]) -> float | Tensor:
    """Return one number if all channels have the same, which is faster in ONNX Runtime; otherwise (1, 3, 1, 1)."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values).view(1, 3, 1, 1)


def write_text_graph(model: AraCLIPModel, path: Path) -> None:
    """Write text.onnx in float32: `input_ids`, `attention_mask` (B, T) int64 → `embedding` (B, D)."""
    length = min(7, max(2, model.config.max_tokens))  # an axis of length 1 would be taken for a constant
    ids = torch.arange(3 * length).view(3, length) % model.config.text_config.vocab_size
    axes = {0: BATCH, 1: TOKENS}
    inputs = {"input_ids": axes, "attention_mask": axes}
    _write_own(TextGraph(model), model.text_model, (ids, torch.ones_like(ids)), path, inputs)


def write_image_graph(model: AraCLIPModel, size: int, mean: Sequence[float], std: Sequence[float], path: Path) -> None:
    """Write image.onnx in float32: `pixels` (B, size, size, 3) uint8 → `embedding` (B, D)."""
    pixels = torch.arange(2 * size * size * 3).view(2, size, size, 3).to(torch.uint8)
    graph = ImageGraph(model, mean, std)
    _write_own(graph, model.vision_model, (pixels,), path, {"pixels": {0: BATCH}})


def _write_own(
    graph: TextGraph | ImageGraph, tower: Any, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any]
) -> None:
    kind = tower.config.model_type
    if kind not in ("timm_wrapper", "araclip_branches"):
        tower.set_attn_implementation("eager")  # attention as MatMul and Softmax, which ONNX Runtime optimises best
    write_tower(graph, kind, inputs, path, axes, "otherwise take another tower")
    write_origin(path, graph.model)  # adds metadata, and moves the weights into the graph's file


def write_tower(
    graph: nn.Module, tower: str, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], remedy: str
) -> None:
    """Write a tower's graph in float32, with its weights in a file beside it; raise ExportRejected if torch cannot.

    `tower` is the tower's name and `remedy` the advice, both for the message.
    """
    try:
        trace_graph(graph, inputs, path, axes, OUTPUT, outside=True)
    except Exception as error:  # any error: those of exporter and tower have no common base class
        raise ExportRejected(
            f"{path.name}: PyTorch {torch.__version__} cannot write the tower '{tower}' as ONNX ({first_line(error)}). "
            f"A newer torch or transformers may; {remedy}."
        ) from error


def write_origin(path: Path, model: AraCLIPModel) -> None:
    """Write into a float32 graph's metadata, in place, what `model.unpack` needs to rebuild the model.

    That is the model's configuration, and the places of weights that the exporter renamed, transposed, reshaped or
    merged with an equal weight: `{"config": {…}, "moved": {weight: [initializer, whether it is transposed]}}`.

    Weights that lie in a file beside the graph are moved into the graph if one ONNX file can hold them (2 GB).
    """
    onnx_model = read_graph(path)
    names = {tensor.name for tensor in onnx_model.graph.initializer}
    known: dict[bytes, str] = {}
    for tensor in onnx_model.graph.initializer:
        known.setdefault(_value_key(numbers(tensor, path.parent)), tensor.name)
    moved = {}
    for name, weight in model.state_dict().items():
        values = weight.detach().cpu().numpy()
        for transposed, array in enumerate((values, values.T) if values.ndim == 2 else (values,)):
            if f"model.{name}" not in names and (initializer := known.get(_value_key(array))) is not None:
                moved[name] = [initializer, bool(transposed)]
    config = {**model.config.to_dict(), "logit_scale_init_value": model.logit_scale.item()}
    if hasattr(model, "logit_bias"):
        config["logit_bias_init"] = model.logit_bias.item()
    entry = onnx_model.metadata_props.add()
    entry.key, entry.value = ORIGIN_KEY, json.dumps({"config": config, "moved": moved})
    onnx.save(onnx_model, str(path))
    take_in(path)


def _value_key(values: NDArray[Any]) -> bytes:
    """Return a key that is equal for equal numbers in the same order; shapes do not count: the exporter adds axes."""
    return f"{values.dtype} {values.size} ".encode() + hashlib.sha256(values.tobytes()).digest()
