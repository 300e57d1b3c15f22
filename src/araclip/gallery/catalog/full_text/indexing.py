"""Indexing of words: from the texts of pictures to the FTS5 tables, inside the transaction that changed them."""

import os
from collections.abc import Iterator
from functools import lru_cache

from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.full_text import tables
from araclip.gallery.catalog.full_text.documents import FIELDS, Document, document
from araclip.gallery.catalog.integrity.checksums import row_crc, sums
from araclip.gallery.catalog.records import read_metadata
from araclip.text.words import WORDS_VERSION, Forms, forms, has_humps

AT_ONCE = 500  # pictures; parameters of a statement, of which old versions of SQLite allow 999
BACKLOG = 4096  # pictures that a commit indexes beyond its own: those of a gallery that was migrated or salvaged
_VERSION = "words_version"  # in `meta`


def index_changed(database: Connection, most: int = BACKLOG) -> int:
    """Index the pictures in `unworded`, `most` of them, inside a transaction; returns how many there were."""
    check_version(database)
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


def check_version(database: Connection) -> None:
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
    for table in tables.INDEXED:
        if known := [row[0] for row in database.execute(f"SELECT rowid FROM {table} WHERE rowid IN ({marks})", ids)]:
            _take_out(database, table, known)
    database.execute(f"DELETE FROM unworded WHERE content IN ({marks})", ids)
    stems: dict[int, list[str]] = {}
    folded: dict[int, list[str]] = {}
    for content, about in documents_of(database, ids):
        by_field, every = forms_of(about)
        if any(by_field):
            stems[content], folded[content] = by_field, [every]
    for table, rows in (("words", stems), ("parts", folded)):
        columns = tables.INDEXED[table]
        put = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        database.executemany(put, [(content, *texts) for content, texts in rows.items()])
        total = sum(row_crc(content, *map(str.encode, texts)) for content, texts in rows.items())
        _count(database, table, len(rows), total)


def forms_of(about: Document) -> tuple[list[str], str]:
    """The stems of a picture's texts, field by field, and the folded words of all, each once."""
    stems, folded = [], dict[str, None]()
    for field in FIELDS:
        of_field = []
        for text in about.get(field, ()):
            stem, words = _name_forms(text) if field == "names" else _text_forms(text)
            if stem:
                of_field.append(stem)
                folded |= words
        stems.append(" ".join(of_field))
    return stems, " ".join(folded)


def _text_forms(text: str) -> tuple[str, dict[str, None]]:
    """The stems of a text, and its folded words, each once."""
    return _joined(read := forms(text), read)


@lru_cache(maxsize=4096)
def _name_forms(name: str) -> tuple[str, dict[str, None]]:
    """As `_text_forms`, with CamelCase as two words among the stems; pictures share the names of their folders."""
    read = forms(name)
    return _joined(forms(name, names=True) if has_humps(name) else read, read)


def _joined(stems: Forms, folded: Forms) -> tuple[str, dict[str, None]]:
    return " ".join([stem for _, stem in stems]), dict.fromkeys([word for word, _ in folded])


def _take_out(database: Connection, table: str, ids: list[int]) -> None:
    """Remove pictures from a table and its totals."""
    marks = ", ".join("?" * len(ids))
    here = f"SELECT count(*), ifnull(sum({sums()[table]}), 0) FROM {table} WHERE rowid IN ({marks})"
    rows, total = database.execute(here, ids).fetchone()
    _count(database, table, -rows, -total)
    database.execute(f"DELETE FROM {table} WHERE rowid IN ({marks})", ids)


def _count(database: Connection, table: str, rows: int, total: int) -> None:
    """Add rows and the sum of their checksums to the totals of a table, which no trigger can follow."""
    change = "UPDATE totals SET rows = rows + ?, sum = sum + ? WHERE name = ?"
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
        by_content.setdefault(content, []).append((os.fsdecode(path), read_metadata(metadata), sidecar, caption, ocr))
    for content, parts in by_content.items():
        yield content, document(parts)
