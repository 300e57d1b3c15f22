"""A model folder is read: its parts are regular files of bearable sizes in the folder, its config.json is in order."""

import hashlib
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.display import shortened, shown
from araclip.errors import InputError, ModelMismatch
from araclip.model_folder.config import (
    DATA_FILES,
    FIELDS,
    FOR_OTHERS,
    FORMAT,
    FORMATS,
    HASHED,
    IN_FORMAT_1,
    MAX_NAME,
    NO_NORMALIZER,
    ImageConfig,
    ModelConfig,
    TextConfig,
    value_of,
)
from araclip.model_folder.field_checks import are_prefixes
from araclip.text.normalization import NORMALIZER_VERSION

PARTS = ("config.json", *HASHED, "README.md")  # of every folder; graphs may have DATA_FILES besides

MAX_CONFIG = 1_000_000  # bytes; araclip-mini's has 3,400
MAX_PART = (1 << 31) - 1  # bytes, of a graph or tokenizer: an ONNX file cannot have more
_HASHED_AT_ONCE = 1 << 24  # bytes
MAX_DATA = 1 << 35  # bytes, of a graph's weight file: 8 billion weights in float32


def read_config(folder: Path) -> ModelConfig:
    """Read and check config.json, and that every part of the folder is there. No other file is read.

    Raises:
        ModelMismatch: a part is missing, too large, or a link to another place; the JSON is damaged; a field is
            missing, unknown or has a value it cannot have; or the folder was made for another format or text
            normaliser than this release has.
    """
    _check_parts(folder, PARTS, MAX_PART)
    path = folder / "config.json"
    try:
        raw = bounded_json.read(path, max_bytes=MAX_CONFIG)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise ModelMismatch(f"{path} is not valid JSON: {reason}. Copy the model folder again.") from None
    if not isinstance(raw, dict):
        raise ModelMismatch(f"{path} holds a {type(raw).__name__}, expected an object. Copy the model folder again.")
    if raw.get("format") not in FORMATS or isinstance(raw["format"], bool):
        raise ModelMismatch(
            f"{path} has format {_value(raw.get('format'))}, this release reads formats 1 to {FORMAT}. "
            "Install the araclip release the model was made for, or a newer one."
        )
    config = _build(path, raw)
    known = (NORMALIZER_VERSION,) if config.format == 1 else (NO_NORMALIZER, NORMALIZER_VERSION)
    if config.text.normalizer not in known:
        raise ModelMismatch(
            f"{path}: trained with text normaliser {config.text.normalizer}, this release has {NORMALIZER_VERSION}. "
            "Install the araclip release the model was made for, or export the model again."
        )
    _check_parts(folder, config.data_files, MAX_DATA)
    for part in DATA_FILES:
        if part not in config.files and (folder / part).exists():
            raise ModelMismatch(f"{folder / part} has no hash in config.json. Export the model again.")
    return config


def _check_parts(folder: Path, parts: tuple[str, ...], most: int) -> None:
    """Every part is a regular file of at most so many bytes that lies in the folder."""
    missing = []
    allowed = _own_folders(folder)
    for part in parts:
        path = folder / part
        try:
            found = path.stat()
            elsewhere = path.is_symlink() and path.resolve().parent not in allowed
        except FileNotFoundError:
            missing.append(part)
            continue
        except (OSError, RuntimeError) as error:  # a link that leads to itself, or a folder that may not be read
            raise ModelMismatch(f"{path} cannot be read ({error}). Copy the folder again.") from None
        if elsewhere:
            raise ModelMismatch(
                f"{path} is a link to {shown(str(path.resolve()))}, outside of the folder. If you trust the model, put "
                "the file itself there."
            )
        if not stat.S_ISREG(found.st_mode):
            raise ModelMismatch(f"{path} is no regular file. Copy the folder again.")
        if found.st_size > most:
            raise ModelMismatch(f"{path} has {found.st_size} bytes, the most is {most}. Export the model again.")
    if missing:
        raise ModelMismatch(
            f"{folder}: {', '.join(missing)} missing; a model folder holds {', '.join(PARTS)}. Copy the folder again."
        )


def _own_folders(folder: Path) -> tuple[Path, ...]:
    """Where a part may lie: in the folder; in a Hugging Face cache also where snapshots/REVISION links to, blobs."""
    own = folder.resolve()
    return (own, own.parent.parent / "blobs") if own.parent.name == "snapshots" else (own,)


def _build(path: Path, raw: dict[str, Any]) -> ModelConfig:
    try:
        text = _strict(TextConfig, raw.get("text"))
        image = _strict(ImageConfig, raw.get("image"))
        own = {name: value for name, value in raw.items() if name not in FOR_OTHERS}
        config: ModelConfig = _strict(ModelConfig, {**own, "text": text, "image": image})
    except TypeError as error:
        raise ModelMismatch(f"{path}: {error}. Compare it with the config.json of a bundled model.") from None
    for name, (is_right, expected) in (FIELDS | (IN_FORMAT_1 if config.format == 1 else {})).items():
        if not is_right(value := value_of(config, name)):
            raise ModelMismatch(f"{path}: {name} is {_value(value)}, expected {expected}. Export the model again.")
    if not are_prefixes(config.matryoshka, config.width):
        raise ModelMismatch(
            f"{path}: matryoshka is {_value(config.matryoshka)}, expected numbers from 1 to {config.width}, rising."
        )
    if unhashed := sorted(set(HASHED) - set(config.files)):
        raise ModelMismatch(f"{path}: 'files' has no hash of {', '.join(unhashed)}. Export the model again.")
    return config


def _strict(kind: type[Any], raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise TypeError(f"no object with the fields of {kind.__name__}, found {_value(raw)}")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(raw) - known):
        raise TypeError(f"unknown field {shown(shortened(', '.join(unknown), MAX_NAME))} in {kind.__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})


def _value(value: object) -> str:
    """A value of the JSON in a message: on one line, and not all of it."""
    return shown(f"{value!r:.80}")


def sha256(path: Path) -> str:
    """The hash of a file's bytes, as hex digits.

    In few large blocks: after each, a thread waits up to 5 ms for a busy one to give Python's lock back.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def check_hash(folder: Path, config: ModelConfig, part: str) -> None:
    """Compare one file with the hash in config.json.

    Raises:
        ModelMismatch: they differ, and both are named; or the file cannot be read.
    """
    try:
        actual = sha256(folder / part)
    except OSError as error:
        raise ModelMismatch(f"{folder / part} cannot be read ({error.strerror}). Copy the folder again.") from None
    if actual != config.files[part]:
        raise ModelMismatch(
            f"{folder / part} has hash {actual[:12]}…, config.json says {shown(config.files[part][:12])}…. "
            "The file is damaged or belongs to another model: copy the folder again."
        )
