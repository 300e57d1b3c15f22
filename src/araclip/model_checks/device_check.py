"""Whether a tower gives the CPU's vectors on another device: once a content, device and release of its library.

OpenVINO reads some operators otherwise than ONNX Runtime does; a GPU computes with less precision. A gallery's vectors
must not depend on where they were made. Of a graph that is computed in int8 another library rounds some numbers to the
other side, which costs no recall: its vectors are compared less strictly.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from araclip.errors import InputError
from araclip.inference.devices import CPU, OPENVINO
from araclip.inference.towers import ImageTower, TextTower
from araclip.model_checks.checked_models import is_remembered, remember
from araclip.model_checks.model_trial import LETTERS, SHORT
from araclip.model_folder import ModelConfig
from araclip.vectors import Vectors

LEAST_COSINE = 0.999  # to the vector of ONNX Runtime on the CPU; rounding alone stays above .9999
LEAST_IN_INT8 = 0.98  # the same; OpenVINO's of araclip-mini are .997 and .999 on average, .991 at least


def check_device(folder: Path, config: ModelConfig, tower: TextTower | ImageTower, device: str, threads: int) -> None:
    """Compare the vectors of an open tower with the CPU's.

    Raises:
        InputError: they differ; the device and the least cosine are named.
    """
    kind = "text" if isinstance(tower, TextTower) else "image"
    library = "openvino" if device.startswith(OPENVINO) else "onnxruntime"
    needed = LEAST_IN_INT8 if config.in_int8(kind) else LEAST_COSINE
    content = ["device", kind, device, library, _version(library), config.fingerprint, needed]
    if device == CPU or is_remembered(content):
        return
    reference = type(tower)(folder, config, threads)
    least = float((_probed(tower, config) * _probed(reference, config)).sum(axis=1).min())
    if not least >= needed:  # NaN is refused too
        raise InputError(
            f"{config.label} gives other vectors on the device '{device}' than on the CPU: the {kind} tower's least "
            f"cosine is {least:.4f}, {needed} is needed. Use the CPU, or export the model with other weights."
        )
    remember(content, config.label)


def _probed(tower: TextTower | ImageTower, config: ModelConfig) -> Vectors:
    if isinstance(tower, TextTower):
        return tower.encode((*SHORT, *(letter * 40 for letter in LETTERS)), batch_size=4)
    side, rng = config.image.size, np.random.default_rng(0)
    noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, side, dtype=np.uint8)[:, None, None], (side, side, 3))
    return tower.encode(np.stack([noise, ramp, noise // 4]))


def _version(library: str) -> str:
    for name in (library, f"{library}-gpu", f"{library}-openvino"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
