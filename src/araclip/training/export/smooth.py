"""Converts a graph to smooth-int8: products with matrices compute in int8, with a scale for each input row.

A row is a token or a patch. In transformers a few channels and a few tokens are a hundred times larger than the rest,
so two scalings are needed. Each channel of the input is divided by a number of its own, and the matrix is multiplied
with the number instead (SmoothQuant, Xiao et al. 2023, https://arxiv.org/abs/2211.10438). Each row is divided by its
largest number. So a vector does not depend on the rest of its batch, unlike with ONNX Runtime's dynamic quantisation,
which has one scale for all rows.

Weights are rounded so that sums overflow on no processor, and vectors are the same on every processor (`int8_steps`).
Processors without VNNI multiply two neighbours of a sum at once (`vpmaddubsw`) and add them in 16 bits: 255 · a + 255 ·
b must fit into 16 bits, or it is silently cut off. Weights of seven bits always fit, but each loses a bit. It is enough
that no two neighbours add up to more than 128. This leaves most weights nearly eight bits, because the two largest
weights of a sum are seldom neighbours.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from araclip.training.export.graphs import (
    Feed,
    Product,
    add_domain,
    drop_unused_weights,
    opened,
    products,
    read_graph,
    replace_nodes,
)
from araclip.training.export.narrowing import quantized
from araclip.training.model.unpack import PRODUCTS_KEY

# Most that two neighbouring weights may add up to: processors multiply each with a byte and add the two products in 16
# bits. Rounding adds at most ½ to each weight, and 255 · 128 fits 16 bits.
LARGEST_PAIR = 127
_TINY = 1e-12  # serves as the largest value of a column of zeros, so that its scale is not 0


def int8_steps(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a matrix (K inputs, N outputs) to int8 (K, N) with a scale for each output (N,).

    matrix ≈ int8 · scale.
    """
    scale = safe_scales(matrix)
    return np.ascontiguousarray(np.round(matrix / scale).astype(np.int8)), scale


def safe_scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the least scales (N,) with which a matrix (K inputs, N outputs) can be rounded to int8 without overflow.

    After division by the scale of their column, no two neighbours in a column add up to more than LARGEST_PAIR, signs
    aside. Rows 0 and 1 are neighbours, rows 2 and 3, and so on.
    """
    size = np.abs(matrix)
    if len(size) % 2:
        size = np.concatenate([size, np.zeros_like(size[:1])])
    pairs = size[0::2] + size[1::2]
    scales: NDArray[np.float32] = (np.maximum(pairs.max(axis=0), _TINY) / np.float32(LARGEST_PAIR)).astype(np.float32)
    return scales


def convolution_scales(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """Return the scales (O,) by which a convolution's weight (O, I / groups, h, w) becomes int8.

    A convolution sums over the kernel's positions and, at each position, over inputs. Some processors add the products
    of two neighbours in this order in 16 bits, so the two weights must not exceed LARGEST_PAIR together. A depthwise
    convolution (one output for each input) is computed in 32 bits from the start; its weights may use all eight bits.
    """
    if weight.shape[1] == 1 and groups == len(weight) > 1:
        return quantized(weight, (1, 2, 3))[1].ravel()
    at_places = weight.transpose(2, 3, 1, 0)  # (h, w, I, O)
    # an odd number of input channels gets a further channel of zeros, as in some libraries' convolution code
    odd = [(0, 0), (0, 0), (0, at_places.shape[2] % 2), (0, 0)]
    scales = [
        safe_scales(at_places.reshape(-1, len(weight))),
        safe_scales(np.pad(at_places, odd).reshape(-1, len(weight))),
    ]
    return np.maximum(*scales)


# Exponent of SmoothQuant: how much of the difference between channels' ranges moves from the input to the matrix (0:
# nothing, 1: all of it). 0.5 and 0.8 were worse (docs/log/2026-11.md).
SMOOTHING = 0.65
_LEAST = 1e-5  # takes the place of 0 as the range of a channel that is always zero
_CONSTANTS = {
    "int8_last_axis": np.array([-1]), "int8_least": np.float32(1e-9), "int8_step": np.float32(1 / 127),
    "int8_zero": np.uint8(128),
}  # fmt: skip

Array = NDArray[np.float32]
# input of a product → (K,): for each channel the largest size of a number, relative to the largest in its row
Largest = Mapping[str, Array]


def compute_in_int8(model: Any, folder: Path | None, largest: Largest, keep: Collection[str] = ()) -> None:
    """Make a float32 graph's products with matrices compute in int8, in place, except those whose output `keep` names.

    `largest` is the result of `largest_by_channel`; channels of an input that `largest` lacks are not smoothed.
    """
    graph = model.graph
    order = {product.name: i for i, product in enumerate(products(graph))}
    found = sorted((p for p in products(graph) if p.name not in keep), key=lambda p: (_source(p), order[p.name]))
    instead: dict[str, list[Any]] = {}
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in _CONSTANTS.items()]
    for source, group in groupby(found, key=_source):
        siblings = list(group)  # products that read the same input, such as queries, keys and values
        smooth = None
        if source in largest:
            smooth = smoothing(largest[source], [product.matrix(folder) for product in siblings])
            weights.append(numpy_helper.from_array((1 / smooth).astype(np.float32), f"{source}_smoothing"))
        for product in siblings:
            nodes, arrays = _integer_product(product, folder, smooth)
            weights += arrays
            instead[product.name] = nodes
        instead[siblings[0].name] = _quantised_rows(source, smooth is not None) + instead[siblings[0].name]
    if instead:
        noted = {p.name: [_source(p), p.weight.name, p.transposed] for p in found}
        model.metadata_props.add(key=PRODUCTS_KEY, value=json.dumps(noted))
        replace_nodes(graph, instead)
        drop_unused_weights(graph)
        graph.initializer.extend(weights)
        add_domain(model)


def smoothing(largest: Array, matrices: list[Array]) -> Array:
    """Return the factors (K,) by which an input's channels are divided and the rows of its matrices multiplied.

    `largest` (K,) has each channel's largest size, see `largest_by_channel`; `matrices` multiply the input.
    """
    rows = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)  # (K,)
    wanted = np.maximum(largest, _LEAST) ** SMOOTHING / np.maximum(rows, _LEAST) ** (1 - SMOOTHING)
    centred: Array = np.maximum(wanted / np.sqrt(wanted.min() * wanted.max()), _LEAST).astype(np.float32)
    return centred


def _source(product: Product) -> str:
    return str(product.node.input[0])


def _quantised_rows(source: str, smoothed: bool) -> list[Any]:
    """Return nodes that quantise `source` (…, K): each row, divided by its largest absolute value, becomes uint8.

    The zero point is 128. `smoothed`: each channel is first divided by its factor from `smoothing`.
    """
    nodes = [helper.make_node("Mul", [source, f"{source}_smoothing"], [f"{source}_smoothed"])] if smoothed else []
    rows = f"{source}_smoothed" if smoothed else source
    return [
        *nodes,
        helper.make_node("Abs", [rows], [f"{source}_absolute"]),
        helper.make_node("ReduceMax", [f"{source}_absolute", "int8_last_axis"], [f"{source}_most"], keepdims=1),
        helper.make_node("Max", [f"{source}_most", "int8_least"], [f"{source}_range"]),
        helper.make_node("Div", [rows, f"{source}_range"], [f"{source}_unit"]),
        helper.make_node("QuantizeLinear", [f"{source}_unit", "int8_step", "int8_zero"], [f"{source}_uint8"]),
    ]


def _integer_product(product: Product, folder: Path | None, smooth: Array | None) -> tuple[list[Any], list[Any]]:
    matrix = product.matrix(folder)
    steps, scale = int8_steps(matrix if smooth is None else matrix * smooth[:, None])
    y, source = product.name, _source(product)
    arrays = [numpy_helper.from_array(steps, f"{y}_steps"), numpy_helper.from_array(scale, f"{y}_scale")]
    inputs = [f"{source}_uint8", f"{y}_steps", "int8_step", f"{y}_scale", "int8_zero"]
    unscaled = f"{y}_product" if product.bias else y
    nodes = [
        helper.make_node("MatMulIntegerToFloat", inputs, [f"{y}_unscaled"], domain="com.microsoft"),
        helper.make_node("Mul", [f"{y}_unscaled", f"{source}_range"], [unscaled]),
    ]
    if product.bias:
        nodes.append(helper.make_node("Add", [unscaled, product.bias], [y]))
    return nodes, arrays


MEASURING = "measuring.onnx"  # a temporary graph beside the measured graph, whose weights file it reads


def largest_by_channel(graph: Path, feeds: Sequence[Feed]) -> Largest:
    """Measure the inputs (rows, K) of each matrix product; return for each channel (K,) its largest relative size.

    Each number of a row is divided by the row's largest number, signs aside, before the largest of a channel is taken.

    The graph is in float32, with its weights in a file beside it (`graphs.write_graph`).
    """
    model = read_graph(graph)
    channels = {str(p.node.input[0]): p.weight.dims[1 if p.transposed else 0] for p in products(model.graph)}
    made = {}
    for source, count in channels.items():
        made[f"{source}_largest"] = source
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, count]), f"{source}_by_row"))
        model.graph.node.extend(
            [
                helper.make_node("Reshape", [source, f"{source}_by_row"], [f"{source}_rows"]),
                helper.make_node("Abs", [f"{source}_rows"], [f"{source}_abs"]),
                helper.make_node("ReduceMax", [f"{source}_abs", "last_axis"], [f"{source}_range"], keepdims=1),
                helper.make_node("Max", [f"{source}_range", "least_range"], [f"{source}_divisor"]),
                helper.make_node("Div", [f"{source}_abs", f"{source}_divisor"], [f"{source}_shares"]),
                helper.make_node("ReduceMax", [f"{source}_shares", "first_axis"], [f"{source}_largest"], keepdims=0),
            ]
        )
    constants = {"first_axis": np.array([0]), "last_axis": np.array([1]), "least_range": np.float32(1e-9)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    largest: dict[str, NDArray[np.float32]] = {}
    for found in outputs_of(model, graph, list(made), feeds):
        for name, values in found.items():
            source = made[name]
            largest[source] = np.maximum(largest.get(source, np.float32(0)), values)
    return largest


def errors_of_products(graph: Path, feeds: Sequence[Feed], largest: Largest) -> dict[str, float]:
    """Return, for each product, the mean squared error of its int8 form, relative to the product's mean square.

    Each int8 product reads the input that it has in the float32 graph, so errors of earlier products do not count.
    """
    exact, small = read_graph(graph), read_graph(graph)
    names = [product.name for product in products(exact.graph)]
    compute_in_int8(small, graph.parent, largest)
    add_domain(exact)
    known = {out for node in exact.graph.node for out in node.output}
    known |= {tensor.name for tensor in exact.graph.initializer}
    mine = {name: f"{name}_int8" for name in names}
    for node in small.graph.node:
        outputs = [mine.get(name, name) for name in node.output]
        if not known.issuperset(outputs):  # the node is new: it belongs to an int8 product
            node.output[:] = outputs
            exact.graph.node.append(node)
    exact.graph.initializer.extend(t for t in small.graph.initializer if t.name not in known)
    for name in names:
        exact.graph.node.extend(
            [
                helper.make_node("Sub", [name, mine[name]], [f"{name}_off"]),
                helper.make_node("ReduceSumSquare", [f"{name}_off"], [f"{name}_noise"], keepdims=0),
                helper.make_node("ReduceSumSquare", [name], [f"{name}_signal"], keepdims=0),
                helper.make_node("Div", [f"{name}_noise", f"{name}_signal"], [f"{name}_error"]),
            ]
        )
    found = list(outputs_of(exact, graph, [f"{name}_error" for name in names], feeds))
    return {name: float(np.mean([each[f"{name}_error"] for each in found])) for name in names}


def outputs_of(model: Any, graph: Path, names: list[str], feeds: Sequence[Feed]) -> list[dict[str, NDArray[Any]]]:
    """Run `model`, which is `graph` plus measuring nodes, on each feed (inputs by name); return the outputs `names`."""
    if not names:
        return [{} for _ in feeds]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    del model.graph.value_info[:]
    path = graph.with_name(MEASURING)
    try:
        onnx.save(model, str(path))  # the graph's weights stay in their own file and are not written again
        session = opened(path)
        return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]
    finally:
        path.unlink(missing_ok=True)
