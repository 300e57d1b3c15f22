"""The texts of pictures as stored: captions embedded in them and beside them, and what OCR has read."""

import os
from collections.abc import Sequence
from typing import Any, Protocol

from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.integrity.checksums import is_sound
from araclip.gallery.catalog.records import File


class SoundRows(Protocol):
    """`CatalogLookups`, as far as it is needed here."""

    def sound_rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an SQL query whose last column says whether the row is sound, without it."""


def put_caption(database: Connection, content: int, caption: str) -> None:
    """Store the caption embedded in a picture, empty if there is none: then it is known that it was looked for."""
    database.execute(
        "INSERT INTO texts (content, caption) VALUES (?, ?) "
        "ON CONFLICT (content) DO UPDATE SET caption = excluded.caption WHERE caption <> excluded.caption",
        (content, caption),
    )


def sidecars(catalog: SoundRows, at: str | None) -> dict[str, File]:
    """Size and time of change of the side-car captions, by the path of their picture; all, or the one of a path."""
    sql = f"SELECT path, size, mtime_ns, {is_sound('sidecars')} FROM sidecars"
    rows = catalog.sound_rows(sql) if at is None else catalog.sound_rows(f"{sql} WHERE path = ?", (os.fsencode(at),))
    return {(path := os.fsdecode(raw)): File(path, size, changed) for raw, size, changed in rows}


def put_sidecar(database: Connection, path: str, file: File, caption: str | None) -> None:
    """Store the side-car caption of an indexed path, or remove it if it is None."""
    raw = os.fsencode(path)
    if caption is None:
        database.execute("DELETE FROM sidecars WHERE path = ?", (raw,))
        return
    database.execute(
        "INSERT INTO sidecars (path, size, mtime_ns, text) SELECT ?, ?, ?, ? "
        "WHERE EXISTS (SELECT 1 FROM files WHERE path = ?) ON CONFLICT (path) DO UPDATE SET "
        "size = excluded.size, mtime_ns = excluded.mtime_ns, text = excluded.text",
        (raw, file.size, file.mtime_ns, caption, raw),
    )


def unread(catalog: SoundRows) -> list[tuple[int, list[str]]]:
    """Pictures that OCR has not seen, in order of their ids, with their paths."""
    rows = catalog.sound_rows(
        f"SELECT content, path, {is_sound('files', 'crc')} FROM files "
        "WHERE content NOT IN (SELECT content FROM texts WHERE ocr_by IS NOT NULL) ORDER BY content, path"
    )
    paths: dict[int, list[str]] = {}
    for content, raw in rows:
        paths.setdefault(content, []).append(os.fsdecode(raw))
    return list(paths.items())


def put_ocr(database: Connection, content: int, text: str, by: str) -> None:
    """Store the text that OCR has read in a picture, and the engine; or why there is none."""
    database.execute(
        "INSERT INTO texts (content, ocr, ocr_by) SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM contents WHERE id = ?) "
        "ON CONFLICT (content) DO UPDATE SET ocr = excluded.ocr, ocr_by = excluded.ocr_by",
        (content, text, by, content),
    )
