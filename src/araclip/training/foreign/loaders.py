"""transformers' Auto classes for a stranger's folder or hub id: settings checked first, and no code of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    return tokenizer


def image_processor_at(location: str | Path) -> Any:
    """The image processor of a folder or hub id.

    Raises:
        ModelMismatch: its settings ask for something that is refused, see `settings`.
    """
    from transformers import AutoImageProcessor

    if (folder := existing_folder(location)) is not None:
        settings.check_folder(folder)
    return AutoImageProcessor.from_pretrained(location, trust_remote_code=False)


def check_size(location: str | Path, build: Callable[[], Any]) -> None:
    """Of a folder: refuse settings that ask for many more numbers than its weights have, see `sizes.check_fits`.

    Args:
        build: makes the model of the settings.
    """
    if (folder := existing_folder(location)) is not None:
        check_fits(build, folder)
