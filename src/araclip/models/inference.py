"""Run a model folder's tokenizer and two graphs on ONNX Runtime or OpenVINO, without PyTorch.

Errors of these libraries become `ModelMismatch`. This module opens any file it is given: `araclip.models.checks`
judges the folder first.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import shortened, shown
from araclip.errors import AraCLIPError, ModelMismatch, first_line
from araclip.models.devices import CPU, CUDA, OPENVINO, device_error
from araclip.models.encoder_base import batches
from araclip.models.folder import ModelConfig, TextConfig, check_hash
from araclip.models.vectors import Vectors, checked_vectors
from araclip.pictures.limits import return_freed_memory
from araclip.text.normalization import normalize, without_surrogates

if TYPE_CHECKING:
    from tokenizers import Encoding


FATAL_ONLY = 4  # a log level; at lower levels, ONNX Runtime also prints the messages of its exceptions

Inputs = Mapping[str, NDArray[np.generic]]


def open_session(
    path: Path, device: str, threads: int, *, arena: bool = True, widen: bool = True, spin: bool = True
) -> "OnnxRuntimeSession | OpenVinoSession":
    """Open a graph on a device that `devices.graph_device` returned, with `threads` threads on the CPU.

    The other options are for ONNX Runtime; OpenVINO ignores them.

    Args:
        arena: ONNX Runtime keeps the memory of a run for the next run: a few percent faster for small pictures.
        widen: ONNX Runtime converts weights stored in few bits to float32 once, when it opens the graph. False: each
            run converts them and takes twice as long, but the graph opens in a third of the time; for a process that
            encodes one text or two.
        spin: ONNX Runtime's threads keep their core busy while they wait for the next operator. A single item is done
            a third sooner, but other work of the process, such as decoding pictures, has to wait.
    """
    kind, _, which = device.partition(":")
    if kind == OPENVINO:
        return OpenVinoSession(path, which or "CPU", threads)
    session = OnnxRuntimeSession(path, device, threads, arena, widen, spin)
    return_freed_memory(path.stat().st_size)  # gives the file's buffer, half of the memory in use, back to the system
    return session


class OnnxRuntimeSession:
    """A graph on ONNX Runtime. Several threads may run it at once.

    Attributes:
        inputs: the shape of each input, by name; an axis that may have any length is not a number there.
        width: the length of the output's last axis.
    """

    def __init__(self, path: Path, device: str, threads: int, arena: bool, widen: bool, spin: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_ONLY
        options.enable_cpu_mem_arena = arena
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        kind, _, which = device.partition(":")
        providers: list[Any] = ["CPUExecutionProvider"]
        if kind == CUDA:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(which or 0)}))
        known = onnxruntime.get_available_providers()  # if CUDA is missing, ONNX Runtime may use the CPU silently
        if kind != CUDA or "CUDAExecutionProvider" in known:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=None if widen else ["ConstantFolding"]
            )
            known = self._session.get_providers()
        if kind == CUDA and "CUDAExecutionProvider" not in known:
            raise device_error(device, [CPU], "ONNX Runtime cannot load CUDA's libraries: install CUDA and cuDNN.")
        self.inputs = {node.name: node.shape for node in self._session.get_inputs()}
        shape = self._session.get_outputs()[0].shape
        self.width = shape[-1] if shape else 0

    def run(self, inputs: Inputs) -> Any:
        """Run the graph and return its first output."""
        return self._session.run(None, inputs)[0]


class OpenVinoSession:
    """A graph on OpenVINO, with the members of `OnnxRuntimeSession`. On the CPU it computes in float32."""

    def __init__(self, path: Path, which: str, threads: int) -> None:
        import openvino

        model = openvino.Core().read_model(str(path))
        floor_shifts(model)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "EXECUTION_MODE_HINT": "ACCURACY"}
        if which == "CPU":
            settings |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = openvino.Core().compile_model(model, which, settings)
        self._free: deque[Any] = deque()  # inference requests that no thread is using now
        self.inputs = {port.any_name: _port_shape(port) for port in self._compiled.inputs}
        shape = _port_shape(self._compiled.outputs[0])
        self.width = shape[-1] if shape else 0

    def run(self, inputs: Inputs) -> Any:
        """Run the graph and return its first output."""
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            return np.array(request.infer(dict(inputs))[0])  # the output is copied, since the next run overwrites it
        finally:
            self._free.append(request)


def _port_shape(port: Any) -> list[Any]:
    return [axis.get_length() if axis.is_static else str(axis) for axis in port.partial_shape]


def floor_shifts(model: Any) -> None:
    """Make OpenVINO's shifts to the right exact, by clearing the bits that are shifted out.

    OpenVINO reads such a shift as a division of bytes and rounds up: 4-bit weights became one too large (cosine .994).
    """
    from openvino import Type, opset13

    for divide in model.get_ops():
        if divide.get_type_name() != "Divide" or divide.get_output_element_type(0) not in (Type.u8, Type.u16, Type.u32):
            continue
        divisor = _constant_value(divide.input_value(1).get_node())
        value = int(divisor.flat[0]) if divisor is not None and divisor.size == 1 else 0
        if value > 0 and value & (value - 1) == 0:
            kind = divide.get_output_element_type(0)
            bits_kept = np.array(~(value - 1) & ((1 << kind.size * 8) - 1), kind.to_dtype())
            cleared = opset13.bitwise_and(divide.input_value(0), opset13.constant(bits_kept))
            divide.input(0).replace_source_output(cleared.output(0))


def _constant_value(node: Any) -> NDArray[Any] | None:
    """Return the value of a constant node, or compute it from constant inputs; None if the node is anything else."""
    if node.get_type_name() == "Constant":
        return np.asarray(node.data)
    values: Sequence[NDArray[Any] | None] = [_constant_value(port.get_node()) for port in node.input_values()]
    if not values or any(value is None for value in values):
        return None
    if node.get_type_name() == "Power":
        return np.asarray(np.power(*map(np.asarray, values)))
    return np.asarray(values[0]) if node.get_type_name() in ("Convert", "Broadcast") else None


MAX_REASON = 300  # characters of a library's message that an error of ours quotes
SMALL_GRAPH = 64_000_000  # a tower whose files have at most this many bytes is small
SMALL_SIDE = 224  # a model input with at most this many pixels a side is small
SMALL_ROWS, LARGE_ROWS = 16, 4  # most pictures in one run: 16 if graph and pictures are small, else 4
LARGE_TEXTS = 8  # texts in one run of a large graph: with 32, its matrices do not fit into the processor's cache


class TextTower:
    """Encodes texts with a model folder's tokenizer and text graph. For `widen`, see `open_session`."""

    def __init__(
        self, folder: Path, config: ModelConfig, threads: int, device: str = CPU, *, widen: bool = True
    ) -> None:
        self._folder, self._config = folder, config
        names = ("input_ids", "attention_mask") if config.text.attention_mask else ("input_ids",)
        inputs: dict[str, list[int] | None] = dict.fromkeys(names)
        large = bytes_of_tower(folder, config, "text") > SMALL_GRAPH and not device.startswith(CUDA)
        self._most = LARGE_TEXTS if large else None
        # open the graph in a thread while this thread opens the tokenizer, which saves 0.1 s
        with ThreadPoolExecutor(1, "open-graph") as pool:
            graph = pool.submit(_TowerGraph, folder, config, "text", inputs, threads, device, widen=widen)
            self.tokenizer = TextTokenizer(folder, config)
            self._graph = graph.result()

    def encode(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        """Encode n texts as (n, D) float32 vectors of unit length, at most `batch_size` texts in one run."""
        encodings = self.tokenizer.encode(texts)
        lengths = np.array([len(e.ids) for e in encodings])
        out = np.empty((len(texts), self._config.width), np.float32)
        most = min(batch_size, self._most or batch_size)
        # batches of texts of similar length need less padding
        for rows in batches(np.argsort(lengths, kind="stable"), most):
            inputs = pad_encodings([encodings[row] for row in rows], self._config.text)
            out[list(rows)] = self._graph.run(inputs, len(rows))
        return out


def pad_encodings(encodings: "list[Encoding]", text: TextConfig) -> dict[str, NDArray[np.int64]]:
    """Return the text graph's inputs by name, (B, T) int64, for B tokenized texts.

    T is the number of tokens of the longest text, or `max_tokens` if the model pads every text to that length.
    """
    longest = max(len(e.ids) for e in encodings) if text.padding == "longest" else text.max_tokens
    ids = np.full((len(encodings), longest), text.pad_id, np.int64)
    mask = np.zeros((len(encodings), longest), np.int64)
    for i, encoding in enumerate(encodings):
        ids[i, : len(encoding.ids)] = encoding.ids
        mask[i, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask} if text.attention_mask else {"input_ids": ids}


class ImageTower:
    """Encodes pictures, given as pixels, with a model folder's image graph."""

    def __init__(self, folder: Path, config: ModelConfig, threads: int, device: str = CPU) -> None:
        size = config.image.size
        stored = bytes_of_tower(folder, config, "image")
        self._rows = SMALL_ROWS if device.startswith(CUDA) else rows_per_run(size, stored)
        arena = self._rows == SMALL_ROWS
        pixels = {"pixels": [size, size, 3]}
        self._graph = _TowerGraph(folder, config, "image", pixels, threads, device, arena=arena, spin=False)

    def encode(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Encode (n, S, S, 3) uint8 RGB pixels as (n, D) float32 vectors of unit length."""
        if len(pixels) <= self._rows:
            return self._graph.run({"pixels": pixels}, len(pixels))
        starts = range(0, len(pixels), self._rows)
        return np.concatenate([self.encode(pixels[start : start + self._rows]) for start in starts])


def bytes_of_tower(folder: Path, config: ModelConfig, tower: str) -> int:
    """Return how many bytes the files of one tower ("text" or "image") have together."""
    return sum((folder / part).stat().st_size for part in config.parts_of(tower))


def rows_per_run(size: int, stored: int) -> int:
    """Return how many pictures of side `size` go into one run of an image graph whose files have `stored` bytes.

    More pictures make a large network no faster, and each takes memory: see benchmarks/indexing.py.
    """
    rows = SMALL_ROWS if stored <= SMALL_GRAPH and size <= SMALL_SIDE else LARGE_ROWS
    return max(1, rows * SMALL_SIDE**2 // max(size, SMALL_SIDE) ** 2)


class TextTokenizer:
    """A model folder's tokenizer, which cuts each text at `config.text.max_tokens` tokens."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        from tokenizers import Tokenizer

        check_hash(folder, config, "tokenizer.json")
        self._path, self._most = folder / "tokenizer.json", config.text.max_tokens
        self._normalizer = config.text.normalizer
        with _explain_errors(self._path, "read by tokenizers"):
            self._tokenizer = Tokenizer.from_file(str(self._path))
            self._tokenizer.enable_truncation(self._most)
            self._tokenizer.no_padding()

    def encode(self, texts: tuple[str, ...]) -> "list[Encoding]":
        """Normalise texts, if config.json says so, and tokenize them; raise ModelMismatch if the tokenizer fails."""
        prepare = normalize if self._normalizer else without_surrogates
        prepared = [prepare(text) for text in texts]
        with _explain_errors(self._path, "used by tokenizers"):
            encodings: list[Encoding] = self._tokenizer.encode_batch(prepared)
        if encodings and (most := max(len(encoding.ids) for encoding in encodings)) > self._most:
            raise ModelMismatch(
                f"{self._path} makes {most} tokens of a text that is cut at {self._most}. Export the model again."
            )
        return encodings


class _TowerGraph:
    """One ONNX graph, which turns named inputs into (n, D) float32 vectors."""

    def __init__(
        self, folder: Path, config: ModelConfig, tower: str, inputs: Mapping[str, list[int] | None], threads: int,
        device: str, **options: bool,
    ) -> None:  # fmt: skip
        """Open the graph of a tower and check its `inputs`: name → shape without the first axis, None for any shape.

        `options` are those of `open_session`.
        """
        for part in config.parts_of(tower):
            if part != "tokenizer.json":
                check_hash(folder, config, part)
        self.label, self.width = config.label, config.width
        self._path, self._device = folder / f"{tower}.onnx", device
        with _explain_errors(self._path, f"opened by {_library_name(device)}"):
            self._session = open_session(self._path, device, threads, **options)
        self._check_shapes(inputs)

    def _check_shapes(self, inputs: Mapping[str, list[int] | None]) -> None:
        shapes = self._session.inputs
        if undeclared := sorted(shapes.keys() - inputs.keys()):
            raise ModelMismatch(
                f"{self._path} takes {shown(', '.join(undeclared)[:MAX_REASON])}, which config.json does not declare "
                f"beside {', '.join(inputs)}. Export the model again."
            )
        for name, tail in inputs.items():
            if name not in shapes or (tail is not None and shapes[name][1:] != tail):
                raise ModelMismatch(
                    f"{self._path} has inputs {shown(f'{shapes}')[:MAX_REASON]}, config.json asks for '{name}' of "
                    f"(batch, {tail or 'tokens'}). Export the model again."
                )
        if self._session.width != self.width:
            raise ModelMismatch(
                f"{self._path} makes {self._session.width}-wide vectors, config.json says {self.width}. "
                "The two come from different models: copy the folder again."
            )

    def run(self, inputs: Mapping[str, NDArray[np.generic]], rows: int) -> Vectors:
        with _explain_errors(self._path, f"run by {_library_name(self._device)}"):
            vectors = self._session.run(inputs)
        return checked_vectors(vectors, rows, self)


def _library_name(device: str) -> str:
    return "OpenVINO" if device.startswith(OPENVINO) else "ONNX Runtime"


@contextmanager
def _explain_errors(path: Path, how: str) -> Iterator[None]:
    """Turn any exception of tokenizers, ONNX Runtime or OpenVINO in the `with` block into ModelMismatch.

    All exceptions are caught, because the libraries' own have no common base class: tokenizers raises a bare Exception
    or Rust's PanicException, which is only a BaseException, and ONNX Runtime several unrelated classes.

    Args:
        path: the file that the block reads, for the message.
        how: what the block does with the file, for the message "PATH cannot be HOW".
    """
    try:
        yield
    except AraCLIPError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # not an error of a library but, for example, KeyboardInterrupt (Ctrl-C)
        reason = shown(shortened(first_line(error), MAX_REASON))
        raise ModelMismatch(f"{path} cannot be {how} ({reason}). Export the model again.") from error
