"""Graphs that this run has traced are copied where they are asked for again: PyTorch's exporter takes seconds each."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from araclip.peers import towers
from araclip.training.export import tower_graphs
from araclip.training.export.graphs import OPSET, quiet, trace_graph
from araclip.training.stages import frozen_features

# What ONNX has for each operator of torch. The exporter reads the source of 2,500 functions for each graph, a fifth
# of the time of a small one. Nothing changes it afterwards, as no operators of our own are given.
operators = cache(ONNXRegistry.from_torchlib)
OTHER_TOWER = {
    tower_graphs.TextGraph: ("vision_", "visual_"), tower_graphs.ImageGraph: ("text_",), towers.TextGraph: ("visual",),
}  # fmt: skip
SCALARS = (bool, int, float, str, tuple, list, type(None))
PLACES = ("name_or_path", "_name_or_path")  # where it was read from


def known_by(module: nn.Module, inputs: Any, axes: Any, output: str, outside: bool) -> str:
    """The hash of all that a trace depends on: every layer, its settings and weights, the inputs, the axes."""
    known = hashlib.sha256()
    unused = tuple(f"model.{start}" for start in (*OTHER_TOWER.get(type(module), ()), "logit_", "max_tokens"))
    for name, layer in module.named_modules():
        if not name.startswith(unused):
            plain = {key: plainly(value) for key, value in vars(layer).items() if key not in PLACES}
            known.update(f"{name} {type(layer)} {sorted(plain.items())}".encode())
            if (config := getattr(layer, "config", None)) is not None:
                known.update(f"{getattr(config, '_attn_implementation', None)} {settings(config, unused)}".encode())
    for name, weight in module.state_dict().items():
        if not name.startswith(unused):
            known.update(f"{name} {content(weight)}".encode())
    for value in inputs:
        known.update(content(value).encode())
    free = json.dumps(axes, default=lambda axis: [axis.__name__, str(axis.min), str(axis.max)])
    known.update(f"{free} {output} {outside}".encode())
    return known.hexdigest()


def plainly(value: Any) -> str:
    """What an attribute of a layer says; layers and registered tensors are looked at elsewhere."""
    if isinstance(value, Tensor):
        return content(value)
    return repr(value) if isinstance(value, SCALARS) else getattr(value, "__qualname__", type(value).__name__)


def content(tensor: Tensor) -> str:
    numbers = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()  # NumPy has no bfloat16
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(numbers.contiguous().numpy().tobytes()).hexdigest()}"


def settings(config: Any, unused: tuple[str, ...]) -> str:
    """A configuration without what tells of the other tower and of places."""

    def kept(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: kept(inner) for key, inner in value.items() if key not in PLACES}

    every = config.to_dict() if hasattr(config, "to_dict") else vars(config)
    own = {key: value for key, value in kept(every).items() if not f"model.{key}".startswith(unused)}
    return json.dumps(own, default=str, sort_keys=True)


@contextmanager
def remembered_in(folder: Path) -> Iterator[None]:
    """For a `with` block, what is traced is kept in a folder, which several processes may share."""

    def write(module: nn.Module, inputs: Any, path: Path, axes: Any, output: str, *, outside: bool = False) -> None:
        kept = folder / known_by(module.eval(), inputs, axes, output, outside) / path.name  # names its weights' file
        if not kept.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=folder))
            trace_graph(module, inputs, part / path.name, axes, output, outside=outside)
            with suppress(OSError):  # another process was faster
                part.rename(kept.parent)
        for file in kept.parent.iterdir():
            shutil.copyfile(file, path.with_name(file.name))

    with pytest.MonkeyPatch.context() as patch:
        for room in (frozen_features, tower_graphs):
            patch.setattr(room, "trace_graph", write)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(operators))
        yield


@contextmanager
def quickly(*, texts_alone: bool = False) -> Iterator[None]:
    """For a `with` block, towers, or those of texts alone, are written by PyTorch's earlier exporter, in a twentieth of
    the time; its graphs compute the same. For tests of what is done with a graph: how one is written, `test_export`,
    `test_unpack` and `test_images_of_training` ask."""
    exported = tower_graphs.trace_graph  # perhaps one that remembers

    def write(module: nn.Module, inputs: Any, path: Path, axes: Any, output: str, *, outside: bool = False) -> None:
        unused = tuple(f"model.{start}" for start in OTHER_TOWER.get(type(module), ()))
        layers = [layer for name, layer in module.named_modules() if not name.startswith(unused or "\0")]
        kinds = {type(layer) for layer in layers}
        fixes_tokens = nn.MultiheadAttention in kinds and any(len(free) > 1 for free in axes.values())
        rounds = any(getattr(layer, "map_scale", 1) != 1 for layer in layers)
        others = texts_alone and not isinstance(module, tower_graphs.TextGraph)
        if others or fixes_tokens or rounds or AttentionPool2d in kinds:  # of which it would not know the width
            exported(module, inputs, path, axes, output, outside=outside)
            return
        named = {
            name: {axis: getattr(free, "__name__", free) for axis, free in one.items()} for name, one in axes.items()
        }
        with quiet():
            torch.onnx.export(
                module.eval(), inputs, str(path), input_names=list(axes), output_names=[output], dynamic_axes=named,
                opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        graph = onnx.load(str(path))
        with torch.no_grad():
            made = module(*inputs)
        first, *sizes = graph.graph.output[0].type.tensor_type.shape.dim  # which it does not always know
        first.dim_param = next(iter(named.values()))[0]
        for axis, size in zip(sizes, made.shape[1:], strict=True):
            axis.dim_value = size
        onnx.save(graph, str(path))

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # an operator that ONNX does not have
    try:
        with pytest.MonkeyPatch.context() as patch:
            for room in (frozen_features, tower_graphs):
                patch.setattr(room, "trace_graph", write)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
