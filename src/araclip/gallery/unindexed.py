"""Whether a folder was ever indexed, and whether it has pictures: what a first run asks."""

import os
from contextlib import closing
from pathlib import Path

from araclip.errors import GalleryError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.locations import gallery_above
from araclip.picture_formats.kinds import SUFFIXES

MOST_ENTRIES = 20_000  # of folders, looked at before a question is asked: under a second on a disk


def is_unindexed(folder: Path) -> bool:
    """Whether neither the folder nor one above it has a gallery with pictures.

    A gallery that cannot be opened is one: whoever opens it says what is wrong with it.
    """
    gallery = gallery_above(folder)
    if gallery is None:
        return True
    try:
        with closing(Catalog.open(gallery, None)) as catalog:
            return catalog.counts()[0] == 0
    except (GalleryError, OSError):
        return False


def may_have_pictures(folder: Path, most: int = MOST_ENTRIES) -> bool:
    """Whether the folder or one below it has a picture; True where `most` entries do not answer that."""
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(Path(name).suffix.lower() in SUFFIXES for name in names if not name.startswith(".")):
            return True
        most -= len(folders) + len(names)
        if most < 0:
            return True
    return False
