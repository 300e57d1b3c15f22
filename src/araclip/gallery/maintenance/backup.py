"""A backup of a gallery: a copy of its catalogue, from which all else is derived."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from araclip import atomic
from araclip.errors import GalleryError, InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.schema import FILE_NAME, OF_A_GALLERY, connect, is_gallery


def write_backup(catalog: Catalog, folder: Path) -> int:
    """Copy the last commit of a catalogue into a new gallery folder; returns its number of pictures.

    See `Gallery.backup`.
    """
    if os.path.realpath(folder) == os.path.realpath(catalog.folder):
        raise InputError(f"{folder} is the gallery itself. Choose another folder for its backup.")
    if folder.exists() and not (folder.is_dir() and _has_only_a_gallery(folder)):
        raise InputError(f"{folder} holds other files. Choose a new folder, or that of an earlier backup.")
    if is_gallery(folder) and _is_another(folder, catalog.meta("birth")):
        raise InputError(
            f"{folder} is no earlier backup of {catalog.folder}, but another gallery, or one that was made anew since. "
            "Choose a new folder, or delete that one if nothing in it matters."
        )

    pictures: list[int] = []

    def fill(temporary: Path) -> None:
        catalog.copy_to(temporary / FILE_NAME)
        with closing(Catalog.open(temporary, None)) as copy:  # checks all rows, since it has no seal, and seals it
            pictures.append(copy.counts()[1])

    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(folder, fill, flush=False)  # SQLite and the seal have flushed their files
    return pictures[0]


def _has_only_a_gallery(folder: Path) -> bool:
    """Whether a folder may be replaced: it is empty, or holds a gallery's own files alone."""
    entries = list(folder.iterdir())
    of_gallery = [each for each in entries if OF_A_GALLERY.fullmatch(each.name) or each.name.startswith(".")]
    return not entries or (is_gallery(folder) and entries == of_gallery and not any(each.is_dir() for each in entries))


def _is_another(folder: Path, birth: str) -> bool:
    """Whether a folder holds another gallery than that of this birth; those of earlier releases do not say theirs."""
    with suppress(GalleryError, sqlite3.Error), closing(connect(folder / FILE_NAME)) as database:
        found = database.execute("SELECT value FROM meta WHERE key = 'birth'").fetchone()
        return found is not None and found[0] != birth
    return False
