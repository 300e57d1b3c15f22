"""Recovery of a damaged catalogue into a new one.

Rows are read from both ends of each table up to the damage; those in between are lost, and the next update ingests
their files again. Rows that do not match their checksums are copied as they are, for `repair` to mend. The damaged file
stays beside the new one as `catalog.sqlite.damaged`. Until the new one is complete there is no catalogue, and opening
the gallery asks for a repair: a killed run never leaves an empty catalogue.
"""

import contextlib
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from araclip import atomic
from araclip.display import counted
from araclip.encoder_base import Encoder
from araclip.errors import GalleryCorrupt, GalleryNotFound
from araclip.gallery.catalog import schema, transaction
from araclip.gallery.catalog.connection import OwnerConnection
from araclip.gallery.catalog.full_text import indexing
from araclip.gallery.catalog.integrity import seal
from araclip.gallery.catalog.integrity.checksums import CRC_COLUMNS, row_crc
from araclip.gallery.catalog.schema import DAMAGED_NAME, FILE_NAME, is_gallery
from araclip.gallery.catalog.writer_lock import writer_lock

_UNKNOWN = {"contents": {"vector_crc": None}}  # of an older file, without checksums
_NEEDED = {"model", "fingerprint", "width"}
_KEYS = {  # in the order of their references; the index of words is derived from them
    "meta": "key", "contents": "id", "files": "path", "kept": "content", "texts": "content", "sidecars": "path",
    "photos": "content", "sidecar_photos": "path",
}  # fmt: skip
_TYPES: dict[str, type] = {"key": str, "id": int, "content": int, "path": bytes}
_REFERENCES = (
    ("files", "content", "contents", "id"), ("kept", "content", "contents", "id"),
    ("texts", "content", "contents", "id"), ("photos", "content", "contents", "id"),
    ("sidecars", "path", "files", "path"), ("sidecar_photos", "path", "sidecars", "path"),
)  # fmt: skip
_TABLES = [table for table in _KEYS if table != "meta"]


def salvage(folder: Path, model: Encoder | None = None) -> list[str]:
    """Replace the catalogue in `folder` by one with every readable row; returns one line for each table.

    Args:
        model: that of the gallery, where its user has named it. A catalogue that does not say any more what model it is
            of becomes one of this model, and `repair` encodes its pictures again.

    Raises:
        GalleryNotFound: there is no catalogue at all.
        GalleryCorrupt: not even its tables or its model can be read.
        GalleryLocked: another process is writing this gallery.
    """
    path, damaged = folder / FILE_NAME, folder / DAMAGED_NAME
    if not is_gallery(folder):
        raise GalleryNotFound(f"no gallery at {folder}. Make one with `araclip index FOLDER`.")
    with writer_lock(folder):
        source = path
        if not path.is_file():  # a killed run has moved it already, perhaps without its log
            _move_logs(path, damaged)
            source = damaged
        tables = {table: _readable(source, table) for table in _KEYS}
        meta = _sound_meta(tables["meta"])
        if not meta.keys() >= _NEEDED and tables["contents"]:
            if model is None:
                raise GalleryCorrupt(
                    f"{source} does not say any more what model it is of. Name it: `araclip repair --model NAME` saves "
                    "what else can be read. Delete the gallery folder and run `araclip index` again only if "
                    "metadata and pictures without a file do not matter."
                )
            meta |= {"model": model.name, "fingerprint": model.fingerprint, "width": str(model.width)}
            for row in tables["contents"]:
                row["vector_crc"] = None
        if not meta.keys() >= _NEEDED:
            raise GalleryCorrupt(
                f"{source} cannot be recovered: its tables are unreadable. Delete the gallery folder and run `araclip "
                "index` again; your pictures are not touched."
            )
        known = {row["id"] for row in tables["contents"]}
        for table in ("files", "kept", "texts", "photos"):
            tables[table] = [row for row in tables[table] if row["content"] in known]
        paths = {row["path"] for row in tables["files"]}
        tables["sidecars"] = [row for row in tables["sidecars"] if row["path"] in paths]
        beside = {row["path"] for row in tables["sidecars"]}
        tables["sidecar_photos"] = [row for row in tables["sidecar_photos"] if row["path"] in beside]
        seal.remove(folder)
        if source == path:
            atomic.unlink(_beside(damaged, "-wal"))  # of an earlier one
            atomic.step("set aside")
            path.replace(damaged)
            _move_logs(path, damaged)
        atomic.write(path, lambda temporary: _write(temporary, meta, tables), flush=False)  # SQLite has flushed it
    return [f"{table}: {counted(len(tables[table]), 'row')} saved." for table in _TABLES]


def _sound_meta(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The values of `meta`: sound ones, and those without which nothing can be opened. The generation is a new one."""
    sound = {
        row["key"]: row["value"]
        for row in rows
        if isinstance(row["value"], str)
        and (row["key"] in _NEEDED or row.get("crc") in (None, row_crc(row["key"].encode(), row["value"].encode())))
    }
    return sound | {"generation": secrets.token_hex(8)}


def _move_logs(path: Path, damaged: Path) -> None:
    """Move the write-ahead log along with the damaged file; SQLite would replay it into the new one."""
    log = _beside(path, "-wal")
    if log.is_file():
        atomic.step("set the log aside")
        log.replace(_beside(damaged, "-wal"))
    for file in (path, damaged):
        atomic.unlink(_beside(file, "-shm"))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _readable(path: Path, table: str) -> list[dict[str, Any]]:
    """The readable rows from the beginning and from the end of a table."""
    rows: dict[Any, dict[str, Any]] = {}
    names = schema.columns()[table]
    for order in ("ASC", "DESC"):
        with (
            contextlib.suppress(sqlite3.Error, UnicodeDecodeError),  # the latter of an error that quotes damaged text
            contextlib.closing(sqlite3.connect(path)) as database,
        ):
            database.text_factory = lambda raw: raw.decode("utf-8", "replace")
            for values in database.execute(f"SELECT * FROM {table} ORDER BY 1 {order}"):
                row = dict(zip(names, values, strict=False))  # by their places: a name may be damaged
                if isinstance(key := row[_KEYS[table]], _TYPES[_KEYS[table]]):  # no page of another table's rows
                    rows[key] = row
            break  # all rows are readable
    return [rows[key] for key in sorted(rows)]


def _write(path: Path, meta: dict[str, str], tables: dict[str, list[dict[str, Any]]]) -> None:
    with contextlib.closing(OwnerConnection(path)) as database:
        database.execute("PRAGMA synchronous = FULL")
        schema.create(database, meta)
        with transaction.begun(database, "IMMEDIATE"):
            for table in _TABLES:
                for row in tables[table]:
                    crcs = {name: row.pop(name) for name in CRC_COLUMNS[table] if name in row}
                    columns, marks = ", ".join(row), ", ".join("?" * len(row))
                    key = _KEYS[table]
                    with contextlib.suppress(sqlite3.IntegrityError):  # a damaged row with a duplicate key
                        database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))
                        for name, crc in (crcs or _UNKNOWN.get(table, {})).items():  # a damaged row must stay one
                            database.execute(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", (crc, row[key]))
            for table, column, whole, key in _REFERENCES:  # of rows whose own could not be inserted
                database.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT {key} FROM {whole})")
            indexing.index_changed(database)
