"""Paths as people type them, checked before anything is opened; and where AraCLIP keeps its data on this machine."""

import os
from pathlib import Path

import platformdirs

from araclip.errors import InputError


def text_path(named: str | os.PathLike[str], what: str = "path") -> str:
    """Return a path as text, unchanged; `what` names the path in messages.

    Raises:
        InputError: `named` is neither a text nor a path object, or no file can have it as its path.
    """
    if not isinstance(named, str | os.PathLike):
        raise InputError(f"a {what} is a text or a path object, got {type(named).__name__}.")
    text = os.fspath(named)
    if not isinstance(text, str):
        raise InputError(f"a {what} is a text or a path object, got one of bytes. Pass os.fsdecode(path).")
    try:
        if b"\0" in os.fsencode(text):
            raise InputError(f"{text!r:.200} holds a NUL character, which no path has. Check the path.")
    except UnicodeEncodeError:
        raise InputError(f"{text!r:.200} holds half of a character, which no path has. Check the path.") from None
    return text


def user_path(named: str | os.PathLike[str], what: str = "path") -> Path:
    """Return a path with ~ and ~user replaced by the home folder.

    Raises:
        InputError: `named` is no path or is empty, or there is no such user.
    """
    text = text_path(named, what)
    if not text:  # Refuse an empty path, perhaps of an unset shell variable: Path("") would be the working folder.
        raise InputError("a path is empty. Name a file or a folder; the working folder is «.».")
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no such user here. Check the name, or write ./{path} for a folder of that name."
        ) from None


def data_home() -> Path:
    """Return the folder for all of AraCLIP's data: $ARACLIP_DATA, or the platform's user data directory."""
    named = os.environ.get("ARACLIP_DATA")
    return user_path(named).absolute() if named else platformdirs.user_data_path("araclip")


def is_there(path: Path) -> bool:
    """True if a file exists and this user may look into its folder.

    In Python 3.11 to 3.13, `Path.is_file` raises PermissionError for a folder that is closed to this user.
    """
    try:
        return path.is_file()
    except PermissionError:
        return False


def models_home() -> Path:
    """Return the folder in which `araclip pull` makes a folder for each model."""
    return data_home() / "models"


def is_below(path: str, folder: str) -> bool:
    """True if a path is in a folder, at any depth; both are absolute."""
    return path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)
