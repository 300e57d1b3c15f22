"""Weights as int8 whose products with uint8 cannot overflow on any processor.

Processors without VNNI multiply two neighbours of a sum at once (`vpmaddubsw`) and add them in 16 bits: 255 · a + 255 ·
b must stay within them, and what is beyond is cut off without a word. Weights of seven bits always do, but lose a bit
of each. It is enough that no two neighbours have more than 128 together, which leaves most weights nearly eight bits:
the largest two of a sum are seldom neighbours. So int8 graphs give the same vectors on every processor.
"""

import numpy as np
from numpy.typing import NDArray

from araclip.training.export.weights.narrowing import quantized

LARGEST_PAIR = 127  # of two neighbours before they are rounded, which adds a half to each; 255 · 128 fits 16 bits
_TINY = 1e-12  # scale of a column of zeros


def int8_steps(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(K, N), whose products are summed along K → int8 (K, N) and a scale an output (N,): matrix ≈ int8 · scale."""
    scale = safe_scales(matrix)
    return np.ascontiguousarray(np.round(matrix / scale).astype(np.int8)), scale


def safe_scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, N) → (N,), the least scales with which no two neighbours along K overflow.

    Rows 0 and 1 are neighbours, 2 and 3, and so on.
    """
    size = np.abs(matrix)
    if len(size) % 2:
        size = np.concatenate([size, np.zeros_like(size[:1])])
    pairs = size[0::2] + size[1::2]
    scales: NDArray[np.float32] = (np.maximum(pairs.max(axis=0), _TINY) / np.float32(LARGEST_PAIR)).astype(np.float32)
    return scales


def convolution_scales(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """(O, I / groups, h, w) → (O,). Sums of a convolution run over its places, and at each of them over its inputs.

    A depthwise convolution, of one output for each input, is computed in 32 bits from the start, so its weights have
    eight bits.
    """
    if weight.shape[1] == 1 and groups == len(weight) > 1:
        return quantized(weight, (1, 2, 3))[1].ravel()
    at_places = weight.transpose(2, 3, 1, 0)  # (h, w, I, O)
    odd = [(0, 0), (0, 0), (0, at_places.shape[2] % 2), (0, 0)]  # kernels pad each place's inputs by themselves
    scales = [
        safe_scales(at_places.reshape(-1, len(weight))),
        safe_scales(np.pad(at_places, odd).reshape(-1, len(weight))),
    ]
    return np.maximum(*scales)
