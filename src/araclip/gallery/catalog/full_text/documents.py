"""The texts of a picture by field: names of its files and folders, metadata, captions, OCR. Pure."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath

from araclip.display import shown
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.video.scene_paths import file_of

FIELDS = ("names", "metadata", "captions", "ocr")
FOLDERS = 3  # the nearest above a file: those above hold everything, and tell nothing

Document = dict[str, list[str]]  # texts by field, each once


def document(paths: Sequence[tuple[str, Mapping[str, object], str, str, str]]) -> Document:
    """The texts of one picture, from its paths: (path, metadata, side-car caption, embedded caption, OCR text)."""
    found: Document = {field: [] for field in FIELDS}
    for path, about, sidecar, embedded, seen in paths:
        if not path.startswith(STORED_PREFIX):
            found["names"] += names_of(path)
        found["metadata"] += metadata_texts(about)
        found["captions"] += filter(None, (embedded, sidecar))
        found["ocr"] += filter(None, (seen,))
    return {field: list(dict.fromkeys(filter(None, texts))) if texts else [] for field, texts in found.items()}


def names_of(path: str) -> list[str]:
    """The name of a file without its suffix, and those of the folders just above it."""
    folder, name = os.path.split(file_of(path))
    dot = name.rfind(".")
    return [shown(name[:dot] if 0 < dot < len(name) - 1 else name), *_folder_names(folder)]


@lru_cache(maxsize=1024)
def _folder_names(folder: str) -> tuple[str, ...]:
    path = PurePath(folder)
    return tuple(shown(each.name) for each in (path, *path.parents) if each.name)[:FOLDERS]


def metadata_texts(about: Mapping[str, object]) -> list[str]:
    """The texts among the values of metadata, numbers included."""
    found: list[str] = []
    for value in about.values():
        members: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
        found += [str(each) for each in members if isinstance(each, str | int | float) and not isinstance(each, bool)]
    return found
