"""What can compute besides the processor: GPUs and their driver, the builds that use them, and whether they do.

A GPU that lies idle is mostly one of four things: the build of ONNX Runtime for the CPU, two builds that overwrite each
other's files, CUDA's libraries missing, PyTorch's build for the CPU. Each has its line.
"""

import ctypes
import re
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from araclip.display import shown
from araclip.doctor.finding import Finding
from araclip.doctor.installed_packages import version
from araclip.errors import AraCLIPError, InputError
from araclip.installed_models import bundled
from araclip.models import devices
from araclip.models.encoder import AraCLIP
from araclip.models.folder import read_config
from araclip.platforms.libraries import gpus_of, nvidia_driver

BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
FOR_CUDA = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"
TRIED = 64  # pictures of the trial
NAME_LENGTH = 256
COMPUTE_CAPABILITY = (75, 76)  # CUdevice_attribute: its major and minor number


def accelerators() -> Iterator[Finding]:
    """Findings about GPUs, in the order in which one would look."""
    gpus = _gpus()
    yield Finding("gpu", "; ".join(gpus) or "no NVIDIA GPU and driver; the CPU computes")
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    yield _builds(bool(gpus), "CUDAExecutionProvider" in providers)
    yield Finding("onnxruntime providers", ", ".join(providers))
    here = devices.available()
    yield Finding("devices", ", ".join(here))
    if devices.CUDA in here:
        yield _trial(devices.CUDA)
    if torch := _torch():
        release, cuda = torch
        idle = bool(gpus) and cuda is None
        yield Finding(
            "pytorch", f"{release}, {f'CUDA {cuda}' if cuda else 'for the CPU'}", "note" if idle else "ok",
            "Training and peers use the GPU with PyTorch's build for CUDA: its installation page has the command."
            if idle
            else "",
        )  # fmt: skip


def _gpus() -> list[str]:
    """Names of the GPUs, with memory and compute capability, and the CUDA release of the driver."""
    try:
        driver = nvidia_driver()
        count, release = gpus_of(driver), ctypes.c_int(0)
        driver.cuDriverGetVersion(ctypes.byref(release))
        cuda = f"driver for CUDA {release.value // 1000}.{release.value % 1000 // 10}"
        return [f"{_gpu(driver, number)}, {cuda}" for number in range(count)]
    except (OSError, AttributeError):  # no driver, or one without these functions
        return []


def _gpu(driver: ctypes.CDLL, number: int) -> str:
    name, memory = ctypes.create_string_buffer(NAME_LENGTH), ctypes.c_size_t(0)
    device = ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, NAME_LENGTH, device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    digits = []
    for attribute in COMPUTE_CAPABILITY:
        value = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        digits.append(value.value)
    label = name.value.decode("utf-8", "replace")
    return f"{label}, {memory.value / 1e9:.0f} GB, compute capability {'.'.join(map(str, digits))}"


def _builds(gpu: bool, cuda: bool) -> Finding:
    """Which builds of ONNX Runtime are installed: all are the module `onnxruntime`, so only one may be."""
    there = [f"{name} {release}" for name in BUILDS if (release := version(name))]
    if len(there) > 1:
        every = " ".join(build.partition(" ")[0] for build in there)
        remedy = f"They overwrite each other's files: pip uninstall {every}, then install one of them."
        return Finding("onnxruntime builds", ", ".join(there), "fault", remedy)
    idle = gpu and not cuda
    fact = ", ".join(there) or "unknown"
    return Finding("onnxruntime builds", fact, "note" if idle else "ok", f"To use the GPU: {FOR_CUDA}" if idle else "")


def _trial(device: str) -> Finding:
    """Whether the bundled model's pictures give the CPU's vectors on a device, and how fast both are."""
    about = f"trial on {device}"
    folder = next(iter(bundled().values()))
    side = read_config(folder).image.size
    pictures = np.random.default_rng(0).integers(0, 256, (TRIED, side, side, 3), dtype=np.uint8)
    rates = []
    try:
        for each in ("cpu", device):
            model = AraCLIP.load(folder, device=each)
            model.encode_image(list(pictures[:8]))
            begun = time.perf_counter()
            model.encode_image(list(pictures))
            rates.append(TRIED / (time.perf_counter() - begun))
    except AraCLIPError as error:  # loading compares the device's vectors with the CPU's
        remedy = f"Install CUDA's libraries beside it: {FOR_CUDA}; nvidia-smi must answer too."
        fact = shown(str(error)) if isinstance(error, InputError) else type(error).__name__  # others may name a folder
        return Finding(about, fact, "fault", remedy)
    return Finding(about, f"the CPU's vectors, {rates[1]:,.0f} pictures a second; the CPU {rates[0]:,.0f}")


def _torch() -> tuple[str, str | None] | None:
    """PyTorch's version and the CUDA release it was built for, without importing it."""
    try:
        place = metadata.distribution("torch").locate_file("torch/version.py")
        text = Path(str(place)).read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError):
        return None
    built = re.search(r"^cuda\b[^=\n]*= '([\d.]+)'", text, re.MULTILINE)
    return version("torch") or "unknown", built[1] if built else None
