"""Transactions of a catalogue, and the checkpoint after them."""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from araclip import atomic
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.integrity import seal


@contextmanager
def transaction(database: Connection, path: Path, *, visible: bool) -> Iterator[None]:
    """Commit the changes of the block at its end, roll back if it raises; see `Catalog.writing`.

    Raises:
        OSError: the disk is full or read-only.
    """
    try:
        with begun(database, "IMMEDIATE"):
            yield
            generation = generation_of(database)
            coming = secrets.token_hex(8) if visible else generation
            if visible:
                database.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (coming,))
            known = seal.before_commit(path, generation, coming)
            atomic.step("commit")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a statement or a trigger is at fault, not the disk
            raise
        raise OSError(
            f"{path} cannot be written ({error}). Free some disk space or check its permissions, then run the command "
            "again: it resumes where it stopped."
        ) from error
    atomic.step("committed")
    with contextlib.suppress(sqlite3.OperationalError), locked(database):
        # A server's uploads and its indexing process write alternately: one that was suspended here must not overwrite
        # a newer generation with an older one. The lock prevents commits between the check and the write.
        if generation_of(database) == coming:
            seal.after_write(path, coming, known=known)


@contextmanager
def begun(database: Connection, kind: str) -> Iterator[None]:
    """A transaction, committed at the end of the block, rolled back if it raises."""
    with database.alone():
        database.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
                database.execute("ROLLBACK")
            raise
        try:
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise


@contextmanager
def locked(database: Connection) -> Iterator[None]:
    """Prevent commits of other connections during the block.

    Raises:
        sqlite3.OperationalError: another connection is writing, or this one may not.
    """
    with database.alone(), _no_wait(database):
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


@contextmanager
def _no_wait(database: Connection) -> Iterator[None]:
    """Fail at once, instead of waiting, when another connection holds the lock."""
    database.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        database.execute("PRAGMA busy_timeout = 10000")


@contextmanager
def snapshot(database: Connection) -> Iterator[None]:
    """A read transaction: all reads in the block see the same state."""
    with database.alone():
        database.execute("BEGIN")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


def generation_of(database: Connection) -> str:
    """The generation as this connection sees it; empty when there is none."""
    row = database.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
    return row[0] if row else ""


def checkpoint(database: Connection, path: Path) -> None:
    """Checkpoint the log into the catalogue and record the file's state, unless a reader is active."""
    log = path.with_name(f"{path.name}-wal")
    if not (log.exists() and log.stat().st_size):
        return
    known = seal.is_known(path)
    with database.alone(), _no_wait(database):
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with contextlib.suppress(sqlite3.OperationalError), locked(database):
        seal.after_write(path, generation_of(database), known=known, durable=True)
