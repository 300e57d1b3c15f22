"""Convolutions computed in int8, the ranges of all maps measured beforehand on calibration pictures.

Three things make it as good as float32: weights keep nearly eight bits (`steps`), the bytes of a picture are the
first input as they are (`pixel_input`), and what rounding a weight adds to its output on average is taken off the bias
(bias correction, Nagel et al. 2019, https://arxiv.org/abs/1906.04721). Heads stay in float32: they take no time.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from araclip.errors import InputError
from araclip.training.export.int8.convolutions import (
    BETWEEN,
    Convolution,
    between_convolutions,
    convolutions,
    input_means,
    separate_biases,
)
from araclip.training.export.int8.pixel_input import take_bytes
from araclip.training.export.int8.steps import convolution_scales
from araclip.training.export.weights.graph_files import read_graph, write_graph
from araclip.training.export.weights.sessions import Feed
from araclip.training.onnx_writer import quiet


def quantise_static(graph: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write `target` from a float32 graph: QuantizeLinear and DequantizeLinear around each operator (QDQ).

    Args:
        feeds: calibration inputs; 128 photographs are enough.

    Raises:
        InputError: there are none, or none that reaches some convolution.
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
        quantize_static(
            str(whole), str(target), _Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
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
    """Take off a constant bias what rounding the weights to multiples of `scales` (O,) adds on average.

    Args:
        means: of its input's channels (I,).
    """
    if convolution.bias is None:
        return
    weight, wide = convolution.numbers(), scales[:, None, None, None]
    missing = (weight - np.round(weight / wide) * wide).sum(axis=(2, 3))  # (O, I / groups)
    by_group = means.reshape(convolution.groups, -1).repeat(len(weight) // convolution.groups, axis=0)
    bias = numpy_helper.to_array(convolution.bias) + (missing * by_group).sum(axis=1)
    convolution.bias.CopyFrom(numpy_helper.from_array(bias.astype(np.float32), convolution.bias.name))


class _Reader:
    """The calibration inputs as ONNX Runtime asks for them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Any:
        """The next inputs by name; None at the end."""
        return next(self._left, None)
