"""Convolutions and products computed in int8, the ranges of all values measured beforehand on calibration inputs.

Weights have seven bits, for the reason that `int8_products` gives.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from araclip.errors import InputError
from araclip.training.export.weights.graph_files import read_graph, write_graph
from araclip.training.export.weights.sessions import Feed
from araclip.training.onnx_writer import quiet

OPERATORS = ("Conv", "MatMul", "Gemm", "Add", "GlobalAveragePool", "AveragePool", "MaxPool")


def quantise_static(graph: Path, target: Path, feeds: Sequence[Feed]) -> None:
    """Write `target` from a float32 graph: QuantizeLinear and DequantizeLinear around each operator (QDQ).

    Args:
        feeds: calibration inputs; 128 photographs are enough.

    Raises:
        InputError: there are none.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if not feeds:
        raise InputError("static-int8 measures ranges on pictures: name a folder of some with --calibrate.")
    with tempfile.TemporaryDirectory(prefix=".static.", dir=target.parent) as folder, quiet():
        whole = Path(folder) / "float32.onnx"
        write_graph(read_graph(graph), graph.parent, whole)
        quantize_static(
            str(whole), str(target), _Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            op_types_to_quantize=list(OPERATORS), activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    model = onnx.load(str(target))
    for noted in (model.graph, *model.graph.node):
        del noted.metadata_props[:]
    onnx.save(model, str(target))


class _Reader:
    """The calibration inputs as ONNX Runtime asks for them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Any:
        """The next inputs by name; None at the end."""
        return next(self._left, None)
