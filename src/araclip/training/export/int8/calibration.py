"""What flows through a float32 graph on real inputs, measured inside the graph: only few numbers leave it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from araclip.training.export.int8.smooth import Largest, compute_in_int8
from araclip.training.export.weights.graph_files import add_domain, read_graph
from araclip.training.export.weights.products import products
from araclip.training.export.weights.sessions import Feed, opened

MEASURING = "measuring.onnx"  # written beside the graph, whose weights it reads


def largest_by_channel(graph: Path, feeds: Sequence[Feed]) -> Largest:
    """For each input of a product with a matrix, the largest share that each of its channels (K,) has in
    the largest number of a row, from 0 to 1.

    Args:
        graph: in float32, its weights in a file beside it (`graph_files.write_graph`).
    """
    model = read_graph(graph)
    channels = {str(p.node.input[0]): p.weight.dims[1 if p.transposed else 0] for p in products(model.graph)}
    made = {}
    for source, count in channels.items():
        made[f"{source}_largest"] = source
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, count]), f"{source}_by_row"))
        model.graph.node.extend(
            [
                helper.make_node("Reshape", [source, f"{source}_by_row"], [f"{source}_rows"]),
                helper.make_node("Abs", [f"{source}_rows"], [f"{source}_abs"]),
                helper.make_node("ReduceMax", [f"{source}_abs", "last_axis"], [f"{source}_range"], keepdims=1),
                helper.make_node("Max", [f"{source}_range", "least_range"], [f"{source}_divisor"]),
                helper.make_node("Div", [f"{source}_abs", f"{source}_divisor"], [f"{source}_shares"]),
                helper.make_node("ReduceMax", [f"{source}_shares", "first_axis"], [f"{source}_largest"], keepdims=0),
            ]
        )
    constants = {"first_axis": np.array([0]), "last_axis": np.array([1]), "least_range": np.float32(1e-9)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    largest: dict[str, NDArray[np.float32]] = {}
    for found in outputs_of(model, graph, list(made), feeds):
        for name, values in found.items():
            source = made[name]
            largest[source] = np.maximum(largest.get(source, np.float32(0)), values)
    return largest


def errors_of_products(graph: Path, feeds: Sequence[Feed], largest: Largest) -> dict[str, float]:
    """By product: the mean squared error of its int8 form on its float32 inputs, relative to its own mean square.

    Args:
        graph: in float32, its weights in a file beside it.
        largest: see `compute_in_int8`.
    """
    exact, small = read_graph(graph), read_graph(graph)
    names = [product.name for product in products(exact.graph)]
    compute_in_int8(small, graph.parent, largest)
    add_domain(exact)
    known = {out for node in exact.graph.node for out in node.output}
    known |= {tensor.name for tensor in exact.graph.initializer}
    mine = {name: f"{name}_int8" for name in names}
    for node in small.graph.node:
        outputs = [mine.get(name, name) for name in node.output]
        if not known.issuperset(outputs):  # the nodes that `compute_in_int8` made; all read float32 inputs
            node.output[:] = outputs
            exact.graph.node.append(node)
    exact.graph.initializer.extend(t for t in small.graph.initializer if t.name not in known)
    for name in names:
        exact.graph.node.extend(
            [
                helper.make_node("Sub", [name, mine[name]], [f"{name}_off"]),
                helper.make_node("ReduceSumSquare", [f"{name}_off"], [f"{name}_noise"], keepdims=0),
                helper.make_node("ReduceSumSquare", [name], [f"{name}_signal"], keepdims=0),
                helper.make_node("Div", [f"{name}_noise", f"{name}_signal"], [f"{name}_error"]),
            ]
        )
    found = list(outputs_of(exact, graph, [f"{name}_error" for name in names], feeds))
    return {name: float(np.mean([each[f"{name}_error"] for each in found])) for name in names}


def outputs_of(model: Any, graph: Path, names: list[str], feeds: Sequence[Feed]) -> list[dict[str, NDArray[Any]]]:
    """What a graph with more nodes makes of each feed, by name.

    Args:
        model: the graph with the nodes that measure, whose weights are those of `graph`.
        names: of their outputs.
    """
    if not names:
        return [{} for _ in feeds]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    del model.graph.value_info[:]
    path = graph.with_name(MEASURING)
    try:
        onnx.save(model, str(path))  # weights of the graph stay where they are
        session = opened(path)
        return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]
    finally:
        path.unlink(missing_ok=True)
