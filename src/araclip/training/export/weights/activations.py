"""GELU as ONNX Runtime knows it.

PyTorch's exporter writes x · (0.5 · (1 + erf(x / √2))); ONNX Runtime makes one operator, with the bias before it, of
(x · (1 + erf(x / √2))) · 0.5 only. Both are the same to the last bit, since a half only changes the exponent.
"""

from typing import Any

from onnx import numpy_helper

from araclip.training.export.weights.products import uses_of


def order_gelu(graph: Any) -> int:
    """Let the half come last in every GELU of a graph, in place; returns how many there were."""
    constants = {t.name: t for t in graph.initializer if len(t.dims) == 0 and not t.external_data}
    made = {name: node for node in graph.node for name in node.output}
    uses = uses_of(graph)
    found = 0
    for last in graph.node:
        for x, scaled in (tuple(last.input), tuple(last.input)[::-1]) if last.op_type == "Mul" else ():
            inner = made.get(scaled)
            if inner is None or inner.op_type != "Mul" or len(uses[scaled]) != 1:
                continue
            half, one_and_erf = tuple(inner.input) if inner.input[0] in constants else tuple(inner.input)[::-1]
            if _number(constants, half) == 0.5 and _reads_erf_of(made, one_and_erf, x):
                inner.input[:] = [x, one_and_erf]
                last.input[:] = [scaled, half]
                found += 1
                break
    return found


def _reads_erf_of(made: dict[str, Any], name: str, x: str) -> bool:
    """Whether `name` is something added to erf(x / something)."""
    add = made.get(name)
    erf = next((made[i] for i in (add.input if add else ()) if i in made and made[i].op_type == "Erf"), None)
    return add is not None and add.op_type == "Add" and erf is not None and x in _inputs(made.get(erf.input[0]))


def _inputs(node: Any) -> list[str]:
    return [] if node is None else list(node.input)


def _number(constants: dict[str, Any], name: str) -> float | None:
    return float(numpy_helper.to_array(constants[name])) if name in constants else None
