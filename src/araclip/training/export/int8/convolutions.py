"""The convolutions of a graph, and what flows between them: what static-int8 computes in int8."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from araclip.errors import InputError
from araclip.training.export.int8.calibration import outputs_of
from araclip.training.export.weights.graph_files import read_graph
from araclip.training.export.weights.products import uses_of
from araclip.training.export.weights.sessions import Feed

BETWEEN = frozenset({"Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Relu", "Resize"})
_ACTIVATIONS = frozenset({"Clip", "Relu"})


@dataclass(frozen=True)
class Convolution:
    """One node Conv whose weight, and bias if there is one, are constant."""

    node: Any
    weight: Any  # TensorProto, (O, I / groups, h, w)
    bias: Any  # TensorProto, (O,); None where there is none, or it is computed

    @property
    def groups(self) -> int:
        """1 but for depthwise and grouped ones."""
        return next((int(a.i) for a in self.node.attribute if a.name == "group"), 1)

    @property
    def source(self) -> str:
        """The name of its input."""
        return str(self.node.input[0])

    def numbers(self) -> NDArray[np.float32]:
        """(O, I / groups, h, w)"""
        values: NDArray[np.float32] = numpy_helper.to_array(self.weight)
        return values


def convolutions(graph: Any) -> Iterator[Convolution]:
    """The two-dimensional convolutions, in the order of the graph."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and (weight := weights.get(node.input[1])) is not None and len(weight.dims) == 4:
            yield Convolution(node, weight, weights.get(node.input[2]) if len(node.input) > 2 else None)


def separate_biases(graph: Any) -> None:
    """Give each convolution a bias that it alone reads, of zeros where it has none.

    PyTorch's exporter leaves out biases of zeros, and lets equal ones be one weight.
    """
    uses = uses_of(graph)
    for each in convolutions(graph):
        inputs = each.node.input
        old = inputs[2] if len(inputs) > 2 else ""
        if old and (each.bias is None or len(uses[old]) == 1):
            continue
        values = numpy_helper.to_array(each.bias) if old else np.zeros(each.weight.dims[0], np.float32)
        own = numpy_helper.from_array(values, f"{each.node.output[0]}_own_bias")
        graph.initializer.append(own)
        del inputs[2:]
        inputs.append(own.name)


def between_convolutions(graph: Any) -> list[str]:
    """The names of the convolutions and of the nodes between them, which make maps of maps; not of a head's."""
    makers = {output: node for node in graph.node for output in node.output}
    found = {each.node.name: each.node for each in convolutions(graph)}
    made = {output for node in found.values() for output in node.output}
    found |= {n.name: n for n in graph.node if n.op_type in _ACTIVATIONS and n.input[0] in made}
    left = [*found.values()]
    while left:
        for name in left.pop().input:
            node = makers.get(name)
            if node is not None and node.op_type in BETWEEN and node.name not in found:
                found[node.name] = node
                left.append(node)
    return list(found)


def input_means(graph: Path, feeds: Sequence[Feed]) -> dict[str, NDArray[np.float32]]:
    """For each input of a convolution, the mean of each channel (I,) over pictures and places.

    Args:
        graph: in float32, its weights in a file beside it (`graph_files.write_graph`).

    Raises:
        InputError: none of the pictures reaches a convolution, as of a routed branch.
    """
    model = read_graph(graph)
    sources = sorted({each.source for each in convolutions(model.graph)})
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "all_but_channels"))
    for source in sources:
        mean = helper.make_node("ReduceMean", [source, "all_but_channels"], [f"{source}_mean"], keepdims=0)
        model.graph.node.extend([mean, helper.make_node("ReduceMin", [source], [f"{source}_least"], keepdims=0)])
    found: dict[str, list[NDArray[np.float32]]] = {source: [] for source in sources}
    asked = [f"{source}_{what}" for source in sources for what in ("mean", "least")]
    for made in outputs_of(model, graph, asked, feeds):
        for source in sources:
            if np.isfinite(made[f"{source}_least"]):  # of no picture it is not, and the mean is 0
                found[source].append(made[f"{source}_mean"])
    if missed := next((source for source, means in found.items() if not means), None):
        raise InputError(
            f"no picture that ranges were measured on reaches {missed}, in a branch that computes for some kinds of "
            "pictures alone, such as drawings. Name a folder of such pictures, too (--calibrate may be repeated)."
        )
    return {source: np.mean(means, axis=0).astype(np.float32) for source, means in found.items()}
