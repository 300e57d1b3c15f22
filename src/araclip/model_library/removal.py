"""Removing a pulled model, and what would miss it."""

import shutil
from contextlib import suppress
from pathlib import Path

from araclip import model_folder
from araclip.core import atomic
from araclip.core.installed_models import bundled, installed, pulled
from araclip.core.paths import data_home
from araclip.errors import AraCLIPError, InputError, ModelNotFound
from araclip.gallery.recorded_model import recorded_in
from araclip.model_library.sources import unknown


def galleries_of(name: str) -> list[Path]:
    """The galleries in the user's data directory that were made with a pulled model of which there is no other copy.
    Galleries elsewhere are not known here.

    Raises:
        InputError, ModelNotFound: as for `remove`.
    """
    fingerprint = _fingerprint(_pulled(name))  # "" of a damaged one: it is found by its name
    if fingerprint and fingerprint in [_fingerprint(folder) for other, folder in installed().items() if other != name]:
        return []
    found = []
    home = data_home() / "galleries"
    for gallery in sorted(home.iterdir()) if home.is_dir() else ():
        with suppress(AraCLIPError, OSError):
            record = recorded_in(gallery) if gallery.is_dir() else None
            if record and (record.fingerprint == fingerprint or (not fingerprint and record.name == name)):
                found.append(gallery)
    return found


def remove(name: str) -> int:
    """Delete a pulled model; returns the bytes that are free now. Galleries made with it stay, and need it again.

    Raises:
        InputError: it is a bundled model.
        ModelNotFound: no pulled model has that name.
        OSError: it cannot be deleted.
    """
    folder = _pulled(name)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    aside = folder.with_name(f".{name}.removed")  # a name that no model has, so that no half of one is found
    shutil.rmtree(aside, ignore_errors=True)
    atomic.step("set aside")
    folder.rename(aside)
    shutil.rmtree(aside)
    return size


def _fingerprint(folder: Path) -> str:
    try:
        return model_folder.read_config(folder).fingerprint
    except AraCLIPError:
        return ""


def _pulled(name: str) -> Path:
    if name in bundled():
        raise InputError(f"{name} ships with this package and cannot be removed alone.")
    here = pulled()
    if name not in here:
        if not here:
            raise ModelNotFound("no model was pulled yet, so there is none to remove.")
        raise ModelNotFound(f"{unknown(name)} Pulled models: {', '.join(here)}.")
    return here[name]
