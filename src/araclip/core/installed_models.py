"""The models on this machine that have a name: those that ship with the package, and those that were pulled."""

from importlib.resources import files
from pathlib import Path

from araclip.core.paths import is_there, models_home

NOTE, MAX_NOTE = ".pulled-from", 1000  # beside the files of the model; no part of it


def bundled() -> dict[str, Path]:
    """Models that ship with the package, by name."""
    return _models_in(Path(str(files("araclip"))) / "models")


def pulled() -> dict[str, Path]:
    """Models that `araclip pull` put into the user's data directory, by name; a bundled one keeps its name."""
    known = bundled()
    return {name: folder for name, folder in _models_in(models_home()).items() if name not in known}


def installed() -> dict[str, Path]:
    """All models that can be named without a path, bundled ones first."""
    return bundled() | pulled()


def pulled_from(folder: Path) -> str:
    """What `araclip pull` was given for a folder of `pulled`, to make it again; empty where that is not known."""
    note = folder / NOTE
    try:
        with note.open("rb") as file:
            return file.read(MAX_NOTE).decode("utf-8").strip() if folder.parent == models_home() else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _models_in(home: Path) -> dict[str, Path]:
    try:
        entries = sorted(home.iterdir())
    except OSError:  # it does not exist, or may not be read: no model is there for this user
        return {}
    return {entry.name: entry for entry in entries if entry.name[0] != "." and is_there(entry / "config.json")}
