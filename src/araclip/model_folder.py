"""The model folder: its files, and the checks that they belong together.

    config.json      the fields of ModelConfig
    tokenizer.json   Hugging Face tokenizers
    text.onnx        input_ids, attention_mask (B, T) int64 → embedding (B, D) float32, unit length
    image.onnx       pixels (B, S, S, 3) uint8 RGB → embedding (B, D) float32, unit length
    README.md        the model card

Pooling, projection, pixel scaling and L2 normalisation are inside the graphs, so no caller can get them wrong.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.text.normalization import NORMALIZER_VERSION

FORMAT = 1
DEFAULT_MODEL = "araclip-mini"
HASHED = ("tokenizer.json", "text.onnx", "image.onnx")
PARTS = ("config.json", *HASHED, "README.md")
WEIGHTS = ("int8", "compact", "float32", "dynamic-int8")  # how graphs store theirs; the last is not computed in float32


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


def bundled() -> dict[str, Path]:
    """Models that ship with the package, by name."""
    folder = Path(str(files("araclip"))) / "models"
    if not folder.is_dir():
        return {}
    return {entry.name: entry for entry in sorted(folder.iterdir()) if (entry / "config.json").is_file()}


def is_ours(name_or_path: str | PathLike[str]) -> bool:
    """Whether it is a bundled model's name, or a folder with a graph of ours, whole or damaged."""
    if str(name_or_path) in bundled():
        return True
    folder = Path(name_or_path).expanduser()
    return any((folder / part).is_file() for part in ("text.onnx", "image.onnx"))


def find(name_or_path: str | PathLike[str]) -> Path:
    """The folder of a bundled model's name or of a path.

    Raises:
        ModelNotFound: it is neither.
        InputError: it is no text and no path.
    """
    if not isinstance(name_or_path, str | PathLike):
        raise InputError(
            f"a {type(name_or_path).__name__} names no model. Pass a name, such as '{DEFAULT_MODEL}', or the path of a "
            "model folder."
        )
    known = bundled()
    if str(name_or_path) in known:  # first, so that a folder of that name in the working directory changes nothing
        return known[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    raise ModelNotFound(
        f"no model '{name_or_path}': neither a folder nor one of the bundled models ({', '.join(known) or 'none'}). "
        "Check the spelling, or pass the path of a model folder. docs/peers.md lists the models of others, which "
        "AraCLIP.load and --model take as well."
    )


def read_config(folder: Path) -> ModelConfig:
    """Read and check config.json, and that every part of the folder is there.

    Raises:
        ModelMismatch: a part is missing, the JSON is damaged, a field is missing or unknown, or the folder was made
            for another format or text normaliser than this release has.
    """
    missing = [part for part in PARTS if not (folder / part).is_file()]
    if missing:
        raise ModelMismatch(
            f"{folder}: {', '.join(missing)} missing; a model folder holds {', '.join(PARTS)}. Copy the folder again."
        )
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelMismatch(f"{path} is not valid JSON ({error}). Copy the model folder again.") from None
    if not isinstance(raw, dict):
        raise ModelMismatch(f"{path} holds a {type(raw).__name__}, expected an object. Copy the model folder again.")
    if raw.get("format") != FORMAT:
        raise ModelMismatch(
            f"{path} has format {raw.get('format')!r}, this release reads format {FORMAT}. "
            "Install the araclip release the model was made for, or a newer one."
        )
    config = _build(path, raw)
    if config.text.normalizer != NORMALIZER_VERSION:
        raise ModelMismatch(
            f"{path}: trained with text normaliser {config.text.normalizer}, this release has {NORMALIZER_VERSION}. "
            "Install the araclip release the model was made for, or export the model again."
        )
    unhashed = sorted(set(HASHED) - set(config.files))
    if unhashed:
        raise ModelMismatch(f"{path}: 'files' has no hash of {', '.join(unhashed)}. Export the model again.")
    return config


def _build(path: Path, raw: dict[str, Any]) -> ModelConfig:
    try:
        text = _strict(TextConfig, raw.get("text"))
        image = _strict(ImageConfig, raw.get("image"))
        config: ModelConfig = _strict(ModelConfig, {**raw, "text": text, "image": image})
    except TypeError as error:
        raise ModelMismatch(f"{path}: {error}. Compare it with the config.json of a bundled model.") from None
    for name, value in (("width", config.width), ("text.max_tokens", text.max_tokens), ("image.size", image.size)):
        if not isinstance(value, int) or value < 1:
            raise ModelMismatch(f"{path}: {name} is {value!r}, expected a positive whole number.")
    for name, value, known in (
        ("text.pad_id", text.pad_id, range(1 << 31)),
        ("image.resize", image.resize, ("squash",)),
        ("image.interpolation", image.interpolation, ("bicubic",)),
    ):
        if value not in known or isinstance(value, bool):
            expected = "a token id" if isinstance(known, range) else f"'{known[0]}', the only way this release has"
            raise ModelMismatch(f"{path}: {name} is {value!r}, expected {expected}.")
    if config.weights is not None and config.weights not in WEIGHTS:
        raise ModelMismatch(f"{path}: weights is {config.weights!r}, expected one of {', '.join(WEIGHTS)}.")
    if not _are_prefixes(config.matryoshka, config.width):
        raise ModelMismatch(
            f"{path}: matryoshka is {config.matryoshka!r:.80}, expected numbers from 1 to {config.width}, rising."
        )
    if not isinstance(config.name, str):
        raise ModelMismatch(f"{path}: name is {config.name!r}, expected a text.")
    if not isinstance(config.files, dict) or not all(isinstance(digest, str) for digest in config.files.values()):
        raise ModelMismatch(f"{path}: files is {config.files!r:.80}, expected an object of file names and hashes.")
    return config


def _are_prefixes(found: object, width: int) -> bool:
    """Whether these are different numbers from 1 to `width`, rising."""
    if not isinstance(found, tuple) or not all(type(number) is int for number in found):
        return False
    return list(found) == sorted(set(found)) and (not found or 1 <= found[0] <= found[-1] <= width)


def _strict(kind: type[Any], raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise TypeError(f"no object with the fields of {kind.__name__}, found {raw!r:.80}")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(raw) - known):
        raise TypeError(f"unknown field {', '.join(unknown)} in {kind.__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(folder: Path, config: ModelConfig, part: str) -> None:
    """Compare one file with the hash in config.json.

    Raises:
        ModelMismatch: they differ; both are named.
    """
    actual = sha256(folder / part)
    if actual != config.files[part]:
        raise ModelMismatch(
            f"{folder / part} has hash {actual[:12]}…, config.json says {config.files[part][:12]}…. "
            "The file is damaged or belongs to another model: copy the folder again."
        )
