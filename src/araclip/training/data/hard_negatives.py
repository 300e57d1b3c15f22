"""Hard negatives: pictures whose vectors are near each other's, by the model in training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.evaluation.picture_sets.datasets import CaptionedPicture

BLOCK = 1024  # pictures compared with all others at once


def mined(vectors: NDArray[np.float32], pictures: Sequence[CaptionedPicture], count: int) -> NDArray[np.int64]:
    """(N, K): for each picture the rows of the K = min(count, N − 1) nearest others by inner product.

    Pictures that share a text or the file with it are no negatives: among the 2·K nearest they come last.

    Args:
        vectors: (N, D) of `pictures`, rows of unit length.
    """
    texts = [{picture.path, *picture.english, *picture.arabic} for picture in pictures]
    count = min(count, len(vectors) - 1)
    out = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T  # (B, N)
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, : min(2 * count, len(vectors) - 1)]
        for i, row in enumerate(best.tolist(), start):
            out[i] = sorted(row, key=lambda other: not texts[i].isdisjoint(texts[other]))[:count]
    return out
