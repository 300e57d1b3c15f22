"""config.json of a model folder: its fields, what each may be, and what the model's fingerprint is made of."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from araclip.model_folder.field_checks import (
    is_bool,
    is_languages,
    is_printable,
    is_rgb,
    is_short_texts,
    is_text,
    is_texts,
    one_of,
    whole_number,
)
from araclip.text.normalization import NORMALIZER_VERSION

FORMAT = 2
FORMATS = (1, 2)  # that this release reads
NO_NORMALIZER = 0  # text reaches the tokenizer as it was typed
HASHED = ("tokenizer.json", "text.onnx", "image.onnx")
DATA_FILES = ("text.onnx.data", "image.onnx.data")  # weights of graphs that are larger than an ONNX file can be
# How graphs store theirs, see `training.export.quantize`
WEIGHTS = ("int8", "compact", "float32", "smooth-int8", "smooth-compact", "static-int8", "float16")
EARLIER_WEIGHTS = ("dynamic-int8", "int8-blocks", "int4-blocks")  # which folders may have, and none is given any more
COMPUTED_IN_INT8 = frozenset({"smooth-int8", "smooth-compact", "static-int8", *EARLIER_WEIGHTS})
TRIED = "weights"  # in `ModelConfig.measured` of earlier folders: the ways to store weights that were tried, by tower
PADDINGS = ("longest", "max_length")
RESIZES = ("squash", "shortest")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
REDUCTIONS = ("blocks", "exact")
CROP_OFFSETS = ("half-even", "floor")

# Keys that this package does not read. transformers takes the one for a kind of model and the other for a file of
# weights, so that AutoModel, CLIPModel and every class of its own refuse a model folder with this sentence.
SENTENCE = (
    "this is an AraCLIP model folder. Load it with AraCLIP.load of the package araclip, or, if it was trained there, "
    "with AraCLIPModel.from_pretrained and AraCLIPProcessor.from_pretrained"
)
FOR_OTHERS = {"model_type": SENTENCE, "transformers_weights": SENTENCE}

MAX_NAME = 200  # characters
MAX_WIDTH = 1 << 16  # the widest published dual encoders have 1,024 to 4,096
MAX_TOKENS = 1 << 16  # most have 32 to 512
MAX_SIDE = 1024  # pixels; the largest published towers take 512
MAX_FACTS = 20  # entries of `source`
MAX_FACT = 1000  # characters of one
MAX_LANGUAGES = 500


@dataclass(frozen=True)
class TextConfig:
    """How text becomes token ids.

    Attributes:
        max_tokens: what follows is cut; special tokens count.
        normalizer: version of `araclip.normalize` that texts pass first; 0: none, all that happens to a text stands in
            tokenizer.json.
        padding: texts of a batch are filled up with `pad_id` to the "longest" of them, or always to "max_length", which
            is `max_tokens`.
        attention_mask: whether the graph takes one, 1 for a token and 0 for padding, beside `input_ids`.
    """

    tower: str
    pooling: str
    max_tokens: int
    normalizer: int
    pad_id: int
    padding: str = "longest"
    attention_mask: bool = True


@dataclass(frozen=True)
class ImageConfig:
    """How a picture becomes pixels; mean and std are for information, since image.onnx scales by them itself.

    Attributes:
        size: S, the side of the square that the graph takes.
        resize: "squash": width and height become S; "shortest": the shorter side does, and the middle is cut out.
        interpolation: one of INTERPOLATIONS, each as Pillow computes it, averaging where it makes smaller.
        reduction: "blocks": pixels of large pictures are averaged in blocks first, as our own models are trained
            (Pillow's reducing_gap of 2); "exact": they are not, as in the libraries of published models. None, in
            folders of earlier releases: see `ModelConfig.reduction`.
        crop_offset: where the middle begins if an odd number of pixels is cut off: "half-even", as torchvision and
            open_clip round it, or "floor", as transformers does.
    """

    tower: str
    size: int
    resize: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    reduction: str | None = None
    crop_offset: str = "half-even"


@dataclass(frozen=True)
class ModelConfig:
    """config.json of a model folder.

    Attributes:
        files: SHA-256 of each file but config.json and README.md.
        weights: one of WEIGHTS, or two of them, as "NAME + NAME", of text and image; None in folders that do not say.
        matryoshka: prefixes of the vectors that are good vectors as well (Kusupati et al. 2022).
        source: what the folder was made of, such as {"id": "google/siglip2-base-patch16-256", "revision": "…"}.
        languages: those whose words its vocabulary was cut to; None where it was not cut.
    """

    name: str
    version: str
    width: int
    text: TextConfig
    image: ImageConfig
    files: dict[str, str]
    license: str
    training_data: tuple[str, ...]
    measured: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    format: int = FORMAT
    matryoshka: tuple[int, ...] = ()
    source: dict[str, str] | None = None
    languages: tuple[str, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change whenever a vector could: a hash over the hashes of graphs and tokenizer, and
        over how texts and pictures are prepared, where that is not as format 1 has it."""
        hashes = "".join(self.files[name] for name in (*HASHED, *self.data_files))
        if (prepared := preparation(self)) != ["longest", True, NORMALIZER_VERSION, "squash", "bicubic"]:
            hashes += json.dumps([*prepared, self.text.max_tokens, self.text.pad_id])
        return hashlib.sha256(hashes.encode()).hexdigest()[:12]

    def weights_of(self, tower: str) -> str:
        """How the weights of "text" or "image" are stored, of WEIGHTS: its part of `weights`, or all of it."""
        ways = (self.weights or "float32").split(" + ")
        return ways[0] if tower == "text" else ways[-1]

    def in_int8(self, tower: str) -> bool:
        """Whether products of "text" or "image" are computed in int8: another library rounds some numbers otherwise."""
        return self.weights_of(tower) in COMPUTED_IN_INT8

    @property
    def reduction(self) -> str:
        """`image.reduction`; of folders of earlier releases, which do not say, "exact" where they were pulled."""
        return self.image.reduction or ("blocks" if self.source is None else "exact")

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages show it: araclip-mini@3f2a91bc04de."""
        return f"{self.name}@{self.fingerprint}"

    @property
    def data_files(self) -> tuple[str, ...]:
        """The weight files that its graphs have, of DATA_FILES."""
        return tuple(name for name in DATA_FILES if name in self.files)

    def parts_of(self, tower: str) -> tuple[str, ...]:
        """The hashed files that one tower, "text" or "image", reads."""
        own = ("tokenizer.json",) if tower == "text" else ()
        return (*own, *(name for name in (f"{tower}.onnx", f"{tower}.onnx.data") if name in self.files))


def preparation(config: ModelConfig) -> list[object]:
    """What happens to texts and pictures before the graphs, as far as format 1 knew one way only."""
    text, image = config.text, config.image
    stated = [] if image.reduction in (None, "blocks") else [image.reduction]
    stated += [] if image.crop_offset == "half-even" else [image.crop_offset]
    return [text.padding, text.attention_mask, text.normalizer, image.resize, image.interpolation, *stated]


def _is_hashes(value: object) -> bool:
    return (
        isinstance(value, dict)
        and not value.keys() - {*HASHED, *DATA_FILES}  # a name with a path in it would be such a key
        and all(isinstance(digest, str) and len(digest) == 64 for digest in value.values())
    )


def _is_weights(value: object) -> bool:
    """One name for both graphs, or two of text and image; None in folders that do not say."""
    if value is None:
        return True
    names = value.split(" + ") if isinstance(value, str) else []
    return 1 <= len(names) <= 2 and all(name in (*WEIGHTS, *EARLIER_WEIGHTS) for name in names)


Field = tuple[Callable[[object], bool], str]  # what a field may be, and how a message says it
FIELDS: dict[str, Field] = {
    "name": (is_printable(MAX_NAME), f"a text of 1 to {MAX_NAME} printable characters"),
    "version": (is_text, "a text"),
    "width": (whole_number(1, MAX_WIDTH), f"a positive whole number, at most {MAX_WIDTH}"),
    "files": (_is_hashes, f"an object of file names ({', '.join((*HASHED, *DATA_FILES))}) and their SHA-256 hashes"),
    "license": (is_text, "a text"),
    "training_data": (is_texts, "a list of texts"),
    "measured": (lambda value: isinstance(value, dict), "an object"),
    "weights": (_is_weights, f"one of {', '.join(WEIGHTS)}, or two of them, of text + image"),
    "source": (is_short_texts(MAX_FACTS, MAX_FACT), f"an object of at most {MAX_FACTS} printable texts"),
    "languages": (is_languages(MAX_LANGUAGES), "a list of language codes, such as ar"),
    "text.tower": (is_text, "a text"),
    "text.pooling": (is_text, "a text"),
    "text.max_tokens": (whole_number(1, MAX_TOKENS), f"a positive whole number, at most {MAX_TOKENS}"),
    "text.normalizer": (whole_number(0, 1 << 31), "a whole number"),
    "text.pad_id": (whole_number(0, (1 << 31) - 1), "a token id"),
    "text.padding": (one_of(*PADDINGS), f"one of {', '.join(PADDINGS)}"),
    "text.attention_mask": (is_bool, "true or false"),
    "image.tower": (is_text, "a text"),
    "image.size": (whole_number(1, MAX_SIDE), f"a positive whole number, at most {MAX_SIDE}"),
    "image.resize": (one_of(*RESIZES), f"one of {', '.join(RESIZES)}"),
    "image.interpolation": (one_of(*INTERPOLATIONS), f"one of {', '.join(INTERPOLATIONS)}"),
    "image.reduction": (one_of(*REDUCTIONS, None), f"one of {', '.join(REDUCTIONS)}"),
    "image.crop_offset": (one_of(*CROP_OFFSETS), f"one of {', '.join(CROP_OFFSETS)}"),
    "image.mean": (is_rgb, "three numbers"),
    "image.std": (is_rgb, "three numbers"),
}
IN_FORMAT_1: dict[str, Field] = {  # where format 1 knew less
    "files": (lambda value: _is_hashes(value) and not set(DATA_FILES) & set(value),  # type: ignore[call-overload]
              f"an object of file names ({', '.join(HASHED)}) and their SHA-256 hashes"),
    "weights": (one_of("int8", "compact", "float32", "dynamic-int8", None), "int8, compact, float32 or dynamic-int8"),
    "source": (lambda value: value is None, "nothing: format 1 has no such field"),
    "languages": (lambda value: value is None, "nothing: format 1 has no such field"),
    "text.padding": (one_of("longest"), "'longest', the only way of format 1"),
    "text.attention_mask": (lambda value: value is True, "true, the only way of format 1"),
    "image.resize": (one_of("squash"), "'squash', the only way of format 1"),
    "image.interpolation": (one_of("bicubic"), "'bicubic', the only way of format 1"),
    "image.reduction": (one_of("blocks", None), "'blocks', the only way of format 1"),
    "image.crop_offset": (one_of("half-even"), "'half-even', the only way of format 1"),
}  # fmt: skip


def value_of(config: ModelConfig, name: str) -> object:
    """The value of a key of FIELDS."""
    section, _, last = name.rpartition(".")
    return getattr(getattr(config, section) if section else config, last)
