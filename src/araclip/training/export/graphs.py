"""Traces ONNX graphs from PyTorch, reads and writes them tensor by tensor, and finds and replaces their nodes.

`order_gelu` rewrites GELU for ONNX Runtime. PyTorch's exporter writes x · (0.5 · (1 + erf(x / √2))), but only
(x · (1 + erf(x / √2))) · 0.5 is merged into one operator by ONNX Runtime, together with the bias before it. Both give
the same bits, since a half only changes the exponent.
"""

import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo
from torch import Tensor, nn

from araclip.models.encoder_base import usable_cores

OPSET = 18
MAX_BYTES = 2_000_000_000  # one ONNX file is one protobuf message, which can have at most 2 GiB
DATA = ".data"  # suffix of the file with a graph's weights, after the graph's name


def trace_graph(
    module: nn.Module, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], output: str, *,
    outside: bool = False,
) -> None:  # fmt: skip
    """Trace `module` and write one .onnx file; weights are written one by one, so that none is twice in memory.

    Args:
        inputs: example tensors, in which every dynamic axis is longer than 1.
        axes: for each input, in the order of `forward`, its dynamic axes as names or as `torch.export.Dim`.
        output: the name of the only output.
        outside: leave the weights in a file beside the graph, named `path` plus .data. This is done in any case if the
            weights are more than one file can hold.
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
            # Another value that has the output's name is renamed: torch gives table look-ups the name "embedding", too.
            if value is not last and value.name == output:
                value.name = f"{output}_inside"
        for noted in (graph, *graph, *made):  # removes stack traces, which name paths of this machine
            noted.metadata_props.clear()
        program.save(str(path), external_data=True)
    if not outside:
        take_in(path)


def take_in(path: Path) -> None:
    """Move the weights in the file beside a graph into the graph and delete the file, if they are not too large."""
    model = read_graph(path)
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
    # for each weight: the bytes to write before its numbers; position and length of the numbers in the file beside
    heads = []
    for tensor in moved:
        where = ExternalDataInfo(tensor)
        size = int(where.length or 0)
        head = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims).SerializeToString()
        # 9 and 5 are protobuf's numbers of the fields TensorProto.raw_data and GraphProto.initializer
        head += _field_header(9, size)
        heads.append((_field_header(5, len(head) + size) + head, where.offset or 0, size))
    length = len(inside) + sum(len(head) + size for head, _, size in heads)
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(model.SerializeToString() + _field_header(7, length) + inside)  # 7: field ModelProto.graph
        for head, offset, size in heads:
            file.write(head)
            if size:
                with data.open("rb") as weights:
                    weights.seek(offset)
                    _copy_bytes(weights, file, size)
    temporary.replace(path)
    data.unlink(missing_ok=True)


def _field_header(number: int, length: int) -> bytes:
    """Return the bytes that begin a protobuf field with this number and length."""
    out, value = bytearray([number << 3 | 2]), length
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _copy_bytes(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count:
        block = source.read(min(count, 1 << 24))
        if not block:
            raise EOFError(f"{source.name} is too short")
        target.write(block)
        count -= len(block)


@contextmanager
def quiet() -> Iterator[None]:
    """Make a `with` block without the warnings of torch's exporter and the advice of ONNX tools."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


_ALIGNED = 4096  # bytes of a page; ONNX Runtime can map weights that begin at a page
_WORTH_MOVING = 1024  # bytes; smaller weights stay in the graph, where shapes are read from


def read_graph(path: Path) -> Any:
    """Read a graph as an `onnx.ModelProto`; weights in another file are not read, see `numbers`."""
    return onnx.load(str(path), load_external_data=False)


def numbers(tensor: Any, folder: Path | None = None) -> NDArray[Any]:
    """Return a weight's numbers; if they lie in another file of `folder`, they are memory-mapped, not read."""
    if tensor.data_location != TensorProto.EXTERNAL:
        values: NDArray[Any] = numpy_helper.to_array(tensor)
        return values
    where = external_data_helper.ExternalDataInfo(tensor)
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    shape = tuple(tensor.dims)
    if not int(np.prod(shape)):
        return np.zeros(shape, kind)
    return np.memmap((folder or Path()) / where.location, kind, "r", where.offset or 0, shape)


def write_graph(model: Any, folder: Path, target: Path, *, outside: bool | None = None) -> None:
    """Write a graph to `target`. Its weights go into the same file or, if they exceed 2 GB, into a file beside it.

    Args:
        folder: holds the file of weights, if the weights of `model` lie outside the graph.
        outside: write the weights into a file beside the graph, named `target` plus .data, whatever their size.
    """
    tensors = model.graph.initializer
    if outside is None:
        outside = sum(numbers(tensor, folder).nbytes for tensor in tensors) > MAX_BYTES
    data = target.with_name(target.name + DATA)
    with data.open("wb") as file:
        for tensor in tensors:
            array = numbers(tensor, folder)
            if array.nbytes < _WORTH_MOVING:
                if tensor.data_location == TensorProto.EXTERNAL:
                    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))
                continue
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            start = file.tell()
            array.tofile(file)
            moved = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            moved.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", start), ("length", array.nbytes)):
                moved.external_data.add(key=key, value=str(value))
            tensor.CopyFrom(moved)
    onnx.save(model, str(target))
    if not outside:
        take_in(target)  # copies the weights block by block, so that a large model is in memory only once


def add_domain(model: Any) -> None:
    """Declare that a graph uses ONNX Runtime's own operators."""
    if not any(known.domain == "com.microsoft" for known in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def megabytes(path: Path) -> float:
    """Return the size of a graph on disk with its weights, in 10⁶ bytes."""
    beside = path.with_name(path.name + DATA)
    return (path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)) / 1e6


Uses = list[tuple[Any, int]]  # the nodes that read a value, each with the number of the input that the value is
MIN_ELEMENTS = 1024  # a matrix with fewer elements is not converted


@dataclass(frozen=True)
class Product:
    """A matrix product: a MatMul or Gemm node whose second input is a weight, (outputs, inputs) if `transposed`."""

    node: Any
    weight: Any  # an onnx.TensorProto
    transposed: bool

    @property
    def name(self) -> str:
        """The name of the node's output, which also serves as the product's name."""
        return str(self.node.output[0])

    @property
    def bias(self) -> str:
        """The name of the bias that a Gemm adds; "" if it adds none."""
        return str(self.node.input[2]) if len(self.node.input) > 2 else ""

    def matrix(self, folder: Path | None) -> NDArray[np.float32]:
        """Return the weight as (inputs, outputs) float32; `folder` holds weights that lie outside the graph."""
        values = numbers(self.weight, folder)
        return values.T if self.transposed else values


def uses_of(graph: Any) -> dict[str, Uses]:
    """Return, for each weight or value, the nodes that read it, each with the number of the input."""
    uses: dict[str, Uses] = defaultdict(list)
    for node in graph.node:
        for position, name in enumerate(node.input):
            uses[name].append((node, position))
    return uses


def products(graph: Any) -> Iterator[Product]:
    """Yield a graph's matrix products, in its order: nodes whose float32 weight has at least MIN_ELEMENTS numbers."""
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == 1 and len(tensor.dims) == 2}
    for node in graph.node:
        if node.domain in ("", "ai.onnx") and node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            weight = weights[node.input[1]]
            options = {a.name: a.f if a.name in ("alpha", "beta") else a.i for a in node.attribute}
            plain = options.get("alpha", 1) == 1 and options.get("beta", 1) == 1 and not options.get("transA", 0)
            if plain and np.prod(weight.dims) >= MIN_ELEMENTS and min(weight.dims) > 1:
                yield Product(node, weight, bool(options.get("transB", 0)))


def replace_nodes(graph: Any, instead: dict[str, list[Any]]) -> None:
    """Replace each node whose first output is a key of `instead` by the nodes given there, which make that output."""
    nodes = [new for node in graph.node for new in instead.get(node.output[0] if node.output else "", [node])]
    del graph.node[:]
    graph.node.extend(nodes)


def drop_unused_weights(graph: Any) -> None:
    """Remove weights that no node reads any longer."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


Feed = Mapping[str, NDArray[Any]]  # a graph's inputs by name
_ERROR = 3  # ONNX Runtime's level "error"; its warnings only speak of optimisations


def opened(path: Path, threads: int | None = None) -> Any:
    """Open a graph in ONNX Runtime on the CPU; `threads` None: one for every usable core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def order_gelu(graph: Any) -> int:
    """Reorder every exact GELU (with erf and a scalar ½) of a graph in place, so that ½ comes last; return how many."""
    constants = {t.name: t for t in graph.initializer if len(t.dims) == 0 and not t.external_data}
    made = {name: node for node in graph.node for name in node.output}
    uses = uses_of(graph)
    found = 0
    for last in graph.node:
        for x, scaled in (tuple(last.input), tuple(last.input)[::-1]) if last.op_type == "Mul" else ():
            inner = made.get(scaled)
            if inner is None or inner.op_type != "Mul" or len(uses[scaled]) != 1:
                continue
            half, one_and_erf = tuple(inner.input) if inner.input[0] in constants else tuple(inner.input)[::-1]
            is_half = half in constants and float(numpy_helper.to_array(constants[half])) == 0.5
            if is_half and _reads_erf_of(made, one_and_erf, x):
                inner.input[:] = [x, one_and_erf]
                last.input[:] = [scaled, half]
                found += 1
                break
    return found


def _reads_erf_of(made: dict[str, Any], name: str, x: str) -> bool:
    """True if the value `name` is a sum, and erf(x / something) is one of its parts.

    `made` maps the name of each value to the node that makes it.
    """
    add = made.get(name)
    erf = next((made[i] for i in (add.input if add else ()) if i in made and made[i].op_type == "Erf"), None)
    if add is None or add.op_type != "Add" or erf is None:
        return False
    return erf.input[0] in made and x in made[erf.input[0]].input
