"""The check of a catalogue at its opening: of all rows, unless the file is as the last write of ours left it."""

import contextlib
import sqlite3
from pathlib import Path

from araclip.errors import GalleryCorrupt
from araclip.gallery.catalog import checksums, seal, transaction
from araclip.gallery.catalog.connection import Connection

_checked: set[seal.FileState] = set()  # by this process; a reader who may not write cannot record it in the seal


def check(database: Connection, path: Path) -> None:
    """Check all rows of a file that was copied, restored, or written by another program; a second for 200 MB.

    Raises:
        GalleryCorrupt: it is damaged.
        sqlite3.Error: SQLite cannot read it.
    """
    state = seal.state_of(path)
    if state in _checked or seal.is_known(path):
        return
    with transaction.snapshot(database):
        found = next(checksums.damages(database), None)
    if found:
        raise GalleryCorrupt(
            f"{path} is damaged: {found}. Run `araclip repair`, which recovers readable rows and encodes your "
            "pictures again where needed; they are not touched. If this is a copy made while a program was writing, "
            "copy it again with `araclip backup`."
        )
    with contextlib.suppress(sqlite3.OperationalError), transaction.locked(database):
        if seal.state_of(path) == state:
            seal.after_write(path, transaction.generation_of(database), known=True, durable=True)
    if seal.state_of(path) == state:
        _checked.add(state)
