"""What the settings in a stranger's model folder may ask a library for: never code, never a file elsewhere.

transformers, timm, open_clip and sentence-transformers hand many keys of a folder's JSON files on as arguments, some of
which import modules, load pickles or fetch code. Those files are read first, bounded, and a key that could do so is
refused with its file and name. `trust_remote_code=False` is passed to every loader besides.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from araclip import bounded_json
from araclip.errors import ModelMismatch
from araclip.model_checks.tokenizer_file import check_tokenizer

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


def check_folder(folder: Path) -> None:
    """Refuse a model folder whose settings ask for code, for files elsewhere, or for sizes that nothing has.

    Args:
        folder: in a layout of transformers, timm, sentence-transformers, or open_clip with a text tower of theirs.

    Raises:
        ModelMismatch: a file of settings is damaged or too large, or asks for such a thing; file and key are named.
    """
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):  # which would be read for ever
            raise ModelMismatch(f"{path} is a pipe or a device, no file. Copy the model's folder again.")
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        content = read(path)
        check(content, str(path))
        if path.name == _TOKENS[0]:
            _check_no_files(content, path)
        if path.name == "modules.json":
            _check_modules(content, path)
        elif path.name.startswith("sentence_"):
            _check_arguments(content, path)
    for path in sorted({path for pattern in _INDEXES for path in folder.glob(pattern)}):
        _check_index(read(path), path)
    for pattern in ("tokenizer.json", "*/tokenizer.json"):
        for path in folder.glob(pattern):
            check_tokenizer(path)


def read(path: Path, kind: type | None = None) -> Any:
    """The content of a JSON file of settings.

    Args:
        kind: what it must be, such as dict.

    Raises:
        ModelMismatch: it is missing, too large, too deep, no JSON, or of another kind.
    """
    return bounded_json.read(path, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH, kind=kind, error=ModelMismatch)


def check(content: Any, where: str) -> None:
    """Refuse settings that ask for code, for files elsewhere, or for sizes that nothing has.

    Args:
        where: they stand, for messages.

    Raises:
        ModelMismatch: the key is named.
    """
    for place, value in _leaves(content):
        key = next((part for part in reversed(place) if not part.isdigit()), "")
        fault = _fault(place, key, value)
        if fault:
            raise refused(where, ".".join(place), value, fault)


def refused(where: str, key: str, value: Any, why: str) -> ModelMismatch:
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
    if key in ("architecture", "timm_model_name") and value is not None and not _is_plain(value):
        return "no name of a network of timm"
    if any(name in place for name in _TIMM_ARGUMENTS) and any(map(_OF_TIMM.match, place)):
        return "which is no setting of a network, but loads files"
    if _COUNTS.search(key) and number and abs(value) > MAX_LAYERS:
        return f"expected at most {MAX_LAYERS}"
    if any(side in place for side in _SIDES) and number and abs(value) > MAX_SIDE:
        return f"expected at most {MAX_SIDE} pixels"
    if key == "crop_pct" and number and value < _LEAST_SHARE:
        return f"expected at least {_LEAST_SHARE}"
    return None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


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
            raise refused(str(path), key, value, "no special token, but a file to read")


def _check_index(content: Any, path: Path) -> None:
    """Weights lie beside their index, whatever a library would make of other paths."""
    table = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(table, dict):
        raise ModelMismatch(f"{path}: weight_map is {table!r:.60}, expected an object. Copy the folder again.")
    for weight, name in table.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise refused(str(path), f"weight_map.{weight}", name, "expected the name of a file beside it")


# ------------------------------------------------------------------ sentence-transformers


def _check_modules(content: Any, path: Path) -> None:
    if not isinstance(content, list) or not all(isinstance(module, dict) for module in content):
        raise ModelMismatch(f"{path}: expected a list of modules. Copy the model's folder again.")
    for number, module in enumerate(content):
        kind, below = module.get("type"), module.get("path", "")
        if not isinstance(kind, str) or not _SENTENCE_TRANSFORMERS.fullmatch(kind):
            raise refused(str(path), f"{number}.type", kind, "no module of sentence-transformers that is known here")
        if not isinstance(below, str) or Path(below).is_absolute() or ".." in Path(below).parts:
            raise refused(str(path), f"{number}.path", below, "expected a folder below the model's own")
        if kind.endswith(".Dense") and (config := path.parent / below / "config.json").is_file():
            activation = read(config, dict).get("activation_function")
            if activation is not None and not (isinstance(activation, str) and _ACTIVATIONS.fullmatch(activation)):
                raise refused(str(config), "activation_function", activation, "no activation of torch.nn")


def _check_arguments(content: Any, path: Path) -> None:
    for kind, known in _ARGUMENTS.items():
        for key in (f"{kind}_args", f"{kind}_kwargs"):
            given = content.get(key) if isinstance(content, dict) else None
            if given:
                check_known(given, known, f"{path}: {key}")


# ------------------------------------------------------------------ known keys


def check_known(content: Any, known: Collection[str], where: str) -> None:
    """Refuse a table that holds an unknown key.

    Raises:
        ModelMismatch: it is no table, or has such a key.
    """
    if not isinstance(content, dict):
        raise ModelMismatch(f"{where} is {content!r:.60}, expected an object. Copy the model's folder again.")
    for key, value in content.items():
        if key not in known:
            raise refused(where, key, value, f"an unknown key; known are {', '.join(known)}")
