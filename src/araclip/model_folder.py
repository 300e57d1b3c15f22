"""The model folder: its files, and the checks that they belong together.

    config.json      the fields of ModelConfig
    tokenizer.json   Hugging Face tokenizers
    text.onnx        input_ids, attention_mask (B, T) int64 → embedding (B, D) float32, unit length
    image.onnx       pixels (B, S, S, 3) uint8 RGB → embedding (B, D) float32, unit length
    README.md        the model card

Pooling, projection, pixel scaling and L2 normalisation are inside the graphs, so no caller can get them wrong.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from araclip import bounded_json
from araclip.display import shortened, shown
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.field_checks import are_prefixes, is_printable, is_rgb, is_text, is_texts, one_of, whole_number
from araclip.installed_models import installed
from araclip.text.normalization import NORMALIZER_VERSION

FORMAT = 1
DEFAULT_MODEL = "araclip-mini"
HASHED = ("tokenizer.json", "text.onnx", "image.onnx")
PARTS = ("config.json", *HASHED, "README.md")
WEIGHTS = ("int8", "compact", "float32", "dynamic-int8")  # how graphs store theirs; the last is not computed in float32

MAX_CONFIG = 1_000_000  # bytes; araclip-mini's has 3,400
MAX_PART = (1 << 31) - 1  # bytes, of a graph or tokenizer: an ONNX file cannot have more
MAX_NAME = 200  # characters
MAX_WIDTH = 1 << 16  # the widest published dual encoders have 1,024 to 4,096
MAX_TOKENS = 1 << 16  # most have 32 to 512
MAX_SIDE = 1024  # pixels; the largest published towers take 512


@dataclass(frozen=True)
class TextConfig:
    """How text becomes token ids."""

    tower: str
    pooling: str
    max_tokens: int
    normalizer: int
    pad_id: int


@dataclass(frozen=True)
class ImageConfig:
    """How a picture becomes pixels; mean and std are for information, since image.onnx scales by them itself."""

    tower: str
    size: int
    resize: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class ModelConfig:
    """config.json of a model folder."""

    name: str
    version: str
    width: int
    text: TextConfig
    image: ImageConfig
    files: dict[str, str]
    license: str
    training_data: tuple[str, ...]
    measured: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None  # one of WEIGHTS; None in folders that do not say
    format: int = FORMAT
    matryoshka: tuple[int, ...] = ()  # prefixes of the vectors that are good vectors as well (Kusupati et al. 2022)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change whenever a vector could: a hash over the hashes of graphs and tokenizer."""
        return hashlib.sha256("".join(self.files[name] for name in HASHED).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages show it: araclip-mini@3f2a91bc04de."""
        return f"{self.name}@{self.fingerprint}"


def is_ours(name_or_path: str | PathLike[str]) -> bool:
    """Whether it is a bundled or pulled model's name, or a folder with a graph of ours, whole or damaged."""
    if str(name_or_path) in installed():
        return True
    folder = existing_folder(name_or_path)
    return folder is not None and any(os.path.lexists(folder / part) for part in ("text.onnx", "image.onnx"))


def find(name_or_path: str | PathLike[str]) -> Path:
    """The folder of a model's name (a bundled one first, then one that was pulled), or of a path.

    Raises:
        ModelNotFound: it is neither.
        InputError: it is no text and no path.
    """
    if not isinstance(name_or_path, str | PathLike):
        raise InputError(
            f"a {type(name_or_path).__name__} names no model. Pass a name, such as '{DEFAULT_MODEL}', or the path of a "
            "model folder."
        )
    known = installed()
    if str(name_or_path) in known:  # first, so that a folder of that name in the working directory changes nothing
        return known[str(name_or_path)]
    if (path := existing_folder(name_or_path)) is not None:
        return path
    raise ModelNotFound(
        f"no model '{shown(str(name_or_path))}': neither a folder nor one of the models on this machine "
        f"({', '.join(known) or 'none'}). Check the spelling, pass the path of a model folder, or get one: `araclip "
        "models` lists the models of others, `araclip pull NAME` makes one ready."
    )


def existing_folder(path: str | PathLike[str]) -> Path | None:
    """The folder at a path; None where there is none, or where no path can be so (too long, a NUL, ~nobody)."""
    try:
        folder = Path(path).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


def read_config(folder: Path) -> ModelConfig:
    """Read and check config.json, and that every part of the folder is there. No other file is read.

    Raises:
        ModelMismatch: a part is missing, too large, or a link to another place; the JSON is damaged; a field is
            missing, unknown or has a value it cannot have; or the folder was made for another format or text
            normaliser than this release has.
    """
    _check_parts(folder)
    path = folder / "config.json"
    try:
        raw = bounded_json.read(path, max_bytes=MAX_CONFIG)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise ModelMismatch(f"{path} is not valid JSON: {reason}. Copy the model folder again.") from None
    if not isinstance(raw, dict):
        raise ModelMismatch(f"{path} holds a {type(raw).__name__}, expected an object. Copy the model folder again.")
    if raw.get("format") != FORMAT or isinstance(raw["format"], bool):
        raise ModelMismatch(
            f"{path} has format {_value(raw.get('format'))}, this release reads format {FORMAT}. "
            "Install the araclip release the model was made for, or a newer one."
        )
    config = _build(path, raw)
    if config.text.normalizer != NORMALIZER_VERSION:
        raise ModelMismatch(
            f"{path}: trained with text normaliser {config.text.normalizer}, this release has {NORMALIZER_VERSION}. "
            "Install the araclip release the model was made for, or export the model again."
        )
    return config


def _check_parts(folder: Path) -> None:
    """Every part is a regular file of a bearable size that lies in the folder."""
    missing = []
    allowed = _own_folders(folder)
    for part in PARTS:
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
        if found.st_size > MAX_PART:
            raise ModelMismatch(f"{path} has {found.st_size} bytes, the most is {MAX_PART}. Export the model again.")
    if missing:
        raise ModelMismatch(
            f"{folder}: {', '.join(missing)} missing; a model folder holds {', '.join(PARTS)}. Copy the folder again."
        )


def _own_folders(folder: Path) -> tuple[Path, ...]:
    """Where a part may lie: in the folder; in a Hugging Face cache also where snapshots/REVISION links to, blobs."""
    own = folder.resolve()
    return (own, own.parent.parent / "blobs") if own.parent.name == "snapshots" else (own,)


def _is_hashes(value: object) -> bool:
    return (
        isinstance(value, dict)
        and not value.keys() - set(HASHED)  # a name with a path in it would be such a key
        and all(isinstance(digest, str) and len(digest) == 64 for digest in value.values())
    )


FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {  # what a field may be, and how a message says it
    "name": (is_printable(MAX_NAME), f"a text of 1 to {MAX_NAME} printable characters"),
    "version": (is_text, "a text"),
    "width": (whole_number(1, MAX_WIDTH), f"a positive whole number, at most {MAX_WIDTH}"),
    "files": (_is_hashes, f"an object of file names ({', '.join(HASHED)}) and their SHA-256 hashes"),
    "license": (is_text, "a text"),
    "training_data": (is_texts, "a list of texts"),
    "measured": (lambda value: isinstance(value, dict), "an object"),
    "weights": (one_of(*WEIGHTS, None), f"one of {', '.join(WEIGHTS)}"),
    "text.tower": (is_text, "a text"),
    "text.pooling": (is_text, "a text"),
    "text.max_tokens": (whole_number(1, MAX_TOKENS), f"a positive whole number, at most {MAX_TOKENS}"),
    "text.normalizer": (whole_number(0, 1 << 31), "a whole number"),
    "text.pad_id": (whole_number(0, (1 << 31) - 1), "a token id"),
    "image.tower": (is_text, "a text"),
    "image.size": (whole_number(1, MAX_SIDE), f"a positive whole number, at most {MAX_SIDE}"),
    "image.resize": (one_of("squash"), "'squash', the only way this release has"),
    "image.interpolation": (one_of("bicubic"), "'bicubic', the only way this release has"),
    "image.mean": (is_rgb, "three numbers"),
    "image.std": (is_rgb, "three numbers"),
}


def _build(path: Path, raw: dict[str, Any]) -> ModelConfig:
    try:
        text = _strict(TextConfig, raw.get("text"))
        image = _strict(ImageConfig, raw.get("image"))
        config: ModelConfig = _strict(ModelConfig, {**raw, "text": text, "image": image})
    except TypeError as error:
        raise ModelMismatch(f"{path}: {error}. Compare it with the config.json of a bundled model.") from None
    for name, (is_right, expected) in FIELDS.items():
        section, _, last = name.rpartition(".")
        value = getattr({"": config, "text": text, "image": image}[section], last)
        if not is_right(value):
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
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
