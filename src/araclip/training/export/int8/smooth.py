"""Products computed in int8, each row of the input (a token, a patch) with a scale of its own.

Two things make it fit for transformers, where few channels and few tokens are a hundred times larger than the rest:
each channel of the input is divided by a number of its own, which the matrix is multiplied with instead (SmoothQuant,
Xiao et al. 2023, https://arxiv.org/abs/2211.10438), and each row by its largest number. So a vector does not depend on
what else is in its batch, as it does with ONNX Runtime's dynamic quantisation, which has one scale for all rows.

Weights are rounded so that no processor overflows (`steps`): vectors are the same on every one.
"""

import json
from collections.abc import Collection, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from araclip.training.export.int8.steps import int8_steps
from araclip.training.export.weights.graph_files import add_domain
from araclip.training.export.weights.products import Product, drop_unused_weights, products, replace_nodes
from araclip.training.onnx_weights import PRODUCTS_KEY

SMOOTHING = (
    0.65  # of the difference between channels moves to the matrix; 0.5 and 0.8 were further off (docs/log/2026-11.md)
)
_LEAST = 1e-5  # a channel that is always zero
_CONSTANTS = {
    "int8_last_axis": np.array([-1]), "int8_least": np.float32(1e-9), "int8_step": np.float32(1 / 127),
    "int8_zero": np.uint8(128),
}  # fmt: skip

Array = NDArray[np.float32]
Largest = Mapping[str, Array]  # by input of a product: the largest share of each channel (K,) in a row's largest number


def compute_in_int8(model: Any, folder: Path | None, largest: Largest, keep: Collection[str] = ()) -> None:
    """Replace the products of a float32 graph by int8 ones, in place.

    Args:
        folder: of the graph, where weights in another file are.
        largest: see `calibration.largest_by_channel`; the channels of an input that is not there are not smoothed.
        keep: products that stay as they are, by the name of their output.
    """
    graph = model.graph
    order = {product.name: i for i, product in enumerate(products(graph))}
    found = sorted((p for p in products(graph) if p.name not in keep), key=lambda p: (_source(p), order[p.name]))
    instead: dict[str, list[Any]] = {}
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in _CONSTANTS.items()]
    for source, group in groupby(found, key=_source):
        siblings = list(group)  # such as queries, keys and values, which read the same input
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
    """(K,) the numbers that channels of an input are divided by, and rows of its matrices multiplied with."""
    rows = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)  # (K,)
    wanted = np.maximum(largest, _LEAST) ** SMOOTHING / np.maximum(rows, _LEAST) ** (1 - SMOOTHING)
    centred: Array = np.maximum(wanted / np.sqrt(wanted.min() * wanted.max()), _LEAST).astype(np.float32)
    return centred


def _source(product: Product) -> str:
    return str(product.node.input[0])


def _quantised_rows(source: str, smoothed: bool) -> list[Any]:
    """source (…, K) → its rows divided by their largest number (…, 1), as uint8."""
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
