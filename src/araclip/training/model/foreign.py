"""Checks the settings in a stranger's model folder before a library reads them: no code, no files elsewhere.

transformers, timm, open_clip and sentence-transformers pass many keys of a folder's JSON files on as arguments; some
of these import modules, load pickles or fetch code. So the JSON files are first read here, within bounds, and a key
that could do such things is refused by file and name. Every loader also gets `trust_remote_code=False`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.paths import user_path
from araclip.errors import ModelMismatch, ModelNotFound
from araclip.models.folder import existing_folder
from araclip.models.tokenizer_file import check_rules, check_tokenizer

MAX_BYTES = 8_000_000  # limit: bytes of one JSON file; a tokenizer_config.json with 10,000 added tokens has 2 MB
MAX_DEPTH = 32
MAX_LAYERS = 512  # limit: layers of a tower; the deepest published towers have about 100
MAX_WIDTH = 100_000  # limit: numbers in a vector, tokens in a text, texts in a query bank; no model has nearly as many
MAX_SIDE = 4096  # limit: pixels on a side of input pictures

_TOKENS = ("special_tokens_map.json", "added_tokens.json")
_FILES = ("*config.json", "modules.json", "*/*config.json", *_TOKENS, *(f"*/{name}" for name in _TOKENS))
_INDEXES = ("*.index.json", "*/*.index.json")  # files that list for each weight the file that holds it
_ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
_PLAIN = re.compile(r"[\w.-]+")  # a mere name, without a colon or slash: no path and no repository
_COUNTS = re.compile(r"(layers|depths?|blocks|branches|groups|repeats)$")
_SIDES = (
    "size", "image_size", "img_size", "shortest_edge", "longest_edge", "height", "crop_size", "pad_size", "patch_size",
    "max_num_patches",
)  # fmt: skip
_LEAST_SHARE = 0.1  # least part of a picture that a crop takes; a smaller part would be enlarged too much
_TIMM_ARGUMENTS = ("model_args", "backbone_kwargs")
# arguments that tell timm how to load a network or in which form to return it, not what it consists of
_OF_TIMM = re.compile(r"pretrained|checkpoint|cache|scriptable|exportable|no_jit|features_only")

_SENTENCE_TRANSFORMERS = re.compile(
    r"sentence_transformers\.(\w+\.)*"
    r"(Transformer|CLIPModel|Pooling|Dense|Normalize|LayerNorm|Dropout|WeightedLayerPooling)"
)
_ACTIVATIONS = re.compile(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Z]\w+")
_ARGUMENTS = {  # arguments that sentence-transformers may pass on to transformers
    "model": ("dtype", "torch_dtype", "attn_implementation", "add_pooling_layer", "trust_remote_code"),
    "tokenizer": ("model_max_length", "max_length", "padding_side", "truncation_side", "use_fast", "trust_remote_code"),
    "config": ("trust_remote_code",),
}
_ARGUMENTS["processor"] = _ARGUMENTS["tokenizer"]

Place = tuple[str, ...]  # path of keys that leads to a value


def is_size(value: object) -> bool:
    """True if a setting is a whole number of at most MAX_WIDTH."""
    return isinstance(value, int) and not isinstance(value, bool) and value <= MAX_WIDTH


def check_folder(folder: Path) -> None:
    """Raise ModelMismatch if a model folder asks for code, files elsewhere or absurd sizes, or its tokenizer is unsafe.

    The folder has the layout of transformers, timm, sentence-transformers, or of open_clip with a text tower of
    transformers.
    """
    for path in folder.iterdir():
        # a pipe is refused, since reading it would never end
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ModelMismatch(f"{path} is a pipe or a device, no file. Copy the model's folder again.")
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        content = read_settings(path)
        check_settings(content, str(path))
        # Entries of this file become arguments of the tokenizer; an entry vocab_file would make it read another file.
        if path.name == _TOKENS[0]:
            for key, value in content.items() if isinstance(content, dict) else ():
                if key.endswith("_file"):
                    raise refused_setting(str(path), key, value, "no special token, but a file to read")
        if path.name == "modules.json":
            _check_modules(content, path)
        elif path.name.startswith("sentence_"):
            _check_arguments(content, path)
    for path in sorted({path for pattern in _INDEXES for path in folder.glob(pattern)}):
        content = read_settings(path)
        table = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(table, dict):
            raise ModelMismatch(f"{path}: weight_map is {table!r:.60}, expected an object. Copy the folder again.")
        for weight, name in table.items():
            if not isinstance(name, str) or Path(name).name != name:
                raise refused_setting(str(path), f"weight_map.{weight}", name, "expected the name of a file beside it")
    for pattern in ("tokenizer.json", "*/tokenizer.json"):
        for path in folder.glob(pattern):
            check_tokenizer(path)


def read_settings(path: Path, kind: type | None = None) -> Any:
    """Read a JSON file of settings within bounds; a content that is not of `kind`, such as dict, is a ModelMismatch."""
    return bounded_json.read(path, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH, kind=kind, error=ModelMismatch)


def check_settings(content: Any, where: str) -> None:
    """Raise ModelMismatch if settings ask for code, files elsewhere or absurd sizes; `where` begins the message."""
    for place, value in _leaves(content):
        key = next((part for part in reversed(place) if not part.isdigit()), "")
        fault = _setting_fault(place, key, value)
        if fault:
            raise refused_setting(where, ".".join(place), value, fault)


def refused_setting(where: str, key: str, value: Any, why: str) -> ModelMismatch:
    """Return the error for a refused setting; `why` follows the value in its message."""
    return ModelMismatch(
        f"{where}: {key} is {value!r:.80}, {why}. It is refused, and nothing of the folder was run. "
        "Take the key out, or name another model."
    )


@contextmanager
def code_refused(location: object) -> Iterator[None]:
    """Raise ModelMismatch if transformers, in a `with` block, refuses settings because they ask to run their own code.

    `location`, the model's folder or hub id, is for the message.
    """
    try:
        yield
    except ValueError as error:  # the error by which transformers refuses to run code
        if "trust_remote_code" not in str(error):
            raise
        raise ModelMismatch(
            f"{location} asks to run its own code (auto_map), because its classes are not those of transformers; a "
            "stranger's code is never run here. Name a model whose classes transformers has: docs/peers.md lists some."
        ) from error


def _setting_fault(place: Place, key: str, value: Any) -> str | None:
    """Return why the value of a setting is refused, or None if it is allowed.

    `key` is the setting's name; `place` is the path of keys that leads to the value and includes `key`.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "trust_remote_code" in place and value not in (False, None):
        return "which asks to run the folder's own code"
    if any(name in place for name in _ATTENTION) and isinstance(value, str) and not _PLAIN.fullmatch(value):
        return "which would fetch and run code of a hub"
    if key == "gguf_file" and value:
        return "which reads a file of another kind"
    if key == "use_kernels" and value:
        return "which would fetch and run code of a hub"
    if key in ("architecture", "timm_model_name") and value is not None:
        plain = isinstance(value, str) and _PLAIN.fullmatch(value)
        return None if plain else "no name of a network of timm"
    if any(name in place for name in _TIMM_ARGUMENTS) and any(map(_OF_TIMM.match, place)):
        return "which is no setting of a network, but loads files"
    if _COUNTS.search(key) and number and abs(value) > MAX_LAYERS:
        return f"expected at most {MAX_LAYERS}"
    if any(side in place for side in _SIDES) and number and abs(value) > MAX_SIDE:
        return f"expected at most {MAX_SIDE} pixels"
    if key == "crop_pct" and number and value < _LEAST_SHARE:
        return f"expected at least {_LEAST_SHARE}"
    return None


def _leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every number, text, truth value and null with the keys that lead there; `read_settings` limits depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*place, str(number)))
    else:
        yield place, value


# ------------------------------------------------------------------ sentence-transformers


def _check_modules(content: Any, path: Path) -> None:
    if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
        raise ModelMismatch(f"{path}: expected a list of modules. Copy the model's folder again.")
    for number, module in enumerate(content):
        kind, below = module.get("type"), module.get("path", "")
        if not isinstance(kind, str) or not _SENTENCE_TRANSFORMERS.fullmatch(kind):
            own = isinstance(kind, str) and kind.startswith("sentence_transformers.")
            why = "no module of sentence-transformers that is known here"
            raise refused_setting(
                str(path), f"{number}.type", kind, why if own else f"{why}: it asks to run code of its own"
            )
        # Folders deeper than one level are refused: `check_folder` has checked the settings only down to that level.
        folders = Path(below).parts if isinstance(below, str) else ("..",)
        if len(folders) > 1 or Path(*folders).anchor or folders == ("..",):
            raise refused_setting(str(path), f"{number}.path", below, "expected a folder directly in the model's own")
        if kind.endswith(".Dense") and (config := path.parent / below / "config.json").is_file():
            activation = read_settings(config, dict).get("activation_function")
            if activation is not None and not (isinstance(activation, str) and _ACTIVATIONS.fullmatch(activation)):
                raise refused_setting(str(config), "activation_function", activation, "no activation of torch.nn")


def _check_arguments(content: Any, path: Path) -> None:
    for kind, known in _ARGUMENTS.items():
        for key in (f"{kind}_args", f"{kind}_kwargs"):
            given = content.get(key) if isinstance(content, dict) else None
            if given:
                check_known(given, known, f"{path}: {key}")


# ------------------------------------------------------------------ known keys


def check_known(content: Any, known: Collection[str], where: str) -> None:
    """Raise ModelMismatch if `content` is no table or holds an unknown key."""
    if not isinstance(content, dict):
        raise ModelMismatch(f"{where} is {content!r:.60}, expected an object. Copy the model's folder again.")
    for key, value in content.items():
        if key not in known:
            raise refused_setting(where, key, value, f"an unknown key; known are {', '.join(known)}")


_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
_SPARE = 1_000_000  # a model may have this many more numbers than its files have bytes, for example in new projections


def check_fits(build: Callable[[], Any], folder: Path, settings: str = "config.json") -> None:
    """Raise ModelMismatch if settings describe a model with many more numbers than the weights files have bytes.

    `build` makes the model that the file `settings` describes; it is called without memory for weights.
    """
    import torch

    stored = sum(path.stat().st_size for pattern in _WEIGHTS for path in folder.glob(pattern) if path.is_file())
    with torch.device("meta"):
        model = build()
    numbers = sum(parameter.numel() for parameter in model.parameters())
    if numbers > stored + _SPARE:
        raise ModelMismatch(
            f"{folder / settings} describes a model of {numbers:,} numbers, but the weights beside it have "
            f"{stored:,} bytes. The two do not belong together: copy the whole folder again."
        )


def _check_local(location: str | Path) -> Path | None:
    """Check by `check_folder` that a folder's files are safe to load, and return its path; None for a hub id.

    Raises ModelMismatch if a file is not safe.
    """
    if (folder := existing_folder(location)) is not None:
        check_folder(folder)
    return folder


def config_at(location: str | Path) -> Any:
    """Load and check the configuration of a transformers model, from a folder or hub id."""
    from transformers import AutoConfig

    folder = _check_local(location)
    if folder is not None and not (folder / "config.json").is_file():
        # without config.json, transformers 5.0 would guess the kind of model by the folder's name
        raise FileNotFoundError(f"{folder} has no config.json")
    with code_refused(location):
        config = AutoConfig.from_pretrained(location, trust_remote_code=False)
    check_settings(config.to_dict(), f"{location}: config.json")
    return config


def tokenizer_at(location: str | Path, config: Any = None) -> Any:
    """Load and check the tokenizer of a folder or hub id. The model's `config` gives its class if its files do not."""
    from transformers import AutoTokenizer

    _check_local(location)
    with code_refused(location):
        tokenizer = AutoTokenizer.from_pretrained(location, config=config, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"{location} holds no tokenizer")
    check_tokens(tokenizer, location)
    return tokenizer


def check_tokens(tokenizer: Any, location: str | Path) -> None:
    """Raise ModelMismatch if a loaded tokenizer has rules that could make texts endless or take for ever."""
    backend = getattr(tokenizer, "backend_tokenizer", None)  # None for a tokenizer that is written in Python
    if backend is not None:
        check_rules(json.loads(backend.to_str()), str(location))


def image_processor_at(location: str | Path, *, pillow: bool = False) -> Any:
    """Load the image processor of a folder or hub id; with `pillow`, in the form that resizes with Pillow."""
    from transformers import AutoImageProcessor

    _check_local(location)
    with code_refused(location):
        processor = AutoImageProcessor.from_pretrained(location, trust_remote_code=False)
    return on_pillow(processor) if pillow else processor


def on_pillow(processor: Any) -> Any:
    """Return the form of an image processor that resizes with Pillow, or `processor` if it has no such form.

    Published dual encoders were evaluated with Pillow: OpenAI's code, open_clip and transformers until version 4 resize
    PIL pictures. Today's transformers resizes uint8 tensors; that kernel rounds its weights to 16 bits, and its results
    depend on the processor (CPU).
    """
    import transformers

    name = type(processor).__name__
    # the name of the class that resizes with Pillow: first today's, then that of transformers 5.0
    names = {f"{name}Pil", name.removesuffix("Fast")} - {name}
    for other in names if hasattr(processor, "resample") else ():
        if (kind := getattr(transformers, other, None)) is not None:
            settings = {key: value for key, value in processor.to_dict().items() if key != "image_processor_type"}
            return kind(**settings)
    return processor


def check_size(location: str | Path, build: Callable[[], Any]) -> None:
    """Raise ModelMismatch if a folder's config.json describes many more numbers than the folder's weights have bytes.

    `build` makes the model that config.json describes, without memory for its numbers. Nothing is checked for a hub id
    or a folder without config.json.
    """
    if (folder := existing_folder(location)) is not None and (folder / "config.json").is_file():
        check_fits(build, folder)


FILE = "open_clip_config.json"
_DIRECTORY, _HUB = "local-dir:", "hf-hub:"

_MODEL = (
    "embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "custom_text", "quick_gelu", "init_logit_scale",
    "init_logit_bias", "nonscalar_logit_scale",
)  # fmt: skip
_TOKENIZER = ("clean", "strip_sep_token", "language", "reduction_mask")
_ENDS = ("*.safetensors", "*.bin", "*.pth")  # files that open_clip takes for a folder's weights


def model_settings(location: str) -> Mapping[str, Any]:
    """Return the checked `model_cfg` of the open_clip model at `local-dir:FOLDER` or `hf-hub:ID`, or with this name.

    A name that is not in open_clip's list gives an empty table.
    """
    import open_clip

    if location.startswith(_DIRECTORY):
        folder = user_path(location.removeprefix(_DIRECTORY))
        # a folder without weights is refused, since open_clip would draw weights at random
        if not any(next(folder.glob(end), None) for end in _ENDS):
            raise ModelNotFound(
                f"{folder} cannot be loaded (no weights, {', '.join(_ENDS)}). Remedy: copy the model's folder again."
            )
        check_folder(folder)
        model = _read_checked(folder / FILE)
        check_fits(lambda: _build_open_clip(model), folder, FILE)
        return model
    if location.startswith(_HUB):
        from huggingface_hub import hf_hub_download

        return _read_checked(Path(hf_hub_download(location.removeprefix(_HUB), FILE)))
    return open_clip.get_model_config(location) or {}


def tokenizer_arguments(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments for `open_clip.get_tokenizer` that keep a transformers tokenizer from running code."""
    return {"trust_remote_code": False} if model.get("text_cfg", {}).get("hf_tokenizer_name") else {}


def _build_open_clip(model: Mapping[str, Any]) -> Any:
    """Build the network as `open_clip.create_model` does, with random weights."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    own = deepcopy(dict(model))
    custom = own.pop("custom_text", False) or "hf_model_name" in own["text_cfg"]
    if "hf_model_name" in own["text_cfg"]:
        own["text_cfg"]["hf_model_pretrained"] = False
    own["vision_cfg"]["timm_model_pretrained"] = False
    return (CoCa if custom and "multimodal_cfg" in own else CustomTextCLIP if custom else CLIP)(**own)


def _read_checked(path: Path) -> dict[str, Any]:
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    content = read_settings(path, dict)
    check_settings(content, str(path))
    model = content.get("model_cfg")
    check_known(model, _MODEL, f"{path}: model_cfg")
    assert isinstance(model, dict)
    for key, kind in (("vision_cfg", CLIPVisionCfg), ("text_cfg", CLIPTextCfg), ("multimodal_cfg", MultimodalCfg)):
        if key in model or key != "multimodal_cfg":
            check_known(model.get(key), [field.name for field in fields(kind)], f"{path}: model_cfg.{key}")
    text = model["text_cfg"]
    check_known(text.get("tokenizer_kwargs") or {}, _TOKENIZER, f"{path}: model_cfg.text_cfg.tokenizer_kwargs")
    if name := text.get("hf_model_name"):
        _check_tower(name, f"{path}: model_cfg.text_cfg.hf_model_name")
    return model


def _check_tower(name: Any, where: str) -> None:
    """Raise ModelMismatch if a transformers text tower asks for code, which open_clip would let transformers run."""
    from transformers import MODEL_MAPPING, AutoConfig

    if not isinstance(name, str):
        raise ModelMismatch(f"{where} is {name!r:.60}, expected a text. Copy the model's folder again.")
    if Path(name).is_dir():
        check_folder(Path(name))
    with code_refused(where):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if "AutoModel" in (getattr(config, "auto_map", None) or {}) and type(config) not in MODEL_MAPPING:
        raise refused_setting(where, "auto_map", config.auto_map, "which asks to run code of the repository")
