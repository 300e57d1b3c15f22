"""Create the catalogue's tables, and refuse galleries of another schema.

`PRAGMA user_version` holds the number of the schema. Names of tables and columns are part of the file format:
`contents.taken` is what the code calls `captured_at` (the date on which a picture was taken), and the table `kept`
holds the stored pixels of pictures without a file.
"""

import re
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import apsw

from araclip.core import atomic
from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, NewerGallery
from araclip.gallery.catalog import seal
from araclip.gallery.catalog.connection import (
    NO_ROOM,
    Connection,
    FollowingConnection,
    damage_error,
    is_damage,
    may_write,
    translate_errors,
)

SCHEMA = 7
FILE_NAME = "catalog.sqlite"
DAMAGED_NAME = f"{FILE_NAME}.damaged"  # where `salvage` moves a damaged file
# The names of files that a gallery writes into its own folder; `atomic.write` adds hidden temporary files.
GALLERY_FILE = re.compile(
    r"catalog\.sqlite(-wal|-shm)?|catalog\.seal|catalog\.sqlite\.damaged(-\d+)?(-wal)?|thumbnails\.sqlite(-wal|-shm)?"
    r"|lock(\.queue)?|scan-[0-9a-f]{16}\.faiss|background-[\w.-]+\.f32"
    r"|\.(catalog\.sqlite|scan-[0-9a-f]{16}\.faiss|background-[\w.-]+\.f32)\.[0-9a-f]{8}\.tmp(-journal|-wal|-shm)?"
)

# The tables that hold data. A row of `contents` is one picture, keyed by the hash of its bytes, with its vector; a row
# of `files` is a path that holds the picture. NULL in a column that filters use means "not known yet"; the next update
# reads the value. An id is never used again, so that a slow step begun for a removed picture cannot write into another.
_DATA_TABLES = """
    CREATE TABLE meta     (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE contents (id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, vector BLOB NOT NULL,
                           format TEXT, width INTEGER, height INTEGER, taken TEXT, added TEXT, phash INTEGER) STRICT;
    CREATE TABLE files    (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
                           content INTEGER NOT NULL REFERENCES contents (id),
                           metadata TEXT NOT NULL DEFAULT '{}') STRICT, WITHOUT ROWID;
    CREATE TABLE kept     (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                           picture BLOB NOT NULL) STRICT;
    CREATE TABLE next_vectors (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                               vector BLOB NOT NULL) STRICT;
    CREATE TABLE texts    (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                           caption TEXT NOT NULL DEFAULT '', ocr TEXT, ocr_by TEXT) STRICT;
    CREATE TABLE sidecars (path BLOB PRIMARY KEY REFERENCES files (path) ON DELETE CASCADE,
                           size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE photos   (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                           embedded TEXT, camera TEXT, lens TEXT, latitude REAL, longitude REAL, place TEXT,
                           hidden INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE sidecar_photos (path BLOB PRIMARY KEY REFERENCES sidecars (path) ON DELETE CASCADE,
                                 about TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
# The tables of hidden pictures that were removed, of pictures that are hidden as edited versions of hidden ones, and of
# the metadata of files that are damaged now (see `store`), for SQLite and for PostgreSQL.
GONE_TABLES = (
    "CREATE TABLE IF NOT EXISTS hidden_removed (hash {bytes} PRIMARY KEY, path {bytes} NOT NULL, phash {int}, "
    "removed_at text NOT NULL){rest}",
    "CREATE INDEX IF NOT EXISTS hidden_removed_path ON hidden_removed (path)",
    "CREATE TABLE IF NOT EXISTS hidden_edits (hash {bytes} PRIMARY KEY, original {bytes} NOT NULL){rest}",
    "CREATE TABLE IF NOT EXISTS metadata_gone (path {bytes} PRIMARY KEY, metadata text NOT NULL){rest}",
)
GONE = "; ".join(GONE_TABLES).format(bytes="BLOB", int="INTEGER", rest=" STRICT, WITHOUT ROWID")
# Tables, indexes and triggers that are derived from the data, in the same transaction as each change. `changes` logs
# the vectors that were added, changed or removed. `commits` records for each generation the number of its last change
# (-1: `changes` no longer reaches back to it); `commits` is never shortened, because `seal` and backups ask whether a
# generation belongs to this history. `loose` lists pictures that may have lost their last path. `unworded` lists the
# pictures whose texts have changed since `words` (stems) and `parts` (trigrams) were made. `doubtful` lists pictures
# that a repair has read from damaged pages and that must be encoded again. The triggers use WHEN NOT EXISTS, because
# INSERT OR IGNORE in a trigger is overruled by the conflict clause of the upsert that fires it.
_DERIVED_TABLES = """
    CREATE TABLE changes  (number INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL) STRICT;
    CREATE TABLE commits  (generation TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE loose    (content INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE unworded (content INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE doubtful (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE) STRICT;
    CREATE VIRTUAL TABLE words USING fts5(names, metadata, captions, ocr, tokenize = "unicode61 remove_diacritics 0");
    CREATE VIRTUAL TABLE parts USING fts5(folded, tokenize = 'trigram', detail = none);
    CREATE INDEX files_content   ON files (content);
    CREATE INDEX files_size      ON files (size, content);
    CREATE INDEX contents_taken  ON contents (taken);
    CREATE INDEX contents_added  ON contents (added);
    CREATE INDEX contents_facts  ON contents (format, width, height);
    CREATE INDEX contents_unread ON contents (id) WHERE format IS NULL OR phash IS NULL;
    CREATE INDEX photos_camera   ON photos (camera) WHERE camera IS NOT NULL;
    CREATE INDEX photos_lens     ON photos (lens) WHERE lens IS NOT NULL;
    CREATE INDEX photos_place    ON photos (place) WHERE place IS NOT NULL;
    CREATE INDEX photos_where    ON photos (latitude, longitude) WHERE latitude IS NOT NULL;
    CREATE INDEX photos_hidden   ON photos (content) WHERE hidden <> 0;
    CREATE INDEX photos_unread   ON photos (content) WHERE embedded IS NULL;
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
"""
_PICTURE_OF_SIDECAR = "(SELECT content FROM files WHERE path = {}.path)"
_UNWORDED_AFTER = {  # for each change of a row, SQL for the id of the picture whose texts change
    "INSERT ON files": "new.content",
    "DELETE ON files": "old.content",
    "UPDATE OF path, content, metadata ON files": "new.content",
    "UPDATE OF content ON files": "old.content",
    "DELETE ON contents": "old.id",
    "INSERT ON texts": "new.content",
    "UPDATE OF caption, ocr ON texts": "new.content",
    "INSERT ON sidecars": _PICTURE_OF_SIDECAR.format("new"),
    "UPDATE OF text ON sidecars": _PICTURE_OF_SIDECAR.format("new"),
    "DELETE ON sidecars": _PICTURE_OF_SIDECAR.format("old"),
}

# The tables that a repair reads, with their keys: those that hold data, and the history of commits. A table follows the
# tables that it refers to.
KEYS = {
    "meta": "key", "contents": "id", "files": "path", "kept": "content", "next_vectors": "content", "texts": "content",
    "sidecars": "path", "photos": "content", "sidecar_photos": "path", "hidden_removed": "hash",
    "hidden_edits": "hash", "metadata_gone": "path", "commits": "generation",
}  # fmt: skip


def is_gallery(folder: Path) -> bool:
    """True if the folder holds a gallery, sound or damaged."""
    return (folder / FILE_NAME).is_file() or (folder / DAMAGED_NAME).is_file()


def is_unfinished(folder: Path) -> bool:
    """True if a gallery was never finished, because the disk was full or the process was killed while creating it."""
    with suppress(GalleryError, OSError), closing(connect(folder / FILE_NAME)) as database:
        return not _has_tables(database) and seal.read(folder) is None
    return False


def connect(path: Path, *, create: bool = False) -> Connection:
    """Connect to the catalogue at `path`; only for reading if this user may not write there, or the disk is full.

    Raises:
        GalleryCorrupt: a repair was stopped half way, or the file is damaged.
        GalleryNotFound: there is no catalogue, and `create` is False.
    """
    if not path.is_file():
        if path.with_name(DAMAGED_NAME).is_file():
            raise GalleryCorrupt(f"{path} is missing: a repair was stopped half way. Run `araclip repair` again.")
        if not create:
            raise GalleryNotFound(f"no gallery at {path.parent}. {_advice_if_missing(path.parent)}")
        # remove the record of the last commit (seal) that a deleted catalogue has left
        atomic.unlink(path.parent / seal.FILE_NAME)
    with translate_errors(path):
        if create or may_write(path):
            try:
                return Connection(path, create=create)
            except NO_ROOM as error:  # reading needs no room: neither a log nor a shared memory file
                if create or is_damage(error):
                    raise
        return FollowingConnection(path)


def replaced_name(folder: Path, number: int) -> Path:
    """Return the path, ending in `number`, to which a folder's gallery is moved when a backup takes its place."""
    return folder.with_name(f"{folder.name}.replaced-{number}")


def _advice_if_missing(folder: Path) -> str:
    """Return advice if a folder has no gallery: make one, or finish a restore that was stopped half way."""
    found = [place for number in range(1, 100) if is_gallery(place := replaced_name(folder.resolve(), number))]
    if not found or folder.exists():
        return "Make one with `araclip index FOLDER`."
    return f"One that a restored backup replaced is at {found[-1]}: rename it back, or run `araclip restore` again."


def create(database: Connection, meta: dict[str, str]) -> None:
    """Create the tables in an empty file, in one transaction; do nothing if there are tables."""
    with database.transaction():  # two processes may create the file at once: the second finds the tables
        if not _has_tables(database):
            database.execute(f"{_DATA_TABLES} {GONE}")
            database.execute(f"PRAGMA user_version = {SCHEMA}")
            _create_derived_tables(database)
            for key, value in meta.items():
                database.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))
            database.execute("INSERT INTO commits VALUES (?, 0)", (meta["generation"],))


def _create_derived_tables(database: Connection) -> None:
    database.execute(_DERIVED_TABLES)
    for number, (event, content) in enumerate(_UNWORDED_AFTER.items()):
        database.execute(
            f"CREATE TRIGGER words_{number} AFTER {event} WHEN {content} IS NOT NULL "
            f"AND NOT EXISTS (SELECT 1 FROM unworded WHERE content = {content}) "
            f"BEGIN INSERT INTO unworded VALUES ({content}); END"
        )


def check_schema(database: Connection, path: Path) -> None:
    """Check that this release can use a catalogue file.

    Raises:
        NewerGallery: a later release made the file.
        GalleryCorrupt: the file has no tables, or is damaged.
        GalleryError: the file's schema is older than the first release.
    """
    number = schema_number(database)
    if number > SCHEMA:
        raise NewerGallery(
            f"{path} has schema {number}, this release knows up to {SCHEMA}. Upgrade araclip to use this gallery."
        )
    if number == 0 and not _has_tables(database) and seal.read(path.parent) is None:
        raise GalleryCorrupt(f"{path} is empty or unfinished (schema {number}). Run `araclip index` again.")
    if number == 0:
        raise damage_error(path, "malformed: it has no schema any more")
    if number < SCHEMA:
        raise GalleryError(
            f"{path} has schema {number}, of a time before the first release. Index its folder into a new gallery with "
            "--gallery; this one stays as it is."
        )


def schema_number(database: Connection) -> int:
    """Return the number of the schema that a file says it has."""
    return int(database.execute("PRAGMA user_version")[0][0])


def _has_tables(database: Connection) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master LIMIT 1"))


@cache
def columns() -> dict[str, tuple[str, ...]]:
    """Return the columns of each table in KEYS, in their order."""
    with closing(apsw.Connection(":memory:")) as database:
        database.execute(f"{_DATA_TABLES} {_DERIVED_TABLES} {GONE}")
        return {table: tuple(row[1] for row in database.execute(f"PRAGMA table_info({table})")) for table in KEYS}
