"""Transactions of a catalogue: all of a change is committed, or nothing."""

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
    """What the `with` block changes is committed at its end, and rolled back when it raises; see `Catalog.writing`.

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
            seal.breaking(path.parent, generation, coming)
            atomic.step("commit")
    except sqlite3.OperationalError as error:
        raise OSError(
            f"{path} cannot be written ({error}). Free some disk space or check its permissions, then run the command "
            "again: it goes on where it stopped."
        ) from error
    atomic.step("committed")
    with contextlib.suppress(OSError, sqlite3.OperationalError):  # the seal allows for both generations
        _seal_commit(database, path, coming)


def _seal_commit(database: sqlite3.Connection, path: Path, generation: str) -> None:
    """Note in the seal that a commit is done, unless another one has begun, which will note itself.

    A server's uploads and its indexing process write in turns: one that was suspended here must not overwrite a newer
    generation with an older one. The transaction keeps others from committing between the check and the write.
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
    """Inside, a lock that another connection holds is an error at once."""
    database.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        database.execute("PRAGMA busy_timeout = 10000")


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """All that is read in the `with` block is of one moment, whatever is committed meanwhile."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def generation_of(database: sqlite3.Connection) -> str:
    """The generation as this connection sees it; empty when there is none."""
    row = database.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
    return row[0] if row else ""


def rest(database: sqlite3.Connection, path: Path) -> None:
    """Checkpoint the log into the catalogue and seal it, unless somebody is reading."""
    if seal.is_at_rest(path.parent):
        return
    with _no_wait(database):
        (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        seal.at_rest(path, generation_of(database))
