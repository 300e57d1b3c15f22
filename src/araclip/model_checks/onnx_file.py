"""An ONNX graph judged by its bytes, before a library opens it: what it runs, how large it is, what it refers to.

Reads the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding) from a memory map. Weights
are never copied, only measured. The field numbers are those of onnx.proto.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

from araclip.display import shown
from araclip.errors import ModelMismatch

MAX_BYTES = (1 << 31) - 1  # of a protocol buffer; larger graphs keep their weights in other files
MAX_NODES = 20_000  # araclip-mini's graphs have 628 and 862; a ViT-H written operator by operator has 4,000
MAX_FIELDS = 500_000  # of the whole file; araclip-mini's larger graph has 18,000
MAX_RANK = 32

# The standard operators that dense networks are made of. Left out: control flow (Loop, Scan, If, SequenceMap), which
# makes time a matter of the graph's numbers; sequences, optionals and texts; random numbers; and what no tower needs.
_OPERATORS = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift
BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv
ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu
Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool
GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity
InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero
Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1
ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
Resize ReverseSequence RotaryEmbedding Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK
Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_OPERATORS.split())
STANDARD_DOMAINS = (b"", b"ai.onnx")

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # wire types; groups (3 and 4) are not in use
_TENSOR_DATA = (4, 5, 7, 9, 10, 11)  # float_data, int32_data, int64_data, raw_data, double_data, uint64_data
_STRING = 8  # a data type
_ELEMENTS_PER_BYTE = 4  # 2-bit integers are the smallest

Value = memoryview | int  # bytes, or a number


class _Fault(Exception):
    """What is wrong with the file."""


def check_graph(path: Path) -> None:
    """Check that a graph has standard operators only, and all its weights in this file.

    Takes time and memory that do not depend on what the graph does; at most a few seconds for a hostile file.

    Raises:
        ModelMismatch: it cannot be opened or is no ONNX graph; it has too many nodes, an operator that is not in
            `OPERATORS`, functions or subgraphs, weights in other files, or weights larger than the file.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise _Fault("the file is empty" if not size else f"{size} bytes are more than a graph can have")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
        _Graph().check_model(memoryview(mapped))
    except OSError as error:
        raise ModelMismatch(f"{path} cannot be opened ({error.strerror}). Copy the folder again.") from None
    except _Fault as fault:
        raise ModelMismatch(f"{path} cannot be opened: {fault}. Export the model again.") from None


class _Graph:
    """Counts nodes and fields of one file."""

    def __init__(self) -> None:
        self._fields_left = MAX_FIELDS
        self._nodes = 0

    def check_model(self, data: memoryview) -> None:
        graphs = 0
        for number, value in self._fields(data):
            if number == 7:
                graphs += 1
                self._check_graph(_bytes(value))
            elif number in (20, 25):
                raise _Fault("it has functions of its own or training information")
        if graphs != 1:  # a parser would merge several
            raise _Fault(f"it is no ONNX graph ({graphs} graphs in the file, expected one)")
        if not self._nodes:
            raise _Fault("it is no ONNX graph (no nodes)")

    def _check_graph(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == 1:
                self._check_node(_bytes(value))
            elif number == 5:
                self._check_tensor(_bytes(value))
            elif number == 15:
                raise _Fault("it has sparse weights, which this release does not read")

    def _check_node(self, data: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Fault(f"it has more than {MAX_NODES:,} nodes")
        for number, value in self._fields(data):
            if number == 4 and (name := _name(value)) not in OPERATORS:
                raise _Fault(f"it uses the operator {name}, which is not among the standard ones without control flow")
            if number == 7 and bytes(_bytes(value)[:100]) not in STANDARD_DOMAINS:
                raise _Fault(f"it uses operators of the domain {_name(value)}, which are not standard")
            if number == 5:
                self._check_attribute(_bytes(value))

    def _check_attribute(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number in (5, 10):
                self._check_tensor(_bytes(value))
            elif number in (6, 11):
                raise _Fault("a node of it has a graph inside")
            elif number in (22, 23):
                raise _Fault("it has sparse weights, which this release does not read")

    def _check_tensor(self, data: memoryview) -> None:
        shape: list[int] = []
        stored = 0
        seen: set[int] = set()
        for number, value in self._fields(data):
            if number in (2, 8, 9) and number in seen:  # a parser takes the last one
                raise _Fault("weights of it have two types, names or contents")
            seen.add(number)
            if number == 1:
                shape.extend(_packed(value))
            elif number == 2 and value == _STRING:
                raise _Fault("it has texts among its weights")
            elif number == 13 or (number == 14 and value):
                raise _Fault("its weights are in other files; a model folder keeps them in the graph")
            elif number in _TENSOR_DATA:
                stored += len(value) if isinstance(value, memoryview) else 1
            if len(shape) > MAX_RANK:
                raise _Fault(f"weights of it have more than {MAX_RANK} dimensions")
        elements = prod(shape)
        if min(shape, default=0) < 0 or elements > stored * _ELEMENTS_PER_BYTE:
            raise _Fault(f"weights of it are said to have the shape {shape}, but {stored} bytes are stored")

    def _fields(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        """Number and value of each field of a message."""
        at, end = 0, len(data)
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise _Fault(f"it has more than {MAX_FIELDS:,} entries")
            tag, at = _varint(data, at)
            number, wire_type = tag >> 3, tag & 7
            value: Value
            if wire_type == _VARINT:
                value, at = _varint(data, at)
            elif wire_type == _BYTES:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            elif wire_type in (_FOUR_BYTES, _EIGHT_BYTES):
                value, at = 0, at + (4 if wire_type == _FOUR_BYTES else 8)
            else:
                raise _Fault(f"it is no ONNX graph (wire type {wire_type})")
            if at > end or not number:
                raise _Fault("it is no ONNX graph, or cut short")
            yield number, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _Fault("it is no ONNX graph, or cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Fault("it is no ONNX graph (a number of more than 10 bytes)")


def _packed(value: Value) -> Iterator[int]:
    """Signed numbers, packed or alone; no more than MAX_RANK + 1."""
    if isinstance(value, int):
        yield _signed(value)
        return
    at = 0
    for _ in range(MAX_RANK + 1):
        if at >= len(value):
            return
        number, at = _varint(value, at)
        yield _signed(number)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Fault("it is no ONNX graph (a number in place of a message)")
    return value


def _name(value: Value) -> str:
    return shown(bytes(_bytes(value)[:60]).decode(errors="replace"))
