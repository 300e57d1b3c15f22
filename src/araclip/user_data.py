"""Where AraCLIP keeps its data on this machine: one folder for galleries, pulled models, data sets."""

import os
from pathlib import Path

import platformdirs

from araclip.paths import user_path


def data_home() -> Path:
    """The folder for all of AraCLIP's data: $ARACLIP_DATA, or the platform's user data directory."""
    named = os.environ.get("ARACLIP_DATA")
    return user_path(named).absolute() if named else platformdirs.user_data_path("araclip")


def is_there(path: Path) -> bool:
    """Whether a file of that name can be seen: not where its folder belongs to another user and is closed to this one,
    where `Path.is_file` raises (Python 3.11 to 3.13)."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def models_home() -> Path:
    """The folder of the models that `araclip pull` made, one folder each."""
    return data_home() / "models"
