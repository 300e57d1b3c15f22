"""The tables of a gallery in PostgreSQL, and its state. Names that shared SQL uses are a folder's."""

import hashlib
import secrets

from araclip.encoder import Encoder
from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, NewerGallery
from araclip.gallery.postgres.database import LOCK, Database
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.state import State

LAYOUT = 1  # version of the tables; raise it when they change
# A replica that becomes the primary, or a restored backup, may lack the last commits. The next one must not get the
# number of one that was lost: a reader would take it for the state that it knows.
NEXT_GENERATION = "generation = generation + 1 + floor(random() * 1000000)::bigint"
PGVECTOR = (0, 8)  # halfvec came with 0.7, iterative scans with 0.8
TABLES = (
    """CREATE TABLE gallery (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), layout int NOT NULL, model text NOT NULL,
        fingerprint text NOT NULL, width int NOT NULL, model_origin text NOT NULL, model_source text NOT NULL,
        birth text NOT NULL, generation bigint NOT NULL DEFAULT 0, drives text NOT NULL DEFAULT '[]')""",
    # One picture by the hash of its bytes. `photo`: what its file says (JSON); from `taken` on, what is derived.
    """CREATE TABLE contents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash bytea NOT NULL UNIQUE,
        added text COLLATE "C" NOT NULL, format text, width int, height int, phash bigint NOT NULL DEFAULT 0,
        caption text NOT NULL DEFAULT '', photo text NOT NULL DEFAULT '{}', hidden boolean NOT NULL DEFAULT FALSE,
        pixels bytea, taken text COLLATE "C", latitude float8, longitude float8, camera_words text[], lens_words text[],
        place_words text[], words text[], letters text COLLATE "C" NOT NULL DEFAULT '',
        shown boolean NOT NULL DEFAULT FALSE)""",
    # A path that holds it. Its side-car: caption, size and time (NULL: none), and what else it says.
    """CREATE TABLE files (path bytea PRIMARY KEY, content bigint NOT NULL REFERENCES contents ON DELETE CASCADE,
        size bigint NOT NULL, mtime_ns bigint NOT NULL, metadata text NOT NULL DEFAULT '{}', marks text[] NOT NULL,
        name_words text[] NOT NULL, caption text NOT NULL DEFAULT '', beside_size bigint, beside_mtime_ns bigint,
        photo text NOT NULL DEFAULT '{}')""",
    "CREATE INDEX ON files (content)",
    "CREATE INDEX ON files USING gin (marks)",
    "CREATE INDEX ON files USING gin (name_words)",
    "CREATE INDEX ON contents (taken)",
    "CREATE INDEX ON contents (latitude) WHERE latitude IS NOT NULL",
    "CREATE INDEX ON contents (id) WHERE hidden OR NOT shown OR format IS NULL",
    "CREATE INDEX ON contents USING gin (words)",
    "CREATE INDEX ON contents USING gin (letters gin_trgm_ops)",
)


def vectors_of(fingerprint: str) -> str:
    """The table with a model's vectors."""
    return f"vectors_{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}"


def exists(database: Database) -> bool:
    """Whether there is a gallery, or what is in its place."""
    return bool(database.rows("SELECT 1 FROM pg_tables WHERE schemaname = ?", (database.schema,)))


def read_state(database: Database) -> State:
    """The current state.

    Raises:
        GalleryNotFound: there is none.
        GalleryCorrupt: the schema holds other tables.
        NewerGallery: a later release created it.
    """
    sql = "SELECT layout, model, fingerprint, width, model_origin, model_source, birth, generation FROM gallery"
    try:
        rows = database.rows(sql)
    except GalleryError as error:
        if "(42P01)" not in str(error) and "(42703)" not in str(error):
            raise
        if not exists(database):
            raise GalleryNotFound(
                f"no gallery at {database.name}. Make one with `araclip index FOLDER --gallery {database.name}`."
            ) from None
        rows = []
    if not rows:
        raise GalleryCorrupt(
            f"the schema {database.schema} at {database.name} holds other tables than a gallery's. Choose another one "
            "with ?schema=NAME; it is not touched."
        )
    layout, *model, birth, number = rows[0]
    if layout > LAYOUT:
        raise NewerGallery(
            f"{database.name} has layout {layout}, this release knows up to {LAYOUT}. Upgrade araclip to use this "
            "gallery."
        )
    return State(RecordedModel(*model), birth, number)


def create(database: Database, model: Encoder) -> None:
    """Create a gallery; if two processes do so at once, both end with the same one.

    Raises:
        GalleryError: pgvector is not installed there, or the user may not create a schema.
    """
    record = RecordedModel.of(model)
    with database.locked(), database.transaction():
        database.rows("SELECT pg_advisory_xact_lock(?, 0)", (LOCK,))  # extensions are the whole database's
        if exists(database):
            return
        for extension in ("vector", "pg_trgm"):
            if not database.rows("SELECT 1 FROM pg_extension WHERE extname = ?", (extension,)):
                _add_extension(database, extension)
        ((version,),) = database.rows("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if tuple(map(int, version.split(".")[:2])) < PGVECTOR:
            raise GalleryError(
                f"{database.name} has pgvector {version}, a gallery needs 0.8 or later. Install it on the "
                "server, and run ALTER EXTENSION vector UPDATE in this database."
            )
        database.rows(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"')
        for table in TABLES:
            database.rows(table)
        create_vectors(database, model)
        database.rows(
            "INSERT INTO gallery (layout, model, fingerprint, width, model_origin, model_source, birth) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (LAYOUT, model.name, model.fingerprint, model.width, record.origin, record.source, secrets.token_hex(8)),
        )


def create_vectors(database: Database, model: Encoder) -> str:
    """Create the table with a model's vectors, if it is missing; returns its name."""
    name = vectors_of(model.fingerprint)
    database.rows(
        f"CREATE TABLE IF NOT EXISTS {name} (content bigint PRIMARY KEY REFERENCES contents ON DELETE CASCADE, "
        f"vector halfvec({model.width}) NOT NULL)"
    )
    database.rows(f"ALTER TABLE {name} ALTER vector SET STORAGE PLAIN")  # a scan must not look each up elsewhere
    return name


def drop_vectors_but(database: Database, *kept: str) -> None:
    """Drop the tables of vectors that a re-embedding has left which was given up; the lock is held."""
    tables = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = ?", (database.schema,))
    for (name,) in tables:
        if name.startswith("vectors_") and name not in kept:
            database.rows(f"DROP TABLE {name}")


def _add_extension(database: Database, name: str) -> None:
    try:
        database.rows(f"CREATE EXTENSION {name} SCHEMA public")
    except GalleryError as error:
        package = "pgvector (on Debian: postgresql-17-pgvector)" if name == "vector" else "postgresql-contrib"
        raise GalleryError(
            f"{database.name} needs the extension {name}. Install {package} on the server, and as its superuser run "
            f"CREATE EXTENSION {name} SCHEMA public in this database. The server said: {error}"
        ) from None
