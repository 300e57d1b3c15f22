"""A fragment: the rows of new pictures as a database in memory, which a catalogue takes in one transaction.

Another process can make it: `fragment_of` needs no catalogue, only the ids that the pictures are to have. SQLite takes
it by itself, one statement a table, some thirty thousand pictures a second.

The triggers that keep checksums and logs (`gallery.catalog.integrity.checksums`, `gallery.catalog.schema`) call Python
several times for each row. Here they are dropped, since a fragment's rows have their checksums already, and they are
created again with the same text, all inside the transaction: nobody sees the catalogue without them, and a kill leaves
neither rows nor gaps. Pictures and paths that are known take the ordinary way, since that one decides what becomes of
them.
"""

import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from zlib import crc32

import numpy as np

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.embedded.rows import COLUMNS, rows_of
from araclip.gallery.catalog.full_text import indexing, tables
from araclip.gallery.catalog.integrity.checksums import CRC_COLUMNS
from araclip.gallery.catalog.records import File, read_metadata
from araclip.gallery.catalog.triggers import without_triggers
from araclip.photo_metadata.record import PhotoMetadata
from araclip.pictures.picture_facts import Facts

AVAILABLE = hasattr(sqlite3.Connection, "deserialize")  # some builds of SQLite lack it
NAME = "fragment"  # of the database inside a catalogue's connection
_PAGE = 65_536  # bytes, so that rows with a vector fill their pages
_TABLES = ("contents", "files", "texts", "photos", "changes")  # whose triggers are replaced
_SUM = {table: " + ".join(CRC_COLUMNS.get(table, ["crc"])) for table in COLUMNS}  # of the checksums of a row


def fragment_of(pictures: EmbeddedPictures, first: int) -> bytes:
    """The rows of pictures whose ids begin with `first`, as the bytes of a SQLite database."""
    with _no_collection(), closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size = {_PAGE}")
        database.execute("BEGIN")
        for table, rows in rows_of(pictures, first).items():
            columns = _columns(table)
            database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        database.execute("CREATE TABLE repeated (id)")
        database.executemany("INSERT INTO repeated VALUES (?)", [(first + row,) for row in _repeated(pictures)])
        database.execute("COMMIT")
        return database.serialize()


def next_id(catalog: Catalog) -> int:
    """The id of the picture that is added next."""
    return int(catalog.rows("SELECT ifnull(max(id), 0) + 1 FROM contents")[0][0])


def put_fragment(catalog: Catalog, fragment: bytes) -> int | None:
    """Store the pictures of a fragment in a transaction of its own, in the writer's turn; returns how many were new.

    What is new is inserted as it is. A picture that is known gets a further path, and keeps its vector. None where the
    ids of the fragment are taken: pictures were added since it was made. Nothing is changed then.
    """
    with catalog.attached(fragment, NAME) as database:
        first = database.execute(f"SELECT min(id) FROM {NAME}.contents").fetchone()[0]
        if first is None:
            return 0
        if next_id(catalog) > first:
            return None
        with catalog.writing(words=False):
            indexing.check_version(database)
            others = _take_out(database)
            new = _insert(database)
            for file, digest, vector, facts, phash, metadata in others:
                content = catalog.content(digest)
                if content is None:  # a known path that has another picture now
                    content = catalog.add_content(digest, vector)
                    catalog.put_facts(content, facts, phash)
                    new += 1
                catalog.put_file(file, content, metadata or None)
    return new


def _columns(table: str) -> tuple[str, ...]:
    return (*COLUMNS[table], "crc") if table in tables.INDEXED else COLUMNS[table]


def _repeated(pictures: EmbeddedPictures) -> list[int]:
    """The rows whose picture or path an earlier row has."""
    digests, paths, found = set[bytes](), set[str](), []
    for row, (digest, path) in enumerate(zip(pictures.digests, pictures.paths, strict=True)):
        if digest in digests or path in paths:
            found.append(row)
        digests.add(digest)
        paths.add(path)
    return found


_Other = tuple[File, bytes, Any, Facts, int, dict[str, Any]]


def _take_out(database: Connection) -> list[_Other]:
    """Take the rows out of the fragment whose picture or path is known, or comes twice."""
    database.execute(
        f"INSERT INTO {NAME}.repeated SELECT id FROM {NAME}.contents AS new "
        "WHERE EXISTS (SELECT 1 FROM main.contents AS known WHERE known.hash = new.hash)"
    )
    database.execute(
        f"INSERT INTO {NAME}.repeated SELECT content FROM {NAME}.files AS new "
        "WHERE EXISTS (SELECT 1 FROM main.files AS known WHERE known.path = new.path)"
    )
    if not database.execute(f"SELECT 1 FROM {NAME}.repeated LIMIT 1").fetchone():
        return []
    known = f"(SELECT id FROM {NAME}.repeated)"
    rows = database.execute(
        "SELECT path, size, mtime_ns, hash, vector, format, width, height, caption, embedded, phash, metadata "
        f"FROM {NAME}.contents AS contents JOIN {NAME}.files AS files ON files.content = id "
        f"JOIN {NAME}.texts AS texts ON texts.content = id JOIN {NAME}.photos AS photos ON photos.content = id "
        f"WHERE id IN {known} ORDER BY id"
    ).fetchall()
    for table in COLUMNS:
        database.execute(f"DELETE FROM {NAME}.{table} WHERE {_key(table)} IN {known}")
    return [_other(*row) for row in rows]


def _other(
    path: bytes, size: int, mtime: int, digest: bytes, vector: bytes, kind: str, width: int, height: int,
    caption: str, embedded: str, phash: int, metadata: str,
) -> _Other:  # fmt: skip
    photo = PhotoMetadata.from_json(embedded)
    facts = Facts(
        kind, width, height, photo.captured_at, caption, photo.camera, photo.lens, photo.latitude, photo.longitude,
        photo.place,
    )  # fmt: skip
    numbers = np.frombuffer(vector, "<f2").astype(np.float32)
    return File(os.fsdecode(path), size, mtime), digest, numbers, facts, phash % (1 << 64), read_metadata(metadata)


def _key(table: str) -> str:
    return {"contents": "id", "words": "rowid", "parts": "rowid"}.get(table, "content")


def _insert(database: Connection) -> int:
    """Insert all rows of the fragment; returns how many pictures they are."""
    totals = {
        table: database.execute(f"SELECT count(*), ifnull(sum({_SUM[table]}), 0) FROM {NAME}.{table}").fetchone()
        for table in COLUMNS
    }
    new: int = totals["contents"][0]
    number = database.execute("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'").fetchone()[0]
    ids = database.execute(f"SELECT id FROM {NAME}.contents ORDER BY id").fetchall()
    logged = (crc32(f"[{each}, {content}]".encode()) for each, (content,) in enumerate(ids, number + 1))
    totals["changes"] = new, sum(logged)
    with without_triggers(database, _TABLES):
        for table, columns in COLUMNS.items():
            names = ", ".join(columns)
            came = ", ".join(f'"{name}"' for name in columns)
            database.execute(f"INSERT INTO main.{table} ({names}) SELECT {came} FROM {NAME}.{table}")
        database.execute(f"INSERT INTO changes (content) SELECT id FROM {NAME}.contents ORDER BY id")
        for table, (rows, total) in totals.items():
            database.execute("UPDATE totals SET rows = rows + ?, sum = sum + ? WHERE name = ?", (rows, total, table))
    return new


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's search for cycles, which walks through all of the new rows again and again and finds none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
