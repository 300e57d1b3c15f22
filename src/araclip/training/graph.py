"""PyTorch modules → ONNX graphs."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

OPSET = 18


def write_graph(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, axes: dict[str, Any], output: str) -> None:
    """Trace `module` and write one self-contained .onnx file.

    Args:
        inputs: example tensors; every dynamic axis must be longer than 1 in them.
        axes: for each input, in the order of `forward`, its dynamic axes as `torch.export.Dim`.
        output: the name of the one output.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about torch's own deprecated calls
        torch.onnx.export(
            module.eval(), inputs, str(path), input_names=list(axes), output_names=[output], dynamic_shapes=axes,
            opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
