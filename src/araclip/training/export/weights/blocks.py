"""Matrices in blocks of 32 numbers of 8 or 4 bits, each with a scale of its own: ONNX Runtime's MatMulNBits.

Its int8 arithmetic (accuracy level 4) quantises the inputs by blocks of the same size at run time.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from araclip.training.export.weights.graph_files import add_domain
from araclip.training.export.weights.products import drop_unused_weights, products, replace_nodes

BLOCK = 32  # numbers of a column that share a scale
_IN_INT8 = 4  # accuracy level
_SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8)  # of a block's range, tried for the least error at 4 bits
_AT_ONCE = 512  # columns


def store_in_blocks(model: Any, folder: Path | None, bits: int) -> None:
    """Replace the products of a float32 graph by products with matrices in blocks, in place.

    Args:
        folder: of the graph, where weights in another file are.
        bits: 8 or 4.
    """
    instead, weights = {}, []
    for product in products(model.graph):
        matrix, y = product.matrix(folder), product.name
        blocks, scales = in_blocks(matrix, bits)
        weights += [numpy_helper.from_array(blocks, f"{y}_blocks"), numpy_helper.from_array(scales, f"{y}_scales")]
        inputs = [product.node.input[0], f"{y}_blocks", f"{y}_scales"]
        made = f"{y}_product" if product.bias else y
        node = helper.make_node(
            "MatMulNBits", inputs, [made], domain="com.microsoft", K=matrix.shape[0], N=matrix.shape[1], bits=bits,
            block_size=BLOCK, accuracy_level=_IN_INT8,
        )  # fmt: skip
        instead[y] = [node, helper.make_node("Add", [made, product.bias], [y])] if product.bias else [node]
    if instead:
        replace_nodes(model.graph, instead)
        drop_unused_weights(model.graph)
        model.graph.initializer.extend(weights)
        add_domain(model)


def in_blocks(matrix: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(K, N) → (N, blocks, 32 · bits / 8) bytes and (N · blocks,) scales; value = (number − 2^(bits − 1)) · scale."""
    columns = range(0, matrix.shape[1], _AT_ONCE)
    parts = [_columns_in_blocks(matrix[:, start : start + _AT_ONCE], bits) for start in columns]
    return np.concatenate([numbers for numbers, _ in parts]), np.concatenate([scales.ravel() for _, scales in parts])


def _columns_in_blocks(matrix: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    k, n = matrix.shape
    count = -(-k // BLOCK)
    values = np.zeros((n, count * BLOCK), np.float32)
    values[:, :k] = matrix.T
    values = values.reshape(n, count, BLOCK)
    zero = 1 << (bits - 1)
    most = np.maximum(np.abs(values).max(axis=2, keepdims=True), 1e-12)
    best, scales, least = np.zeros_like(values), most, np.full_like(most, np.inf)
    for shrink in _SHRINKS if bits == 4 else _SHRINKS[:1]:
        scale = most * np.float32(shrink / (zero - 1))
        steps = np.clip(np.round(values / scale), -zero, zero - 1)
        error = np.square(steps * scale - values).sum(axis=2, keepdims=True)
        better = error < least
        best, scales = np.where(better, steps, best), np.where(better, scale, scales)
        least = np.minimum(error, least)
    numbers: NDArray[np.uint8] = (best + zero).astype(np.uint8)  # (n, count, 32)
    if bits == 4:
        numbers = np.bitwise_or(numbers[:, :, 0::2], numbers[:, :, 1::2] << 4).astype(np.uint8)
    return numbers, scales[:, :, 0].astype(np.float32)
