"""Conversions between pictures and points of the collection. Pure.

The names in a payload are a stored format and stay: `taken` and `taken_at` are what the code calls
`captured_at`, `kept_since` marks stored pixels.

Each version of a picture is a point: `since` is the generation in which it appeared, `until` the one in which it ended.
In any generation exactly one version of a picture is visible. The point's id is derived from hash and generation, so
writes are idempotent.
"""

import base64
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any

from araclip.gallery.catalog.full_text.documents import Document, document
from araclip.gallery.catalog.photo.matching import name_at, name_tokens, tokens
from araclip.gallery.catalog.records import STORED_PREFIX, Copy, File, PictureRecord, identity_of
from araclip.photo_metadata.record import NOTHING_KNOWN, PhotoMetadata
from araclip.picture_facts import Facts
from araclip.text.words import words
from araclip.video.scene_paths import scene_of

STATE = str(uuid.UUID(int=1))  # the point that holds model, generation and lease
ABOUT = (
    "order",
    "sha256",
    "added",
    "format",
    "width",
    "height",
    "taken",
    "phash",
    "files",
    "caption",
    "photo",
    "hidden",
)
_SPACE = uuid.UUID("a3c11b00-0000-4000-8000-000000000000")
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


def point_id(digest: bytes, since: int) -> str:
    """The id of the point of a picture's version."""
    return str(uuid.uuid5(_SPACE, f"{digest.hex()}@{since}"))


def pixels_id(digest: bytes) -> str:
    """The id of the point with the stored pixels of a picture."""
    return str(uuid.uuid5(_SPACE, f"{digest.hex()} pixels"))


def payload_of(row: Row, since: int) -> dict[str, Any]:
    """The payload of a version's point."""
    facts, photo = row.facts, row.photo
    about = {
        "since": since,
        "order": row.id,
        "sha256": row.digest.hex(),
        "first": identity_of(row.digest),
        "phash": f"{row.phash:016x}",  # text: some JSON parsers keep only 53 bits of a number
        "added": row.added,
        "added_at": instant(row.added),
        "held": sum(scene_of(entry.file.path) is None for entry in row.files),
        "files": [_file_payload(entry) for entry in row.files],
        "caption": facts.caption if facts else "",
        "words": sorted(stems_of(row)),
        "hidden": int(row.hidden),
        "photo": facts.photo.to_json() if facts and row.photo_read else None,
        **{f"{name}_words": sorted(tokens(getattr(photo, name) or "")) for name in ("camera", "lens", "place")},
        "location": None if photo.latitude is None else {"lat": photo.latitude, "lon": photo.longitude},
    }
    if facts:
        about |= {"format": facts.format, "width": facts.width, "height": facts.height, "taken": photo.captured_at}
        about |= {"orientation": orientation(facts), "taken_at": photo.captured_at and instant(photo.captured_at)}
    return about


def row_of(point: str, payload: Mapping[str, Any]) -> Row:
    """The picture of a point with this payload (at least the fields ABOUT)."""
    kind = payload.get("format")
    caption = payload.get("caption", "")  # a collection of an earlier release has none
    photo = None if (text := payload.get("photo")) is None else PhotoMetadata.from_json(text)
    facts = Facts(kind, payload["width"], payload["height"], payload["taken"], caption) if kind else None
    if facts and photo:
        facts = replace(facts, **asdict(photo))
    files = tuple(
        FileEntry(
            File(read_path(each["path"]), each["size"], each["mtime_ns"]),
            json.loads(each["metadata"]),
            each.get("caption", ""),
            tuple(each["beside"]) if each.get("beside") else None,
            PhotoMetadata.from_json(each.get("photo", "{}")),
        )
        for each in payload["files"]
    )
    digest = bytes.fromhex(payload["sha256"])
    hidden = bool(payload.get("hidden"))
    phash = int(payload["phash"], 16)
    return Row(payload["order"], digest, payload["added"], facts, phash, files, point, hidden, photo is not None)


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


def _file_payload(entry: FileEntry) -> dict[str, Any]:
    path, scene = entry.file.path, scene_of(entry.file.path)
    folders = [] if path.startswith(STORED_PREFIX) else list(PurePath(path).parents)
    return {
        "path": stored_path(path),
        "name_words": sorted(name_tokens(name_at(path, dict(entry.metadata)))),
        "video": stored_path(scene.video) if scene else None,
        "time": scene.time if scene else None,
        "size": entry.file.size,
        "mtime_ns": entry.file.mtime_ns,
        "above": [stored_path(str(folder)) for folder in folders],
        "names": [stored_path(folder.name) for folder in folders if folder.name],
        "in": stored_path(folders[0].name) if folders else None,
        "marks": marks_of(entry.metadata),
        "metadata": json.dumps(dict(entry.metadata), ensure_ascii=False),  # as text, since its keys are not field names
        "caption": entry.caption,
        "beside": entry.beside,
        "photo": entry.photo.to_json(),
    }


def texts_of(row: Row) -> Document:
    """The texts of a picture by field."""
    embedded = row.facts.caption if row.facts else ""
    return document([(each.file.path, each.metadata, each.caption, embedded, "") for each in row.files])


def stems_of(row: Row) -> set[str]:
    """The stems of all words of a picture's texts, which searches match."""
    about = texts_of(row)
    return {
        word.stem for field, texts in about.items() for text in texts for word in words(text, names=field == "names")
    }


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
    """A key and a value as one text; numbers and booleans are written as SQLite does."""
    return json.dumps([key, _written(value)], ensure_ascii=False)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    mantissa, exponent, power = f"{value + 0.0:.15g}".partition("e")  # + 0.0 turns -0.0 into 0.0
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def orientation(facts: Facts) -> str:
    """landscape, portrait or square."""
    if facts.width == facts.height:
        return "square"
    return "landscape" if facts.width > facts.height else "portrait"


def instant(date: str, missing: str = "0") -> int:
    """A date or a prefix of one as a sortable number of 14 digits; `missing` pads the rest."""
    return int("".join(letter for letter in date if letter.isdigit()).ljust(14, missing))
