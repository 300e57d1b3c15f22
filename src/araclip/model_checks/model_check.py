"""Whether a model folder may be opened: judged by its bytes, then tried in a process with limits, once a content.

The folder of a stranger is a program of a kind. Before a native library opens it, `check_model_folder` reads its
configuration and sizes, its graphs' operators and weights and its tokenizer's rules with code of this package, and
tries both towers in another process. What passed is remembered by its hashes, so that the next start costs nothing;
the hashes of the files themselves are compared whenever they are opened. Bundled models are known.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from araclip import atomic, model_folder
from araclip.installed_models import bundled
from araclip.model_checks.model_trial import try_tower
from araclip.model_checks.onnx_file import check_graph
from araclip.model_checks.tokenizer_file import check_tokenizer
from araclip.model_folder import ModelConfig, check_hash

CHECKS = 2  # raise it when the checks change: what passed the old ones is checked again
TOWERS = ("text", "image")


def check_model_folder(path: str | os.PathLike[str]) -> ModelConfig:
    """Check a whole model folder, as it came from somebody else; returns its configuration.

    Runs no code of the folder in this process. Takes about a second the first time, and none when the same files were
    checked before by this user.

    Raises:
        ModelNotFound: no such folder.
        ModelMismatch: a file is missing, damaged, too large, a link to another place or not the one that config.json
            has the hash of; a field, an operator or a tokenizer's rule is not allowed; the trial needed too much
            memory or time.
        InvalidVectors: the model's vectors are not finite or not of unit length.
        InputError: `path` is no path.
    """
    folder = model_folder.find(path)
    config = model_folder.read_config(folder)
    for tower in TOWERS:
        check_tower(folder, config, tower)
    return config


def check_tower(folder: Path, config: ModelConfig, tower: str) -> None:
    """Check what one tower, "text" or "image", reads; the errors are those of `check_model_folder`."""
    if folder in bundled().values() or _was_checked(config, tower):
        return
    for part in config.parts_of(tower):
        check_hash(folder, config, part)
    check_graph(folder / f"{tower}.onnx", _data_of(folder, config, tower))
    try_tower(folder, config, tower)
    _remember(config, tower)


def check_written(folder: Path, config: ModelConfig) -> None:
    """Check a folder that this process has written and uses at once: as the others, without hashes and without a trial.

    Raises:
        ModelMismatch: it would be refused where it is read.
    """
    check_tokenizer(folder / "tokenizer.json")
    for tower in TOWERS:
        check_graph(folder / f"{tower}.onnx", _data_of(folder, config, tower))
        _remember(config, tower)


def _data_of(folder: Path, config: ModelConfig, tower: str) -> Path | None:
    name = f"{tower}.onnx.data"
    return folder / name if name in config.files else None


def _was_checked(config: ModelConfig, tower: str) -> bool:
    try:
        return _marker(config, tower).is_file()
    except OSError:  # another user's cache
        return False


def _remember(config: ModelConfig, tower: str) -> None:
    marker = _marker(config, tower)
    with suppress(OSError):  # read-only or full: it is checked again next time
        marker.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(marker, config.label)


def _marker(config: ModelConfig, tower: str) -> Path:
    """The file that says that this content was checked; its name depends on all that opening and running depends on."""
    files, text = [config.files[part] for part in config.parts_of(tower)], config.text
    prepared = [text.max_tokens, text.pad_id, text.padding, text.attention_mask, text.normalizer, config.image.size]
    content = [CHECKS, tower, files, config.width, prepared]
    return checked_models() / hashlib.sha256(json.dumps(content).encode()).hexdigest()


def checked_models() -> Path:
    """The folder that remembers what was checked: $ARACLIP_CHECKED_MODELS, or one in the user's cache directory."""
    named = os.environ.get("ARACLIP_CHECKED_MODELS")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs  # here, since a bundled model needs none

    return platformdirs.user_cache_path("araclip") / "checked-models"
