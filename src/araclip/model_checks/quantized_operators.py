"""The operators outside of ONNX's standard that a graph may use: those of ONNX Runtime for weights of 4 and 8 bits.

Attributes and weights say how large their inputs are. Both are compared here, since no kernel of every release does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

DOMAIN = "com.microsoft"
BLOCKS = (16, 32, 64, 128, 256)  # weights that share a scale
MAX_SIDE = 1 << 20  # of a matrix; vocabularies have 256,000 rows

_SIDE = range(1, MAX_SIDE + 1)
ATTRIBUTES: dict[str, dict[str, Collection[int]]] = {  # operator → its attributes, all whole numbers, and their values
    "MatMulNBits": {"K": _SIDE, "N": _SIDE, "bits": (4, 8), "block_size": BLOCKS, "accuracy_level": range(5)},
    "GatherBlockQuantized": {
        "bits": (4, 8), "block_size": BLOCKS, "gather_axis": range(-2, 2), "quantize_axis": range(-2, 2),
    },
    "MatMulIntegerToFloat": {},
}  # fmt: skip


@dataclass(frozen=True)
class QuantizedNode:
    """A node of DOMAIN as it stands in the file; "" is an input that is left out."""

    operator: str
    inputs: Sequence[str]
    attributes: Mapping[str, int | None]  # None: of another kind than a whole number


def fault_of(node: QuantizedNode, elements: Mapping[str, int]) -> str | None:
    """What is wrong with a node; None where nothing is.

    Args:
        elements: of each of the graph's weights, by name.
    """
    allowed = ATTRIBUTES.get(node.operator)
    if allowed is None:
        return f"it uses the operator {DOMAIN}.{node.operator}; of that domain, {' and '.join(ATTRIBUTES)} are allowed"
    for name, value in node.attributes.items():
        if name not in allowed or value is None or value not in allowed[name]:
            return f"the operator {node.operator} has {name} {value}, which is not allowed"
    if node.operator == "MatMulIntegerToFloat":
        return _integer_fault(node, elements)
    return _matrix_fault(node, elements) if node.operator == "MatMulNBits" else None


def _integer_fault(node: QuantizedNode, elements: Mapping[str, int]) -> str | None:
    """Whether a MatMulIntegerToFloat has a stored matrix, a scale a column, and one scale and zero of its input."""
    _, *named = (*node.inputs, *[""] * 7)[:7]
    matrix, step, scale, zero, matrix_zero, bias = (elements.get(name, 0) if name else None for name in named)
    if not matrix or not scale or scale < 1 or matrix < 1 or matrix % scale:
        return f"the operator {node.operator} has {matrix or 'no'} stored numbers and {scale or 'no'} scales for them"
    if step != 1 or zero != 1 or matrix_zero is not None or bias is not None:
        return f"the operator {node.operator} has other inputs than a matrix, its scales and one scale and zero"
    return None


def _matrix_fault(node: QuantizedNode, elements: Mapping[str, int]) -> str | None:
    """Whether the weights of a MatMulNBits are as many as it says: N rows of K numbers in blocks, a scale for each."""
    k, n, block = (node.attributes.get(name) or 0 for name in ("K", "N", "block_size"))
    bits = node.attributes.get("bits") or 4
    if not (k and n and block):
        return "the operator MatMulNBits does not say the size of its weights"
    blocks = -(-k // block)
    zero_points = {n * (-(-blocks * bits // 8)), n * blocks}  # packed, or of the scales' type
    expected = {1: {n * blocks * block * bits // 8}, 2: {n * blocks}, 3: zero_points, 4: set(), 5: {n}}
    for number, counts in expected.items():
        name = node.inputs[number] if number < len(node.inputs) else ""
        if (name or number in (1, 2)) and elements.get(name) not in counts:
            return (
                f"the operator MatMulNBits has {elements.get(name, 'no')} stored numbers as input {number}, for {n} "
                f"rows of {k} in blocks of {block} there are {' or '.join(map(str, sorted(counts))) or 'none'}"
            )
    return None
