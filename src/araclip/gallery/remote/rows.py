"""A picture as a row of a gallery on a server, and what is derived from it for searches and filters. Pure."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from araclip.gallery.catalog.filters import written
from araclip.gallery.catalog.full_text import Document, document
from araclip.gallery.catalog.records import Copy, File, PictureRecord
from araclip.photo_metadata.record import NOTHING_KNOWN, PhotoMetadata
from araclip.pictures.picture_facts import Facts
from araclip.text.words import Word, words

_RAW = "bytes:"  # prefix of a path that is not UTF-8, in base64; other paths are absolute or begin with picture:


@dataclass(frozen=True)
class FileEntry:
    """One file of a picture, with the metadata given to `add`, and its side-car: caption, size and time, and what else
    it says."""

    file: File
    metadata: Mapping[str, Any]
    caption: str = ""
    beside: tuple[int, int] | None = None
    photo: PhotoMetadata = NOTHING_KNOWN


@dataclass(frozen=True)
class Row:
    """One picture. `id` counts in the order of indexing; `point` is the id of the version that was read.

    `photo_read` is False where an earlier release read its file, without camera and place.
    """

    id: int
    digest: bytes
    added: str
    facts: Facts | None = None
    phash: int = 0
    files: tuple[FileEntry, ...] = ()
    point: str = ""
    hidden: bool = False
    photo_read: bool = True

    @property
    def photo(self) -> PhotoMetadata:
        """Date, camera, lens and place: of the picture's file, completed by the side-cars of its paths."""
        found = self.facts.photo if self.facts else NOTHING_KNOWN
        for each in sorted(self.files, key=lambda each: os.fsencode(each.file.path)):
            found = found.completed(each.photo)
        return found


def record_of(row: Row) -> PictureRecord:
    """A picture as the record that all stores return."""
    facts, photo = row.facts, row.photo
    kind, width, height = (facts.format, facts.width, facts.height) if facts else (None,) * 3
    entry = sorted(row.files, key=lambda each: os.fsencode(each.file.path))
    copies = tuple(Copy(each.file.path, each.file.size, each.metadata) for each in entry)
    return PictureRecord(
        row.id, row.digest, kind, width, height, photo.captured_at, row.added, copies, photo.camera, photo.lens,
        photo.latitude, photo.longitude, photo.place, row.hidden,
    )  # fmt: skip


def texts_of(row: Row) -> Document:
    """The texts of a picture by field."""
    embedded = row.facts.caption if row.facts else ""
    return document([(each.file.path, each.metadata, each.caption, embedded, "") for each in row.files])


def words_of(row: Row) -> list[Word]:
    """All words of a picture's texts."""
    about = texts_of(row)
    return [word for field, texts in about.items() for text in texts for word in words(text, names=field == "names")]


def stored_path(path: str) -> str:
    """A path as valid Unicode, for JSON."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _RAW + base64.b64encode(os.fsencode(path)).decode()
    return path


def read_path(text: str) -> str:
    """The path that `stored_path` wrote."""
    return os.fsdecode(base64.b64decode(text[len(_RAW) :])) if text.startswith(_RAW) else text


def marks_of(metadata: Mapping[str, Any]) -> list[str]:
    """Metadata as texts to match: each key with its value, or with each member of its list."""
    return [
        mark(key, member)
        for key, value in metadata.items()
        for member in (value if isinstance(value, list | tuple) else [value])
    ]


def mark(key: str, value: object) -> str:
    """A key and a value as one text."""
    return json.dumps([key, written(value)], ensure_ascii=False)


def orientation(facts: Facts) -> str:
    """landscape, portrait or square."""
    if facts.width == facts.height:
        return "square"
    return "landscape" if facts.width > facts.height else "portrait"


def instant(date: str, missing: str = "0") -> int:
    """A date or a prefix of one as a sortable number of 14 digits; `missing` pads the rest."""
    return int("".join(letter for letter in date if letter.isdigit()).ljust(14, missing))
