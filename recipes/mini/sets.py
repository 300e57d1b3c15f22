"""Picture sets on disk: a folder with captions.jsonl, built in a temporary folder and renamed when complete."""

import hashlib
import json
import lzma
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from araclip.core import atomic
from araclip.errors import InputError

Row = Mapping[str, Any]
DATA_HINT = "--data is the folder that holds flickr8k, flickr8k-compressed, more and parallel."
ORIGIN = "origin.json"  # what a set was made from; where that differs, the set is made again


def write_set(folder: Path, origin: Mapping[str, Any], fill: Callable[[Path], Iterable[Row]]) -> bool:
    """Make the picture set `folder`, unless it exists and was made from the same origin.

    Args:
        origin: what the set is made from: package and version, fingerprints of names and rows, options.
        fill: draws pictures into the folder it is given, and returns the lines of captions.jsonl.

    Returns:
        Whether it had to be made.
    """
    made_from = json.dumps(origin, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    written = folder / ORIGIN
    if written.is_file() and written.read_text(encoding="utf-8") == made_from:
        return False
    part = folder.with_name(f".{folder.name}.part")  # remains of a killed run are removed
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in fill(part)]
    atomic.write_text(part / "captions.jsonl", "".join(lines))
    atomic.write_text(part / ORIGIN, made_from)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return True


def link(place: Path, target: Path) -> None:
    """Make `place` a symbolic link to `target`; one to elsewhere, of data that was moved, is replaced.

    Raises:
        InputError: there is no `target`.
    """
    target = target.resolve()
    if not target.exists():
        raise InputError(f"{target} is missing. {DATA_HINT}")
    if place.is_symlink() and place.resolve() != target:
        place.unlink()
    if not place.exists():
        place.symlink_to(target, target_is_directory=target.is_dir())


def read_rows(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and fields of each line of `folder/captions.jsonl`.

    Raises:
        InputError: the list is missing, or a line is no JSON object; the line is named.
    """
    listing = folder / "captions.jsonl"
    if not listing.is_file():
        raise InputError(f"{listing} is missing. {DATA_HINT}")
    with listing.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                row["image"] = str((folder / row["image"]).resolve())
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{listing} line {number}: {error!r}. Each line is an object with an 'image'."
                ) from None
            yield number, row


def read_table(path: Path, columns: int) -> list[tuple[str, ...]]:
    """Rows of a .tsv.xz below its header line.

    Raises:
        InputError: the file is missing or damaged, or a row has another number of columns; the line is named.
    """
    rows = []
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                rows.append(tuple(line.rstrip("\n").split("\t")))
                if len(rows[-1]) != columns:
                    raise InputError(f"{path} line {number} has {len(rows[-1])} columns, not {columns}. Correct it.")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}. {DATA_HINT}") from error
    return rows[1:]


def fingerprint(content: Any) -> str:
    """Short SHA-256 of rows, names or whatever else JSON can hold."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]
