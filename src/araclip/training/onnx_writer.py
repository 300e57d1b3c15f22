"""Any PyTorch module → one self-contained ONNX file; and the weights of such a file, however they are stored."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 18
MAX_BYTES = 2_000_000_000  # one ONNX file is one protobuf message, which ends at 2 GiB
ORIGIN_KEY = "araclip"  # of the metadata that say what model a graph was made of, see `tower_graphs.write_origin`
BLOCK = 32  # numbers of a table's row that share a scale where it is stored in four bits


def write_graph(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], output: str) -> None:
    """Trace `module` and write one self-contained .onnx file.

    Args:
        inputs: example tensors; every dynamic axis must be longer than 1 in them.
        axes: for each input, in the order of `forward`, its dynamic axes as names, or as `torch.export.Dim`.
        output: the name of the one output.
    """
    with quiet():
        program: Any = torch.onnx.export(
            module.eval(), inputs, input_names=list(axes), output_names=[output], dynamic_shapes=axes,
            opset_version=OPSET, dynamo=True, verbose=False,
        )  # fmt: skip
        graph = program.model.graph
        (last,) = graph.outputs
        made = [value for node in graph for value in node.outputs]
        for value in [*made, *graph.initializers.values()]:
            if value is not last and value.name == output:  # torch calls every table look-up "embedding"
                value.name = f"{output}_inside"
        for noted in (graph, *graph, *made):  # stack traces, with the paths of this machine
            noted.metadata_props.clear()
        program.save(str(path), external_data=False)


@contextmanager
def quiet() -> Iterator[None]:
    """A `with` block without the warnings of torch's exporter about torch itself and the advice of ONNX tools."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def wide_weights(graph: Any) -> dict[str, NDArray[Any]]:
    """A graph's weights in the precision it computes with, by the names they had before `quantize.narrow`."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in [*weights]:
        if name.endswith("_int8"):
            whole = name.removesuffix("_int8")
            weights[whole] = weights.pop(name).astype(np.float32) * weights.pop(f"{whole}_scale")
        elif name.endswith("_int4"):
            whole = name.removesuffix("_int4")
            weights[whole] = from_four_bits(weights.pop(name), weights.pop(f"{whole}_scale"))
        elif name.endswith("_half"):
            weights[name.removesuffix("_half")] = weights.pop(name).astype(np.float32)
    return weights


def from_four_bits(bytes_: NDArray[np.uint8], scale: NDArray[np.float16]) -> NDArray[np.float32]:
    """(V, H) float32 from the four-bit values and scales of `quantize.packed`."""
    steps = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1).astype(np.float32) - 8
    return steps * np.repeat(scale.astype(np.float32), BLOCK, axis=1)
