"""An ONNX graph opened on a device, behind one call: ONNX Runtime on the CPU or an NVIDIA GPU, or OpenVINO.

What the libraries raise is raised as it is; `towers` makes it errors of ours.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.inference import devices
from araclip.inference.devices import CPU, CUDA, OPENVINO
from araclip.pictures.limits import return_freed_memory

SILENT = 4  # ONNX Runtime's severity "fatal": it would print what its exceptions say as well

Inputs = Mapping[str, NDArray[np.generic]]


class Session(Protocol):
    """An open graph; it may be run by several threads at once."""

    inputs: dict[str, list[Any]]  # each input's shape; an axis of any length is no number
    width: Any  # of the output's last axis

    def run(self, inputs: Inputs) -> Any:
        """The first output."""


def open_session(
    path: Path, device: str, threads: int, *, arena: bool = True, widen: bool = True, spin: bool = True
) -> Session:
    """Open a graph on a device of `devices.graph_device`, with so many threads on the CPU.

    Args:
        arena: keep the memory of a run for the next one, on ONNX Runtime: a few percent faster for small pictures.
        widen: widen small weights once, on ONNX Runtime; False leaves it to each run, which then takes twice as long,
            and opens the graph in a third of the time, for a process that encodes one text or two.
        spin: threads that wait for the next operator keep their core busy, on ONNX Runtime: one item alone is done a
            third sooner, but what else the process has to do meanwhile, such as decoding pictures, waits.

    Raises:
        InputError: ONNX Runtime cannot use the GPU after all.
    """
    kind, _, which = device.partition(":")
    if kind == OPENVINO:
        return OpenVinoSession(path, which or "CPU", threads)
    session = OnnxRuntimeSession(path, device, threads, arena, widen, spin)
    return_freed_memory(path.stat().st_size)  # of the file as it was read: half of what is in use after opening it
    return session


class OnnxRuntimeSession:
    """A graph on ONNX Runtime."""

    def __init__(self, path: Path, device: str, threads: int, arena: bool, widen: bool, spin: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = SILENT
        options.enable_cpu_mem_arena = arena
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        kind, _, which = device.partition(":")
        providers: list[Any] = ["CPUExecutionProvider"]
        if kind == CUDA:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(which or 0)}))
        known = onnxruntime.get_available_providers()  # it goes on with a warning, or without a word, on the CPU
        if kind != CUDA or "CUDAExecutionProvider" in known:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=None if widen else ["ConstantFolding"]
            )
            known = self._session.get_providers()
        if kind == CUDA and "CUDAExecutionProvider" not in known:
            raise devices.missing(device, [CPU], "ONNX Runtime cannot load CUDA's libraries: install CUDA and cuDNN.")
        self.inputs = {node.name: node.shape for node in self._session.get_inputs()}
        shape = self._session.get_outputs()[0].shape
        self.width = shape[-1] if shape else 0

    def run(self, inputs: Inputs) -> Any:
        """The first output."""
        return self._session.run(None, inputs)[0]


class OpenVinoSession:
    """A graph on OpenVINO, computed in float32 on the CPU."""

    def __init__(self, path: Path, which: str, threads: int) -> None:
        import openvino

        model = openvino.Core().read_model(str(path))
        floor_shifts(model)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "EXECUTION_MODE_HINT": "ACCURACY"}
        if which == "CPU":
            settings |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = openvino.Core().compile_model(model, which, settings)
        self._free: deque[Any] = deque()  # requests that no thread uses now
        self.inputs = {port.any_name: _shape(port) for port in self._compiled.inputs}
        shape = _shape(self._compiled.outputs[0])
        self.width = shape[-1] if shape else 0

    def run(self, inputs: Inputs) -> Any:
        """The first output."""
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            return np.array(request.infer(dict(inputs))[0])  # its memory is the request's
        finally:
            self._free.append(request)


def _shape(port: Any) -> list[Any]:
    return [axis.get_length() if axis.is_static else str(axis) for axis in port.partial_shape]


def floor_shifts(model: Any) -> None:
    """Make OpenVINO's shifts to the right exact: it reads them as division of bytes and rounds up, so that four-bit
    weights came out one too large (cosine .994). Bits that are shifted out are cleared first."""
    from openvino import Type, opset13

    for divide in model.get_ops():
        if divide.get_type_name() != "Divide" or divide.get_output_element_type(0) not in (Type.u8, Type.u16, Type.u32):
            continue
        by = _constant(divide.input_value(1).get_node())
        if by is not None and by.size == 1 and (value := int(by.flat[0])) > 0 and value & (value - 1) == 0:
            kind = divide.get_output_element_type(0)
            kept = np.array(~(value - 1) & ((1 << kind.size * 8) - 1), kind.to_dtype())
            cleared = opset13.bitwise_and(divide.input_value(0), opset13.constant(kept))
            divide.input(0).replace_source_output(cleared.output(0))


def _constant(node: Any) -> NDArray[Any] | None:
    """The value of a node whose inputs are all constant."""
    if node.get_type_name() == "Constant":
        return np.asarray(node.data)
    values: Sequence[NDArray[Any] | None] = [_constant(port.get_node()) for port in node.input_values()]
    if not values or any(value is None for value in values):
        return None
    if node.get_type_name() == "Power":
        return np.asarray(np.power(*map(np.asarray, values)))
    return np.asarray(values[0]) if node.get_type_name() in ("Convert", "Broadcast") else None
