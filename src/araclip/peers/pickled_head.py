"""The pickled head of an older text encoder, read without executing the pickle.

The file holds Keras' weights of a dense layer, a list of two NumPy arrays: weight (in, out) and bias (out,). A pickle
is a program; of this one only the opcodes that build lists run, and stand-ins for NumPy's functions record their
arguments. The arrays are then made from their bytes here.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import ModelMismatch

MAX_BYTES = 256_000_000  # a hundred times the published one
FLOATS = ("f2", "f4", "f8")

Floats = NDArray[np.float32]


def read_head(path: Path) -> tuple[Floats, Floats]:
    """Weight (out, in) and bias (out,) as a torch Linear has them.

    Raises:
        ModelMismatch: the pickle asks for anything but two arrays of floats (it has not been run), is damaged, or their
            shapes contradict each other.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ModelMismatch(f"{path} is {path.stat().st_size / 1e6:.0f} MB, a head is a few. It is not read.")
    try:
        content = _Reader(io.BytesIO(path.read_bytes())).load()
        arrays = [_floats(entry) for entry in content] if isinstance(content, list | tuple) else []
    except ModelMismatch as refused:
        raise ModelMismatch(f"{path}: {refused} It is refused, and was not run.") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ModelMismatch(f"{path} is no pickle of two arrays ({error!r:.200}). Copy the file again.") from error
    if [array.ndim for array in arrays] != [2, 1] or arrays[0].shape[1] != arrays[1].shape[0]:
        shapes = ", ".join(str(array.shape) for array in arrays) or "none"
        raise ModelMismatch(f"{path} holds arrays of shapes {shapes}, expected a weight (in, out) and a bias (out,).")
    return np.ascontiguousarray(arrays[0].T), arrays[1]


class _DType:
    """Records the arguments of `numpy.dtype`, and the byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Records what an array is rebuilt from."""

    shape: Any
    dtype: Any
    fortran: Any
    raw: Any

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(raw: object, dtype: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.shape, array.dtype, array.fortran, array.raw = shape, dtype, order == "F", raw
    return array


def _latin1(text: str, _: str) -> bytes:
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _latin1,  # how protocol 2 stores bytes
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # before and since NumPy 2
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct), ("numeric", "_frombuffer", _from_buffer),
        )
    },
}  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _ALLOWED.get((module, name))
        if stand_in is None:
            raise ModelMismatch(f"the pickle asks for {module}.{name}, a head has NumPy arrays only.")
        return stand_in

    def persistent_load(self, pid: object) -> Any:
        raise ModelMismatch(f"the pickle points to something outside of it ({pid!r:.80}).")


def _floats(entry: object) -> Floats:
    if not isinstance(entry, _Array) or not isinstance(entry.dtype, _DType):
        raise ModelMismatch(f"the pickle holds a {type(entry).__name__}, a head has NumPy arrays only.")
    shape, code, raw = tuple(entry.shape), entry.dtype.code, entry.raw
    if code not in FLOATS or entry.dtype.order not in ("<", ">", "=", "|"):
        raise ModelMismatch(f"the pickle holds an array of {code!r:.40}, a head has floats.")
    dtype = np.dtype(f"{entry.dtype.order}{code}")
    if not isinstance(raw, bytes | bytearray) or math.prod(shape) * dtype.itemsize != len(raw):
        raise ModelMismatch(f"the pickle holds an array of shape {shape!r:.40} with other bytes than that.")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if entry.fortran else "C")
    return values.astype(np.float32)
