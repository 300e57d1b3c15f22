"""The products of a graph with constant matrices: where nearly all of a transformer's time goes."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.training.export.weights.graph_files import numbers

Uses = list[tuple[Any, int]]  # the nodes that read a weight, and as which of their inputs
MIN_ELEMENTS = 1024  # smaller matrices stay as they are


@dataclass(frozen=True)
class Product:
    """One node MatMul or Gemm whose second input is a weight. `transposed`: the weight is (outputs, inputs)."""

    node: Any
    weight: Any  # TensorProto
    transposed: bool

    @property
    def name(self) -> str:
        """Of its output, which is its own."""
        return str(self.node.output[0])

    @property
    def bias(self) -> str:
        """The name of what a Gemm adds; "" where it adds nothing."""
        return str(self.node.input[2]) if len(self.node.input) > 2 else ""

    def matrix(self, folder: Path | None) -> NDArray[np.float32]:
        """(inputs, outputs) float32."""
        values = numbers(self.weight, folder)
        return values.T if self.transposed else values


def uses_of(graph: Any) -> dict[str, Uses]:
    """By weight or value: who reads it."""
    uses: dict[str, Uses] = defaultdict(list)
    for node in graph.node:
        for position, name in enumerate(node.input):
            uses[name].append((node, position))
    return uses


def products(graph: Any) -> Iterator[Product]:
    """The products with float32 matrices, in the order of the graph."""
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == 1 and len(tensor.dims) == 2}
    for node in graph.node:
        if node.domain in ("", "ai.onnx") and node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            weight = weights[node.input[1]]
            options = {a.name: a.f if a.name in ("alpha", "beta") else a.i for a in node.attribute}
            plain = options.get("alpha", 1) == 1 and options.get("beta", 1) == 1 and not options.get("transA", 0)
            if plain and np.prod(weight.dims) >= MIN_ELEMENTS and min(weight.dims) > 1:
                yield Product(node, weight, bool(options.get("transB", 0)))


def replace_nodes(graph: Any, instead: dict[str, list[Any]]) -> None:
    """Replace nodes, named by their first output, each by the nodes that make the same output."""
    nodes = [new for node in graph.node for new in instead.get(node.output[0] if node.output else "", [node])]
    del graph.node[:]
    graph.node.extend(nodes)


def drop_unused_weights(graph: Any) -> None:
    """Remove weights that no node reads any longer."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)
