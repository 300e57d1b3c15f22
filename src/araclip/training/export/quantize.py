"""ONNX graphs in float32 → graphs with small weights.

- int8, compact, float16: stored small, computed in float32 (`weights.narrowing`). compact is int8 with a vocabulary in
  four bits.
- smooth-int8: products computed in int8, rows and channels scaled (`int8.smooth`). smooth-compact: and a vocabulary in
  four bits.
- dynamic-int8: products computed in int8 by ONNX Runtime's dynamic quantisation, one scale for a whole batch.
- int8-blocks, int4-blocks: matrices in blocks of 32 numbers (`weights.blocks`).
- static-int8: convolutions computed in int8, with ranges measured on calibration inputs (`int8.static`). For
  convolutional networks.
- float32: as they are.

What is not a product with a matrix is stored as in int8, in int4-blocks as in compact. Which one is fast and close
enough is measured for each model on each machine: `weights.choice`.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from araclip.errors import InputError
from araclip.model_folder import WEIGHTS
from araclip.training.export.int8.calibration import largest_by_channel
from araclip.training.export.int8.smooth import Largest, compute_in_int8
from araclip.training.export.weights.activations import order_gelu
from araclip.training.export.weights.blocks import store_in_blocks
from araclip.training.export.weights.graph_files import read_graph, write_graph
from araclip.training.export.weights.narrowing import narrow
from araclip.training.export.weights.sessions import Feed
from araclip.training.onnx_writer import quiet

SMOOTH = ("smooth-int8", "smooth-compact")
CALIBRATED = (*SMOOTH, "static-int8")  # better, or possible at all, with calibration inputs


def check_weights(weights: str) -> None:
    """Refuse a name that is not in `model_folder.WEIGHTS`.

    Raises:
        InputError: the known ones are named.
    """
    if weights not in WEIGHTS:
        raise InputError(f"weights are stored as {', '.join(WEIGHTS)}, not as '{weights}'.")


def store(
    graph: Path, target: Path, weights: str, *, feeds: Sequence[Feed] = (), largest: Largest | None = None,
    keep: Collection[str] = (),
) -> None:  # fmt: skip
    """Write `target` from a float32 graph, its weights stored as `weights` says.

    Weights of more than 2 GB go into a file beside each graph, see `graph_files`.

    Args:
        feeds: calibration inputs, each by name as the graph takes them; smooth-int8 does without, static-int8 not.
        largest: what `largest_by_channel` found for these, if it is known already.
        keep: products of smooth-int8 that stay in float32, by the name of their output.

    Raises:
        InputError: `weights` is unknown, or static-int8 has no calibration inputs.
    """
    check_weights(weights)
    if weights == "static-int8":
        from araclip.training.export.int8.static import quantise_static

        quantise_static(graph, target, feeds)
        graph = target
    elif weights == "dynamic-int8":
        _quantise_dynamic(graph, target)
        graph = target
    model = read_graph(graph)
    order_gelu(model.graph)
    if weights in SMOOTH:
        if largest is None:
            largest = largest_by_channel(graph, feeds) if feeds else {}
        compute_in_int8(model, graph.parent, largest, keep)
    elif weights in ("int8-blocks", "int4-blocks"):
        store_in_blocks(model, graph.parent, 8 if weights == "int8-blocks" else 4)
    if weights != "float32":
        four, half = weights in ("compact", "smooth-compact", "int4-blocks"), weights == "float16"
        narrow(model.graph, compact=four, half=half, folder=graph.parent)
    write_graph(model, graph.parent, target)


def _quantise_dynamic(graph: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():  # it recommends a preprocessing that graphs of torch's exporter do not need
        quantize_dynamic(
            graph, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
        )
