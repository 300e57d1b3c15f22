"""The texts of a picture by field: names of its files and folders, metadata, captions, OCR. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from araclip.display import shown
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.video.scene_paths import file_of

FIELDS = ("names", "metadata", "captions", "ocr")
FOLDERS = 3  # the nearest above a file: those above hold everything, and tell nothing

Document = dict[str, list[str]]  # texts by field, each once


def document(paths: Sequence[tuple[str, Mapping[str, object], str, str, str]]) -> Document:
    """The texts of one picture, from its paths: (path, metadata, side-car caption, embedded caption, OCR text)."""
    names: list[str] = []
    metadata: list[str] = []
    captions: list[str] = []
    ocr: list[str] = []
    for path, about, sidecar, embedded, seen in paths:
        if not path.startswith(STORED_PREFIX):
            names += names_of(path)
        metadata += metadata_texts(about)
        captions += [embedded, sidecar]
        ocr.append(seen)
    parts = dict(zip(FIELDS, (names, metadata, captions, ocr), strict=True))
    return {field: list(dict.fromkeys(filter(None, texts))) for field, texts in parts.items()}


def names_of(path: str) -> list[str]:
    """The name of a file without its suffix, and those of the folders just above it."""
    parts = PurePath(file_of(path))
    folders = [folder.name for folder in parts.parents if folder.name][:FOLDERS]
    return [shown(name) for name in (parts.stem, *folders)]


def metadata_texts(about: Mapping[str, object]) -> list[str]:
    """The texts among the values of metadata, numbers included."""
    found: list[str] = []
    for value in about.values():
        members: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
        found += [str(each) for each in members if isinstance(each, str | int | float) and not isinstance(each, bool)]
    return found
