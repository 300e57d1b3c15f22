"""A writer's in-memory copy of the gallery's rows, with rollback. Pure.

About a kilobyte a picture; readers have none.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from araclip.gallery.remote.rows import FileEntry, Row


class Mirror:
    """Rows by id, with indexes by hash and by path."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[int, Row] = {}
        self.by_digest: dict[bytes, int] = {}
        self.by_path: dict[str, int] = {}
        self._before: dict[int, Row | None] = {}  # rows before their first change since `begin`
        for row in sorted(rows, key=lambda row: row.id):
            self._set(row)
        self.next_id = max(self.rows, default=0) + 1

    def begin(self) -> None:
        """Begin a transaction, which `changes` reports and `undo` rolls back."""
        self._before = {}

    def put(self, row: Row) -> None:
        """Insert or replace a picture."""
        self._touch(row.id)
        self._set(row)
        self.next_id = max(self.next_id, row.id + 1)

    def set_point(self, row: Row) -> None:
        """Record the point of a picture's new version; not a change for the transaction."""
        self.rows[row.id] = row

    def take_path(self, path: str) -> FileEntry | None:
        """Remove a path from its picture and return its entry; None if no picture has it."""
        content = self.by_path.get(path)
        if content is None:
            return None
        row = self.rows[content]
        (entry,) = (entry for entry in row.files if entry.file.path == path)
        self.put(replace(row, files=tuple(other for other in row.files if other is not entry)))
        return entry

    def drop_empty(self) -> None:
        """Remove changed pictures that have no path left."""
        for content in list(self._before):
            row = self.rows.get(content)
            if row and not row.files:
                self._unset(row)

    def changes(self, encoded: Collection[int]) -> list[tuple[Row | None, Row | None]]:
        """Each picture before and after, if it changed or is in `encoded`; never both None."""
        pairs = [(old, self.rows.get(content), content) for content, old in sorted(self._before.items())]
        return [(old, now) for old, now, content in pairs if old != now or (now and content in encoded)]

    def undo(self) -> None:
        """Restore the state at `begin`."""
        for content, old in self._before.items():
            if (now := self.rows.get(content)) is not None:
                self._unset(now)
            if old is not None:
                self._set(old)
        for row in (old for old in self._before.values() if old):
            self._set(row)  # restores paths that moved between two of them
        self.next_id = max(self.rows, default=0) + 1

    def _touch(self, content: int) -> None:
        self._before.setdefault(content, self.rows.get(content))

    def _set(self, row: Row) -> None:
        if (old := self.rows.get(row.id)) is not None:
            self._unset(old)
        self.rows[row.id] = row
        self.by_digest[row.digest] = row.id
        for entry in row.files:
            self.by_path[entry.file.path] = row.id

    def _unset(self, row: Row) -> None:
        del self.rows[row.id]
        self.by_digest.pop(row.digest, None)
        for entry in row.files:
            if self.by_path.get(entry.file.path) == row.id:
                del self.by_path[entry.file.path]
