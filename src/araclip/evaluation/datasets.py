"""Picture sets: a folder with `captions.jsonl` (one object a line) and the pictures it names.

Fields of a line: `image` (path below the folder), optional `split`, and caption fields, each a text or a list of texts.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from araclip.arabic import normalize
from araclip.errors import InputError


@dataclass(frozen=True)
class Picture:
    """One picture and what people call it."""

    path: Path
    english: tuple[str, ...]
    arabic: tuple[str, ...]
    source: str


def _texts(row: dict[str, object], *fields: str) -> tuple[str, ...]:
    found: list[str] = []
    for field in fields:
        value = row.get(field) or ()
        found += [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
    return tuple(text for text in map(normalize, found) if text)


def read_pictures(
    folder: Path, english: tuple[str, ...], arabic: tuple[str, ...], split: str | None = None
) -> list[Picture]:
    """Rows of `folder/captions.jsonl`, of one split if named, with the caption fields asked for.

    Raises:
        InputError: the list is missing or a line of it is malformed (the line is named).
    """
    listing = folder / "captions.jsonl"
    if not listing.is_file():
        raise InputError(f"{listing} is missing. A picture set is a folder with captions.jsonl beside its images.")
    pictures = []
    with listing.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                path = folder / row["image"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{listing} line {number}: {error!r}. Each line is an object with an 'image'."
                ) from None
            if split is None or row.get("split", "train") == split:
                pictures.append(Picture(path, _texts(row, *english), _texts(row, *arabic), folder.name))
    return pictures
