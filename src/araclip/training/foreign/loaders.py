"""transformers' Auto classes for a stranger's folder or hub id: settings checked first, and no code of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from araclip.model_checks.tokenizer_file import check_rules
from araclip.model_folder import existing_folder
from araclip.training.foreign import settings
from araclip.training.foreign.sizes import check_fits


def config_at(location: str | Path) -> Any:
    """The configuration of a model of transformers in a folder or under a hub id.

    Raises:
        ModelMismatch: its settings ask for something that is refused, see `settings`.
        OSError, ValueError, …: transformers cannot read it, or it needs code of its own.
    """
    from transformers import AutoConfig

    if (folder := existing_folder(location)) is not None:
        if not (folder / "config.json").is_file():  # transformers 5.0 guesses the model by the folder's name
            raise FileNotFoundError(f"{folder} has no config.json")
        settings.check_folder(folder)
    config = AutoConfig.from_pretrained(location, trust_remote_code=False)
    settings.check(config.to_dict(), f"{location}: config.json")
    return config


def tokenizer_at(location: str | Path, config: Any = None) -> Any:
    """The tokenizer of a folder or hub id.

    Args:
        config: of the model, where the location does not say what kind of tokenizer it holds.

    Raises:
        ModelMismatch: its settings ask for something that is refused, see `settings`.
        ValueError: there are no tokenizer files; transformers then silently makes one without words.
    """
    from transformers import AutoTokenizer

    if (folder := existing_folder(location)) is not None:
        settings.check_folder(folder)
    tokenizer = AutoTokenizer.from_pretrained(location, config=config, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"{location} holds no tokenizer")
    check_tokens(tokenizer, location)
    return tokenizer


def check_tokens(tokenizer: Any, location: str | Path) -> None:
    """Refuse a loaded tokenizer that could make texts endless or take for ever; wherever it came from, hub or folder.

    Raises:
        ModelMismatch: see `model_checks.tokenizer_file`.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)  # none of a tokenizer written in Python
    if backend is not None:
        check_rules(json.loads(backend.to_str()), str(location))


def image_processor_at(location: str | Path, *, pillow: bool = False) -> Any:
    """The image processor of a folder or hub id.

    Args:
        pillow: the form that resizes with Pillow, see `on_pillow`.

    Raises:
        ModelMismatch: its settings ask for something that is refused, see `settings`.
    """
    from transformers import AutoImageProcessor

    if (folder := existing_folder(location)) is not None:
        settings.check_folder(folder)
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
    """Of a folder: refuse settings that ask for many more numbers than its weights have, see `sizes.check_fits`.

    Args:
        build: makes the model of the settings.
    """
    if (folder := existing_folder(location)) is not None:
        check_fits(build, folder)
