"""Any PyTorch module → one self-contained ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

OPSET = 18
MAX_BYTES = 2_000_000_000  # one ONNX file is one protobuf message, which ends at 2 GiB


def write_graph(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], output: str) -> None:
    """Trace `module` and write one self-contained .onnx file.

    Args:
        inputs: example tensors; every dynamic axis must be longer than 1 in them.
        axes: for each input, in the order of `forward`, its dynamic axes as `torch.export.Dim`.
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
    """For a `with` block: torch's exporter warns about torch's own calls no more, ONNX tools log no advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
