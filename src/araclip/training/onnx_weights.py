"""The weights of an exported graph in float32, however they are stored: what `training.export` wrote, read back."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

BLOCK = 32  # numbers of a table's row that share a scale where it is stored in four bits
PRODUCTS_KEY = "araclip.int8_products"  # of a graph's metadata: matrices by the products that are computed in int8
SHIFT_KEY = "araclip.first_shift"  # the first convolution's weight and bias, and what its input was shifted by

Arrays = dict[str, NDArray[Any]]


def wide_weights(model: Any) -> Arrays:
    """A graph's weights in the precision it was trained in, by the names they had before they were stored small.

    Args:
        model: an `onnx.ModelProto`.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    noted = {entry.key: entry.value for entry in model.metadata_props}
    for name in [*weights]:
        if name.endswith("_int8"):
            whole = name.removesuffix("_int8")
            weights[whole] = weights.pop(name).astype(np.float32) * weights.pop(f"{whole}_scale")
        elif name.endswith("_int4"):
            whole = name.removesuffix("_int4")
            weights[whole] = from_four_bits(weights.pop(name), weights.pop(f"{whole}_scale"))
        elif name.endswith("_half"):
            weights[name.removesuffix("_half")] = weights.pop(name).astype(np.float32)
        elif name.endswith("_quantized") and weights[name].ndim in (1, 4):  # matrices of dynamic-int8 are lost
            weights[name.removesuffix("_quantized")] = _of_convolution(name, weights)
    for product, (source, matrix, turned) in json.loads(noted.get(PRODUCTS_KEY, "{}")).items():
        weights[matrix] = _of_product(product, source, turned, weights)
    if SHIFT_KEY in noted:
        weight, bias, shift = json.loads(noted[SHIFT_KEY])
        weights[bias] = weights[bias] - np.float32(shift) * weights[weight].sum(axis=(1, 2, 3))
    return weights


def from_four_bits(bytes_: NDArray[np.uint8], scale: NDArray[np.float16]) -> NDArray[np.float32]:
    """(V, H) float32 from the four-bit values and scales of `narrowing.packed`."""
    steps = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1).astype(np.float32) - 8
    return steps * np.repeat(scale.astype(np.float32), BLOCK, axis=1)


def _of_convolution(name: str, weights: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """A weight (O, I, h, w) or bias (O,) of static-int8, each output with its scale; or a map that is added."""
    whole, values = name.removesuffix("_quantized"), weights[name].astype(np.float32)
    scale = np.asarray(weights.get(f"{whole}_scale", weights.get(f"{name}_scale")))
    zero = np.asarray(weights.get(f"{whole}_zero_point", 0), np.float32)
    each = (-1,) + (1,) * (values.ndim - 1)
    wide: NDArray[np.float32] = (values - zero.reshape(each)) * scale.reshape(each)
    return wide


def _of_product(product: str, source: str, turned: bool, weights: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """A matrix of smooth-int8, whose rows were multiplied with what the channels of `source` are divided by."""
    wide: NDArray[np.float32] = weights[f"{product}_steps"] * weights[f"{product}_scale"]  # (K, N)
    if (inverse := weights.get(f"{source}_smoothing")) is not None:
        wide = wide * inverse[:, None]
    return wide.T if turned else wide
