"""Lists the files that a stage reads."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from araclip.evaluation.sets import LISTING
from araclip.training.data.concepts import files_of_classes


def files_of(section: Any, key: str = "") -> Iterator[tuple[str, Path]]:
    """Yield the key and the path of each file or folder that a section (a dataclass) reads.

    For a picture set, the path is its list: ("dev.folder", FOLDER/captions.jsonl). If no file matches a pattern, the
    pattern itself is yielded.
    """
    if is_dataclass(section):
        # leave out caches, which are no input
        for name in [field.name for field in fields(section) if field.name != "cache"]:
            yield from files_of(getattr(section, name), f"{key}.{name}" if key else name)
    elif isinstance(section, tuple):
        for number, item in enumerate(section):
            yield from files_of(item, f"{key}[{number}]")
    elif isinstance(section, Path):
        name = key.rpartition(".")[2]
        if name == "folder":
            yield key, section / LISTING
        elif name in ("concepts", "classes"):
            yield from ((key, path) for path in files_of_classes(section))
        else:
            yield key, section


def stamp(path: Path) -> list[int] | None:
    """Return size and time of change (in nanoseconds) of a file or folder; None if it is missing or out of reach."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return [about.st_size, about.st_mtime_ns]
