"""One change of a catalogue: all of it lands, or nothing."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from araclip import atomic


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
            if visible:
                database.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (secrets.token_hex(8),))
            atomic.step("commit")
    except sqlite3.OperationalError as error:
        raise OSError(
            f"{path} cannot be written ({error}). Free some disk space or check its permissions, then run the command "
            "again: it goes on where it stopped."
        ) from error
    atomic.step("committed")
