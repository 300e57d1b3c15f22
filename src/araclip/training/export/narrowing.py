"""Stores weights in few bits while the graph still computes in float32; `unpack.wide_weights` reads them back.

Int8 with scales: matrices (a scale for each column), convolutions over all channels (a scale for each output channel)
and embedding tables (a scale for each row). Other large weights (small and depthwise convolutions, position maps)
become float16. ONNX Runtime converts them to float32 once, when it opens the graph; a table's rows are converted when
they are looked up. Tables of many rows (vocabularies) can have four bits, with a scale for every 32 numbers of a row,
which is half the size (docs/log/2026-11.md).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from araclip.training.export.graphs import Uses, numbers, replace_nodes, uses_of
from araclip.training.model.unpack import BLOCK

Axes = int | tuple[int, ...]
LookUp = Callable[[str, str], list[Any]]  # (input with row numbers, output with the rows) → nodes that look the rows up

_WORTH_NARROWING = 1024  # a tensor with fewer elements stays float32
# A convolution with fewer elements becomes float16: it is one of the first layers, whose error spreads to all others.
_SMALL_CONVOLUTION = 32_768
# Least rows of a table that is stored in four bits: tables of tokens have more, tables of positions fewer.
_MANY_ROWS = 4096
# Factors by which a block's range may be narrowed, because clipping outliers can lower the error; the factor with the
# least error is used. 7/8 lets weights that were read from four-bit numbers be stored in four bits again without loss.
_SHRINKS = (1.0, 0.9, 0.875, 0.8, 0.7, 0.6)
_AT_ONCE = 8192  # rows of a table converted at a time, so that its float32 numbers are not in memory several times
_HALF_MAX = 65504.0
_TINY = 1e-12  # serves as the largest value of a column of zeros, so that its scale is not 0


def narrow(graph: Any, *, compact: bool = False, half: bool = False, folder: Path | None = None) -> None:
    """Replace a graph's large float32 weights, in place, by small weights and nodes that convert them to float32.

    `compact`: store tables of many rows in four bits. `half`: store in float16 every weight that fits float16's range.
    `folder`: the folder of weights that lie outside the graph.
    """
    uses = uses_of(graph)
    weights: list[Any] = []
    widening: list[Any] = []
    lookups: dict[str, list[Any]] = {}  # output of a look-up → the nodes that replace it
    for tensor in graph.initializer:
        values, readers = numbers(tensor, folder), uses[tensor.name]
        if values.dtype != np.float32 or values.size < _WORTH_NARROWING or values.ndim < 2:
            weights.append(tensor)
            continue
        if _is_table(values, readers):
            four = compact and len(values) >= _MANY_ROWS and not values.shape[1] % (2 * BLOCK)
            four = four and bool(np.abs(values).max() < _HALF_MAX)
            build = _half_table if half and _fits_half(values) else _four_bit_table if four else _int8_table
            arrays, look_up = build(tensor.name, values)
            weights += arrays
            lookups |= {node.output[0]: look_up(node.input[1], node.output[0]) for node, _ in readers}
        else:
            arrays, nodes = _int8_matrix(tensor, values, None if half else _summed_axes(values, readers))
            weights += arrays
            widening += nodes
        if not any(array is tensor for array in arrays):
            tensor.ClearField("raw_data")  # saves memory: the float32 weight is no longer needed
    replace_nodes(graph, lookups)
    nodes = [*graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(widening + nodes)


def quantized(values: NDArray[np.float32], axis: Axes) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round weights to int8 with one scale for all numbers along `axis`: values ≈ int8 · scale, ± half a scale.

    Scales have the shape of `values` with 1 in place of `axis`.
    """
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True), _TINY) / np.float32(127)
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)


def _fits_half(values: NDArray[np.float32]) -> bool:
    return bool(np.abs(values).max() <= _HALF_MAX)


def packed(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Pack a table of V rows (V, H) into four bits a number: return bytes (V, H / 2) and scales (V, H / 32).

    The low four bits of a row's bytes hold the first half of the row, the high four bits the second half.
    values ≈ (four bits − 8) · scale of the block of 32.
    """
    blocks = values.reshape(len(values), -1, BLOCK)  # (V, H / 32, 32)
    most = np.abs(blocks).max(axis=2, keepdims=True)
    best, least = np.zeros_like(blocks), np.full_like(most, np.inf)
    scales = np.zeros(most.shape, np.float16)
    for shrink in _SHRINKS:
        scale = np.maximum(most * np.float32(shrink / 7), np.finfo(np.float16).tiny).astype(np.float16)
        steps = np.clip(np.round(blocks / scale.astype(np.float32)), -8, 7)
        error = np.square(steps * scale - blocks).sum(axis=2, keepdims=True)
        better = error < least
        best, scales, least = np.where(better, steps, best), np.where(better, scale, scales), np.minimum(error, least)
    low, high = np.split((best + 8).astype(np.uint8).reshape(values.shape), 2, axis=1)
    return np.bitwise_or(low, high << 4).astype(np.uint8), scales[:, :, 0].astype(np.float16)


def _is_table(values: NDArray[np.float32], uses: Uses) -> bool:
    def looks_up(node: Any, position: int) -> bool:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        return node.op_type == "Gather" and position == 0 and axis == 0

    return values.ndim == 2 and bool(uses) and all(looks_up(*use) for use in uses)


def _int8_table(name: str, values: NDArray[np.float32]) -> tuple[list[Any], LookUp]:
    parts = [quantized(values[start : start + _AT_ONCE], axis=1) for start in range(0, len(values), _AT_ONCE)]
    rows, scale = (np.concatenate(part) for part in zip(*parts, strict=True))  # (V, H), (V, 1)

    def look_up(ids: str, out: str) -> list[Any]:
        return [
            helper.make_node("Gather", [f"{name}_int8", ids], [f"{out}_int8"], axis=0),
            helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_scale"], axis=0),
            helper.make_node("Cast", [f"{out}_int8"], [f"{out}_wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{out}_wide", f"{out}_scale"], [out]),
        ]

    return [numpy_helper.from_array(rows, f"{name}_int8"), numpy_helper.from_array(scale, f"{name}_scale")], look_up


def _half_table(name: str, values: NDArray[np.float32]) -> tuple[list[Any], LookUp]:
    def look_up(ids: str, out: str) -> list[Any]:
        return [
            helper.make_node("Gather", [f"{name}_half", ids], [f"{out}_half"], axis=0),
            helper.make_node("Cast", [f"{out}_half"], [out], to=TensorProto.FLOAT),
        ]

    return [numpy_helper.from_array(values.astype(np.float16), f"{name}_half")], look_up


def _four_bit_table(name: str, values: NDArray[np.float32]) -> tuple[list[Any], LookUp]:
    parts = [packed(values[start : start + _AT_ONCE]) for start in range(0, len(values), _AT_ONCE)]
    rows, scale = (np.concatenate(part) for part in zip(*parts, strict=True))
    constants = {
        f"{name}_int4": rows, f"{name}_scale": scale, f"{name}_low": np.uint8(15), f"{name}_shift": np.uint8(4),
        f"{name}_zero": np.float32(8), f"{name}_block": np.arange(values.shape[1], dtype=np.int64) // BLOCK,
    }  # fmt: skip

    def look_up(ids: str, out: str) -> list[Any]:
        return [
            helper.make_node("Gather", [f"{name}_int4", ids], [f"{out}_int4"], axis=0),  # (…, H / 2)
            helper.make_node("BitwiseAnd", [f"{out}_int4", f"{name}_low"], [f"{out}_first"]),
            helper.make_node("BitShift", [f"{out}_int4", f"{name}_shift"], [f"{out}_second"], direction="RIGHT"),
            helper.make_node("Concat", [f"{out}_first", f"{out}_second"], [f"{out}_steps"], axis=-1),  # (…, H)
            helper.make_node("Cast", [f"{out}_steps"], [f"{out}_wide"], to=TensorProto.FLOAT),
            helper.make_node("Sub", [f"{out}_wide", f"{name}_zero"], [f"{out}_signed"]),
            helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_half"], axis=0),  # (…, H / 32)
            helper.make_node("Cast", [f"{out}_half"], [f"{out}_scales"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{out}_scales", f"{name}_block"], [f"{out}_scale"], axis=-1),  # (…, H)
            helper.make_node("Mul", [f"{out}_signed", f"{out}_scale"], [out]),
        ]

    return [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()], look_up


def _summed_axes(values: NDArray[np.float32], uses: Uses) -> Axes | None:
    """Return the axes that a product or convolution sums over, so that each output gets its own scale.

    Return None, so that the weight becomes float16, for other uses, for depthwise convolutions, which sum over too few
    values to be worth a scale, and for small convolutions (`_SMALL_CONVOLUTION`).
    """
    large = values.shape[1] > 1 and values.size >= _SMALL_CONVOLUTION
    if values.ndim > 2 and large and uses and all(n.op_type == "Conv" and position == 1 for n, position in uses):
        return tuple(range(1, values.ndim))
    if values.ndim != 2 or min(values.shape) < 2 or not uses:
        return None
    axes: set[int | None] = set()
    for node, position in uses:
        transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
        axes.add((1 if transposed else 0) if node.op_type in ("MatMul", "Gemm") and position == 1 else None)
    return axes.pop() if len(axes) == 1 else None


def _int8_matrix(tensor: Any, values: NDArray[np.float32], axis: Axes | None) -> tuple[list[Any], list[Any]]:
    name = tensor.name
    if axis is not None:
        rows, scale = quantized(values, axis)
        arrays = [numpy_helper.from_array(rows, f"{name}_int8"), numpy_helper.from_array(scale, f"{name}_scale")]
        cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_wide"], to=TensorProto.FLOAT)
        return arrays, [cast, helper.make_node("Mul", [f"{name}_wide", f"{name}_scale"], [name])]
    if not _fits_half(values):
        return [tensor], []
    half = numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
    return [half], [helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)]
