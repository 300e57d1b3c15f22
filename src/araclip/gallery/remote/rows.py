"""What a point of the collection says of one picture, and the conversions. Pure.

The names in a payload are the format of galleries on servers and stay: `taken` and `taken_at` are what the code calls
`captured_at`, `kept_since` marks stored pixels.

A picture is one point for each version of what is known of it: `since` is the generation that it came with, `until`
the one that it went with. A reader who knows the present generation sees one version of every picture. The point's id
follows from hash and generation, so writing it twice is writing it once.
"""

import base64
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import PurePath
from typing import Any

from araclip.gallery.catalog.records import STORED_PREFIX, Copy, File, PictureRecord, identity_of
from araclip.images import Facts

STATE = str(uuid.UUID(int=1))  # the point that holds model, generation and lease
ABOUT = ("order", "sha256", "added", "format", "width", "height", "taken", "phash", "files")
_SPACE = uuid.UUID("a3c11b00-0000-4000-8000-000000000000")
_RAW = "bytes:"  # begins a path that is no UTF-8, in base64; a path is absolute or begins with picture:


@dataclass(frozen=True)
class Held:
    """A path that holds the picture, with the metadata of `add`."""

    file: File
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One picture. `id` is its number in the order of indexing, and `point` the version that was read."""

    id: int
    digest: bytes
    added: str
    facts: Facts | None = None
    phash: int = 0
    files: tuple[Held, ...] = ()
    point: str = ""


def point_id(digest: bytes, since: int) -> str:
    """The id of a picture's version."""
    return str(uuid.uuid5(_SPACE, f"{digest.hex()}@{since}"))


def pixels_id(digest: bytes) -> str:
    """The id of the point that keeps the pixels of a picture without a file."""
    return str(uuid.uuid5(_SPACE, f"{digest.hex()} pixels"))


def payload_of(row: Row, since: int) -> dict[str, Any]:
    """What a version's point holds besides the vector."""
    facts = row.facts
    about = {
        "since": since,
        "order": row.id,
        "sha256": row.digest.hex(),
        "first": identity_of(row.digest),
        "phash": f"{row.phash:016x}",  # text: JSON's numbers end at 53 bits in some programs
        "added": row.added,
        "added_at": instant(row.added),
        "held": len(row.files),
        "files": [_file_payload(held) for held in row.files],
    }
    if facts:
        about |= {"format": facts.format, "width": facts.width, "height": facts.height, "taken": facts.captured_at}
        about |= {"orientation": orientation(facts), "taken_at": facts.captured_at and instant(facts.captured_at)}
    return about


def row_of(point: str, payload: Mapping[str, Any]) -> Row:
    """The picture of a point's payload (at least ABOUT)."""
    kind = payload.get("format")
    facts = Facts(kind, payload["width"], payload["height"], payload["taken"]) if kind else None
    files = tuple(
        Held(File(read_path(each["path"]), each["size"], each["mtime_ns"]), json.loads(each["metadata"]))
        for each in payload["files"]
    )
    digest = bytes.fromhex(payload["sha256"])
    return Row(payload["order"], digest, payload["added"], facts, int(payload["phash"], 16), files, point)


def record_of(row: Row) -> PictureRecord:
    """A picture as every store describes it."""
    facts = row.facts
    kind, width, height, captured_at = astuple(facts) if facts else (None,) * 4
    held = sorted(row.files, key=lambda each: os.fsencode(each.file.path))
    copies = tuple(Copy(each.file.path, each.file.size, each.metadata) for each in held)
    return PictureRecord(row.id, row.digest, kind, width, height, captured_at, row.added, copies)


def _file_payload(held: Held) -> dict[str, Any]:
    path = held.file.path
    folders = [] if path.startswith(STORED_PREFIX) else list(PurePath(path).parents)
    return {
        "path": stored_path(path),
        "size": held.file.size,
        "mtime_ns": held.file.mtime_ns,
        "above": [stored_path(str(folder)) for folder in folders],
        "names": [stored_path(folder.name) for folder in folders if folder.name],
        "in": stored_path(folders[0].name) if folders else None,
        "marks": marks_of(held.metadata),
        "metadata": json.dumps(dict(held.metadata), ensure_ascii=False),  # as text: its keys are no names of fields
    }


def stored_path(path: str) -> str:
    """A path as JSON can hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _RAW + base64.b64encode(os.fsencode(path)).decode()
    return path


def read_path(text: str) -> str:
    """The path that `stored_path` wrote."""
    return os.fsdecode(base64.b64decode(text[len(_RAW) :])) if text.startswith(_RAW) else text


def marks_of(metadata: Mapping[str, Any]) -> list[str]:
    """What filters ask for: each key with its value, or with each member of its list, as one text."""
    return [
        mark(key, member)
        for key, value in metadata.items()
        for member in (value if isinstance(value, list | tuple) else [value])
    ]


def mark(key: str, value: object) -> str:
    """A key and a value as one text; numbers and truth are written as SQLite writes them."""
    return json.dumps([key, _written(value)], ensure_ascii=False)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    mantissa, exponent, power = f"{value + 0.0:.15g}".partition("e")  # + 0.0: of -0.0 it makes 0.0
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power


def orientation(facts: Facts) -> str:
    """landscape, portrait or square."""
    if facts.width == facts.height:
        return "square"
    return "landscape" if facts.width > facts.height else "portrait"


def instant(date: str, missing: str = "0") -> int:
    """A date or a part of one as a number of 14 digits that sorts like it; `missing` fills what is not said."""
    return int("".join(letter for letter in date if letter.isdigit()).ljust(14, missing))
