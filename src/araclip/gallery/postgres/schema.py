"""The tables of a gallery in PostgreSQL, its state, and the conversion of pictures from and to rows.

Tables and columns used by SQL that both kinds of galleries share have the same names as in a gallery in a folder."""

import hashlib
import json
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, NewerGallery
from araclip.gallery.catalog.full_text import Document, document
from araclip.gallery.catalog.matching import date_in_names
from araclip.gallery.catalog.records import Copy, File, PictureRecord, RecordedModel
from araclip.gallery.catalog.schema import GONE_TABLES
from araclip.gallery.postgres.database import LOCK, Database
from araclip.models.encoder import Encoder
from araclip.models.vectors import Vectors
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata

LAYOUT = 1  # version of the tables; raise it when they change
# A replica that becomes the primary, or a restored backup, may lack the last commits. If a new commit got the
# generation number of a lost commit, readers would miss the change; so this number grows by random steps.
NEXT_GENERATION = "generation = generation + 1 + floor(random() * 1000000)::bigint"
EXACT_UP_TO = 100_000  # if at most this many pictures pass the filters, all are compared; else HNSW is used
# HNSW: candidates while the graph is built; twice as slow as pgvector's default 64, but recall 0.99 instead of 0.965
EF_CONSTRUCTION = 200
PGVECTOR = (0, 8)  # least version of pgvector: halfvec needs 0.7, iterative scans need 0.8
GONE = tuple(each.format(bytes="bytea", int="bigint", rest="") for each in GONE_TABLES)
TABLES = (
    *GONE,
    """CREATE TABLE gallery (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), layout int NOT NULL, model text NOT NULL,
        fingerprint text NOT NULL, width int NOT NULL, model_origin text NOT NULL, model_source text NOT NULL,
        birth text NOT NULL, generation bigint NOT NULL DEFAULT 0, drives text NOT NULL DEFAULT '[]')""",
    # A row is one picture, by the hash of its bytes. `photo`: what its file says (JSON). The columns from `taken` on
    # are derived.
    """CREATE TABLE contents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash bytea NOT NULL UNIQUE,
        added text COLLATE "C" NOT NULL, format text, width int, height int, phash bigint NOT NULL DEFAULT 0,
        caption text NOT NULL DEFAULT '', photo text NOT NULL DEFAULT '{}', hidden boolean NOT NULL DEFAULT FALSE,
        pixels bytea, taken text COLLATE "C", latitude float8, longitude float8, camera_words text[], lens_words text[],
        place_words text[], words text[], letters text COLLATE "C" NOT NULL DEFAULT '',
        shown boolean NOT NULL DEFAULT FALSE)""",
    # A row is a path that holds a picture. The last four columns describe the side-car, a file of metadata beside the
    # picture: `caption` is the side-car's caption, `beside_size` and `beside_mtime_ns` its size and time of change
    # (NULL if there is no side-car), and `photo` the date, camera and place in the side-car.
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
PICTURE = """contents.id, hash, added, format, width, height, contents.caption, contents.photo, phash, hidden,
    (SELECT json_agg(json_build_array(encode(path, 'hex'), size, mtime_ns, metadata, caption, photo))
     FROM files WHERE content = contents.id)"""  # the columns that `row_from_values` takes


@dataclass(frozen=True)
class State:
    """A gallery's model, and a token of its last commit (`generation`); equal tokens mean equal content."""

    model: RecordedModel
    generation: str


def vectors_table(fingerprint: str) -> str:
    """Return the name of the table that holds the vectors of the model with this fingerprint."""
    return f"vectors_{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}"


def exists(database: Database) -> bool:
    """True if the database schema holds any tables, of a gallery or of another program."""
    return bool(database.rows("SELECT 1 FROM pg_tables WHERE schemaname = ?", (database.schema,)))


def read_state(database: Database) -> State:
    """Read the gallery's current state.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery: there is no gallery, or it cannot be used.
    """
    sql = "SELECT layout, model, fingerprint, width, model_origin, model_source, birth, generation"
    try:
        # Without the schema's name, a gallery in another schema on the search path would be read by mistake.
        rows = database.rows(f'{sql} FROM "{database.schema}".gallery')
    except GalleryError as error:
        if "(42P01)" not in str(error) and "(42703)" not in str(error):
            raise
        if not exists(database):
            raise GalleryNotFound(
                f"no gallery at {database.name}. Make one with `araclip index FOLDER --gallery "
                f"{shlex.quote(database.name)}`."  # an & in an address would end the command in a shell
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
    return State(RecordedModel(*model), f"{birth}-{number}")


def create(database: Database, model: Encoder) -> None:
    """Create a gallery, unless the schema has tables, such as those that another process has just created.

    Raises:
        GalleryError: the server lacks pgvector 0.8 or pg_trgm, or the user may not create a schema.
    """
    record = RecordedModel.of(model)
    with database.locked(), database.transaction():
        # lock the whole database, because the extensions that are created belong to the whole database
        database.rows("SELECT pg_advisory_xact_lock(?, 0)", (LOCK,))
        if exists(database):
            return
        ((encoding,),) = database.rows("SHOW server_encoding")
        if encoding != "UTF8":
            raise GalleryError(
                f"{database.name} has the encoding {encoding}, a gallery needs UTF8. Create another database with "
                "CREATE DATABASE pictures ENCODING 'UTF8' TEMPLATE template0, and name it in the address."
            )
        for extension in ("vector", "pg_trgm"):
            if not database.rows("SELECT 1 FROM pg_extension WHERE extname = ?", (extension,)):
                _add_extension(database, extension)
        ((version,),) = database.rows("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if tuple(map(int, version.split(".")[:2])) < PGVECTOR:
            raise GalleryError(
                f"{database.name} has pgvector {version}, a gallery needs 0.8 or later. Install it on the "
                "server, and run ALTER EXTENSION vector UPDATE in this database."
            )
        # Look first: CREATE SCHEMA IF NOT EXISTS fails for a user who may not create schemas, even if the schema
        # exists.
        if not database.rows("SELECT 1 FROM pg_namespace WHERE nspname = ?", (database.schema,)):
            database.rows(f'CREATE SCHEMA "{database.schema}"')
        for table in TABLES:
            database.rows(table)
        create_vectors(database, model)
        database.rows(
            "INSERT INTO gallery (layout, model, fingerprint, width, model_origin, model_source, birth) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (LAYOUT, model.name, model.fingerprint, model.width, record.origin, record.source, secrets.token_hex(8)),
        )


def create_vectors(database: Database, model: Encoder) -> str:
    """Create the table with a model's vectors, if it is missing; return its name."""
    name = vectors_table(model.fingerprint)
    database.rows(
        f"CREATE TABLE IF NOT EXISTS {name} (content bigint PRIMARY KEY REFERENCES contents ON DELETE CASCADE, "
        f"vector halfvec({model.width}) NOT NULL)"
    )
    # PLAIN stores the vectors inside the rows, so that a scan need not look up each vector in another table.
    database.rows(f"ALTER TABLE {name} ALTER vector SET STORAGE PLAIN")
    return name


def drop_vectors_but(database: Database, *kept: str) -> None:
    """Drop all tables of vectors but `kept`: unfinished re-embeddings left them. The caller holds the lock."""
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


# ------------------------------------------------------------------ the graph


def has_graph(database: Database, vectors: str) -> bool:
    """True if the table `vectors` has its index for approximate search, pgvector's HNSW graph."""
    sql = "SELECT 1 FROM pg_indexes WHERE schemaname = ? AND indexname = ?"
    return bool(database.rows(sql, (database.schema, f"{vectors}_graph")))


def build_graph(database: Database, vectors: str) -> None:
    """Build the HNSW graph of a table of vectors, if it is missing and there are more than EXACT_UP_TO pictures.

    This takes minutes for a million pictures. Later writes update the graph.
    """
    ((pictures,),) = database.rows(f"SELECT count(*) FROM {vectors}")
    if pictures > EXACT_UP_TO and not has_graph(database, vectors):
        database.rows(
            f"CREATE INDEX {vectors}_graph ON {vectors} USING hnsw (vector halfvec_ip_ops) "
            f"WITH (ef_construction = {EF_CONSTRUCTION})"
        )
        database.rows(f"ANALYZE {vectors}")


# ------------------------------------------------------------------ a picture


@dataclass(frozen=True)
class FileEntry:
    """One file of a picture, with the metadata given to `add`; `caption` and `photo` are from files beside it."""

    file: File
    metadata: Mapping[str, Any]
    caption: str = ""
    photo: PhotoMetadata = NOTHING_KNOWN


@dataclass(frozen=True)
class Row:
    """One picture as stored in PostgreSQL. `id` rises in the order of indexing; `files` are sorted by their paths."""

    id: int
    digest: bytes
    added: str
    facts: Facts | None = None
    phash: int = 0
    files: tuple[FileEntry, ...] = ()
    hidden: bool = False

    @property
    def photo(self) -> PhotoMetadata:
        """Combine date, camera, lens and place from the picture's file or, where unknown, from XMP files beside it.

        If no file tells a date, the date in the name of a file is taken.
        """
        found = self.facts.photo if self.facts else NOTHING_KNOWN
        for each in self.files:
            found = found.fill_unknown_from(each.photo)
        if found.captured_at is None:
            named = date_in_names((each.file.path, each.metadata) for each in self.files)
            found = replace(found, captured_at=named)
        return found.add_place_names()


def record_from_row(row: Row) -> PictureRecord:
    """Convert a picture to the record that all stores return."""
    facts, photo = row.facts, row.photo
    kind, width, height = (facts.format, facts.width, facts.height) if facts else (None,) * 3
    copies = tuple(Copy(each.file.path, each.file.size, each.metadata) for each in row.files)
    told = [each.captured_at for each in (facts.photo if facts else NOTHING_KNOWN, *(file.photo for file in row.files))]
    return PictureRecord(
        row.id, row.digest, kind, width, height, photo.captured_at, row.added, copies, photo.camera, photo.lens,
        photo.latitude, photo.longitude, photo.place, row.hidden, photo.captured_at is not None and not any(told),
    )  # fmt: skip


def texts_by_field(row: Row) -> Document:
    """Return a picture's texts by field: names, metadata and captions."""
    embedded = row.facts.caption if row.facts else ""
    return document([(each.file.path, each.metadata, each.caption, embedded, "") for each in row.files])


def row_from_values(values: Sequence[Any]) -> Row:
    """Make a `Row` from the values of the columns that PICTURE lists."""
    content, digest, added, kind, width, height, caption, photo, phash, hidden, files = values
    about = asdict(PhotoMetadata.from_json(photo))
    facts = Facts(kind, width, height, caption=caption, **about) if kind else None
    entries = tuple(
        FileEntry(
            File(os.fsdecode(bytes.fromhex(path)), size, mtime_ns), json.loads(metadata), beside,
            PhotoMetadata.from_json(about),
        )
        for path, size, mtime_ns, metadata, beside, about in sorted(files or ())  # by path: hex sorts like its bytes
    )  # fmt: skip
    return Row(content, digest, added, facts, phash % 2**64, entries, hidden)


def vector_from_bytes(raw: bytes) -> Vectors:
    """Convert the bytes that `halfvec_send` returns to a vector (D,); the bytes begin with two other 16-bit numbers."""
    return np.frombuffer(raw, ">f2", offset=4).astype(np.float32)


# ------------------------------------------------------------------ converting values for PostgreSQL


def pg_vector(vector: NDArray[np.floating[Any]]) -> str:
    """Write a vector (D,), rounded to float16, as the text that pgvector reads."""
    return str(vector.astype(np.float16).astype(np.float32).tolist())
