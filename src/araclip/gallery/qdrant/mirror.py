"""A writer's in-memory copy of the gallery's rows, with rollback. Pure.

About a kilobyte a picture; readers have none.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from araclip.gallery.remote.rows import FileEntry, Row, stored_path

Fetch = Callable[[str, str | int], Iterable[Row]]


class Mirror:
    """Rows by id, with indexes by hash and by path.

    Without all rows, `fetch` gives those of the gallery whose payload has a value under a key, and `last` is the
    highest id there; what has been fetched or changed is not fetched again.
    """

    def __init__(self, rows: Iterable[Row], fetch: Fetch | None = None, last: int = 0) -> None:
        self._fetch, self._last = fetch, last
        self._asked: set[tuple[str, str | int]] = set()
        self.rows: dict[int, Row] = {}
        self.by_digest: dict[bytes, int] = {}
        self.by_path: dict[str, int] = {}
        self._before: dict[int, Row | None] = {}  # rows before their first change since `begin`
        for row in sorted(rows, key=lambda row: row.id):
            self._set(row)
        self.next_id = max(self.rows, default=last) + 1

    def with_digest(self, digest: bytes) -> int | None:
        """The id of the picture with this hash."""
        self._know("sha256", digest.hex())
        return self.by_digest.get(digest)

    def with_path(self, path: str) -> int | None:
        """The id of the picture at a path."""
        self._know("files[].path", stored_path(path))
        return self.by_path.get(path)

    def with_id(self, content: int) -> Row | None:
        """The picture with this id."""
        self._know("order", content)
        return self.rows.get(content)

    def fetch_file(self, file: str) -> None:
        """Know the pictures of a file, a video or a folder."""
        for key in ("path", "video", "above"):
            self._know(f"files[].{key}", stored_path(file))

    def _know(self, key: str, value: str | int) -> None:
        if self._fetch is None or (key, value) in self._asked:
            return
        self._asked.add((key, value))
        for row in list(self._fetch(key, value)):
            if row.id not in self.rows and row.id not in self._before:
                self._set(row)

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
        self.next_id = max(self._last, max(self.rows, default=0)) + 1

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
