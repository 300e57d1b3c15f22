"""Checksums of the catalogue's rows, which SQLite's pages do not have, and the totals of each table.

Triggers keep them: whatever statement changes a row, its CRC-32 follows, and so do the number of rows and the sum of
their checksums in the table `totals`. So one damaged row is found by its own checksum, and rows that vanished or came
back (a torn copy mixes pages of two moments) by the totals. A row has a checksum for each part that is written
separately: writing a part does not renew the checksum of another one, which may be damaged.
"""

import sqlite3
import zlib

from araclip.gallery.catalog.full_text import tables
from araclip.gallery.catalog.photo import tables as photo_tables

FUNCTION = "row_crc"  # of SQL, registered for every connection
TEXTS = frozenset({  # columns of text, for damaged text need not be UTF-8
    "format", "taken", "added", "metadata", "key", "value", "generation", "caption", "ocr", "ocr_by", "text", "names",
    "captions", "folded", "embedded", "camera", "lens", "place", "about",
})  # fmt: skip

_OF_PICTURES: dict[str, dict[str, tuple[str, ...]]] = {
    "contents": {
        "vector_crc": ("id", "hash", "vector"),
        "facts_crc": ("id", "format", "width", "height", "taken", "added", "phash"),
    },
    "files": {"crc": ("path", "size", "mtime_ns", "content"), "metadata_crc": ("path", "metadata")},
    "kept": {"crc": ("content", "picture")},
    "next_vectors": {"crc": ("content", "vector")},
}
CRC_COLUMNS = _OF_PICTURES | tables.CRC_COLUMNS | photo_tables.CRC_COLUMNS
LOGGED: dict[str, tuple[str, ...]] = {"changes": ("number", "content"), "commits": ("generation", "number")}
KEYS = {
    "contents": "id", "files": "path", "kept": "content", "next_vectors": "content", "texts": "content",
    "sidecars": "path", "photos": "content", "sidecar_photos": "path",
}  # fmt: skip


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the function of the triggers; without it no row can be changed."""
    connection.create_function(FUNCTION, -1, _called, deterministic=True)
    connection.execute("PRAGMA trusted_schema = ON")  # triggers may call it


_interrupts: list[None] = []


def _called(*values: int | bytes | None) -> int:
    """`row_crc` for SQLite, which makes an error of its own of a Ctrl-C that comes during the call."""
    try:
        return row_crc(*values)
    except KeyboardInterrupt:
        _interrupts.append(None)
        raise


def was_interrupted() -> bool:
    """Whether a Ctrl-C came while SQLite computed a checksum, since this was asked last."""
    found = bool(_interrupts)
    _interrupts.clear()
    return found


def row_crc(*values: int | bytes | None) -> int:
    """CRC-32 of values, their types and lengths included."""
    crc, others = 0, list[str]()
    for value in values:
        if isinstance(value, bytes):
            crc = zlib.crc32(value, crc)
            others.append(f"({len(value)},)")
        else:
            others.append(repr(value))
    return zlib.crc32(f"[{', '.join(others)}]".encode(), crc)


def vector_crc(content: int, digest: bytes, vector: bytes) -> int:
    """`row_crc` of a vector's part of `contents`, in a quarter of the time of a call from SQL."""
    return zlib.crc32(
        f"[{content}, ({len(digest)},), ({len(vector)},)]".encode(), zlib.crc32(vector, zlib.crc32(digest))
    )


def is_sound_vector(content: int, digest: bytes, vector: bytes, crc: int | None) -> bool:
    """Whether a row of `contents` has the checksum of its vector; damage may have changed the types of its columns."""
    return isinstance(digest, bytes) and isinstance(vector, bytes) and vector_crc(content, digest, vector) == crc


def expression(columns: tuple[str, ...], row: str = "") -> str:
    """The SQL of a checksum over columns, of `new`, of `old` or of the table's own row."""
    dot = f"{row}." if row else ""
    parts = (f"CAST({dot}{name} AS BLOB)" if name in TEXTS else f"{dot}{name}" for name in columns)
    return f"{FUNCTION}({', '.join(parts)})"


def is_sound(table: str, *columns: str) -> str:
    """SQL that is true for a row of `table` whose checksums `columns` match, by default all."""
    parts = CRC_COLUMNS[table]
    return " AND ".join(f"{table}.{name} IS {expression(parts[name], table)}" for name in columns or parts)


def schema_step() -> str:
    """The migration that adds columns, totals and triggers to a catalogue without them.

    Once released, the SQL stays as it is: a table with other columns gets a step of its own.
    """
    lines = [
        "CREATE TABLE totals (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID"
    ]
    for table, parts in _OF_PICTURES.items():
        lines += [f"ALTER TABLE {table} ADD COLUMN {name} INTEGER" for name in parts]
        lines.append(f"UPDATE {table} SET {', '.join(f'{name} = {expression(of)}' for name, of in parts.items())}")
        lines += [_total(table, " + ".join(parts)), *_row_triggers(table, parts)]
    for table, logged in LOGGED.items():
        lines += [_total(table, expression(logged)), *_log_triggers(table, logged)]
    crc = expression(("key", "value"))
    lines += ["ALTER TABLE meta ADD COLUMN crc INTEGER", f"UPDATE meta SET crc = {crc}"]
    renewed = f"UPDATE meta SET crc = {crc} WHERE key = new.key"
    lines += [
        _trigger("meta_came_crc", "INSERT ON meta", renewed),
        _trigger("meta_changed_crc", "UPDATE OF value ON meta", renewed),
    ]
    return ";\n".join(lines) + ";"


def text_step() -> str:
    """The migration that adds the texts of pictures; released, as `schema_step` is."""
    lines = [tables.STEP.rstrip().removesuffix(";"), tables.triggers().removesuffix(";")]
    for table, parts in tables.CRC_COLUMNS.items():
        lines += [_total(table, " + ".join(parts)), *_row_triggers(table, parts)]
    lines += [_total(table, expression(columns)) for table, columns in tables.INDEXED.items()]
    return ";\n".join(lines) + ";"


def photo_step() -> str:
    """The migration that adds camera, lens, place and the mark of hidden pictures; released, as `schema_step` is."""
    lines = [photo_tables.STEP.rstrip().removesuffix(";")]
    for table, parts in photo_tables.CRC_COLUMNS.items():
        lines += [_total(table, " + ".join(parts)), *_row_triggers(table, parts)]
    return ";\n".join(lines) + ";"


def sums() -> dict[str, str]:
    """For each table with a total, the SQL of a row's part in its sum."""
    of_rows = {table: " + ".join(f"ifnull({name}, 0)" for name in parts) for table, parts in CRC_COLUMNS.items()}
    return of_rows | {table: expression(columns) for table, columns in (LOGGED | tables.INDEXED).items()}


def _total(table: str, crc: str) -> str:
    return f"INSERT INTO totals SELECT '{table}', count(*), ifnull(sum({crc}), 0) FROM {table}"


def _row_triggers(table: str, parts: dict[str, tuple[str, ...]]) -> list[str]:
    key = KEYS[table]
    here = f"WHERE {key} = new.{key}"
    every = ", ".join(f"{name} = {expression(of, 'new')}" for name, of in parts.items())
    new, old = (" + ".join(f"ifnull({row}.{name}, 0)" for name in parts) for row in ("new", "old"))
    return [
        _trigger(f"{table}_came_crc", f"INSERT ON {table}", _added(table, 1), f"UPDATE {table} SET {every} {here}"),
        *(
            _trigger(
                f"{table}_changed_{name}",
                f"UPDATE OF {', '.join(column for column in of if column != key)} ON {table}",
                f"UPDATE {table} SET {name} = {expression(of, 'new')} {here}",
            )
            for name, of in parts.items()
        ),
        _trigger(f"{table}_total", f"UPDATE OF {', '.join(parts)} ON {table}", _added(table, 0, f"({new}) - ({old})")),
        _trigger(f"{table}_went_crc", f"DELETE ON {table}", _added(table, -1, f"-({old})")),
    ]


def _log_triggers(table: str, columns: tuple[str, ...]) -> list[str]:
    return [
        _trigger(f"{table}_came_crc", f"INSERT ON {table}", _added(table, 1, expression(columns, "new"))),
        _trigger(f"{table}_went_crc", f"DELETE ON {table}", _added(table, -1, f"-{expression(columns, 'old')}")),
    ]


def _added(table: str, rows: int, crc: str = "0") -> str:
    return f"UPDATE totals SET rows = rows + {rows}, sum = sum + {crc} WHERE name = '{table}'"


def _trigger(name: str, event: str, *statements: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {event} BEGIN {''.join(f'{statement}; ' for statement in statements)}END"
