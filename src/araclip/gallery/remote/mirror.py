"""A writer's copy of the gallery's rows in memory, with an undo. Pure.

About a kilobyte a picture; readers have no such copy.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from araclip.gallery.remote.rows import Held, Row


class Mirror:
    """Rows by number, and who holds which hash and path."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[int, Row] = {}
        self.by_digest: dict[bytes, int] = {}
        self.by_path: dict[str, int] = {}
        self._before: dict[int, Row | None] = {}  # touched since `begin`, as they were
        for row in sorted(rows, key=lambda row: row.id):
            self._set(row)
        self.next_id = max(self.rows, default=0) + 1

    def begin(self) -> None:
        """From here on `changes` counts, and `undo` undoes."""
        self._before = {}

    def put(self, row: Row) -> None:
        """A picture as it is now."""
        self._touch(row.id)
        self._set(row)
        self.next_id = max(self.next_id, row.id + 1)

    def name(self, row: Row) -> None:
        """A picture under its new point; for the transaction it is no change."""
        self.rows[row.id] = row

    def take_path(self, path: str) -> Held | None:
        """Take a path from the picture that holds it; None when none does."""
        content = self.by_path.get(path)
        if content is None:
            return None
        row = self.rows[content]
        (held,) = (held for held in row.files if held.file.path == path)
        self.put(replace(row, files=tuple(other for other in row.files if other is not held)))
        return held

    def drop_empty(self) -> None:
        """Forget the touched pictures that no path holds."""
        for content in list(self._before):
            row = self.rows.get(content)
            if row and not row.files:
                self._unset(row)

    def changes(self, encoded: Collection[int]) -> list[tuple[Row | None, Row | None]]:
        """Before and after of each picture that is not as it was, or was encoded anew; never both None."""
        pairs = [(old, self.rows.get(content), content) for content, old in sorted(self._before.items())]
        return [(old, now) for old, now, content in pairs if old != now or (now and content in encoded)]

    def undo(self) -> None:
        """As it was at `begin`."""
        for content, old in self._before.items():
            if (now := self.rows.get(content)) is not None:
                self._unset(now)
            if old is not None:
                self._set(old)
        for row in (old for old in self._before.values() if old):
            self._set(row)  # a path that moved between two of them is its old owner's again
        self.next_id = max(self.rows, default=0) + 1

    def _touch(self, content: int) -> None:
        self._before.setdefault(content, self.rows.get(content))

    def _set(self, row: Row) -> None:
        if (old := self.rows.get(row.id)) is not None:
            self._unset(old)
        self.rows[row.id] = row
        self.by_digest[row.digest] = row.id
        for held in row.files:
            self.by_path[held.file.path] = row.id

    def _unset(self, row: Row) -> None:
        del self.rows[row.id]
        self.by_digest.pop(row.digest, None)
        for held in row.files:
            if self.by_path.get(held.file.path) == row.id:
                del self.by_path[held.file.path]
