"""A made-up scale of relevance, and unit vectors."""

import numpy as np

from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale

D = 8


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made_up(seed: int = 0, pictures: int = 200) -> RelevanceScale:
    """Pictures that differ along two axes only; everyday queries along those, nonsense along the others."""
    rng = np.random.default_rng(seed)
    spread = np.array([1, 1, *[0.05] * (D - 2)])
    everyday = np.array([1, 1, *[0.3] * (D - 2)])
    sample = unit(rng.normal(size=(pictures, D)) * spread)
    reference = ReferenceVectors(
        unit(rng.normal(size=(60, D)) * everyday), unit(rng.normal(size=(60, D)) * everyday[::-1])
    )
    scale = relevance_scale(sample, reference)
    assert scale is not None
    return scale
