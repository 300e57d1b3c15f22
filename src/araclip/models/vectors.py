"""Defines the types of vectors, and checks that a model's vectors can be compared."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InvalidVectors

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]  # one vector of D numbers, (D,)
Vectors = NDArray[np.float32]  # n vectors of D numbers, (n, D)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ids = Ints  # ids of pictures in a gallery
StoredVectors = NDArray[np.float16]  # vectors in the type in which galleries store them, one in each row

UNIT_TOLERANCE = 0.01  # largest difference of a vector's length from 1; rounding to bfloat16 causes .004


class HasLabelAndWidth(Protocol):
    """What `checked_vectors` must know of a model: its label, for messages, and the width of its vectors."""

    @property
    def label(self) -> str:
        """Name and fingerprint of the model, for error messages."""

    @property
    def width(self) -> int:
        """D, how many numbers a vector has."""


def checked_vectors(vectors: object, rows: int, model: HasLabelAndWidth) -> Vectors:
    """Return a model's (rows, D) vectors as float32. All vectors pass this check before they are compared or stored.

    Raises:
        InvalidVectors: `vectors` has another shape or type, or holds a number that is not finite or a vector whose
            length is not 1.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f" or vectors.shape != (rows, model.width):
        made = f"{vectors.shape} of {vectors.dtype}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise InvalidVectors(
            f"{model.label} makes {made}, where ({rows}, {model.width}) of float32 are expected, one row for each text "
            "or picture. Nothing of it was used. Export the model again, or mend the encoder."
        )
    checked: Vectors = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("ij,ij->i", checked, checked))
    right = np.abs(lengths - 1) <= UNIT_TOLERANCE  # false for a length of NaN, too, which is therefore refused
    if not right.all():
        first = float(lengths[~right][0])
        wrong = f"have the length {first:.3g} in place of 1" if np.isfinite(first) else "are not finite"
        raise InvalidVectors(
            f"{model.label} makes vectors that cannot be compared: {int((~right).sum())} of {rows} {wrong}. Nothing of "
            "it was used. Its weights are damaged, or it does not scale its vectors: copy or export the model again."
        )
    return checked


def products(vectors: Vectors, vector: Vectors) -> Vectors:
    """Return the inner products (n,) of vectors (n, D) with a vector (D,), by one thread.

    The threads of a BLAS library would keep a second core busy for milliseconds after each product.
    """
    found: Vectors = np.einsum("nd,d->n", vectors, vector)
    return found
