"""Pictures with captions, and parallel text, as the training stages read them.

A picture set is a folder with `captions.jsonl` (one object a line: `image`, optional `split`, caption fields) and the
pictures it names. Parallel text is `*.tsv.xz` with a header line: `en`, `ar`, optional split column.
"""

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from araclip.arabic import normalize
from araclip.errors import InputError


@dataclass(frozen=True)
class Picture:
    """One training picture: a file (or a drawn emoji) and what people call it."""

    path: Path
    english: tuple[str, ...]
    arabic: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Pair:
    """One row of parallel text."""

    english: str
    arabic: str
    source: str


def _texts(row: dict[str, object], *fields: str) -> tuple[str, ...]:
    found: list[str] = []
    for field in fields:
        value = row.get(field) or ()
        found += [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
    return tuple(dict.fromkeys(text for text in map(normalize, found) if text))


def read_pictures(folder: Path, english: tuple[str, ...], arabic: tuple[str, ...], split: str | None = None) -> list[Picture]:
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
                raise InputError(f"{listing} line {number}: {error!r}. Each line is an object with an 'image'.") from None
            if split is None or row.get("split", "train") == split:
                pictures.append(Picture(path, _texts(row, *english), _texts(row, *arabic), folder.name))
    return pictures


def read_pairs(path: Path) -> Iterator[Pair]:
    """Training rows of one parallel file; rows marked `dev` are left out."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        split = next((i for i, name in enumerate(header) if name.endswith("split")), None)
        for line in lines:
            cells = line.rstrip("\n").split("\t")
            if len(cells) < len(header) or (split is not None and cells[split] != "train"):
                continue
            english, arabic = normalize(cells[0]), normalize(cells[1])
            if english and arabic:
                yield Pair(english, arabic, path.name.removesuffix(".tsv.xz"))


_ALEF_FORMS = str.maketrans("أإآ", "ااا")


def noisy(text: str, dice: random.Random) -> str:
    """Text as people type it: hamza dropped, ta marbuta and ha or alef maqsura and ya confused, a letter slipped."""
    if dice.random() < 0.5:
        text = text.translate(_ALEF_FORMS)
    words = text.split(" ")
    for i, word in enumerate(words):
        if dice.random() < 0.3 and len(word) > 2:
            words[i] = word[:-1] + {"ة": "ه", "ى": "ي", "ي": "ى"}.get(word[-1], word[-1])
        elif dice.random() < 0.05 and len(word) > 4:
            at = dice.randrange(1, len(word) - 1)
            words[i] = word[:at] + dice.choice(["", word[at] * 2]) + word[at + 1 :]
    return " ".join(words)
