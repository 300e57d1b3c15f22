"""Models by name or path: those on this machine, and folders."""

import os
from os import PathLike
from pathlib import Path

from araclip.core.display import shown
from araclip.core.installed_models import installed
from araclip.errors import InputError, ModelNotFound

DEFAULT_MODEL = "araclip-mini"


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
        "models` lists the models of others, `araclip pull NAME` makes one ready (docs/peers.md)."
    )


def existing_folder(path: str | PathLike[str]) -> Path | None:
    """The folder at a path; None where there is none, or where no path can be so (empty, too long, a NUL, ~nobody)."""
    try:
        folder = Path(path).expanduser()
        return folder if os.fspath(path) and folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None
