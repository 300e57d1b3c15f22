"""Inserting thousands of new pictures into a catalogue in one transaction, at tens of thousands a second.

The triggers that keep checksums and logs (`gallery.catalog.integrity.checksums`, `gallery.catalog.schema`) call Python
several times for each row. Here they are dropped, what they would write is computed for all rows at once, and they are
created again with the same text, all inside the transaction: nobody sees the catalogue without them, and a kill leaves
neither rows nor gaps. Pictures and paths that are known take the ordinary way, since that one decides what becomes of
them.
"""

import gc
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.embedded.pictures import EmbeddedPictures
from araclip.gallery.catalog.integrity.checksums import row_crc
from araclip.photo_metadata.record import NOTHING_KNOWN

_TABLES = ("contents", "files", "texts", "photos", "changes")  # whose triggers are replaced
_written = json.JSONEncoder(ensure_ascii=False).encode
_AT_ONCE = 500  # parameters of a statement; old versions of SQLite allow 999
_INSERTS = {
    "contents": "INSERT INTO contents (id, hash, vector, format, width, height, taken, added, phash, vector_crc, "
    "facts_crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "files": "INSERT INTO files (path, size, mtime_ns, content, metadata, crc, metadata_crc) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)",
    "texts": "INSERT INTO texts (content, caption, caption_crc, ocr_crc) VALUES (?, ?, ?, ?)",
    "photos": "INSERT INTO photos (content, embedded, camera, lens, latitude, longitude, place, photo_crc, hidden_crc) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
_Rows = dict[str, list[tuple[Any, ...]]]


def put_embedded(catalog: Catalog, pictures: EmbeddedPictures) -> int:
    """Store pictures inside a transaction; returns how many were new.

    What is new is inserted as it is. A picture that is known gets a further path, and keeps its vector.
    """
    with _no_collection():
        return _put(catalog, pictures)


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


def _put(catalog: Catalog, pictures: EmbeddedPictures) -> int:
    database = catalog.connection
    new, others = _split(database, pictures)
    if new:
        first = database.execute("SELECT ifnull(max(id), 0) + 1 FROM contents").fetchone()[0]
        rows, sums = _rows(database, pictures, new, first)
        with _without_triggers(database):
            for table, values in rows.items():
                database.executemany(_INSERTS[table], values)
            for table in ("changes", "unworded"):
                came = "SELECT id FROM contents WHERE id >= ? ORDER BY id"
                database.execute(f"INSERT OR IGNORE INTO {table} (content) {came}", (first,))
            for table, total in sums.items():
                database.execute(
                    "UPDATE totals SET rows = rows + ?, sum = sum + ? WHERE name = ?", (len(new), total, table)
                )
    for row in others:
        content = catalog.content(pictures.digests[row])
        if content is None:  # a known path that has another picture now
            content = catalog.add_content(pictures.digests[row], pictures.vectors[row])
            catalog.put_facts(content, pictures.facts(row), pictures.phashes[row])
        catalog.put_file(pictures.file(row), content, pictures.metadata[row] or None)
    return len(new)


def _split(database: Connection, pictures: EmbeddedPictures) -> tuple[list[int], list[int]]:
    """The rows whose picture and path are both new, and the others."""
    paths = [os.fsencode(path) for path in pictures.paths]
    hashes = _known(database, "SELECT hash FROM contents WHERE hash", pictures.digests)
    there = _known(database, "SELECT path FROM files WHERE path", paths)
    new, others = [], []
    for row, (digest, path) in enumerate(zip(pictures.digests, paths, strict=True)):
        if digest in hashes or path in there:
            others.append(row)
        else:
            new.append(row)
            hashes.add(digest)
            there.add(path)
    return new, others


def _known(database: Connection, sql: str, values: Sequence[bytes]) -> set[bytes]:
    if not database.execute(f"{sql} IS NOT NULL LIMIT 1").fetchone():  # an empty gallery
        return set()
    found: set[bytes] = set()
    for start in range(0, len(values), _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        found.update(bytes(row[0]) for row in database.execute(f"{sql} IN ({marks})", some).fetchall())
    return found


def _rows(
    database: Connection, pictures: EmbeddedPictures, new: Sequence[int], first: int
) -> tuple[_Rows, dict[str, int]]:
    """The rows of every table with their checksums, and the sum of these by table."""
    number = database.execute("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'").fetchone()[0]
    rows: _Rows = {table: [] for table in _INSERTS}
    rows["contents"], crcs = _contents(pictures, new, first)
    sums = {"contents": crcs}
    rows["files"], sums["files"] = _files(pictures, new, first)
    rows["texts"], sums["texts"] = _texts(pictures, new, first)
    rows["photos"], sums["photos"] = _photos(pictures, new, first)
    ids = range(first, first + len(new))
    sums["changes"] = sum(crc32(f"[{each}, {content}]".encode()) for each, content in enumerate(ids, number + 1))
    return rows, sums


# The checksums are those of `checksums.row_crc`, whose text of numbers and lengths is written out here: calling it
# would take a third of the whole time. tests/test_bulk.py compares them with what the triggers and `verify` say.


def _contents(pictures: EmbeddedPictures, new: Sequence[int], first: int) -> tuple[list[tuple[Any, ...]], int]:
    added = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    raw_added, width = added.encode(), pictures.vectors.shape[1] * 2
    vectors = pictures.vectors.astype("<f2", copy=False).tobytes()
    rows, total = [], 0
    for content, row in enumerate(new, first):
        digest, vector = pictures.digests[row], vectors[row * width : (row + 1) * width]
        kind, wide, high = pictures.formats[row], pictures.widths[row], pictures.heights[row]
        taken, phash = pictures.photos[row].captured_at, pictures.phashes[row]
        signed = phash - (1 << 64) if phash >> 63 else phash  # SQLite's integers have a sign
        vector_crc = crc32(f"[{content}, ({len(digest)},), ({width},)]".encode(), crc32(vector, crc32(digest)))
        raw, raw_taken = kind.encode(), taken.encode() if taken else b""
        when = f"({len(raw_taken)},)" if taken is not None else "None"
        numbers = f"[{content}, ({len(raw)},), {wide}, {high}, {when}, ({len(raw_added)},), {signed}]"
        facts_crc = crc32(numbers.encode(), crc32(raw + raw_taken + raw_added))
        rows.append((content, digest, vector, kind, wide, high, taken, added, signed, vector_crc, facts_crc))
        total += vector_crc + facts_crc
    return rows, total


def _files(pictures: EmbeddedPictures, new: Sequence[int], first: int) -> tuple[list[tuple[Any, ...]], int]:
    rows, total = [], 0
    for content, row in enumerate(new, first):
        raw, about = os.fsencode(pictures.paths[row]), pictures.metadata[row]
        size, mtime = pictures.sizes[row], pictures.mtimes_ns[row]
        metadata = _written(dict(about)) if about else "{}"
        said = metadata.encode()
        crc = crc32(f"[({len(raw)},), {size}, {mtime}, {content}]".encode(), crc32(raw))
        metadata_crc = crc32(f"[({len(raw)},), ({len(said)},)]".encode(), crc32(raw + said))
        rows.append((raw, size, mtime, content, metadata, crc, metadata_crc))
        total += crc + metadata_crc
    return rows, total


def _texts(pictures: EmbeddedPictures, new: Sequence[int], first: int) -> tuple[list[tuple[Any, ...]], int]:
    rows, total = [], 0
    for content, row in enumerate(new, first):
        raw = (caption := pictures.captions[row]).encode()
        caption_crc = crc32(f"[{content}, ({len(raw)},)]".encode(), crc32(raw))
        ocr_crc = crc32(f"[{content}, None, None]".encode())
        rows.append((content, caption, caption_crc, ocr_crc))
        total += caption_crc + ocr_crc
    return rows, total


def _photos(pictures: EmbeddedPictures, new: Sequence[int], first: int) -> tuple[list[tuple[Any, ...]], int]:
    nothing = crc32(b"{}")
    rows, total = list[tuple[Any, ...]](), 0
    for content, row in enumerate(new, first):
        photo, hidden_crc = pictures.photos[row], crc32(f"[{content}, 0]".encode())
        if photo is NOTHING_KNOWN:
            photo_crc = crc32(f"[{content}, (2,), None, None, None, None, None]".encode(), nothing)
            rows.append((content, "{}", None, None, None, None, None, photo_crc, hidden_crc))
        else:
            said = photo.to_json()
            names = [None if name is None else name.encode() for name in (photo.camera, photo.lens, photo.place)]
            where = photo.latitude, photo.longitude
            others: tuple[Any, ...] = (*names[:2], *where, names[2])
            photo_crc = row_crc(content, said.encode(), *others)
            rows.append((content, said, photo.camera, photo.lens, *where, photo.place, photo_crc, hidden_crc))
        total += photo_crc + hidden_crc
    return rows, total


@contextmanager
def _without_triggers(database: Connection) -> Iterator[None]:
    """Without the triggers of _TABLES inside the block, which is one of a transaction."""
    marks = ", ".join("?" * len(_TABLES))
    texts = database.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({marks})", _TABLES
    ).fetchall()
    for name, _ in texts:
        database.execute(f'DROP TRIGGER "{name}"')
    yield
    for _, sql in texts:
        database.execute(sql)
