"""One change of a catalogue: all of it lands, or nothing."""

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
    with contextlib.suppress(OSError, sqlite3.OperationalError):  # the seal allows for both
        _tell(database, path, coming)


def _tell(database: sqlite3.Connection, path: Path, generation: str) -> None:
    """Say in the seal that a commit is done, unless the next one is on its way, which says so itself.

    A server's uploads and its indexing process write in turns: who was stopped here for a while must not put an older
    generation over a newer one. So nobody can commit between the look and the word.
    """
    with _no_patience(database):
        database.execute("BEGIN IMMEDIATE")
        try:
            if generation_of(database) == generation:
                seal.write(path.parent, seal.Seal(generation), durable=False)
        finally:
            database.execute("ROLLBACK")


@contextmanager
def _no_patience(database: sqlite3.Connection) -> Iterator[None]:
    """Inside, what another connection keeps waiting fails at once."""
    database.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        database.execute("PRAGMA busy_timeout = 10000")


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """All that is read in the `with` block is of one moment, whoever writes meanwhile."""
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
    """Fold the log into the catalogue and seal it, unless somebody reads just now."""
    if seal.is_at_rest(path.parent):
        return
    with _no_patience(database):
        (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        seal.at_rest(path, generation_of(database))
