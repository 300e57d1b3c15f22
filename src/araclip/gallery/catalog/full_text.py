"""Collect the texts of pictures, and index their words in two FTS5 tables, which `word_index` searches.

A picture's texts are the names of its files and folders, its metadata, the captions in and beside its file, and the
text that OCR has read. The table `words` holds the stems of their words, `parts` the folded words, by trigrams. Both
are derived: triggers note in `unworded` which pictures' texts have changed, and the transaction that made the change
indexes these pictures before its commit.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath

from araclip.core.display import shown
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.records import STORED_PREFIX, read_metadata
from araclip.pictures.video.scenes import file_of
from araclip.text.words import WORDS_VERSION, forms, has_humps

FIELDS = ("names", "metadata", "captions", "ocr")
# how many folders above a file give their names to its texts; folders further up hold everything, so tell nothing
FOLDERS = 3
_AT_ONCE = 500  # number of pictures read by one SQL statement
_VERSION = "words_version"  # the key in the table `meta` under which WORDS_VERSION is stored

Document = dict[str, list[str]]  # field name → different texts of one picture


# ------------------------------------------------------------------ the texts of a picture


def document(paths: Sequence[tuple[str, Mapping[str, object], str, str, str]]) -> Document:
    """Collect a picture's texts. Each of `paths`: path, metadata, side-car caption, embedded caption, OCR text."""
    found: Document = {field: [] for field in FIELDS}
    for path, about, sidecar, embedded, seen in paths:
        if not path.startswith(STORED_PREFIX):
            # the name of the file without its suffix, and the names of the folders just above the file
            folder, name = os.path.split(file_of(path))
            dot = name.rfind(".")
            found["names"] += [shown(name[:dot] if 0 < dot < len(name) - 1 else name), *_folder_names(folder)]
        for value in about.values():
            members: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
            found["metadata"] += [
                str(each) for each in members if isinstance(each, str | int | float) and not isinstance(each, bool)
            ]
        found["captions"] += filter(None, (embedded, sidecar))
        found["ocr"] += filter(None, (seen,))
    return {field: list(dict.fromkeys(filter(None, texts))) if texts else [] for field, texts in found.items()}


@lru_cache(maxsize=1024)
def _folder_names(folder: str) -> tuple[str, ...]:
    path = PurePath(folder)
    return tuple(shown(each.name) for each in (path, *path.parents) if each.name)[:FOLDERS]


def read_documents(database: Connection, ids: Sequence[int]) -> Iterator[tuple[int, Document]]:
    """Yield the id and the texts by field of each given picture; pictures without a path are left out."""
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        rows = database.execute(
            "SELECT files.content, files.path, metadata, ifnull(sidecars.text, ''), ifnull(caption, ''), "
            "ifnull(ocr, '') FROM files LEFT JOIN sidecars ON sidecars.path = files.path "
            "LEFT JOIN texts ON texts.content = files.content "
            f"WHERE files.content IN ({', '.join('?' * len(some))}) ORDER BY files.content, files.path",
            some,
        )
        found: dict[int, list[tuple[str, dict[str, object], str, str, str]]] = {}
        for content, path, metadata, sidecar, caption, ocr in rows:
            found.setdefault(content, []).append((os.fsdecode(path), read_metadata(metadata), sidecar, caption, ocr))
        for content, parts in found.items():
            yield content, document(parts)


# ------------------------------------------------------------------ indexing


def index_changed(database: Connection) -> None:
    """Index the words of the pictures in the table `unworded` (their texts have changed), inside a transaction.

    If another release made the index, the words of all pictures are indexed again.
    """
    rows = database.execute("SELECT value FROM meta WHERE key = ?", (_VERSION,))
    if rows != [(WORDS_VERSION,)]:
        if rows:
            database.execute("INSERT OR IGNORE INTO unworded SELECT DISTINCT content FROM files")
        database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_VERSION, WORDS_VERSION))
    changed = f"SELECT content FROM unworded ORDER BY content LIMIT {_AT_ONCE}"
    while ids := [content for (content,) in database.execute(changed)]:
        marks = ", ".join("?" * len(ids))
        for table, key in (("words", "rowid"), ("parts", "rowid"), ("unworded", "content")):
            database.execute(f"DELETE FROM {table} WHERE {key} IN ({marks})", ids)
        indexed = [(content, *indexed_forms(about)) for content, about in read_documents(database, ids)]
        indexed = [row for row in indexed if any(row[1])]
        put = "INSERT INTO words (rowid, names, metadata, captions, ocr) VALUES (?, ?, ?, ?, ?)"
        database.change_each(put, [(content, *stems) for content, stems, _ in indexed])
        database.change_each("INSERT INTO parts (rowid, folded) VALUES (?, ?)", [(row[0], row[2]) for row in indexed])


def indexed_forms(about: Document) -> tuple[list[str], str]:
    """Return the stems in a picture's texts, one string for each of FIELDS, and one string of all folded words."""
    stems, folded = [], dict[str, None]()
    for field in FIELDS:
        of_field = []
        for text in about.get(field, ()):
            stem, words = _stems_and_words_of_name(text) if field == "names" else _stems_and_words(text)
            if stem:
                of_field.append(stem)
                folded |= words
        stems.append(" ".join(of_field))
    return stems, " ".join(folded)


def _stems_and_words(text: str, *, humps: bool = False) -> tuple[str, dict[str, None]]:
    """Return the stems of a text, joined by spaces, and its folded words, each once.

    With `humps`, a word in CamelCase has one stem for each of its parts.
    """
    read = forms(text)
    stems = forms(text, names=True) if humps else read
    return " ".join([stem for _, stem in stems]), dict.fromkeys([word for word, _ in read])


@lru_cache(maxsize=4096)  # cached, because many pictures lie in the same folders
def _stems_and_words_of_name(name: str) -> tuple[str, dict[str, None]]:
    return _stems_and_words(name, humps=has_humps(name))
