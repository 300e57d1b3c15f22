"""Doing without triggers for a while: they call Python for each row, and many rows know what these would write."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from araclip.gallery.catalog.connection import Connection


@contextmanager
def without_triggers(database: Connection, tables: Sequence[str]) -> Iterator[None]:
    """Without the triggers of some tables inside the block, one of a transaction; the totals are left to the caller."""
    marks = ", ".join("?" * len(tables))
    texts = database.execute(
        f"SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name IN ({marks})", tables
    ).fetchall()
    for name, _ in texts:
        database.execute(f'DROP TRIGGER "{name}"')
    yield
    for _, sql in texts:
        database.execute(sql)
