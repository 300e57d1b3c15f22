"""Reads picture sets: a folder with `captions.jsonl` (one JSON object on each line) and the pictures it names.

Fields of a line: `image` (path below the folder, see `PictureFiles`), optional `split` (by default "train") and
`dialect`, and caption fields, each a text or a list of texts.
`published_sets` and `archives` read other published forms.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from araclip.core import bounded_json
from araclip.errors import InputError
from araclip.models.vectors import Ints
from araclip.text.normalization import normalize

MAX_NAME = 4096  # limit: bytes of a path that the system allows


class PictureFiles:
    """Turns the names in a set's list into paths.

    Args:
        folders: where a name is looked up, in this order; a name found nowhere gets a path in the first folder.
        roots: a picture must lie below one of these; by default the folders. Symbolic links are followed first.
        remedy: the end of the message about a picture that lies elsewhere.
    """

    def __init__(self, *folders: Path, roots: tuple[Path, ...] = (), remedy: str = "") -> None:
        self.folders = folders
        self.roots = [os.path.realpath(root) for root in roots or folders]
        self.remedy = remedy or "Move it there, or name the folder that holds it (--images, in a recipe `images`)."
        self._real: dict[str, str] = {}  # cache: folder → its path without links; many pictures share a folder

    def path(self, name: str, where: str) -> Path:
        """Return the path of a picture that a set names; `where` says in messages where the name stands.

        The file need not exist. A path outside the roots is an InputError.
        """
        if "\0" in name or not _is_encodable(name):
            raise InputError(f"{where}: {name!r:.80} cannot be a file's name. Correct it.")
        candidates = [folder / name for folder in self.folders]
        found = next((path for path in candidates if path.is_file()), candidates[0])
        if not self._is_inside(found):
            raise InputError(f"{where}: the picture {name!r:.200} lies outside of {self.roots[0]}. {self.remedy}")
        return found

    def _is_inside(self, path: Path) -> bool:
        parent = str(path.parent)
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        real = os.path.join(self._real[parent], path.name)  # noqa: PTH118  (of the real parent; normalised below)
        if path.name == ".." or path.is_symlink():
            real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.roots)


def _is_encodable(name: str) -> bool:
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_NAME and all(len(part) <= 255 for part in encoded.split(b"/"))


LISTING = "captions.jsonl"
MAX_LINE = 4_000_000  # limit: bytes of a line; a picture's captions in all languages have some thousands
Row = Mapping[str, Any]


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture and its captions in English and in Arabic."""

    path: Path
    english: tuple[str, ...]
    arabic: tuple[str, ...]
    source: str  # name of the set's folder


@dataclass(frozen=True)
class PictureSet:
    """The pictures of one split, which an evaluation searches, and the captions of one field, its queries."""

    name: str  # the name of the set's folder, or the set's name in `KNOWN`
    split: str | None  # the split that these pictures belong to; None: all pictures
    caption_field: str  # the field that the captions come from
    pictures: tuple[Path, ...]  # existing files, each once
    captions: tuple[tuple[str, ...], ...]  # for each picture, its captions, normalised; may be empty
    missing: int = 0  # number of listed pictures whose file does not exist

    def __repr__(self) -> str:
        of, captions = f", split {self.split}" if self.split else "", sum(map(len, self.captions))
        return (
            f"<PictureSet {self.name}{of}: {len(self.pictures):,} pictures, {captions:,} captions in "
            f"'{self.caption_field}', {self.missing:,} pictures missing>"
        )

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the pictures' names and sizes and the captions, in order."""
        digest = hashlib.sha256()
        for path, texts in zip(self.pictures, self.captions, strict=True):
            size = path.stat().st_size if path.is_file() else None
            digest.update(json.dumps([path.name, size, texts]).encode())
        return digest.hexdigest()[:12]

    def queries(self, captions: str = "all") -> tuple[list[str], Ints]:
        """Return the queries (Q,) and, for each, the row of the picture that it describes (Q,).

        `captions`: which captions of a picture are queries: "all", or only the "first". A set without captions is
        an InputError.
        """
        if captions not in ("all", "first"):
            raise InputError(f"captions is '{captions}', expected 'all' or 'first'.")
        limit = 1 if captions == "first" else None
        queries = [(text, row) for row, texts in enumerate(self.captions) for text in texts[:limit]]
        if not queries:
            raise InputError(f"none of the {len(self.pictures)} pictures has a caption in '{self.caption_field}'.")
        return [text for text, _ in queries], np.array([row for _, row in queries], np.int64)


def read_set(
    folder: Path, caption_field: str, split: str | None = None, images: Path | None = None, *, name: str | None = None
) -> PictureSet:
    """Read the pictures of `folder/captions.jsonl` with the captions of one field.

    `split`: read only this split; None reads all. `images`: another folder in which the pictures may lie.
    """
    files = files_of(folder, images)
    rows = (
        (files.path(row["image"], where), texts_of(row, where, caption_field))
        for where, row in _read_rows(folder, split)
    )
    return make_picture_set(name or folder.resolve().name, split, caption_field, rows)


def make_picture_set(
    name: str, split: str | None, caption_field: str, rows: Iterable[tuple[Path, Sequence[str]]]
) -> PictureSet:
    """Make a PictureSet of rows (file, captions); raise InputError if no picture exists or none has a caption.

    Captions are normalised; empty captions are left out. Rows of the same file become one picture with all their
    captions: listed twice, it would be a wrong answer to its own captions. Missing files are counted and left out.
    """
    captions: dict[Path, list[str]] = {}
    for path, texts in rows:
        captions.setdefault(path, []).extend(text for text in map(normalize, texts) if text)
    set_name = f"{name} (split {split})" if split else name
    if not captions:
        raise InputError(f"{set_name} has no pictures. Check the split's name.")
    present = [path for path in captions if path.is_file()]
    if not present:
        raise InputError(
            f"{set_name}: none of its {len(captions)} pictures is there, such as {next(iter(captions))}. "
            "Fetch them, or correct the path."
        )
    if not any(captions[path] for path in present):
        raise InputError(
            f"{set_name}: none of {len(present)} pictures has a caption in '{caption_field}'. Check the caption field."
        )
    present_captions = tuple(tuple(captions[path]) for path in present)
    return PictureSet(name, split, caption_field, tuple(present), present_captions, len(captions) - len(present))


def read_pictures(
    folder: Path,
    english: tuple[str, ...],
    arabic: tuple[str, ...],
    split: str | None = None,
    *,
    images: Path | None = None,
    needs_files: bool = True,
) -> list[CaptionedPicture]:
    """Read the pictures of `folder/captions.jsonl` with their captions from the fields `english` and `arabic`.

    Rows of the same file become one picture with all their captions, as in `make_picture_set`.

    Args:
        split: read only this split; None reads all.
        images: another folder in which the pictures may lie.
        needs_files: true if the pictures will be read; false: `image` may be any name.
    """
    files = files_of(folder, images)

    def texts(where: str, row: Row, fields: tuple[str, ...]) -> tuple[str, ...]:
        captions = (normalize(text) for field in fields for text in texts_of(row, where, field))
        return tuple(text for text in captions if text)

    found: dict[Path, tuple[list[str], list[str]]] = {}
    for where, row in _read_rows(folder, split):
        path = files.path(row["image"], where) if needs_files else folder / row["image"]
        captions = found.setdefault(path, ([], []))
        captions[0].extend(texts(where, row, english))
        captions[1].extend(texts(where, row, arabic))
    return [CaptionedPicture(file, tuple(en), tuple(ar), folder.name) for file, (en, ar) in found.items()]


def files_of(folder: Path, images: Path | None) -> PictureFiles:
    """Return the PictureFiles of a captions.jsonl: names are looked up in the folder, then in `images`, if given."""
    return PictureFiles(folder) if images is None else PictureFiles(folder, images)


def stated_dialects(
    folder: Path, pictures: Sequence[Path], images: Path | None = None, split: str | None = None
) -> list[str | None] | None:
    """Return the `dialect` (N,) that a folder's list states for each picture; None if no picture has one.

    A picture's entry is None if its rows state none or disagree. Only the rows of `split` are read, or all rows.
    """
    if not (folder / LISTING).is_file():
        return None
    files, stated = files_of(folder, images), dict[Path, set[str]]()
    for where, row in _read_rows(folder, split):
        stated.setdefault(files.path(row["image"], where), set()).update(texts_of(row, where, "dialect"))
    dialects = [next(iter(names)) if len(names := stated.get(path, set())) == 1 else None for path in pictures]
    return dialects if any(dialects) else None


def texts_of(row: Row, where: str, field: str) -> tuple[str, ...]:
    """Return the texts of one field of a row: one, several or none; anything but texts is an InputError."""
    value = row.get(field)
    texts = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: '{field}' is {value!r:.60}, expected a text or a list of texts. Correct it.")
    return tuple(texts)


def json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield location (file and line) and object of each line of a .jsonl file; blank lines are skipped."""
    for where, line in bounded_lines(path):
        if not line.strip():
            continue
        try:
            row = bounded_json.parse(line, where, max_bytes=MAX_LINE, lone_surrogates=True)
        except InputError as error:
            fault = str(error).removeprefix(f"{where}: ").rstrip(".")
            raise InputError(f"{where}: no JSON in UTF-8 ({fault}). Each line is one object.") from None
        if not isinstance(row, dict):
            raise InputError(f"{where}: a {type(row).__name__}. Each line is one object.")
        yield where, row


def bounded_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield location (file and line) and bytes of each line; a line of more than MAX_LINE bytes is an InputError."""
    try:
        if not path.is_file():  # a pipe is refused, since reading it would never end
            raise InputError(f"{path} is no file. Check the path.")
        lines = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check the path.") from None
    with lines:
        for number in count(1):
            where = f"{path} line {number}"
            line = lines.readline(MAX_LINE + 1)
            if len(line) > MAX_LINE:
                raise InputError(f"{where} has more than {MAX_LINE:,} bytes. Is it a file of one object a line?")
            if not line:
                return
            yield where, line


def _read_rows(folder: Path, split: str | None) -> Iterator[tuple[str, Row]]:
    listing = folder / LISTING
    if not listing.is_file():
        raise InputError(f"{listing} is missing. A picture set is a folder with captions.jsonl beside its images.")
    for where, row in json_lines(listing):
        if not isinstance(row.get("image"), str) or not row["image"]:
            raise InputError(f"{where}: 'image' is {row.get('image')!r:.60}. Each line is an object with an 'image'.")
        if split is None or row.get("split", "train") == split:
            yield where, row
