"""Damage in a catalogue: finding all of it, and the check of a catalogue at its opening."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog import schema, transaction
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.integrity import seal
from araclip.gallery.catalog.integrity.checksums import CRC_COLUMNS, KEYS, expression, sums

PARTS = {
    ("contents", "vector_crc"): "vector",
    ("contents", "facts_crc"): "format, size and date",
    ("files", "crc"): "path's row",
    ("files", "metadata_crc"): "metadata",
    ("kept", "crc"): "stored picture",
    ("next_vectors", "crc"): "new vector",
    ("texts", "caption_crc"): "embedded caption",
    ("texts", "ocr_crc"): "text found by OCR",
    ("sidecars", "crc"): "side-car caption",
    ("photos", "photo_crc"): "camera, lens and place",
    ("photos", "hidden_crc"): "mark of hidden pictures",
    ("sidecar_photos", "crc"): "side-car metadata",
}

_checked: set[seal.FileState] = set()  # by this process; a reader who may not write cannot record it in the seal


@dataclass(frozen=True)
class Damage:
    """Damage in a catalogue: of its structure (`table` is empty), or of one part of a row."""

    text: str
    table: str = ""
    key: Any = None
    column: str = ""  # that of the checksum

    def __str__(self) -> str:
        return self.text if self.key is None else f"a row of {self.table} does not match its checksum"


def damages(connection: Connection) -> Iterator[Damage]:
    """All damage in a catalogue, in its structure first. Reads all of it, 10 µs a picture.

    Raises:
        sqlite3.Error: SQLite cannot even read it.
    """
    yield from structural_damages(connection)
    for table, parts in CRC_COLUMNS.items():
        for name, of in parts.items():
            wrong = connection.execute(f"SELECT {KEYS[table]} FROM {table} WHERE {name} IS NOT {expression(of)}")
            for (key,) in wrong.fetchall():
                yield Damage(f"its {PARTS[table, name]} is damaged", table, key, name)


def structural_damages(connection: Connection) -> Iterator[Damage]:
    """Damage that only a new file mends: SQLite's own finds, rows of `meta`, rows that vanished or returned."""
    lines = [line for (line,) in connection.execute("PRAGMA integrity_check").fetchall() if line != "ok"]
    yield from (Damage(f"SQLite reports: {line}") for line in lines)
    if lines:
        return  # what can be read may be anything
    if definition := schema.damaged_definition(connection):
        yield Damage(f"the definition of {definition} is not what it was")
        return
    if connection.execute(f"SELECT 1 FROM meta WHERE crc IS NOT {expression(('key', 'value'))}").fetchone():
        yield Damage("a row of meta does not match its checksum")
    stored = {name: (rows, total) for name, rows, total in connection.execute("SELECT * FROM totals").fetchall()}
    for table, crc in sums().items():
        rows, total = connection.execute(f"SELECT count(*), ifnull(sum({crc}), 0) FROM {table}").fetchone()
        if stored.get(table) != (rows, total):
            expected = stored.get(table, ("an unknown number of",))[0]
            yield Damage(f"table {table} has {rows} rows, whose checksums are not those of its {expected} rows")


def check_at_opening(database: Connection, path: Path) -> None:
    """Check all rows of a file that was copied, restored, or written by another program.

    Raises:
        GalleryCorrupt: it is damaged.
        sqlite3.Error: SQLite cannot read it.
    """
    state = seal.state_of(path)
    if state in _checked or seal.is_known(path):
        return
    with transaction.snapshot(database):
        found = next(damages(database), None)
    if found:
        raise GalleryCorrupt(
            f"{path} is damaged: {found}. Run `araclip repair`, which recovers readable rows and encodes your "
            "pictures again where needed; they are not touched. If this is a copy made while a program was writing, "
            "copy it again with `araclip backup`."
        )
    with contextlib.suppress(sqlite3.OperationalError), transaction.locked(database):
        if seal.state_of(path) == state:
            seal.after_write(path, transaction.generation_of(database), known=True, durable=True)
    if seal.state_of(path) == state:
        _checked.add(state)
