"""Reads published weights without running code from pickles, and checks their names and shapes against a model.

The head of an older text encoder is a pickle of Keras' weights of a dense layer: a list of two NumPy arrays, weight
(in, out) and bias (out,). Unpickling can call any function. Here a pickle can reach only stand-ins for NumPy's
functions, which record their arguments; any other name is refused. The arrays are then made from the recorded bytes.
"""

import io
import math
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from araclip.core import bounded_json
from araclip.errors import ModelMismatch, ModelNotFound, first_line
from araclip.models.folder import existing_folder
from araclip.training.failures import not_loaded, reason

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.pickle", "*.pkl"]


def local_folder(name: str, location: str) -> Path:
    """Return the folder of a model: `location` if that is a folder, else the snapshot of the hub id `location`.

    The snapshot is downloaded if it is not on this machine. `name` is the model's name for messages.
    """
    if folder := existing_folder(location):
        return folder
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(location, allow_patterns=_SMALL_FILES))
        for weights in WEIGHTS:  # fetch the weights in one file format only, because each has gigabytes
            snapshot_download(location, allow_patterns=[weights, f"{weights}.index.json", weights.replace(".", "-*.")])
            if any(folder.glob(weights.replace(".", "*."))):
                break
    except (OSError, ValueError) as error:
        raise not_loaded(name, error, "give a local folder, or a hub id while the hub can be reached") from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing or cannot be read. Copy the model's folder again, whole.")
    try:
        content = bounded_json.read(path, error=ModelMismatch)
    except ModelMismatch as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise ModelMismatch(f"{path} is not valid JSON ({fault}). Copy the model's folder again.") from None
    if not isinstance(content, dict):
        raise ModelMismatch(f"{path} holds a {type(content).__name__}, expected an object.")
    return content


def is_saved_model(folder: Path) -> bool:
    """True if a folder is a saved AraCLIPModel, judged by its config.json."""
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") == "araclip"


def read_state(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a folder's weights, from one file or from several with an index."""
    for weights in WEIGHTS:
        index = folder / f"{weights}.index.json"
        if (folder / weights).is_file():
            return _read_tensors(folder / weights)
        if index.is_file():
            table = read_json(index).get("weight_map")
            if not isinstance(table, dict):
                raise ModelMismatch(f"{index}: weight_map is {table!r:.60}, expected an object. Copy the folder again.")
            shards = sorted({Path(str(name)).name for name in table.values()})
            return {name: tensor for shard in shards for name, tensor in _read_tensors(folder / shard).items()}
    raise ModelNotFound(f"{folder} holds no weights: neither {' nor '.join(WEIGHTS)}. Copy the model's folder again.")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # The weights in a zip archive can be mapped, so that each is read when it is used; the oldest files are not
            # zip archives.
            mapped = is_zipfile(path)
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise ModelMismatch(
            f"{path} is refused: it is a damaged file, or a pickle that holds more than tensors, which could run code "
            f"({first_line(error):.200}). Get the weights as safetensors, or from a source you trust."
        ) from error
    except Exception as error:  # a damaged archive makes torch raise nearly anything
        raise ModelMismatch(f"{path} cannot be read ({reason(error)}). Copy the file again.") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelMismatch(f"{path} holds no table of named tensors. Copy the file again.")
    return dict(state)


def check_fit(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path, optional: Collection[str]
) -> None:
    """Raise ModelMismatch if a checkpoint's tensors have other names or shapes than those of the model (`expected`).

    `optional`: the checkpoint may have further tensors whose names begin or end with one of these texts. `source`: the
    checkpoint's path, for the message.
    """
    ends = tuple(optional)
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(
        name for name in set(tensors) - set(expected) if not name.startswith(ends) and not name.endswith(ends)
    )
    shapes = sorted(
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in set(tensors) & set(expected)
        if tensors[name].shape != expected[name].shape
    )
    faults = [
        *(f"{name} is missing, expected {tuple(expected[name].shape)}" for name in missing),
        *(f"{name} of {tuple(tensors[name].shape)} is not expected" for name in extra),
        *shapes,
    ]
    if faults:
        more = f" (and {len(faults) - 1} more of {len(expected)} tensors)" if len(faults) > 1 else ""
        raise ModelMismatch(
            f"{source}: {faults[0]}{more}. The weights are not those that its config.json describes: copy the whole "
            "folder again, or name another kind of model."
        )


MAX_BYTES = 256_000_000  # limit: bytes of a pickled head; the published head has a hundredth of that
FLOATS = ("f2", "f4", "f8")


def read_head(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read weight (out, in) and bias (out,) of a pickled linear layer, without running the pickle's code."""
    if path.stat().st_size > MAX_BYTES:
        raise ModelMismatch(f"{path} is {path.stat().st_size / 1e6:.0f} MB, a head is a few. It is not read.")
    try:
        content = _HeadUnpickler(io.BytesIO(path.read_bytes())).load()
        arrays = [_to_floats(entry) for entry in content] if isinstance(content, list | tuple) else []
    except ModelMismatch as refused:
        raise ModelMismatch(f"{path}: {refused} It is refused, and was not run.") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ModelMismatch(f"{path} is no pickle of two arrays ({error!r:.200}). Copy the file again.") from error
    if [array.ndim for array in arrays] != [2, 1] or arrays[0].shape[1] != arrays[1].shape[0]:
        shapes = ", ".join(str(array.shape) for array in arrays) or "none"
        raise ModelMismatch(f"{path} holds arrays of shapes {shapes}, expected a weight (in, out) and a bias (out,).")
    return np.ascontiguousarray(arrays[0].T), arrays[1]


class _RecordedDType:
    """Takes the place of `numpy.dtype` while a pickle is read: keeps the type's code and its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _RecordedArray:
    """Takes the place of a NumPy array while a pickle is read: keeps the shape, type and bytes of the array."""

    shape: Any
    dtype: Any
    fortran: Any
    raw: Any

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state


def _record_buffer(raw: object, dtype: object, shape: object, order: object) -> _RecordedArray:
    array = _RecordedArray()
    array.shape, array.dtype, array.fortran, array.raw = shape, dtype, order == "F", raw
    return array


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _RecordedArray,
    ("numpy", "dtype"): _RecordedDType,
    # pickle protocol 2 stores bytes as a call of this function
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # NumPy's module name before version 2, and since
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", lambda *_: _RecordedArray()), ("numeric", "_frombuffer", _record_buffer),
        )
    },
}  # fmt: skip


class _HeadUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module, name))
        if stand_in is None:
            raise ModelMismatch(f"the pickle asks for {module}.{name}, a head has NumPy arrays only.")
        return stand_in

    def persistent_load(self, pid: object) -> Any:
        raise ModelMismatch(f"the pickle points to something outside of it ({pid!r:.80}).")


def _to_floats(entry: object) -> NDArray[np.float32]:
    if not isinstance(entry, _RecordedArray) or not isinstance(entry.dtype, _RecordedDType):
        raise ModelMismatch(f"the pickle holds a {type(entry).__name__}, a head has NumPy arrays only.")
    shape, code, raw = tuple(entry.shape), entry.dtype.code, entry.raw
    if code not in FLOATS or entry.dtype.order not in ("<", ">", "=", "|"):
        raise ModelMismatch(f"the pickle holds an array of {code!r:.40}, a head has floats.")
    dtype = np.dtype(f"{entry.dtype.order}{code}")
    if not isinstance(raw, bytes | bytearray) or math.prod(shape) * dtype.itemsize != len(raw):
        raise ModelMismatch(f"the pickle holds an array of shape {shape!r:.40} with other bytes than that.")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if entry.fortran else "C")
    return values.astype(np.float32)
