"""Products computed in int8: the input's numbers quantised at run time, one scale an input tensor, one an output.

Weights have seven bits, from −64 to 64: processors without VNNI add two products of 8 bits in 16, which 127 · 255 twice
would overflow; so vectors are the same on every processor. Before quantisation each channel of the input may be divided
by a number of its own, which the matrix is multiplied with instead (SmoothQuant, Xiao et al. 2023,
https://arxiv.org/abs/2211.10438): channels that are always large would leave few steps to the others.
"""

from collections.abc import Collection, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from araclip.training.export.weights.products import Product, drop_unused_weights, products, replace_nodes

STEPS = 64  # of a weight, to each side of zero
SMOOTHING = 0.5  # how much of the difference between channels moves to the matrix; the paper's choice for most models
_LEAST = 1e-5  # a channel that is always zero

Array = NDArray[np.float32]
Largest = Mapping[str, Array]  # by input of a product: the largest absolute number of each channel


def compute_in_int8(
    graph: Any, folder: Path | None, largest: Largest, keep: Collection[str] = ()
) -> None:
    """Replace the products of a graph by int8 ones, in place.

    Args:
        folder: of the graph, where weights in another file are.
        largest: by input of a product, the largest absolute number of each channel (K,), see `calibration`; the
            channels of an input that is not there are left as they are.
        keep: products that stay as they are, by the name of their output.
    """
    instead: dict[str, list[Any]] = {}
    new: list[Any] = []
    found = sorted((p for p in products(graph) if p.name not in keep), key=lambda p: str(p.node.input[0]))
    for source, group in groupby(found, key=lambda p: str(p.node.input[0])):
        siblings = list(group)  # such as queries, keys and values
        nodes, arrays, smooth = _quantised_input(source, siblings, folder, largest.get(source))
        new += arrays
        first = min(siblings, key=lambda p: _position(graph, p))
        for product in siblings:
            made, weights = _integer_product(product, folder, source, smooth)
            new += weights
            instead[product.name] = (nodes if product is first else []) + made
    replace_nodes(graph, instead)
    drop_unused_weights(graph)
    graph.initializer.extend(new)


def smoothing(largest: Array, matrices: list[Array]) -> Array:
    """(K,) the numbers that channels of an input are divided by, and rows of its matrices multiplied with."""
    rows = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)  # (K,)
    wanted = np.maximum(largest, _LEAST) ** SMOOTHING / np.maximum(rows, _LEAST) ** (1 - SMOOTHING)
    return np.maximum(wanted / np.sqrt(wanted.min() * wanted.max()), _LEAST).astype(np.float32)


def seven_bits(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    """(K, N) → int8 from −64 to 64, and a scale an output (N,)."""
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / np.float32(STEPS)
    return np.round(matrix / scale).astype(np.int8), scale.astype(np.float32)


def _quantised_input(
    source: str, siblings: list[Product], folder: Path | None, largest: Array | None
) -> tuple[list[Any], list[Any], Array | None]:
    made = [f"{source}_uint8", f"{source}_step", f"{source}_zero"]
    if largest is None:
        return [helper.make_node("DynamicQuantizeLinear", [source], made)], [], None
    smooth = smoothing(largest, [product.matrix(folder) for product in siblings])
    inverse = numpy_helper.from_array((1 / smooth).astype(np.float32), f"{source}_smooth")
    nodes = [
        helper.make_node("Mul", [source, inverse.name], [f"{source}_smoothed"]),
        helper.make_node("DynamicQuantizeLinear", [f"{source}_smoothed"], made),
    ]
    return nodes, [inverse], smooth


def _integer_product(
    product: Product, folder: Path | None, source: str, smooth: Array | None
) -> tuple[list[Any], list[Any]]:
    matrix = product.matrix(folder)
    steps, scale = seven_bits(matrix if smooth is None else matrix * smooth[:, None])
    y, node = product.name, product.node
    bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
    arrays = [
        numpy_helper.from_array(np.ascontiguousarray(steps), f"{y}_steps"), numpy_helper.from_array(scale, f"{y}_scale")
    ]  # fmt: skip
    nodes = [
        helper.make_node("MatMulInteger", [f"{source}_uint8", f"{y}_steps", f"{source}_zero"], [f"{y}_int32"]),
        helper.make_node("Cast", [f"{y}_int32"], [f"{y}_wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{source}_step", f"{y}_scale"], [f"{y}_scales"]),
        helper.make_node("Mul", [f"{y}_wide", f"{y}_scales"], [f"{y}_product" if bias else y]),
    ]
    if bias:
        nodes.append(helper.make_node("Add", [f"{y}_product", bias], [y]))
    return nodes, arrays


def _position(graph: Any, product: Product) -> int:
    return next(i for i, node in enumerate(graph.node) if node.output and node.output[0] == product.name)
