"""Defines the model folder: its files, the fields of config.json, and the checks that they belong together.

    config.json      the fields of ModelConfig
    tokenizer.json   Hugging Face tokenizers
    text.onnx        input_ids and, where config.json declares it, attention_mask: (B, T) int64 → embedding (B, D)
    image.onnx       pixels (B, S, S, 3) uint8 RGB → embedding (B, D) float32, unit length
    text.onnx.data, image.onnx.data     weights of graphs above 2 GB, where there are any
    README.md        the model card

B is the size of a batch, T the number of tokens, S the side of a picture in pixels, D the width of a vector. Pooling,
projection, pixel scaling and L2 normalisation are inside the graphs, so no caller can get them wrong.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from araclip.core import bounded_json
from araclip.core.display import shortened, shown
from araclip.core.installed_models import installed
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.text.normalization import NORMALIZER_VERSION

if TYPE_CHECKING:
    from araclip.pictures.image_transform import ImageTransform

DEFAULT_MODEL = "araclip-mini"


def names_model_folder(name_or_path: str | PathLike[str]) -> bool:
    """True if this is the name of a bundled or pulled model, or a folder that holds text.onnx or image.onnx.

    A damaged folder counts too: either file is enough, even as a broken link.
    """
    if str(name_or_path) in installed():
        return True
    folder = existing_folder(name_or_path)
    return folder is not None and any(os.path.lexists(folder / part) for part in ("text.onnx", "image.onnx"))


def find(name_or_path: str | PathLike[str]) -> Path:
    """Return a model's folder, given the model's name or path. A bundled model wins over a pulled one of that name."""
    if not isinstance(name_or_path, str | PathLike):
        raise InputError(
            f"a {type(name_or_path).__name__} names no model. Pass a name, such as '{DEFAULT_MODEL}', or the path of a "
            "model folder."
        )
    known = installed()
    if str(name_or_path) in known:  # names come before paths: a folder of that name cannot take a model's place
        return known[str(name_or_path)]
    if (path := existing_folder(name_or_path)) is not None:
        return path
    raise ModelNotFound(
        f"no model '{shown(str(name_or_path))}': neither a folder nor one of the models on this machine "
        f"({', '.join(known) or 'none'}). Check the spelling, pass the path of a model folder, or get one: `araclip "
        "models` lists the models of others, `araclip pull NAME` makes one ready (docs/peers.md)."
    )


def existing_folder(path: str | PathLike[str]) -> Path | None:
    """Return the folder at a path; None if no folder is there, or if the path is empty or not valid.

    A path is not valid if it is too long, holds a NUL, or begins with the home folder of an unknown user (~nobody).
    """
    try:
        folder = Path(path).expanduser()
        return folder if os.fspath(path) and folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


Check = Callable[[object], bool]


def is_text(value: object) -> bool:
    """True if the value is a text."""
    return isinstance(value, str)


def is_printable(longest: int) -> Check:
    """Return a check that accepts a text of 1 to `longest` printable characters, which keeps it on one line."""
    return lambda value: isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def is_rgb(value: object) -> bool:
    """True if the value is three finite numbers, one for each colour channel."""
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(part, int | float) and not isinstance(part, bool) and abs(part) < 1e9 for part in value)
    )


def is_whole_number(least: int, most: int) -> Check:
    """Return a check that accepts a whole number from `least` to `most`."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_one_of(*known: str) -> Check:
    """Return a check that accepts only the texts in `known`."""
    return lambda value: isinstance(value, str) and value in known


def are_prefixes(found: object, width: int) -> bool:
    """True if the value is a tuple of Matryoshka prefixes: whole numbers from 1 to `width`, in rising order."""
    if not isinstance(found, tuple) or not all(type(number) is int for number in found):
        return False
    return list(found) == sorted(set(found)) and (not found or 1 <= found[0] <= found[-1] <= width)


FORMAT = 2
NOT_STATED = "not stated"  # the field `license` of a model whose licence is unknown
NO_NORMALIZER = 0  # the value of `TextConfig.normalizer` where text reaches the tokenizer as it was typed
HASHED = ("tokenizer.json", "text.onnx", "image.onnx")
DATA_FILES = ("text.onnx.data", "image.onnx.data")  # files for the weights of graphs that do not fit into one ONNX file
# How a graph can store its weights, see `training.export.weights`
WEIGHTS = ("int8", "compact", "float32", "smooth-int8", "smooth-compact", "static-int8", "float16")
COMPUTED_IN_INT8 = ("smooth-int8", "smooth-compact", "static-int8")
TOWERS = ("text", "image")
PADDINGS = ("longest", "max_length")
RESIZES = ("squash", "shortest")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
REDUCTIONS = ("blocks", "exact")
CROP_OFFSETS = ("half-even", "floor")

# Two keys of config.json that this package does not read. transformers takes the first for a kind of model and the
# second for the name of a weights file. It knows neither, so its error quotes this sentence, which helps the user.
SENTENCE = (
    "this is an AraCLIP model folder. Load it with AraCLIP.load of the package araclip, or, if it was trained there, "
    "with AraCLIPModel.from_pretrained and AraCLIPProcessor.from_pretrained"
)
KEYS_FOR_OTHERS = {"model_type": SENTENCE, "transformers_weights": SENTENCE}

MAX_NAME = 200  # limit: characters in a model's name
MAX_WIDTH = 1 << 16  # limit: numbers in a vector; the widest published dual encoders have 1,024 to 4,096
MAX_TOKENS = 1 << 16  # limit: tokens in a text; most models take 32 to 512
MAX_SIDE = 1024  # limit: pixels on a side of the square; the largest published image towers take 512
MAX_FACTS = 20  # limit: entries in `ModelConfig.source`
MAX_FACT = 1000  # limit: characters in a name or value of `ModelConfig.source`
MAX_LANGUAGES = 500  # limit: entries in `ModelConfig.languages`


@dataclass(frozen=True)
class TextConfig:
    """How text becomes token ids."""

    tower: str
    pooling: str
    max_tokens: int  # tokens beyond this number are cut off; special tokens count
    normalizer: int  # version of `araclip.normalize` applied before the tokenizer; 0: not applied
    pad_id: int  # the token id that fills up the shorter texts of a batch
    padding: str = "longest"  # fill up to the "longest" text of a batch, or always to `max_tokens` ("max_length")
    attention_mask: bool = True  # True: the graph has an input of this name: 1 for a token, 0 for padding


@dataclass(frozen=True)
class ImageConfig:
    """How a picture becomes pixels. image.onnx scales pixels itself: `mean` and `std` are for information.

    Attributes:
        size: S, the side in pixels of the square picture that the graph takes.
        resize: "squash": width and height both become S; "shortest": the shorter side becomes S, and the middle square
            is cut out.
        interpolation: one of INTERPOLATIONS, as Pillow computes it, which averages pixels when it shrinks a picture.
        reduction: "blocks": large pictures are first averaged in blocks (Pillow's reducing_gap of 2), as in the
            training of our own models; "exact": no such step, as in the libraries of published models.
        crop_offset: how the start of the middle square is rounded if an odd number of pixels is cut off: "half-even",
            as in torchvision and open_clip, or "floor", as in transformers.
    """

    tower: str
    size: int
    resize: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    reduction: str = "blocks"
    crop_offset: str = "half-even"

    @property
    def transform(self) -> "ImageTransform":
        """Return the transform that turns a picture into the square that the graph takes."""
        # imported here, since numpy would cost each command 0.1 s
        from araclip.pictures.image_transform import ImageTransform

        gap = 2.0 if self.reduction == "blocks" else None
        return ImageTransform(self.size, self.resize, self.interpolation, gap, self.crop_offset)


@dataclass(frozen=True)
class ModelConfig:
    """The fields of a model folder's config.json."""

    name: str
    version: str
    width: int  # D, the numbers in a vector
    text: TextConfig
    image: ImageConfig
    files: dict[str, str]  # SHA-256 by file name, for each file but config.json and README.md
    license: str
    training_data: tuple[str, ...]
    measured: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None  # one of WEIGHTS for both graphs, or "TEXT + IMAGE"; None: config.json does not say
    format: int = FORMAT
    matryoshka: tuple[int, ...] = ()  # widths to which a vector can be cut and stay good (Kusupati et al. 2022)
    source: dict[str, str] | None = None  # the original of this model: {"id": "google/siglip2-base-patch16-256"}
    languages: tuple[str, ...] | None = None  # the languages to whose words the vocabulary was cut; None: not cut

    @property
    def fingerprint(self) -> str:
        """Return twelve hex digits that differ between two models whose vectors may differ.

        The digits hash the files of graphs and tokenizer, and the settings that prepare texts and pictures.
        """
        text, image = self.text, self.image
        prepared = [text.padding, text.attention_mask, text.normalizer, image.resize, image.interpolation]
        prepared += [image.reduction] if image.reduction != "blocks" else []
        prepared += [image.crop_offset] if image.crop_offset != "half-even" else []
        hashes = "".join(self.files[name] for name in (*HASHED, *self.data_files))
        hashes += json.dumps([*prepared, text.max_tokens, text.pad_id])
        return hashlib.sha256(hashes.encode()).hexdigest()[:12]

    def weights_of(self, tower: str) -> str:
        """Return how a tower's graph stores its weights: one of WEIGHTS; "float32" if config.json does not say."""
        ways = (self.weights or "float32").split(" + ")
        return ways[0] if tower == "text" else ways[-1]

    def in_int8(self, tower: str) -> bool:
        """True if a tower multiplies in int8, so that another runtime library may round some numbers differently."""
        return self.weights_of(tower) in COMPUTED_IN_INT8

    @property
    def label(self) -> str:
        """Return name and fingerprint as messages show them, such as araclip-mini@3f2a91bc04de."""
        return f"{self.name}@{self.fingerprint}"

    @property
    def data_files(self) -> tuple[str, ...]:
        """Return the names in DATA_FILES that this model has: the weight files beside its graphs."""
        return tuple(name for name in DATA_FILES if name in self.files)

    def parts_of(self, tower: str) -> tuple[str, ...]:
        """Return the names of the hashed files that one tower ("text" or "image") reads."""
        own = ("tokenizer.json",) if tower == "text" else ()
        return (*own, *(name for name in (f"{tower}.onnx", f"{tower}.onnx.data") if name in self.files))


def _is_hashes(value: object) -> bool:
    return (
        isinstance(value, dict)
        and not value.keys() - {*HASHED, *DATA_FILES}  # accepts only known file names, not ../../file
        and all(isinstance(digest, str) and len(digest) == 64 for digest in value.values())
    )


def _is_weights(value: object) -> bool:
    """True if the value is one name in WEIGHTS, or two as "TEXT + IMAGE", or None (config.json does not say)."""
    if value is None:
        return True
    names = value.split(" + ") if isinstance(value, str) else []
    return 1 <= len(names) <= 2 and all(name in WEIGHTS for name in names)


def _is_source(value: object) -> bool:
    """True if the value may tell what a model was made from: a small object of printable texts, or None."""
    fits = is_printable(MAX_FACT)
    return value is None or (
        isinstance(value, dict)
        and len(value) <= MAX_FACTS
        and all(fits(text) for pair in value.items() for text in pair)
    )


def _is_languages(value: object) -> bool:
    """True if the value is a tuple of language codes, or None (the vocabulary was not cut)."""
    fits = is_printable(20)
    return value is None or (
        isinstance(value, tuple) and 0 < len(value) <= MAX_LANGUAGES and all(fits(code) for code in value)
    )


# the check of a field's value, and the words in an error message for what was expected
FIELDS: dict[str, tuple[Check, str]] = {
    "name": (is_printable(MAX_NAME), f"a text of 1 to {MAX_NAME} printable characters"),
    "version": (is_text, "a text"),
    "width": (is_whole_number(1, MAX_WIDTH), f"a positive whole number, at most {MAX_WIDTH}"),
    "files": (_is_hashes, f"an object of file names ({', '.join((*HASHED, *DATA_FILES))}) and their SHA-256 hashes"),
    "license": (is_text, "a text"),
    "training_data": (lambda value: isinstance(value, tuple) and all(map(is_text, value)), "a list of texts"),
    "measured": (lambda value: isinstance(value, dict), "an object"),
    "weights": (_is_weights, f"one of {', '.join(WEIGHTS)}, or two of them, of text + image"),
    "source": (_is_source, f"an object of at most {MAX_FACTS} printable texts"),
    "languages": (_is_languages, "a list of language codes, such as ar"),
    "text.tower": (is_text, "a text"),
    "text.pooling": (is_text, "a text"),
    "text.max_tokens": (is_whole_number(1, MAX_TOKENS), f"a positive whole number, at most {MAX_TOKENS}"),
    "text.normalizer": (is_whole_number(0, 1 << 31), "a whole number"),
    "text.pad_id": (is_whole_number(0, (1 << 31) - 1), "a token id"),
    "text.padding": (is_one_of(*PADDINGS), f"one of {', '.join(PADDINGS)}"),
    "text.attention_mask": (lambda value: isinstance(value, bool), "true or false"),
    "image.tower": (is_text, "a text"),
    "image.size": (is_whole_number(1, MAX_SIDE), f"a positive whole number, at most {MAX_SIDE}"),
    "image.resize": (is_one_of(*RESIZES), f"one of {', '.join(RESIZES)}"),
    "image.interpolation": (is_one_of(*INTERPOLATIONS), f"one of {', '.join(INTERPOLATIONS)}"),
    "image.reduction": (is_one_of(*REDUCTIONS), f"one of {', '.join(REDUCTIONS)}"),
    "image.crop_offset": (is_one_of(*CROP_OFFSETS), f"one of {', '.join(CROP_OFFSETS)}"),
    "image.mean": (is_rgb, "three numbers"),
    "image.std": (is_rgb, "three numbers"),
}
PARTS = ("config.json", *HASHED, "README.md")  # the files in every model folder; some folders hold DATA_FILES besides

MAX_CONFIG = 1_000_000  # limit: bytes in config.json; that of araclip-mini has 3,400
MAX_PART = (1 << 31) - 1  # limit: bytes in a graph or tokenizer file: an ONNX file cannot have more
_HASHED_AT_ONCE = 1 << 24  # number of bytes that `sha256` reads at once
MAX_DATA = 1 << 35  # limit: bytes in one of DATA_FILES: 8 billion weights in float32


def read_config(folder: Path) -> ModelConfig:
    """Read and check config.json, and check that each file of a model folder is there. No other file is read.

    Raises:
        ModelMismatch: a file is missing, too large or outside the folder; or config.json is no JSON, has a wrong field,
            or was made for another release.
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
    if raw.get("format") != FORMAT:
        raise ModelMismatch(
            f"{path} has format {_quote(raw.get('format'))}, this release reads format {FORMAT}. "
            "Install the araclip release the model was made for, or a newer one."
        )
    config = _build_config(path, raw)
    if config.text.normalizer not in (NO_NORMALIZER, NORMALIZER_VERSION):
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
    """Check that each file named in `parts` is a regular file of at most `most` bytes inside the model folder.

    In a Hugging Face cache, links into its folder `blobs` are allowed.

    Raises:
        ModelMismatch: a file is missing, unreadable, larger, not regular, or a link that leads elsewhere.
    """
    missing, own = [], folder.resolve()
    allowed = (own, own.parent.parent / "blobs") if own.parent.name == "snapshots" else (own,)
    for part in parts:
        path = folder / part
        try:
            found = path.stat()
            elsewhere = path.is_symlink() and path.resolve().parent not in allowed
        except FileNotFoundError:
            missing.append(part)
            continue
        # a link that leads to itself, or a folder that this user may not read
        except (OSError, RuntimeError) as error:
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
    if missing and (folder / "model" / "config.json").is_file():
        raise ModelMismatch(
            f"{folder} is a stage of a training run, no model folder. Name the model that it has saved, "
            f"{folder / 'model'}, or export it: `araclip export {folder} FOLDER`."
        )
    if missing:
        raise ModelMismatch(
            f"{folder}: {', '.join(missing)} missing; a model folder holds {', '.join(PARTS)}. Copy the folder again."
        )


def _build_config(path: Path, raw: dict[str, Any]) -> ModelConfig:
    """Build a ModelConfig from the content of the file `path`; raise ModelMismatch for a wrong or unknown field."""
    try:
        text = _build_strictly(TextConfig, raw.get("text"))
        image = _build_strictly(ImageConfig, raw.get("image"))
        own = {name: value for name, value in raw.items() if name not in KEYS_FOR_OTHERS}
        config: ModelConfig = _build_strictly(ModelConfig, {**own, "text": text, "image": image})
    except TypeError as error:
        raise ModelMismatch(f"{path}: {error}. Compare it with the config.json of a bundled model.") from None
    for name, (is_right, expected) in FIELDS.items():
        section, _, last = name.rpartition(".")
        if not is_right(value := getattr(getattr(config, section) if section else config, last)):
            raise ModelMismatch(f"{path}: {name} is {_quote(value)}, expected {expected}. Export the model again.")
    if not are_prefixes(config.matryoshka, config.width):
        raise ModelMismatch(
            f"{path}: matryoshka is {_quote(config.matryoshka)}, expected numbers from 1 to {config.width}, rising."
        )
    if unhashed := sorted(set(HASHED) - set(config.files)):
        raise ModelMismatch(f"{path}: 'files' has no hash of {', '.join(unhashed)}. Export the model again.")
    return config


def _build_strictly(kind: type[Any], raw: Any) -> Any:
    """Build a dataclass from a JSON object, lists as tuples; raise TypeError for a missing or an unknown field."""
    if not isinstance(raw, dict):
        raise TypeError(f"no object with the fields of {kind.__name__}, found {_quote(raw)}")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(raw) - known):
        raise TypeError(f"unknown field {shown(shortened(', '.join(unknown), MAX_NAME))} in {kind.__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})


def _quote(value: object) -> str:
    """Return a JSON value as an error message quotes it: on one line, cut to 80 characters."""
    return shown(f"{value!r:.80}")


def weights_by_tower(weights: str) -> dict[str, str]:
    """Parse one of `WEIGHTS`, for both towers, or two as "TEXT + IMAGE"; return tower → how to store its weights."""
    parts = [part.strip() for part in weights.split("+")]
    if unknown := [part for part in parts if part not in WEIGHTS]:
        raise InputError(
            f"weights are stored as {', '.join(WEIGHTS)}, or as two of them, 'TEXT + IMAGE', not as '{unknown[0]}'."
        )
    if len(parts) > len(TOWERS):
        raise InputError(f"weights are those of two towers, 'TEXT + IMAGE', but '{weights}' names {len(parts)} ways.")
    return dict(zip(TOWERS, parts * 2, strict=False))


def megabytes(folder: Path) -> float:
    """Return the size of all files in a model folder, in units of 10⁶ bytes."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 1e6


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex digits.

    The file is read in few large blocks: after each block, this thread may wait up to 5 ms until a busy thread
    gives Python's lock back.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def check_hash(folder: Path, config: ModelConfig, part: str) -> None:
    """Compare one file with its hash in config.json; raise ModelMismatch if they differ."""
    try:
        actual = sha256(folder / part)
    except OSError as error:
        raise ModelMismatch(f"{folder / part} cannot be read ({error.strerror}). Copy the folder again.") from None
    if actual != config.files[part]:
        raise ModelMismatch(
            f"{folder / part} has hash {actual[:12]}…, config.json says {shown(config.files[part][:12])}…. "
            "The file is damaged or belongs to another model: copy the folder again."
        )


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in HASHED and DATA_FILES that is there: the field `files` of config.json."""
    return {name: sha256(folder / name) for name in (*HASHED, *DATA_FILES) if (folder / name).exists()}


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json, and beside it the file from which transformers reads how to prepare pictures."""
    fields = {name: value for name, value in asdict(config).items() if value or name not in LEFT_OUT_EMPTY}
    text = json.dumps({"format": FORMAT, **fields, **KEYS_FOR_OTHERS}, ensure_ascii=False, indent=2)
    (folder / "config.json").write_text(f"{text}\n", encoding="utf-8")
    write_image_processor(folder, config.image)


def write_image_processor(folder: Path, image: ImageConfig) -> None:
    """Write preprocessor_config.json for CLIPProcessor and AutoProcessor of transformers. AraCLIP does not read it."""
    settings = json.dumps(image_processor(image), indent=2)
    (folder / IMAGE_PROCESSOR).write_text(f"{settings}\n", encoding="utf-8")


def image_processor(image: ImageConfig) -> dict[str, Any]:
    """Return settings with which an image processor of transformers prepares pictures as `image` says."""
    from araclip.pictures.image_transform import FILTERS  # imported here, because it imports numpy

    squash = image.resize == "squash"
    square = {"height": image.size, "width": image.size}
    return {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True,
        "size": square if squash else {"shortest_edge": image.size}, "resample": int(FILTERS[image.interpolation]),
        "do_center_crop": not squash, "crop_size": square, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": image.mean, "image_std": image.std, "do_convert_rgb": True,
    }  # fmt: skip


IMAGE_PROCESSOR = "preprocessor_config.json"
LEFT_OUT_EMPTY = ("source", "languages", "matryoshka")  # fields that config.json leaves out if they are empty
