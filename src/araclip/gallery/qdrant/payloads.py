"""Conversions between pictures and points of the collection. Pure.

The names in a payload are a stored format and stay: `taken` and `taken_at` are what the code calls
`captured_at`, `kept_since` marks stored pixels.

Each version of a picture is a point: `since` is the generation in which it appeared, `until` the one in which it ended.
In any generation exactly one version of a picture is visible. The point's id is derived from hash and generation, so
writes are idempotent.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any

from araclip.gallery.catalog.matching import name_at, name_tokens, tokens
from araclip.gallery.catalog.records import STORED_PREFIX, File, identity_of
from araclip.gallery.remote.rows import FileEntry, Row, instant, marks_of, orientation, read_path, stored_path, words_of
from araclip.photo_metadata.record import PhotoMetadata
from araclip.pictures.picture_facts import Facts
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
        "words": sorted({word.stem for word in words_of(row)}),
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
