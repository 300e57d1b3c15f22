"""Transactions of a catalogue, and the checkpoint after them."""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from araclip import atomic
from araclip.gallery.catalog import seal


@contextmanager
def transaction(database: sqlite3.Connection, path: Path, *, visible: bool) -> Iterator[None]:
    """Commit the changes of the block at its end, roll back if it raises; see `Catalog.writing`.

    Raises:
        OSError: the disk is full or read-only.
    """
    try:
        with database:
            database.execute("BEGIN IMMEDIATE")
            yield
            generation = generation_of(database)
            coming = secrets.token_hex(8) if visible else generation
            if visible:
                database.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (coming,))
            seal.before_commit(path.parent, generation, coming)
            atomic.step("commit")
    except sqlite3.OperationalError as error:
        raise OSError(
            f"{path} cannot be written ({error}). Free some disk space or check its permissions, then run the command "
            "again: it resumes where it stopped."
        ) from error
    atomic.step("committed")
    with contextlib.suppress(OSError, sqlite3.OperationalError):  # the seal accepts both generations
        _seal_commit(database, path, coming)


def _seal_commit(database: sqlite3.Connection, path: Path, generation: str) -> None:
    """Write the committed generation into the seal, unless another commit has followed.

    A server's uploads and its indexing process write alternately: one that was suspended here must not overwrite a
    newer generation with an older one. The transaction prevents commits between the check and the write.
    """
    with _no_wait(database):
        database.execute("BEGIN IMMEDIATE")
        try:
            if generation_of(database) == generation:
                seal.write(path.parent, seal.Seal(generation), durable=False)
        finally:
            database.execute("ROLLBACK")


@contextmanager
def _no_wait(database: sqlite3.Connection) -> Iterator[None]:
    """Fail at once, instead of waiting, when another connection holds the lock."""
    database.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        database.execute("PRAGMA busy_timeout = 10000")


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """A read transaction: all reads in the block see the same state."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def generation_of(database: sqlite3.Connection) -> str:
    """The generation as this connection sees it; empty when there is none."""
    row = database.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
    return row[0] if row else ""


def checkpoint(database: sqlite3.Connection, path: Path) -> None:
    """Checkpoint the log into the catalogue and store its checksum, unless a reader is active."""
    if seal.has_checksum(path.parent):
        return
    with _no_wait(database):
        (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        seal.store_checksum(path, generation_of(database))
