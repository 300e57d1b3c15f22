"""Trained towers → a model folder: ONNX graphs, tokenizer, config, model card.

Weights are stored small and computed in full: the text tower's matrices as int8 with one scale a column, its word
embeddings as int8 with one scale a row, the picture tower's weights in float16. ONNX Runtime widens them once, when it
opens the graph. Dynamic int8, which computes in int8 too, is 1.4 to 1.6 times as fast but moves the vectors (mean
cosine .990 to the float32 ones, against .9997 this way; docs/LOG.md).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize as unit

from araclip import model_folder
from araclip.arabic import NORMALIZER_VERSION
from araclip.training.graph import write_graph
from araclip.training.modeling import MAX_TOKENS, ImageTower, TextTower

Narrowed = tuple[dict[str, NDArray[Any]], list[onnx.NodeProto]]

_WORTH_NARROWING = 1024  # elements; smaller tensors stay float32


class _TextGraph(nn.Module):
    """The text tower with its word embeddings as int8 rows: (B, T) ids and mask → (B, D)."""

    rows: Tensor
    scale: Tensor

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.encoder: Any = tower.encoder
        self.projection = tower.projection
        table = tower.encoder.embeddings.word_embeddings.weight.detach()
        scale = table.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127.0
        self.register_buffer("rows", torch.round(table / scale).to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        words = self.rows[input_ids].to(torch.float32) * self.scale[input_ids]  # (B, T, H)
        embeddings = self.encoder.embeddings
        length = input_ids.shape[1]
        x = words + embeddings.position_embeddings.weight[:length] + embeddings.token_type_embeddings.weight[0]
        x = embeddings.LayerNorm(x)
        weight = attention_mask.to(x.dtype)
        bias = ((1.0 - weight) * -1e9)[:, None, None, :]  # (B, 1, 1, T)
        for layer in self.encoder.encoder.layer:
            x = _bert_layer(layer, x, bias)
        weight = weight[..., None]
        pooled = (x * weight).sum(dim=1) / weight.sum(dim=1)  # (B, H)
        return unit(self.projection(pooled), dim=-1)


def _bert_layer(layer: nn.Module, x: Tensor, bias: Tensor) -> Tensor:
    # Written out, so that the graph holds plain MatMul and Softmax nodes, which quantisation and fusion recognise.
    attention: Any = layer.attention
    own = attention.self
    heads, size = own.num_attention_heads, own.attention_head_size
    # three times (B, T, H) → (B, A, T, h)
    q, k, v = (f(x).unflatten(-1, (heads, size)).transpose(1, 2) for f in (own.query, own.key, own.value))
    weights = torch.softmax(q @ k.transpose(-1, -2) / size**0.5 + bias, dim=-1)
    x = attention.output.LayerNorm(attention.output.dense((weights @ v).transpose(1, 2).flatten(-2)) + x)
    feed: Any = layer
    return feed.output.LayerNorm(feed.output.dense(torch.nn.functional.gelu(feed.intermediate.dense(x))) + x)  # type: ignore[no-any-return]


def export(
    text: TextTower, image: ImageTower, tokenizer: Tokenizer, folder: Path, about: dict[str, Any], card: str, size: int
) -> None:
    """Write the model folder (see `model_folder`).

    Args:
        about: name, version, license, training_data, measured, and the towers' names as text_tower and image_tower.
        card: README.md, the model card.
        size: the picture side in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = text.projection.out_features
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_text_graph(text, folder / "text.onnx")
    _export_image(image, folder, size)
    (folder / "README.md").write_text(card, encoding="utf-8")
    config = {
        "format": model_folder.FORMAT,
        "name": about["name"],
        "version": about["version"],
        "width": width,
        "text": {
            "tower": about["text_tower"],
            "pooling": "mean",
            "max_tokens": MAX_TOKENS,
            "normalizer": NORMALIZER_VERSION,
            "pad_id": 1,
        },
        "image": {
            "tower": about["image_tower"],
            "size": size,
            "resize": "squash",
            "interpolation": "bicubic",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        },
        "files": {part: model_folder.sha256(folder / part) for part in model_folder.HASHED},
        "license": about["license"],
        "training_data": about["training_data"],
        "measured": about["measured"],
    }
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_text_graph(tower: TextTower, path: Path, *, narrow: bool = True) -> None:
    """text.onnx of a tower; `narrow=False` keeps its matrices in float32, to measure what narrowing costs."""
    ids = torch.randint(4, 100, (3, 7))
    axes = {0: torch.export.Dim("batch", min=1, max=65536), 1: torch.export.Dim("tokens", min=2, max=MAX_TOKENS)}
    masked = {"input_ids": axes, "attention_mask": axes}
    write_graph(_TextGraph(tower), (ids, torch.ones_like(ids)), path, masked, "embedding")
    if narrow:
        _narrow(path, _as_int8)


def _export_image(tower: ImageTower, folder: Path, size: int) -> None:
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    path = folder / "image.onnx"
    write_graph(tower, (pixels,), path, {"pixels": {0: torch.export.Dim("batch", min=1, max=65536)}}, "embedding")
    _narrow(path, _as_float16)


def _narrow(path: Path, narrow: Callable[[str, NDArray[np.float32]], Narrowed | None]) -> None:
    """Replace large float32 weights by narrow ones and the nodes that widen them again."""
    model = onnx.load(str(path))
    weights: list[onnx.TensorProto] = []
    widening: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        large = values.dtype == np.float32 and values.size >= _WORTH_NARROWING
        narrowed = narrow(tensor.name, values) if large else None
        if narrowed is None:
            weights.append(tensor)
        else:
            weights += [numpy_helper.from_array(array, name) for name, array in narrowed[0].items()]
            widening += narrowed[1]
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(weights)
    model.graph.node.extend(widening + nodes)
    onnx.save(model, str(path))


def _as_float16(name: str, values: NDArray[np.float32]) -> Narrowed:
    half = f"{name}_half"
    return {half: values.astype(np.float16)}, [helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)]


def _as_int8(name: str, values: NDArray[np.float32]) -> Narrowed | None:
    if values.ndim != 2 or min(values.shape) < 2:
        return None
    scale = np.maximum(np.abs(values).max(axis=0, keepdims=True), 1e-12) / np.float32(127)  # (1, columns)
    arrays = {f"{name}_int8": np.round(values / scale).astype(np.int8), f"{name}_scale": scale}
    cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_wide"], to=TensorProto.FLOAT)
    return arrays, [cast, helper.make_node("Mul", [f"{name}_wide", f"{name}_scale"], [name])]
