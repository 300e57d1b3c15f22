"""What the settings in a stranger's model folder may ask a library for: never code, never a file elsewhere.

transformers, timm, open_clip and sentence-transformers hand many keys of a folder's JSON files on as arguments, some of
which import modules, load pickles or fetch code. Those files are read first, bounded, and a key that could do so is
refused with its file and name. `trust_remote_code=False` is passed to every loader besides.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.paths import user_path
from araclip.errors import ModelMismatch, ModelNotFound
from araclip.models.folder import existing_folder
from araclip.models.tokenizer_file import check_rules, check_tokenizer

MAX_BYTES = 8_000_000  # of one file of settings; a tokenizer_config.json of 10,000 added tokens has 2 MB
MAX_DEPTH = 32
MAX_LAYERS = 512  # the deepest published text or image towers have about 100
MAX_WIDTH = 100_000  # numbers of a vector, tokens of a text, texts of a query bank: far more than any model has
MAX_SIDE = 4096  # pixels a side of input pictures

_TOKENS = ("special_tokens_map.json", "added_tokens.json")
_FILES = ("*config.json", "modules.json", "*/*config.json", *_TOKENS, *(f"*/{name}" for name in _TOKENS))
_INDEXES = ("*.index.json", "*/*.index.json")  # which file holds which weight
_ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
_PLAIN = re.compile(r"[\w.-]+")  # no colon and no slash: those name folders and repositories
_COUNTS = re.compile(r"(layers|depths?|blocks|branches|groups|repeats)$")
_SIDES = (
    "size", "image_size", "img_size", "shortest_edge", "longest_edge", "height", "crop_size", "pad_size", "patch_size",
    "max_num_patches",
)  # fmt: skip
_LEAST_SHARE = 0.1  # that is cut out of a picture's side: it is made so many times larger before
_TIMM_ARGUMENTS = ("model_args", "backbone_kwargs")
_OF_TIMM = re.compile(r"pretrained|checkpoint|cache|scriptable|exportable|no_jit|features_only")  # not the network's

_SENTENCE_TRANSFORMERS = re.compile(
    r"sentence_transformers\.(\w+\.)*"
    r"(Transformer|CLIPModel|Pooling|Dense|Normalize|LayerNorm|Dropout|WeightedLayerPooling)"
)
_ACTIVATIONS = re.compile(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Z]\w+")
_ARGUMENTS = {  # that sentence-transformers may pass on to transformers
    "model": ("dtype", "torch_dtype", "attn_implementation", "add_pooling_layer", "trust_remote_code"),
    "tokenizer": ("model_max_length", "max_length", "padding_side", "truncation_side", "use_fast", "trust_remote_code"),
    "config": ("trust_remote_code",),
}
_ARGUMENTS["processor"] = _ARGUMENTS["tokenizer"]

Place = tuple[str, ...]  # the keys that lead to a value


def is_size(value: object) -> bool:
    """Whether a setting is a whole number that a model may have."""
    return isinstance(value, int) and not isinstance(value, bool) and value <= MAX_WIDTH


def check_folder(folder: Path) -> None:
    """Refuse a model folder whose settings ask for code, for files elsewhere, or for sizes that nothing has.

    Its layout is that of transformers, timm, sentence-transformers, or open_clip with a text tower of theirs.
    """
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):  # which would be read for ever
            raise ModelMismatch(f"{path} is a pipe or a device, no file. Copy the model's folder again.")
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        content = read_settings(path)
        check_settings(content, str(path))
        if path.name == _TOKENS[0]:
            _check_no_files(content, path)
        if path.name == "modules.json":
            _check_modules(content, path)
        elif path.name.startswith("sentence_"):
            _check_arguments(content, path)
    for path in sorted({path for pattern in _INDEXES for path in folder.glob(pattern)}):
        _check_index(read_settings(path), path)
    for pattern in ("tokenizer.json", "*/tokenizer.json"):
        for path in folder.glob(pattern):
            check_tokenizer(path)


def read_settings(path: Path, kind: type | None = None) -> Any:
    """The content of a JSON file of settings, within bounds and, where one is named, of a kind such as dict."""
    return bounded_json.read(path, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH, kind=kind, error=ModelMismatch)


def check_settings(content: Any, where: str) -> None:
    """Refuse settings that ask for code, files elsewhere or sizes that nothing has; messages say `where` they stand."""
    for place, value in _leaves(content):
        key = next((part for part in reversed(place) if not part.isdigit()), "")
        fault = _fault(place, key, value)
        if fault:
            raise refused_setting(where, ".".join(place), value, fault)


def refused_setting(where: str, key: str, value: Any, why: str) -> ModelMismatch:
    """The error for a setting that is not taken."""
    return ModelMismatch(
        f"{where}: {key} is {value!r:.80}, {why}. It is refused, and nothing of the folder was run. "
        "Take the key out, or name another model."
    )


def _fault(place: Place, key: str, value: Any) -> str | None:
    """Why one value is refused, if it is."""
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
    """Every value that holds no other, with the keys that lead to it; the depth is bounded where it was read."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*place, str(number)))
    else:
        yield place, value


def _check_no_files(content: Any, path: Path) -> None:
    """Special tokens are passed on as arguments too, and win over the folder's own vocabulary files."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key.endswith("_file"):
            raise refused_setting(str(path), key, value, "no special token, but a file to read")


def _check_index(content: Any, path: Path) -> None:
    """Weights lie beside their index, whatever a library would make of other paths."""
    table = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(table, dict):
        raise ModelMismatch(f"{path}: weight_map is {table!r:.60}, expected an object. Copy the folder again.")
    for weight, name in table.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise refused_setting(str(path), f"weight_map.{weight}", name, "expected the name of a file beside it")


# ------------------------------------------------------------------ sentence-transformers


def _check_modules(content: Any, path: Path) -> None:
    if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
        raise ModelMismatch(f"{path}: expected a list of modules. Copy the model's folder again.")
    for number, module in enumerate(content):
        kind, below = module.get("type"), module.get("path", "")
        if not isinstance(kind, str) or not _SENTENCE_TRANSFORMERS.fullmatch(kind):
            raise refused_setting(
                str(path), f"{number}.type", kind, "no module of sentence-transformers that is known here"
            )
        if not isinstance(below, str) or Path(below).is_absolute() or ".." in Path(below).parts:
            raise refused_setting(str(path), f"{number}.path", below, "expected a folder below the model's own")
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
    """Refuse a table that holds an unknown key."""
    if not isinstance(content, dict):
        raise ModelMismatch(f"{where} is {content!r:.60}, expected an object. Copy the model's folder again.")
    for key, value in content.items():
        if key not in known:
            raise refused_setting(where, key, value, f"an unknown key; known are {', '.join(known)}")


_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
_SPARE = 1_000_000  # numbers that a model may have and its files not, such as projections that are trained later


def check_fits(build: Callable[[], Any], folder: Path, settings: str = "config.json") -> None:
    """Refuse settings that ask for many more numbers than the folder's files of weights have bytes.

    `build` makes the model that the file `settings` describes; here it does so without memory for the weights.
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
    """The folder, checked, if the location is one."""
    if (folder := existing_folder(location)) is not None:
        check_folder(folder)
    return folder


def config_at(location: str | Path) -> Any:
    """The configuration of a model of transformers in a folder or under a hub id."""
    from transformers import AutoConfig

    folder = _check_local(location)
    if folder is not None and not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json")  # transformers 5.0 guesses by the folder's name
    config = AutoConfig.from_pretrained(location, trust_remote_code=False)
    check_settings(config.to_dict(), f"{location}: config.json")
    return config


def tokenizer_at(location: str | Path, config: Any = None) -> Any:
    """The tokenizer of a folder or hub id; a model's configuration says its kind where these do not."""
    from transformers import AutoTokenizer

    _check_local(location)
    tokenizer = AutoTokenizer.from_pretrained(location, config=config, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"{location} holds no tokenizer")
    check_tokens(tokenizer, location)
    return tokenizer


def check_tokens(tokenizer: Any, location: str | Path) -> None:
    """Refuse a loaded tokenizer that could make texts endless or take for ever; from a hub or a folder."""
    backend = getattr(tokenizer, "backend_tokenizer", None)  # none of a tokenizer written in Python
    if backend is not None:
        check_rules(json.loads(backend.to_str()), str(location))


def image_processor_at(location: str | Path, *, pillow: bool = False) -> Any:
    """The image processor of a folder or hub id; with `pillow`, in the form that resizes with Pillow."""
    from transformers import AutoImageProcessor

    _check_local(location)
    processor = AutoImageProcessor.from_pretrained(location, trust_remote_code=False)
    return on_pillow(processor) if pillow else processor


def on_pillow(processor: Any) -> Any:
    """The form of an image processor of transformers that resizes with Pillow; as it is where it has none.

    Published dual encoders were evaluated so: OpenAI's code, open_clip's and transformers' until version 4 resize PIL
    pictures. The form that transformers takes today resizes tensors of uint8, whose kernel rounds its weights to 16
    bits, and gives other values per processor.
    """
    import transformers

    name = type(processor).__name__
    names = {f"{name}Pil", name.removesuffix("Fast")} - {name}  # of today, and of transformers 5.0
    for other in names if hasattr(processor, "resample") else ():
        if (kind := getattr(transformers, other, None)) is not None:
            settings = {key: value for key, value in processor.to_dict().items() if key != "image_processor_type"}
            return kind(**settings)
    return processor


def check_size(location: str | Path, build: Callable[[], Any]) -> None:
    """`check_fits` of a location that is a folder."""
    if (folder := existing_folder(location)) is not None:
        check_fits(build, folder)


FILE = "open_clip_config.json"
_DIRECTORY, _HUB = "local-dir:", "hf-hub:"

_MODEL = (
    "embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "custom_text", "quick_gelu", "init_logit_scale",
    "init_logit_bias", "nonscalar_logit_scale",
)  # fmt: skip
_TOKENIZER = ("clean", "strip_sep_token", "language", "reduction_mask")
_ENDS = ("*.safetensors", "*.bin", "*.pth")  # of files that open_clip takes for a folder's weights


def model_settings(location: str) -> Mapping[str, Any]:
    """The checked `model_cfg` of a model in open_clip's words: of its own list, `local-dir:` or `hf-hub:` PLACE."""
    import open_clip

    if location.startswith(_DIRECTORY):
        folder = user_path(location.removeprefix(_DIRECTORY))
        if not any(next(folder.glob(end), None) for end in _ENDS):  # open_clip would draw them at random
            raise ModelNotFound(
                f"{folder} cannot be loaded (no weights, {', '.join(_ENDS)}). Remedy: copy the model's folder again."
            )
        check_folder(folder)
        model = _checked(folder / FILE)
        check_fits(lambda: _built(model), folder, FILE)
        return model
    if location.startswith(_HUB):
        from huggingface_hub import hf_hub_download

        return _checked(Path(hf_hub_download(location.removeprefix(_HUB), FILE)))
    return open_clip.get_model_config(location) or {}


def tokenizer_arguments(model: Mapping[str, Any]) -> dict[str, Any]:
    """What `open_clip.get_tokenizer` must be passed, so that a tokenizer of transformers runs no code."""
    return {"trust_remote_code": False} if model.get("text_cfg", {}).get("hf_tokenizer_name") else {}


def _built(model: Mapping[str, Any]) -> Any:
    """The network as `open_clip.create_model` makes it, with random weights."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    own = deepcopy(dict(model))
    custom = own.pop("custom_text", False) or "hf_model_name" in own["text_cfg"]
    if "hf_model_name" in own["text_cfg"]:
        own["text_cfg"]["hf_model_pretrained"] = False
    own["vision_cfg"]["timm_model_pretrained"] = False
    return (CoCa if custom and "multimodal_cfg" in own else CustomTextCLIP if custom else CLIP)(**own)


def _checked(path: Path) -> dict[str, Any]:
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
    """A text tower of transformers, which open_clip builds without saying that no code is to run."""
    from transformers import MODEL_MAPPING, AutoConfig

    if not isinstance(name, str):
        raise ModelMismatch(f"{where} is {name!r:.60}, expected a text. Copy the model's folder again.")
    if Path(name).is_dir():
        check_folder(Path(name))
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if "AutoModel" in (getattr(config, "auto_map", None) or {}) and type(config) not in MODEL_MAPPING:
        raise refused_setting(where, "auto_map", config.auto_map, "which asks to run code of the repository")
