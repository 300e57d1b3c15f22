"""The catalogue's schema: creating its tables, and migrating older files.

A new schema is one more entry of STEPS. A new file is created by all of them and an older one migrated by those it
lacks, so the two cannot differ. `PRAGMA user_version` holds the schema's number.

Names of tables and columns are part of the file format and stay: `contents.taken` is what the code calls `captured_at`
(the EXIF date), and the table `kept` holds the stored pixels of pictures without a file.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, NewerGallery
from araclip.gallery.catalog import connection, transaction
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.full_text import indexing
from araclip.gallery.catalog.integrity import checksums, seal

FILE_NAME = "catalog.sqlite"
DAMAGED_NAME = f"{FILE_NAME}.damaged"  # where `salvage` moves a damaged file
# What a gallery writes into its own folder.
OF_A_GALLERY = re.compile(r"(catalog|thumbnails)\..+|lock(\.queue)?|scan-.+\.faiss|background-.+\.f32")
_STORED_DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
_STORED_TABLES = (  # without those that each release of SQLite makes in its own words
    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE TABLE ''%' "
    "AND name NOT LIKE 'sqlite_%'"
)
_NOT_A_DATABASE = (  # SQLite's words for damage; those of the last lines have the code of any other error
    "file is not a database", "malformed", "disk image", "Could not decode", "no such table", "no such column",
    "vtable constructor failed", "fts5",
)  # fmt: skip

STEPS = (
    # 1: one picture by the hash of its bytes, with its vector, is a row of contents; a path that holds it, one of files
    """
    CREATE TABLE meta     (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE contents (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, vector BLOB NOT NULL) STRICT;
    CREATE TABLE files    (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
                           content INTEGER NOT NULL REFERENCES contents (id)) STRICT, WITHOUT ROWID;
    CREATE INDEX files_content ON files (content);
    """,
    # 2: what filters ask for (NULL: not known yet, the next update reads it), pictures without a file, the vectors of
    # the next model
    """
    ALTER TABLE contents ADD COLUMN format TEXT;
    ALTER TABLE contents ADD COLUMN width INTEGER;
    ALTER TABLE contents ADD COLUMN height INTEGER;
    ALTER TABLE contents ADD COLUMN taken TEXT;
    ALTER TABLE contents ADD COLUMN added TEXT;
    ALTER TABLE contents ADD COLUMN phash INTEGER;
    ALTER TABLE files    ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE kept (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                       picture BLOB NOT NULL) STRICT;
    CREATE TABLE next_vectors (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                               vector BLOB NOT NULL) STRICT;
    """,
    # 3: what a gallery of a million asks for. `changes` is the log of vectors that came, changed or went, `commits`
    # says up to where it ran at each generation: an index of an earlier one is brought up to date by what changed.
    # `loose` are pictures that may have lost their last path; its triggers ask first, for the upsert that fires them
    # would overrule an OR IGNORE of theirs. The indexes answer filters without reading any vector.
    """
    CREATE TABLE changes (number INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL) STRICT;
    CREATE TABLE commits (generation TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE loose   (content INTEGER PRIMARY KEY) STRICT;
    INSERT INTO commits SELECT value, 0 FROM meta WHERE key = 'generation';
    INSERT INTO loose SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files);
    CREATE TRIGGER vector_came AFTER INSERT ON contents
        BEGIN INSERT INTO changes (content) VALUES (new.id); END;
    CREATE TRIGGER vector_changed AFTER UPDATE OF vector ON contents
        BEGIN INSERT INTO changes (content) VALUES (new.id); END;
    CREATE TRIGGER vector_went AFTER DELETE ON contents
        BEGIN INSERT INTO changes (content) VALUES (old.id); END;
    CREATE TRIGGER committed AFTER UPDATE OF value ON meta WHEN new.key = 'generation'
        BEGIN INSERT INTO commits VALUES (
            new.value, ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)); END;
    CREATE TRIGGER path_went AFTER DELETE ON files
        WHEN NOT EXISTS (SELECT 1 FROM loose WHERE content = old.content)
        BEGIN INSERT INTO loose VALUES (old.content); END;
    CREATE TRIGGER path_changed AFTER UPDATE OF content ON files
        WHEN new.content <> old.content AND NOT EXISTS (SELECT 1 FROM loose WHERE content = old.content)
        BEGIN INSERT INTO loose VALUES (old.content); END;
    CREATE INDEX contents_taken  ON contents (taken);
    CREATE INDEX contents_added  ON contents (added);
    CREATE INDEX contents_facts  ON contents (format, width, height);
    CREATE INDEX contents_unread ON contents (id) WHERE format IS NULL OR phash IS NULL;
    CREATE INDEX files_size      ON files (size, content);
    """,
    # 4: a checksum of each row, and the totals of each table
    checksums.schema_step(),
    # 5: texts found in and beside pictures, and the words of all texts
    checksums.text_step(),
    # 6: camera, lens and place of photographs, in their files and beside them, and which pictures are hidden
    checksums.photo_step(),
)
SCHEMA = len(STEPS)


def is_gallery(folder: Path) -> bool:
    """Whether the folder holds a gallery, sound or damaged."""
    return (folder / FILE_NAME).is_file() or (folder / DAMAGED_NAME).is_file()


def is_begun(folder: Path) -> bool:
    """Whether a gallery was only begun: the disk was full or the process killed while its file was created."""
    path = folder / FILE_NAME
    with suppress(GalleryError, sqlite3.Error), closing(connect(path)) as database:
        return _is_begun(database, path)
    return False


def connect(path: Path, *, create: bool = False) -> Connection:
    """Open the file, read-only if its folder cannot be written.

    Raises:
        GalleryNotFound: there is none, and `create` is False.
        GalleryCorrupt, GalleryError: it is not a SQLite file, or cannot be opened now.
    """
    if not path.is_file():
        if path.with_name(DAMAGED_NAME).is_file():
            raise GalleryCorrupt(f"{path} is missing: a repair was stopped half way. Run `araclip repair` again.")
        if not create:
            raise GalleryNotFound(f"no gallery at {path.parent}. Make one with `araclip index FOLDER`.")
        seal.remove(path.parent)  # left by a deleted catalogue
    try:
        return connection.connect(path)
    except sqlite3.Error as error:
        raise own_error(path, error) from error


def create(database: Connection, meta: dict[str, str]) -> None:
    """Create the tables in an empty file, in one transaction; does nothing if there are tables."""
    with transaction.begun(database, "IMMEDIATE"):  # of two processes at once, the second finds the tables
        if _number(database) == 0 and not _has_tables(database):
            _apply(database, STEPS)
            for key, value in meta.items():
                database.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))


def migrate(database: Connection, path: Path) -> None:
    """Migrate an older file to the current schema, in one transaction.

    Raises:
        NewerGallery: a later release made it.
        GalleryCorrupt: it has no tables, or is damaged.
        GalleryError: it is older, and its folder is read-only.
    """
    number = _number(database)
    if number > SCHEMA:
        raise NewerGallery(
            f"{path} has schema {number}, this release knows up to {SCHEMA}. Upgrade araclip to use this gallery."
        )
    if number == 0 and _is_begun(database, path):
        raise GalleryCorrupt(f"{path} is empty or unfinished (schema {number}). Run `araclip index` again.")
    if number == 0:
        raise own_error(path, sqlite3.DatabaseError("malformed: it has no schema any more"))
    if number == SCHEMA:
        return
    try:
        with transaction.begun(database, "IMMEDIATE"):
            for (line,) in database.execute("PRAGMA integrity_check(1)").fetchall():
                if line != "ok":  # its rows would get checksums as if they were sound
                    raise own_error(path, sqlite3.DatabaseError(f"malformed: {line}"))
            generation = transaction.generation_of(database)
            seal.before_commit(path, generation, generation)
            _apply(database, STEPS[_number(database) :])  # read again: another process may have migrated it
            indexing.index_changed(database)
    except sqlite3.OperationalError as error:
        raise GalleryError(
            f"{path} has schema {number} and must become {SCHEMA}, but cannot be written ({error}). Open it once, for "
            "example with `araclip stats`, from an account that may write there, or copy the gallery folder."
        ) from error


def _is_begun(database: Connection, path: Path) -> bool:
    return not _has_tables(database) and seal.read(path.parent) is None


def _has_tables(database: Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


@cache
def columns() -> dict[str, list[str]]:
    """The columns of each table of the current schema, in their order; those of older ones are the first of them."""
    with closing(sqlite3.connect(":memory:")) as database:
        checksums.register(database)
        _apply(database, STEPS)
        tables = [name for (name,) in database.execute(_STORED_TABLES).fetchall()]
        return {table: _column_names(database, table) for table in tables}


def _column_names(database: Connection | sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})").fetchall()]


@cache
def _definitions() -> frozenset[tuple[str, str]]:
    """Names and texts of the triggers and indexes of the current schema."""
    with closing(sqlite3.connect(":memory:")) as database:
        checksums.register(database)
        _apply(database, STEPS)
        return frozenset(database.execute(_STORED_DEFINITIONS).fetchall())


def damaged_definition(database: Connection) -> str | None:
    """The name of a table, trigger or index of the current schema that is missing, or has another text, in a file.

    SQLite reads these texts at every opening and has no checksum of them; one that changed still opens.
    """
    if _number(database) != SCHEMA:  # an older file that its reader may not migrate
        return None
    changed = {name for name, _ in _definitions() - {*database.execute(_STORED_DEFINITIONS).fetchall()}}
    for table, names in columns().items():  # by their columns: earlier releases wrote them in other words
        refers_to = {row[2] for row in database.execute(f"PRAGMA foreign_key_list({table})").fetchall()}
        if _column_names(database, table) != names or not refers_to <= columns().keys():
            changed.add(table)
    return min(changed, default=None)


def own_error(path: Path, error: sqlite3.Error) -> GalleryError:
    """A SQLite error for the file at `path` as a GalleryError with a remedy."""
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return GalleryError(f"the gallery {path.parent} is closed. Open it again, with Gallery.open or open_gallery.")
    if any(sign in str(error) for sign in _NOT_A_DATABASE):
        return GalleryCorrupt(
            f"{path} is damaged ({error}). Run `araclip repair`, which recovers readable rows, or delete the gallery "
            "folder and run `araclip index` again; your pictures are not touched."
        )
    return GalleryError(f"{path} cannot be used now ({error}). Check the disk and its permissions, then try again.")


def _number(database: Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _apply(database: Connection | sqlite3.Connection, steps: tuple[str, ...]) -> None:
    for step in steps:
        for statement in _statements(step):
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA}")


def _statements(step: str) -> Iterator[str]:
    """The statements of a step; triggers contain semicolons, so they cannot simply be split."""
    statement = ""
    for part in step.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
