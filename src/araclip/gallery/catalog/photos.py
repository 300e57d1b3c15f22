"""What is known about the taking of photographs, as stored: in their files, beside them, and which are hidden.

`photos` has a row for each picture whose file was read for it. `embedded` is what the file itself says, as JSON;
camera, lens, place and coordinates are what counts, completed by what is known beside the file; `hidden` is the user's
mark. Where neither tells a date, `contents.taken` is the one in the file's name.
`sidecar_photos` holds what the XMP file beside a path says, as JSON.
"""

import os
from collections.abc import Iterable

from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.matching import date_in_names
from araclip.gallery.catalog.records import read_metadata
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata

HIDDEN = "SELECT content FROM photos WHERE hidden <> 0"  # ids
UNREAD = (  # a condition on a row of `contents`
    "(contents.id NOT IN (SELECT content FROM photos) OR "
    "contents.id IN (SELECT content FROM photos WHERE embedded IS NULL))"
)


def put_embedded(database: Connection, content: int, photo: PhotoMetadata) -> None:
    """Store what a picture's file says, also if that is nothing: then it is known that it was looked for."""
    database.execute(
        "INSERT INTO photos (content, embedded) VALUES (?, ?) "
        "ON CONFLICT (content) DO UPDATE SET embedded = excluded.embedded",
        (content, photo.to_json()),
    )
    complete(database, content)


def put_beside(database: Connection, path: str, photo: PhotoMetadata | None) -> None:
    """Store what the side-car of an indexed path says, or that it says nothing; `sidecars` has its row already."""
    raw = os.fsencode(path)
    if photo is None or photo == NOTHING_KNOWN:
        database.execute("DELETE FROM sidecar_photos WHERE path = ?", (raw,))
    else:
        database.execute(
            "INSERT INTO sidecar_photos (path, about) SELECT ?, ? WHERE EXISTS (SELECT 1 FROM sidecars WHERE path = ?) "
            "ON CONFLICT (path) DO UPDATE SET about = excluded.about",
            (raw, photo.to_json(), raw),
        )
    for (content,) in database.execute("SELECT content FROM files WHERE path = ?", (raw,)):
        complete(database, content)


def has_beside(database: Connection, raw: bytes) -> bool:
    """Whether the side-car of a path says something."""
    return bool(database.execute("SELECT 1 FROM sidecar_photos WHERE path = ?", (raw,)))


def complete(database: Connection, content: int) -> None:
    """Derive what counts from the picture's file and the side-cars of its paths, in order of the paths."""
    rows = database.execute("SELECT embedded FROM photos WHERE content = ?", (content,))
    if not rows or rows[0][0] is None:
        return  # its file is read at the next update
    photo = PhotoMetadata.from_json(rows[0][0])
    beside = database.execute(
        "SELECT about FROM sidecar_photos JOIN files ON files.path = sidecar_photos.path WHERE files.content = ? "
        "ORDER BY files.path",
        (content,),
    )
    for (about,) in beside:
        photo = photo.completed(PhotoMetadata.from_json(about))
    taken = photo.captured_at or _date_in_names(database, content)
    values = (photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place)
    database.execute(
        "UPDATE photos SET camera = ?, lens = ?, latitude = ?, longitude = ?, place = ? WHERE content = ? "
        "AND (camera IS NOT ? OR lens IS NOT ? OR latitude IS NOT ? OR longitude IS NOT ? OR place IS NOT ?)",
        (*values, content, *values),
    )
    database.execute(
        "UPDATE contents SET taken = ? WHERE id = ? AND taken IS NOT ?",
        (taken, content, taken),
    )


def _date_in_names(database: Connection, content: int) -> str | None:
    files = database.execute("SELECT path, metadata FROM files WHERE content = ? ORDER BY path", (content,))
    return date_in_names((os.fsdecode(raw), read_metadata(about)) for raw, about in files)


def date_by_names(database: Connection) -> None:
    """Give pictures without a date the one in their file's name; once, in a gallery of earlier days."""
    for (content,) in database.execute("SELECT id FROM contents WHERE taken IS NULL"):
        complete(database, content)


def set_hidden(database: Connection, contents: Iterable[int], hidden: bool) -> int:
    """Hide pictures from results, or show them again; returns how many have changed."""
    changed = 0
    for content in contents:
        known = database.execute("SELECT 1 FROM contents WHERE id = ?", (content,))
        now = database.execute("SELECT hidden <> 0 FROM photos WHERE content = ?", (content,))
        if known and bool(now and now[0][0]) != hidden:
            database.execute(
                "INSERT INTO photos (content, hidden) VALUES (?, ?) "
                "ON CONFLICT (content) DO UPDATE SET hidden = excluded.hidden",
                (content, int(hidden)),
            )
            changed += 1
    return changed
