"""The catalogue file of a gallery as tests edit it: soundly, as AraCLIP writes it, or as damage does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import apsw

from araclip.gallery.catalog import connection

_DAMAGE = """
import json, sqlite3, sys
path, statements = sys.argv[1], json.loads(sys.stdin.read())
database = sqlite3.connect(path, isolation_level=None)
for sql, values in statements:
    database.execute(sql, [bytes.fromhex(each["hex"]) if isinstance(each, dict) else each for each in values])
database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
database.close()
"""


def edited(place: Path) -> apsw.Connection:
    """A connection that writes checksums with the pages; close it. Statements commit by themselves."""
    return connection.open_db(place / "catalog.sqlite", apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def value(place: Path, sql: str) -> object:
    """The first value of the first row of a query."""
    database = edited(place)
    try:
        return database.execute(sql).fetchall()[0][0]
    finally:
        database.close()


def damage(place: Path, sql: str, *values: object) -> None:
    """Change rows as damage does: the pages' old checksums stay, and so does the file's time.

    A SQLite that knows of no checksums changes them, in a process of its own.
    """
    path = place / "catalog.sqlite"
    about = path.stat()
    sent = [{"hex": each.hex()} if isinstance(each, bytes) else each for each in values]
    command = [sys.executable, "-c", _DAMAGE, str(path)]
    subprocess.run(command, input=json.dumps([(sql, sent)]), text=True, check=True)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
