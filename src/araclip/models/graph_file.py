"""Check an ONNX graph by its bytes, before a library opens it: its operators, its size, the files it refers to.

The wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding) is read from a memory map.
Weights are only measured, never copied. The field numbers are those in onnx.proto.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

from araclip.core.display import shown
from araclip.errors import ModelMismatch

MAX_BYTES = (1 << 31) - 1  # limit: bytes in a protocol buffer; larger graphs keep weights in another file
MAX_NODES = 20_000  # limit: nodes in a graph; araclip-mini has 628 and 862, a ViT-H of single operators has 4,000
MAX_FIELDS = 500_000  # limit: fields in the whole file; araclip-mini's larger graph has 18,000
MAX_RANK = 32  # limit: axes of a weight
DATA_KEYS = ("location", "offset", "length")  # the facts that a graph may state about weights in another file
MAX_DIGITS = 20  # limit: digits in an offset or length
MAX_TEXT = 4000  # limit: bytes in a name; names that PyTorch writes are paths through the modules

# The standard operators that dense networks are made of. Left out: control flow (Loop, Scan, If, SequenceMap), which
# makes the run time depend on numbers in the graph; sequences, optionals, texts; random numbers; what no tower needs.
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
STANDARD_DOMAINS = ("", "ai.onnx")
DOMAIN, PRODUCT = "com.microsoft", "MatMulIntegerToFloat"  # the only allowed operator outside the ONNX standard

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # wire types of fields; ONNX has no groups (types 3 and 4)
# Numbers of the fields of an ONNX tensor that hold its values: float_data, int32_data, int64_data, raw_data,
# double_data and uint64_data.
_TENSOR_DATA = (4, 5, 7, 9, 10, 11)
_STRING = 8  # number of the data type of texts
_EXTERNAL = 1  # number of the data location "in another file"
_ELEMENTS_PER_BYTE = 4  # most elements in a byte: the smallest data types are 2-bit integers

Value = memoryview | int  # what a field holds: bytes, or a number


class _Fault(Exception):
    """A graph file is damaged or not allowed; the message says what is wrong with the file."""


def check_graph(path: Path, data: Path | None = None) -> None:
    """Check that a graph has only allowed operators, and all its weights in its own file or in `data` beside it.

    Time and memory of the check do not depend on what the graph computes; a hostile file takes a few seconds at most.

    Raises:
        ModelMismatch: the file cannot be opened or is no ONNX graph. Or the graph has too many nodes, an operator that
            is neither in `OPERATORS` nor `PRODUCT`, functions, subgraphs, sparse weights or texts, weights in other
            files or past the end of `data`, or weights with more elements than the stored bytes can hold.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise _Fault("the file is empty" if not size else f"{size} bytes are more than a graph can have")
        with path.open("rb") as file:
            # the memory map is closed when the last view of it is gone
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _GraphChecker(data.name if data else None, data.stat().st_size if data else 0).check_model(memoryview(mapped))
    except OSError as error:
        raise ModelMismatch(f"{path} cannot be opened ({error.strerror}). Copy the folder again.") from None
    except _Fault as fault:
        raise ModelMismatch(f"{path} cannot be opened: {fault}. Export the model again.") from None


class _GraphChecker:
    """Checks that one ONNX file keeps the limits and refers to no file but `data_name`; counts what it holds so far."""

    def __init__(self, data_name: str | None, data_bytes: int) -> None:
        self._data_name, self._data_bytes = data_name, data_bytes
        self._fields_left = MAX_FIELDS
        self._nodes = self._data_used = 0
        self._elements: dict[str, int] = {}  # number of elements by name of the weight; -1: two weights share the name
        self._products: list[list[str]] = []  # the input names of each PRODUCT; "" for an input that is left out

    def check_model(self, data: memoryview) -> None:
        graphs = 0
        for number, value in self._fields(data):
            if number == 7:
                graphs += 1
                self._check_graph(_as_message(value))
            elif number in (20, 25):
                raise _Fault("it has functions of its own or training information")
        if graphs != 1:  # two graphs are refused, since a parser would merge them
            raise _Fault(f"it is no ONNX graph ({graphs} graphs in the file, expected one)")
        if not self._nodes:
            raise _Fault("it is no ONNX graph (no nodes)")
        for inputs in self._products:
            self._check_product(inputs)

    def _check_graph(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == 1:
                self._check_node(_as_message(value))
            elif number == 5:
                self._check_tensor(_as_message(value), may_be_external=True)
            elif number == 15:
                raise _Fault("it has sparse weights, which this release does not read")

    def _check_node(self, data: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Fault(f"it has more than {MAX_NODES:,} nodes")
        operator = domain = ""
        inputs: list[str] = []
        attributes: list[memoryview] = []
        for number, value in self._fields(data):
            if number == 1:
                inputs.append(_as_text(value))
            elif number == 4:
                operator = _as_text(value)
            elif number == 7:
                domain = _as_text(value)
            elif number == 5:
                attributes.append(_as_message(value))
        if domain not in (DOMAIN, *STANDARD_DOMAINS):
            raise _Fault(f"it uses operators of the domain {shown(domain[:60])}, which are not standard")
        if domain != DOMAIN and operator not in OPERATORS:
            operator = shown(operator[:60])
            raise _Fault(f"it uses the operator {operator}, which is not among the standard ones without control flow")
        for number, value in (field for attribute in attributes for field in self._fields(attribute)):
            if number in (5, 10):
                self._check_tensor(_as_message(value))
            elif number in (6, 11):
                raise _Fault("a node of it has a graph inside")
            elif number in (22, 23):
                raise _Fault("it has sparse weights, which this release does not read")
        if domain == DOMAIN:
            if operator != PRODUCT or attributes:
                raise _Fault(
                    f"it uses the operator {DOMAIN}.{shown(operator[:60])} with {len(attributes)} attributes; of that "
                    f"domain, {PRODUCT} without any is allowed"
                )
            self._products.append(inputs)

    def _check_product(self, inputs: list[str]) -> None:
        """Check the inputs of the operator PRODUCT, an int8 product of an input with a stored matrix.

        The matrix must have a stored scale for each column, and the input must have one scale and one zero point.
        """
        _, *named = (*inputs, *[""] * 7)[:7]
        matrix, step, scale, zero, matrix_zero, bias = (self._elements.get(name, 0) if name else None for name in named)
        if not matrix or not scale or scale < 1 or matrix < 1 or matrix % scale:
            raise _Fault(
                f"the operator {PRODUCT} has {matrix or 'no'} stored numbers and {scale or 'no'} scales for them"
            )
        if step != 1 or zero != 1 or matrix_zero is not None or bias is not None:
            raise _Fault(f"the operator {PRODUCT} has other inputs than a matrix, its scales and one scale and zero")

    def _check_tensor(self, data: memoryview, *, may_be_external: bool = False) -> None:
        """Check type, shape and stored bytes of a weight. `may_be_external`: the values may lie in the data file."""
        shape: list[int] = []
        stored, external, name = 0, False, ""
        place: dict[str, str] = {}
        seen: set[int] = set()
        for number, value in self._fields(data):
            # a repeated field is refused, since a parser takes only the last occurrence
            if number in (2, 8, 9, 14) and number in seen:
                raise _Fault("weights of it have two types, names or contents")
            seen.add(number)
            if number == 1:
                shape.extend(_read_numbers(value))
            elif number == 2 and value == _STRING:
                raise _Fault("it has texts among its weights")
            elif number == 8:
                name = _as_text(value)
            elif number == 13:
                entry = {number: _as_text(value) for number, value in self._fields(_as_message(value))}
                place[entry.get(1, "")] = entry.get(2, "")
            elif number == 14:
                external |= value == _EXTERNAL
            elif number in _TENSOR_DATA:
                stored += len(value) if isinstance(value, memoryview) else 1
            if len(shape) > MAX_RANK:
                raise _Fault(f"weights of it have more than {MAX_RANK} dimensions")
        if place or external:
            if not (may_be_external and place and external) or seen & set(_TENSOR_DATA):
                raise _Fault("its weights are in other files; a model folder keeps them in the graph")
            stored = self._check_external_weight(place)
        elements = prod(shape)
        self._elements[name] = elements if name not in self._elements else -1  # -1 marks a name that two weights have
        if min(shape, default=0) < 0 or elements > stored * _ELEMENTS_PER_BYTE:
            raise _Fault(f"weights of it are said to have the shape {shape}, but {stored} bytes are stored")

    def _check_external_weight(self, place: dict[str, str]) -> int:
        """Check that a weight's `place` (its DATA_KEYS) lies in the data file; return the number of its bytes."""
        location = shown(place.get("location", "")[:100])
        if self._data_name is None or place.get("location") != self._data_name:
            expected = f"in {self._data_name}, beside it" if self._data_name else "in the graph"
            raise _Fault(f"its weights are in other files ({location}); this folder keeps them {expected}")
        numbers = [place.get(key, "0") for key in ("offset", "length")]
        if not all(text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS for text in numbers):
            raise _Fault("the place of its weights is no number")
        start, length = map(int, numbers)
        self._data_used += length
        if place.keys() - set(DATA_KEYS) or max(start + length, self._data_used) > self._data_bytes:
            raise _Fault(f"its weights are said to reach past the {self._data_bytes} bytes of {location}")
        return length

    def _fields(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield number and value of each field of a message; 0 in place of a value of four or eight bytes."""
        at, end = 0, len(data)
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise _Fault(f"it has more than {MAX_FIELDS:,} entries")
            tag, at = _read_varint(data, at)
            number, wire_type = tag >> 3, tag & 7
            value: Value
            if wire_type == _VARINT:
                value, at = _read_varint(data, at)
            elif wire_type == _BYTES:
                length, at = _read_varint(data, at)
                value, at = data[at : at + length], at + length
            elif wire_type in (_FOUR_BYTES, _EIGHT_BYTES):
                value, at = 0, at + (4 if wire_type == _FOUR_BYTES else 8)
            else:
                raise _Fault(f"it is no ONNX graph (wire type {wire_type})")
            if at > end or not number:
                raise _Fault("it is no ONNX graph, or cut short")
            yield number, value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and the position after its last byte."""
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


def _read_numbers(value: Value) -> Iterator[int]:
    """Yield the signed numbers of a field, which holds one number or several packed ones; at most MAX_RANK + 1."""
    if isinstance(value, int):
        yield _to_signed(value)
        return
    at = 0
    for _ in range(MAX_RANK + 1):
        if at >= len(value):
            return
        number, at = _read_varint(value, at)
        yield _to_signed(number)


def _to_signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _as_message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Fault("it is no ONNX graph (a number in place of a message)")
    return value


def _as_text(value: Value) -> str:
    if len(text := _as_message(value)) > MAX_TEXT:
        raise _Fault(f"a name in it has {len(text)} bytes")
    return bytes(text).decode(errors="surrogateescape")  # different bytes give different texts
