"""ONNX graphs in float32 → graphs with small weights.

- int8, compact, float16: stored small, computed in float32 (`weights.narrowing`). compact is int8 with a vocabulary in
  four bits.
- smooth-int8: products computed in int8, rows and channels scaled (`int8.smooth`). smooth-compact: and a vocabulary in
  four bits.
- static-int8: convolutions computed in int8, with ranges measured on calibration inputs (`int8.static`). For
  convolutional networks.
- float32: as they are.

What is not a product with a matrix is stored as in int8.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from araclip.training.export.int8.calibration import largest_by_channel
from araclip.training.export.int8.smooth import Largest, compute_in_int8
from araclip.training.export.weights.activations import order_gelu
from araclip.training.export.weights.graph_files import read_graph, write_graph
from araclip.training.export.weights.narrowing import narrow
from araclip.training.export.weights.sessions import Feed

SMOOTH = ("smooth-int8", "smooth-compact")
CALIBRATED = (*SMOOTH, "static-int8")  # better, or possible at all, with calibration inputs


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
        InputError: static-int8 has no calibration inputs.
    """
    if weights == "static-int8":
        from araclip.training.export.int8.static import quantise_static

        quantise_static(graph, target, feeds)
        graph = target
    model = read_graph(graph)
    order_gelu(model.graph)
    if weights in SMOOTH:
        if largest is None:
            largest = largest_by_channel(graph, feeds) if feeds else {}
        compute_in_int8(model, graph.parent, largest, keep)
    if weights != "float32":
        four = weights in ("compact", "smooth-compact")
        narrow(model.graph, compact=four, half=weights == "float16", folder=graph.parent)
    write_graph(model, graph.parent, target)
