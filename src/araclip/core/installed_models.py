"""The models on this machine that have a name: those that ship with the package, and those that were pulled."""

from importlib.resources import files
from pathlib import Path

from araclip.core.paths import is_there, models_home

# Name, and greatest size in bytes, of the file in a pulled model's folder that says how the model was pulled.
NOTE, MAX_NOTE = ".pulled-from", 1000


def bundled() -> dict[str, Path]:
    """Return the folders of the models that ship with the package, by name."""
    return _models_in(Path(str(files("araclip"))) / "models")


def pulled() -> dict[str, Path]:
    """Return the folders of the models that `araclip pull` put into the user's data directory, by name.

    A pulled model with the name of a bundled one is left out.
    """
    known = bundled()
    return {name: folder for name, folder in _models_in(models_home()).items() if name not in known}


def installed() -> dict[str, Path]:
    """Return the folders of all models that can be named without a path, bundled models first."""
    return bundled() | pulled()


def pulled_from(folder: Path) -> str:
    """Return the arguments of `araclip pull` that made a pulled folder; empty if they are not known."""
    note = folder / NOTE
    try:
        with note.open("rb") as file:
            return file.read(MAX_NOTE).decode("utf-8").strip() if folder.parent == models_home() else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _models_in(home: Path) -> dict[str, Path]:
    try:
        entries = sorted(home.iterdir())
    except OSError:  # no models: the folder does not exist, or this user may not read it
        return {}
    return {entry.name: entry for entry in entries if entry.name[0] != "." and is_there(entry / "config.json")}
