"""Any PyTorch module → an ONNX file, its weights inside or beside."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import onnx
import torch
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo
from torch import Tensor, nn

OPSET = 18
MAX_BYTES = 2_000_000_000  # one ONNX file is one protobuf message, which ends at 2 GiB
DATA = ".data"  # behind the name of a graph: the file of its weights
ORIGIN_KEY = "araclip"  # of the metadata that say what model a graph was made of, see `tower_graphs.write_origin`


def write_graph(
    module: nn.Module, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], output: str, *,
    outside: bool = False,
) -> None:  # fmt: skip
    """Trace `module` and write one .onnx file; weights are written one by one, none is held twice in memory.

    Args:
        inputs: example tensors; every dynamic axis must be longer than 1 in them.
        axes: for each input, in the order of `forward`, its dynamic axes as names, or as `torch.export.Dim`.
        output: the name of the one output.
        outside: leave the weights in a file beside, `path` with .data behind its name; so it is done anyway where they
            are more than a file can hold.
    """
    with quiet():
        program: Any = torch.onnx.export(
            module.eval(), inputs, input_names=list(axes), output_names=[output], dynamic_shapes=axes,
            opset_version=OPSET, dynamo=True, verbose=False,
        )  # fmt: skip
        graph = program.model.graph
        (last,) = graph.outputs
        made = [value for node in graph for value in node.outputs]
        for value in [*made, *graph.initializers.values()]:
            if value is not last and value.name == output:  # torch calls every table look-up "embedding"
                value.name = f"{output}_inside"
        for noted in (graph, *graph, *made):  # stack traces, with the paths of this machine
            noted.metadata_props.clear()
        program.save(str(path), external_data=True)
    if not outside:
        take_in(path)


def take_in(path: Path) -> None:
    """Move the weights of the file beside a graph into its own, where they fit; the file beside is then gone."""
    model = onnx.load(str(path), load_external_data=False)
    data = path.with_name(f"{path.name}{DATA}")
    moved = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    if data.exists() and data.stat().st_size + path.stat().st_size > MAX_BYTES:
        return
    kept = [tensor for tensor in model.graph.initializer if tensor.data_location != TensorProto.EXTERNAL]
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    model.ClearField("graph")
    del graph.initializer[:]
    graph.initializer.extend(kept)
    inside = graph.SerializeToString()
    heads = [(tensor, *_head(tensor)) for tensor in moved]
    fields = [_field(5, len(head) + size) for _, head, size in heads]  # GraphProto.initializer
    length = len(inside) + sum(
        len(field) + len(head) + size for field, (_, head, size) in zip(fields, heads, strict=True)
    )
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(model.SerializeToString() + _field(7, length) + inside)  # ModelProto.graph
        for field, (tensor, head, size) in zip(fields, heads, strict=True):
            file.write(field + head)
            where = ExternalDataInfo(tensor)
            if size:
                with data.open("rb") as weights:
                    weights.seek(where.offset or 0)
                    _copy(weights, file, size)
    temporary.replace(path)
    data.unlink(missing_ok=True)


def _head(tensor: Any) -> tuple[bytes, int]:
    """A tensor's message up to its numbers, and the length of those in bytes."""
    size = int(ExternalDataInfo(tensor).length or 0)
    bare = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    return bare.SerializeToString() + _field(9, size), size  # TensorProto.raw_data


def _field(number: int, length: int) -> bytes:
    """The start of a field of a protocol buffer that has so many bytes."""
    out, value = bytearray([number << 3 | 2]), length
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count:
        block = source.read(min(count, 1 << 24))
        if not block:
            raise EOFError(f"{source.name} is too short")
        target.write(block)
        count -= len(block)


@contextmanager
def quiet() -> Iterator[None]:
    """A `with` block without the warnings of torch's exporter about torch itself and the advice of ONNX tools."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
