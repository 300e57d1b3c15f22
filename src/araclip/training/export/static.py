"""Converts a graph to static-int8: convolutions compute in int8, with ranges measured on calibration pictures.

Three things make the result as good as float32. Weights keep nearly eight bits (`smooth.convolution_scales`). The first
convolution reads a picture's bytes directly (`take_bytes`). And the mean error that rounding a weight causes in the
output is subtracted from the bias (bias correction, Nagel et al. 2019, https://arxiv.org/abs/1906.04721). Heads stay in
float32, because they take no time.

Reading bytes directly saves the scaling, which costs an int8 graph a seventh of its time. The scaling, (pixel / 255 −
mean) / std, is an affine function of a byte, and so is the meaning of an int8 number: scale · (byte − zero). The
difference between these functions, less than one level of a pixel, is added to the first bias.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from araclip.errors import InputError
from araclip.training.export.graphs import (
    Feed,
    drop_unused_weights,
    quiet,
    read_graph,
    replace_nodes,
    uses_of,
    write_graph,
)
from araclip.training.export.smooth import convolution_scales, outputs_of
from araclip.training.model.unpack import SHIFT_KEY

BETWEEN = frozenset({"Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Relu", "Resize"})
_ACTIVATIONS = frozenset({"Clip", "Relu"})


@dataclass(frozen=True)
class Convolution:
    """A Conv node whose weight is constant."""

    node: Any
    weight: Any  # a TensorProto of shape (O, I / groups, h, w)
    bias: Any  # TensorProto, (O,); None if there is no bias, or if a node computes the bias

    @property
    def groups(self) -> int:
        """The number of groups; 1 except in depthwise and grouped convolutions."""
        return next((int(a.i) for a in self.node.attribute if a.name == "group"), 1)

    @property
    def source(self) -> str:
        """The name of the convolution's input."""
        return str(self.node.input[0])

    def numbers(self) -> NDArray[np.float32]:
        """Return the weight (O, I / groups, h, w)."""
        values: NDArray[np.float32] = numpy_helper.to_array(self.weight)
        return values


def convolutions(graph: Any) -> Iterator[Convolution]:
    """Yield the two-dimensional convolutions, in the order of the graph."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and (weight := weights.get(node.input[1])) is not None and len(weight.dims) == 4:
            yield Convolution(node, weight, weights.get(node.input[2]) if len(node.input) > 2 else None)


def separate_biases(graph: Any) -> None:
    """Give each convolution of an ONNX graph a bias that only this convolution uses, so that it can be corrected.

    PyTorch's exporter leaves out a bias of zeros, and stores equal biases once. A missing bias becomes zeros, a shared
    bias is copied.
    """
    uses = uses_of(graph)
    for each in convolutions(graph):
        inputs = each.node.input
        old = inputs[2] if len(inputs) > 2 else ""
        if old and (each.bias is None or len(uses[old]) == 1):
            continue
        values = numpy_helper.to_array(each.bias) if old else np.zeros(each.weight.dims[0], np.float32)
        own = numpy_helper.from_array(values, f"{each.node.output[0]}_own_bias")
        graph.initializer.append(own)
        del inputs[2:]
        inputs.append(own.name)


def between_convolutions(graph: Any) -> list[str]:
    """Return the names of the nodes to convert to int8: convolutions, activations, and nodes between them; no heads."""
    makers = {output: node for node in graph.node for output in node.output}
    found = {each.node.name: each.node for each in convolutions(graph)}
    made = {output for node in found.values() for output in node.output}
    found |= {n.name: n for n in graph.node if n.op_type in _ACTIVATIONS and n.input[0] in made}
    left = [*found.values()]
    while left:
        for name in left.pop().input:
            node = makers.get(name)
            if node is not None and node.op_type in BETWEEN and node.name not in found:
                found[node.name] = node
                left.append(node)
    return list(found)


def input_means(graph: Path, feeds: Sequence[Feed]) -> dict[str, NDArray[np.float32]]:
    """Return, for each convolution's input, the mean of each channel (I,) over all pictures and positions.

    An input that no picture reaches is an InputError.
    """
    model = read_graph(graph)
    sources = sorted({each.source for each in convolutions(model.graph)})
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "all_but_channels"))
    for source in sources:
        mean = helper.make_node("ReduceMean", [source, "all_but_channels"], [f"{source}_mean"], keepdims=0)
        model.graph.node.extend([mean, helper.make_node("ReduceMin", [source], [f"{source}_least"], keepdims=0)])
    found: dict[str, list[NDArray[np.float32]]] = {source: [] for source in sources}
    names = [f"{source}_{what}" for source in sources for what in ("mean", "least")]
    for made in outputs_of(model, graph, names, feeds):
        for source in sources:
            if np.isfinite(made[f"{source}_least"]):  # infinite if no picture reached the input
                found[source].append(made[f"{source}_mean"])
    if missed := next((source for source, means in found.items() if not means), None):
        raise InputError(
            f"no picture that ranges were measured on reaches {missed}, in a branch that computes for some kinds of "
            "pictures alone, such as drawings. Name a folder of such pictures, too (--calibrate may be repeated)."
        )
    return {source: np.mean(means, axis=0).astype(np.float32) for source, means in found.items()}


_SCALE, _ZERO, _WIDE = "pixels_scale", "pixels_zero", "pixels_wide"
_AFFINE = ("Mul", "Div", "Add", "Sub")


def take_bytes(model: Any) -> bool:
    """Let the first convolution read a picture's bytes, in place.

    Return False, with the graph unchanged, if anything but one scaling, the same for all channels, stands before the
    convolution, or if the scaling's zero point does not fit into a byte.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    uses = uses_of(graph)
    steps: list[Any] = []
    value = turned = "pixels"
    factor, offset = 1.0, 0.0
    while True:
        # A node that reads only the shape of the pixels is left out: bytes have the same shape as floats.
        readers = [node for node, _ in uses[value] if steps or node.op_type != "Shape"]
        if len(readers) != 1:
            return False
        (node,) = readers
        if node.op_type == "Conv":
            break
        if node.op_type == "Transpose" and not steps:
            turned = node.output[0]
        elif node.op_type == "Cast":
            steps.append(node)
        elif (
            node.op_type in _AFFINE
            and (by := _constant_number(constants.get(node.input[1])))
            and node.input[0] == value
        ):
            steps.append(node)
            if node.op_type in ("Mul", "Div"):
                times = by if node.op_type == "Mul" else 1 / by
                factor, offset = factor * times, offset * times
            else:
                offset += by if node.op_type == "Add" else -by
        else:
            return False
        value = node.output[0]
    first = next((each for each in convolutions(graph) if each.source == value), None)
    zero = int(np.floor(-offset / factor)) if factor > 0 else -1
    if not steps or first is None or first.bias is None or not 0 <= zero <= 255:
        return False
    shift = np.float32(offset + factor * zero)
    bias = numpy_helper.to_array(first.bias) + shift * first.numbers().sum(axis=(1, 2, 3))
    first.bias.CopyFrom(numpy_helper.from_array(bias.astype(np.float32), first.bias.name))
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.asarray(np.float32(factor)), _SCALE),
            numpy_helper.from_array(np.asarray(np.uint8(zero)), _ZERO),
        ]
    )
    widening = helper.make_node("DequantizeLinear", [turned, _SCALE, _ZERO], [_WIDE])
    first.node.input[0] = _WIDE
    replace_nodes(graph, {steps[0].output[0]: [widening]} | {step.output[0]: [] for step in steps[1:]})
    drop_unused_weights(graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = SHIFT_KEY, json.dumps([first.weight.name, first.bias.name, float(shift)])
    return True


def _constant_number(values: NDArray[Any] | None) -> float | None:
    """Return the number that all elements of a constant equal; None if they differ or there is no constant."""
    if values is None or not values.size or not (values == values.flat[0]).all():
        return None
    return float(values.flat[0])


def quantise_static(graph: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write `target` from a float32 graph, with QuantizeLinear and DequantizeLinear around `between_convolutions`.

    `feeds` are calibration inputs; 128 photographs are enough, none is an InputError.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if not feeds:
        raise InputError("static-int8 measures ranges on calibration inputs, and there are none.")
    with tempfile.TemporaryDirectory(prefix=".static.", dir=target.parent) as folder, quiet():
        outside, whole = Path(folder) / "outside.onnx", Path(folder) / "float32.onnx"
        write_graph(read_graph(graph), graph.parent, outside, outside=True)
        means = input_means(outside, feeds)
        write_graph(read_graph(graph), graph.parent, whole)
        model = onnx.load(str(whole))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{number}"
        separate_biases(model.graph)
        overrides = {}
        for each in convolutions(model.graph):
            scales = convolution_scales(each.numbers(), each.groups)
            _correct_bias(each, scales, means[each.source])
            overrides[each.weight.name] = [{"rmin": -largest, "rmax": largest} for largest in 127 * scales]
        take_bytes(model)
        metadata = [(entry.key, entry.value) for entry in model.metadata_props]
        names = between_convolutions(model.graph)
        onnx.save(model, str(whole))
        # ONNX Runtime asks for the calibration inputs one after the other, until it gets None
        reader: Any = SimpleNamespace(get_next=partial(next, iter(feeds), None))
        quantize_static(
            str(whole), str(target), reader, quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=["Conv", *BETWEEN], nodes_to_quantize=names,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": {
                name: [{"quant_type": QuantType.QInt8, "axis": 0, "symmetric": True, **ranges[0]}, *ranges[1:]]
                for name, ranges in overrides.items()
            }},
        )  # fmt: skip
    model = onnx.load(str(target))
    for noted in (model.graph, *model.graph.node):
        del noted.metadata_props[:]
    del model.metadata_props[:]
    for key, value in metadata:
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(target))


def _correct_bias(convolution: Convolution, scales: NDArray[np.float32], means: NDArray[np.float32]) -> None:
    """Subtract from the bias the mean error that rounding weights to multiples of `scales` (O,) causes.

    `means` (I,) is the mean of each input channel.
    """
    if convolution.bias is None:
        return
    weight, wide = convolution.numbers(), scales[:, None, None, None]
    missing = (weight - np.round(weight / wide) * wide).sum(axis=(2, 3))  # (O, I / groups)
    by_group = means.reshape(convolution.groups, -1).repeat(len(weight) // convolution.groups, axis=0)
    bias = numpy_helper.to_array(convolution.bias) + (missing * by_group).sum(axis=1)
    convolution.bias.CopyFrom(numpy_helper.from_array(bias.astype(np.float32), convolution.bias.name))
