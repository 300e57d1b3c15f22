"""Whether a model folder may be opened: judged by its bytes, then tried in a process with limits, once a content.

The folder of a stranger is a program of a kind. Before a native library opens it, `check_model_folder` reads its
configuration and sizes, its graphs' operators and weights and its tokenizer's rules with code of this package, and
tries both towers in another process. What passed is remembered by its hashes, so that the next start costs nothing;
the hashes of the files themselves are compared whenever they are opened. Bundled models are known.
"""

import os
from pathlib import Path

from araclip import model_folder
from araclip.core.installed_models import bundled
from araclip.model_checks.checked_models import is_remembered, remember
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
    if folder in bundled().values() or is_remembered(_content(config, tower)):
        return
    for part in config.parts_of(tower):
        check_hash(folder, config, part)
    check_graph(folder / f"{tower}.onnx", _data_of(folder, config, tower))
    try_tower(folder, config, tower)
    remember(_content(config, tower), config.label)


def check_written(folder: Path, config: ModelConfig) -> None:
    """Check a folder that this process has written and uses at once: as the others, without hashes and without a trial.

    Raises:
        ModelMismatch: it would be refused where it is read.
    """
    check_tokenizer(folder / "tokenizer.json")
    for tower in TOWERS:
        check_graph(folder / f"{tower}.onnx", _data_of(folder, config, tower))
        remember(_content(config, tower), config.label)


def _data_of(folder: Path, config: ModelConfig, tower: str) -> Path | None:
    name = f"{tower}.onnx.data"
    return folder / name if name in config.files else None


def _content(config: ModelConfig, tower: str) -> list[object]:
    """All that opening and running a tower depends on."""
    files, text = [config.files[part] for part in config.parts_of(tower)], config.text
    prepared = [text.max_tokens, text.pad_id, text.padding, text.attention_mask, text.normalizer, config.image.size]
    return [CHECKS, tower, files, config.width, prepared]
