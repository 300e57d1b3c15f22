"""Check that a model folder is safe to open, and that a device computes the right vectors; remember passed checks.

Each check stops one kind of attack by a stranger's folder. `folder.read_config`: files that are links, endless or
enormous, and fields out of their range. `check_hash`: a file that was exchanged after the check. `check_graph`:
operators that loop, call code or read other files, and sizes larger than the stored bytes. `check_tokenizer`: rules
that take for ever on some texts, which no trial with examples shows. `try_tower`: costs in memory or time that show
only at run time.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from araclip.core import atomic
from araclip.core.installed_models import bundled
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.models import folder as model_folder
from araclip.models.devices import CPU, OPENVINO
from araclip.models.folder import TOWERS, ModelConfig, check_hash
from araclip.models.inference import ImageTower, TextTower
from araclip.models.vectors import Vectors


def has_passed(content: Sequence[object]) -> bool:
    """True if a check was passed before. `content` holds all values on which the outcome depends, as JSON values."""
    try:
        return _record_path(content).is_file()
    except OSError:  # if the cache belongs to another user, nothing counts as checked
        return False


def record_pass(content: Sequence[object], label: str) -> None:
    """Remember that a check was passed, for `has_passed`. `label` is written for people who read the record."""
    marker = _record_path(content)
    with suppress(OSError):  # the disk is read-only or full: the content is checked again next time
        marker.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(marker, label)


def checked_models() -> Path:
    """Return the folder that records passed checks: $ARACLIP_CHECKED_MODELS, or one in the user's cache directory."""
    named = os.environ.get("ARACLIP_CHECKED_MODELS")
    if named:
        return user_path(named).absolute()
    import platformdirs  # imported only here: a bundled model needs no record, so no import

    return platformdirs.user_cache_path("araclip") / "checked-models"


def _record_path(content: Sequence[object]) -> Path:
    return checked_models() / hashlib.sha256(json.dumps(content).encode()).hexdigest()


LEAST_COSINE = 0.999  # least cosine of a device's vector to the CPU's (ONNX Runtime); rounding alone stays above .9999
# Least cosine of a device's vector to the CPU's for graphs that compute in int8. With OpenVINO, the cosines of
# araclip-mini's two towers are .997 and .999 on average, and .991 at least.
LEAST_COSINE_INT8 = 0.98


def check_device(folder: Path, config: ModelConfig, tower: TextTower | ImageTower, device: str, threads: int) -> None:
    """Compare the vectors of a tower on `device` with the CPU's; raise InputError if they differ too much.

    A comparison that passed is remembered, and not made again.
    """
    kind = "text" if isinstance(tower, TextTower) else "image"
    library = "openvino" if device.startswith(OPENVINO) else "onnxruntime"
    needed = LEAST_COSINE_INT8 if config.in_int8(kind) else LEAST_COSINE
    content = ["device", kind, device, library, _library_version(library), config.fingerprint, needed]
    if device == CPU or has_passed(content):
        return
    reference = type(tower)(folder, config, threads)
    least = float((_probe_vectors(tower, config) * _probe_vectors(reference, config)).sum(axis=1).min())
    if not least >= needed:  # written so that NaN is refused, too
        raise InputError(
            f"{config.label} gives other vectors on the device '{device}' than on the CPU: the {kind} tower's least "
            f"cosine is {least:.4f}, {needed} is needed. Use the CPU, or export the model with other weights."
        )
    record_pass(content, config.label)


def _probe_vectors(tower: TextTower | ImageTower, config: ModelConfig) -> Vectors:
    """Encode a few test texts, or test pictures, with a tower: (n, D)."""
    if isinstance(tower, TextTower):
        from araclip.models.trial import LETTERS, SHORT

        return tower.encode((*SHORT, *(letter * 40 for letter in LETTERS)), batch_size=4)
    side, rng = config.image.size, np.random.default_rng(0)
    noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, side, dtype=np.uint8)[:, None, None], (side, side, 3))
    return tower.encode(np.stack([noise, ramp, noise // 4]))


def _library_version(library: str) -> str:
    for name in (library, f"{library}-gpu", f"{library}-openvino"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


CHECKS = 2  # increase this number when the checks change; then all models are checked again


def check_model_folder(path: str | os.PathLike[str]) -> ModelConfig:
    """Check a whole model folder from somebody else, and return its configuration.

    This runs no code of the folder in this process. It takes about a second, and no time if this user has checked the
    same files before.

    Raises:
        ModelNotFound: there is no such model or folder.
        ModelMismatch: a file is missing, damaged, too large, a link out of the folder, or has another hash than
            config.json says; a field, an operator or a tokenizer's rule is not allowed; or opening and running the
            model took too much memory or time (`try_tower`).
        InvalidVectors: the model's vectors are not finite or not of unit length.
        InputError: `path` is neither a name nor a path.
    """
    folder = model_folder.find(path)
    config = model_folder.read_config(folder)
    for tower in TOWERS:
        check_tower(folder, config, tower)
    return config


def check_tower(folder: Path, config: ModelConfig, tower: str) -> None:
    """Check the files that one tower ("text" or "image") reads; raise ModelMismatch or InvalidVectors for a fault.

    Nothing is checked for a bundled model, and for files that passed before.
    """
    if folder in bundled().values() or has_passed(_inputs_of_check(config, tower)):
        return
    from araclip.models.graph_file import check_graph  # here, since a bundled model is not checked
    from araclip.models.trial import try_tower

    for part in config.parts_of(tower):
        check_hash(folder, config, part)
    check_graph(folder / f"{tower}.onnx", _data_file(folder, config, tower))
    try_tower(folder, config, tower)
    record_pass(_inputs_of_check(config, tower), config.label)


def check_written(folder: Path, config: ModelConfig) -> None:
    """Check the tokenizer and the graphs of a folder that this process wrote, and record that the folder passed.

    The towers are not tried (`try_tower`).
    """
    from araclip.models.graph_file import check_graph
    from araclip.models.tokenizer_file import check_tokenizer

    check_tokenizer(folder / "tokenizer.json")
    for tower in TOWERS:
        check_graph(folder / f"{tower}.onnx", _data_file(folder, config, tower))
        record_pass(_inputs_of_check(config, tower), config.label)


def _data_file(folder: Path, config: ModelConfig, tower: str) -> Path | None:
    name = f"{tower}.onnx.data"
    return folder / name if name in config.files else None


def _inputs_of_check(config: ModelConfig, tower: str) -> list[object]:
    """Return all values on which the outcome of `check_tower` depends: file hashes, and how inputs are prepared."""
    files, text = [config.files[part] for part in config.parts_of(tower)], config.text
    prepared = [text.max_tokens, text.pad_id, text.padding, text.attention_mask, text.normalizer, config.image.size]
    return [CHECKS, tower, files, config.width, prepared]
