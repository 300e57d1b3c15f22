"""ONNX graphs on disk, whose weights may lie in a file beside them: read and written tensor by tensor."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from araclip.training.onnx_writer import DATA, MAX_BYTES, take_in

_ALIGNED = 4096  # bytes: ONNX Runtime maps weights that begin at a page
_WORTH_MOVING = 1024  # bytes; smaller weights stay in the graph, where shapes are read from


def read_graph(path: Path) -> Any:
    """The graph as an `onnx.ModelProto`; weights in another file stay there, see `numbers`."""
    return onnx.load(str(path), load_external_data=False)


def numbers(tensor: Any, folder: Path | None = None) -> NDArray[Any]:
    """A weight's numbers; those in another file are mapped, not read.

    Args:
        folder: of the graph.
    """
    if not is_outside(tensor):
        values: NDArray[Any] = numpy_helper.to_array(tensor)
        return values
    where = external_data_helper.ExternalDataInfo(tensor)
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    shape = tuple(tensor.dims)
    if not int(np.prod(shape)):
        return np.zeros(shape, kind)
    return np.memmap((folder or Path()) / where.location, kind, "r", where.offset or 0, shape)


def is_outside(tensor: Any) -> bool:
    """Whether a weight lies in another file than its graph."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def write_graph(model: Any, folder: Path, target: Path, *, outside: bool | None = None) -> None:
    """Write a graph; weights of more than 2 GB in all go into a file beside it, `target` with .data behind its name.

    Args:
        folder: where weights of `model` that lie in another file are.
        outside: True moves weights into that file whatever they take.
    """
    tensors = model.graph.initializer
    if outside is None:
        outside = sum(numbers(tensor, folder).nbytes for tensor in tensors) > MAX_BYTES
    _move_outside(tensors, folder, target.with_name(target.name + DATA))
    onnx.save(model, str(target))
    if not outside:
        take_in(target)  # block by block: a large model is in memory once


def _move_outside(tensors: Any, folder: Path, data: Path) -> None:
    with data.open("wb") as file:
        for tensor in tensors:
            array = numbers(tensor, folder)
            if array.nbytes < _WORTH_MOVING:
                if is_outside(tensor):
                    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))
                continue
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            start = file.tell()
            array.tofile(file)
            moved = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            moved.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", start), ("length", array.nbytes)):
                moved.external_data.add(key=key, value=str(value))
            tensor.CopyFrom(moved)


def add_domain(model: Any, domain: str = "com.microsoft") -> None:
    """Declare that a graph uses ONNX Runtime's own operators."""
    if not any(known.domain == domain for known in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, 1))


def megabytes(path: Path) -> float:
    """10⁶ bytes of a graph on disk, its weights included."""
    beside = path.with_name(path.name + DATA)
    return (path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)) / 1e6
