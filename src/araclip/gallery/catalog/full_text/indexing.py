"""Indexing of words: from the texts of pictures to the FTS5 tables, inside the transaction that changed them."""

import json
import os
from collections.abc import Iterator
from itertools import chain

from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.full_text import tables
from araclip.gallery.catalog.full_text.documents import Document, document
from araclip.gallery.catalog.integrity.checksums import sums
from araclip.text.words import WORDS_VERSION, words

AT_ONCE = 500  # pictures; parameters of a statement, of which old versions of SQLite allow 999
BACKLOG = 4096  # pictures that a commit indexes beyond its own: those of a gallery that was migrated or salvaged
_VERSION = "words_version"  # in `meta`


def index_changed(database: Connection, most: int = BACKLOG) -> int:
    """Index the pictures in `unworded`, `most` of them, inside a transaction; returns how many there were."""
    _check_version(database)
    done = 0
    while done < most:
        ids = [row[0] for row in database.execute(f"SELECT content FROM unworded ORDER BY content LIMIT {AT_ONCE}")]
        if not ids:
            break
        _index(database, ids)
        done += len(ids)
    return done


def is_behind(database: Connection) -> bool:
    """Whether pictures wait for their words to be indexed, or were indexed by an earlier release."""
    waiting = database.execute("SELECT 1 FROM unworded LIMIT 1").fetchone()
    return bool(waiting) or _version(database) not in ("", WORDS_VERSION)


def _check_version(database: Connection) -> None:
    """Index all pictures again if their words were made by an earlier release."""
    stored = _version(database)
    if stored == WORDS_VERSION:
        return
    if stored:
        database.execute("INSERT OR IGNORE INTO unworded SELECT DISTINCT content FROM files")
    database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_VERSION, WORDS_VERSION))


def _version(database: Connection) -> str:
    row = database.execute("SELECT value FROM meta WHERE key = ?", (_VERSION,)).fetchone()
    return row[0] if row else ""


def _index(database: Connection, ids: list[int]) -> None:
    marks = ", ".join("?" * len(ids))
    _count(database, "-", ids)
    for table in tables.INDEXED:
        database.execute(f"DELETE FROM {table} WHERE rowid IN ({marks})", ids)
    database.execute(f"DELETE FROM unworded WHERE content IN ({marks})", ids)
    for content, about in documents_of(database, ids):
        read = {field: [list(words(text)) for text in texts] for field, texts in about.items()}
        split = [list(words(text, names=True)) for text in about.get("names", ())]  # CamelCase is two words there
        found = {**read, "names": split}
        columns = [
            " ".join(word.stem for text in found.get(field, ()) for word in text)
            for field in ("names", "metadata", "captions", "ocr")
        ]
        if any(columns):
            database.execute(
                "INSERT INTO words (rowid, names, metadata, captions, ocr) VALUES (?, ?, ?, ?, ?)", (content, *columns)
            )
            folded = dict.fromkeys(word.folded for text in chain(*read.values()) for word in text)
            database.execute("INSERT INTO parts (rowid, folded) VALUES (?, ?)", (content, " ".join(folded)))
    _count(database, "+", ids)


def _count(database: Connection, sign: str, ids: list[int]) -> None:
    """Add the rows of these pictures to the tables' totals, or take them away."""
    marks = ", ".join("?" * len(ids))
    for table, crc in sums().items():
        if table in tables.INDEXED:
            here = f"SELECT count(*), ifnull(sum({crc}), 0) FROM {table} WHERE rowid IN ({marks})"
            rows, total = database.execute(here, ids).fetchone()
            change = f"UPDATE totals SET rows = rows {sign} ?, sum = sum {sign} ? WHERE name = ?"
            database.execute(change, (rows, total, table))


def documents_of(database: Connection, ids: list[int]) -> Iterator[tuple[int, Document]]:
    """The texts of pictures by field, of those that have a path; at most AT_ONCE ids."""
    marks = ", ".join("?" * len(ids))
    rows = database.execute(
        "SELECT files.content, files.path, metadata, ifnull(sidecars.text, ''), ifnull(caption, ''), ifnull(ocr, '') "
        "FROM files LEFT JOIN sidecars ON sidecars.path = files.path LEFT JOIN texts ON texts.content = files.content "
        f"WHERE files.content IN ({marks}) ORDER BY files.content, files.path",
        ids,
    ).fetchall()
    by_content: dict[int, list[tuple[str, dict[str, object], str, str, str]]] = {}
    for content, path, metadata, sidecar, caption, ocr in rows:
        by_content.setdefault(content, []).append((os.fsdecode(path), _read(metadata), sidecar, caption, ocr))
    for content, parts in by_content.items():
        yield content, document(parts)


def _read(metadata: str) -> dict[str, object]:
    try:
        about = json.loads(metadata)
    except ValueError:  # damaged; `verify` reports it
        return {}
    return about if isinstance(about, dict) else {}
