"""Lists the devices of this machine that can run a model's graphs, and tells which device a call asks for.

cpu              ONNX Runtime
cuda, cuda:1     ONNX Runtime on an NVIDIA GPU (package onnxruntime-gpu in place of onnxruntime)
openvino         OpenVINO on the CPU (extra `openvino`); openvino:GPU, openvino:NPU: OpenVINO on Intel's other devices
auto             cuda if this machine has it, else cpu
"""

import os
from functools import cache
from importlib.util import find_spec

from araclip.core.display import shown
from araclip.core.processes import usable_cores
from araclip.errors import InputError

CPU, CUDA, OPENVINO, AUTO = "cpu", "cuda", "openvino", "auto"
VARIABLE = "ARACLIP_DEVICE"  # environment variable: the device for calls that name none
MAX_THREADS = 1024  # ONNX Runtime makes queues for each thread, which would be several gigabytes for a million threads


def requested_device(device: str | None) -> str:
    """Return the device that a call names; if it names none, the device in $ARACLIP_DEVICE, else the CPU."""
    if device is not None and not isinstance(device, str):
        raise InputError(f"a device is a text, such as '{CPU}', got {type(device).__name__}.")
    return device or os.environ.get(VARIABLE) or CPU


def requested_threads(threads: int | None) -> int:
    """Return the number of threads that a call asks for; None or 0 asks for one thread for each usable core."""
    if threads is None or (isinstance(threads, int) and 0 <= threads <= MAX_THREADS):
        return threads or usable_cores()
    raise InputError(f"threads is {threads!r:.40}, expected a whole number up to {MAX_THREADS}, or None for all cores.")


def graph_device(device: str | None = None) -> str:
    """Return the device that a call names, with "auto" resolved; raise InputError if this machine lacks the device."""
    named = requested_device(device)
    if named == CPU:  # every machine has a CPU, so no library is imported to look
        return CPU
    here = available()
    if named == AUTO:
        return CUDA if CUDA in here else CPU
    if named in here or f"{named}:0" in here:
        return named
    kind = named.partition(":")[0]
    remedy = f"Name one of these, or '{AUTO}'."
    if kind == CUDA:
        remedy = "Install onnxruntime-gpu in place of onnxruntime: both are the module `onnxruntime`."
        if not _count_gpus():
            remedy = "No NVIDIA GPU and driver were found. Leave --device off to use the CPU."
    elif kind == OPENVINO:
        remedy = "Install the extra: pip install 'araclip[openvino]'."
    raise device_error(named, here, remedy)


def device_error(named: str, here: list[str], remedy: str) -> InputError:
    """Return the error for a device that this machine lacks; its message lists the devices `here`, then the remedy."""
    return InputError(f"there is no device '{shown(named[:60])}' here; there is: {', '.join(here)}. {remedy}")


def available() -> list[str]:
    """Return the names of the devices on this machine that can run graphs; `graph_device` takes each of them."""
    gpus = _count_gpus() if _has_cuda_runtime() else 0
    cuda = [CUDA, *(f"{CUDA}:{number}" for number in range(gpus))] if gpus else []
    openvino = [OPENVINO, *(f"{OPENVINO}:{name}" for name in _openvino_devices())] if find_spec("openvino") else []
    return [CPU, *cuda, *openvino]


def _has_cuda_runtime() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@cache
def _count_gpus() -> int:
    """Return how many GPUs NVIDIA's driver reports; 0 without a driver."""
    from araclip.core.libraries import count_gpus, nvidia_driver

    try:
        return count_gpus(nvidia_driver())
    except (OSError, AttributeError):
        return 0


@cache
def _openvino_devices() -> tuple[str, ...]:
    try:
        import openvino

        return tuple(openvino.Core().available_devices)
    except Exception:  # libraries that do not fit this machine may raise any exception
        return ()
