"""Looking up pictures, paths and vectors in a collection: first its state, then what that generation holds."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.encoder import Encoder
from araclip.gallery.catalog.records import File, Overview, PictureRecord
from araclip.gallery.remote.conditions import both, visible, where
from araclip.gallery.remote.connection import Connection
from araclip.gallery.remote.mirror import Mirror
from araclip.gallery.remote.overview import overview
from araclip.gallery.remote.rows import ABOUT, STATE, Row, pixels_id, record_of, row_of, stored_path
from araclip.gallery.remote.state import State, physical, read_state


class RemoteLookups:
    """The reading half of `RemoteCatalog`. Inside a session it reads the writer's mirror in memory."""

    def __init__(self, named: Connection, model: Encoder | None) -> None:
        """The gallery that is called `named`, of this model or of any."""
        self.named = named
        self._model = model
        self._own: Connection | None = None
        self._mirror: Mirror | None = None

    @property
    def folder(self) -> str:
        """The address."""
        return self.named.name

    def state(self) -> State:
        """The present state, of our model.

        Raises:
            WidthMismatch: the gallery was given another model meanwhile.
        """
        state = read_state(self.named)
        if self._model:
            state.check(self._model, self.folder)
        if self._own is None:  # the name is an alias: ask the collection that it means now
            own = self.named.of(physical(self.named.collection, state.fingerprint))
            self._own = own if own.exists() else self.named
        return state

    @property
    def generation(self) -> str:
        """As in `Catalog`; so are the others below."""
        return self.state().generation

    @property
    def connection(self) -> Connection:
        """The collection with our model's vectors, even after the alias is switched."""
        if self._own is None:
            self.state()
        assert self._own is not None
        return self._own

    def rows(self, condition: models.Filter | None = None) -> Iterator[Row]:
        """Every picture of the present generation that passes."""
        wanted = both(visible(self.state().number), condition)
        for point in self.connection.scroll(wanted, payload=list(ABOUT)):
            yield row_of(str(point.id), point.payload or {})

    def row(self, condition: models.Filter) -> Row | None:
        """The one picture that passes."""
        return next(self.rows(condition), None)

    def by_id(self, content: int) -> Row:
        """A picture by its number."""
        row = self._mirror.rows[content] if self._mirror else self.row(where("order", content))
        assert row is not None  # its number came from this gallery
        return row

    def content(self, digest: bytes) -> int | None:
        """The number of the picture with this hash."""
        if self._mirror:
            return self._mirror.by_digest.get(digest)
        row = self.row(where("sha256", digest.hex()))
        return row.id if row else None

    def content_of(self, path: str) -> int | None:
        """The number of the picture that a path holds."""
        row = self._with_path(path)
        return row.id if row else None

    def record(self, identity: str) -> PictureRecord | None:
        """A picture by its id."""
        row = self.row(where("first", identity))
        return record_of(row) if row else None

    def overview(self) -> Overview:
        """The present generation in numbers."""
        return overview(self.connection, self.state().number)

    def metadata_of(self, path: str) -> dict[str, Any]:
        """What `add` was told of a path."""
        row = self._with_path(path)
        return next((dict(held.metadata) for held in row.files if held.file.path == path), {}) if row else {}

    def _with_path(self, path: str) -> Row | None:
        if self._mirror:
            content = self._mirror.by_path.get(path)
            return None if content is None else self._mirror.rows[content]
        return self.row(where("files[].path", stored_path(path)))

    def vector(self, content: int) -> NDArray[np.float32]:
        """The vector (D,) of a picture."""
        (point,) = self.connection.call("retrieve", ids=[self.by_id(content).point], with_vectors=True)
        return np.asarray(point.vector, np.float32)

    def stored_pixels(self, content: int) -> bytes | None:
        """The JPEG of a picture without a file."""
        found = self.connection.call("retrieve", ids=[pixels_id(self.by_id(content).digest)], with_payload=True)
        return base64.b64decode(found[0].payload["pixels"]) if found else None

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or those at a path and below."""
        mirror, rows = self._mirror, self._known()
        if mirror and at in mirror.by_path:  # a file, and so nothing is below it
            rows = [mirror.rows[mirror.by_path[at]]]
        files = {held.file.path: held.file for row in rows for held in row.files}
        return {path: file for path, file in files.items() if at is None or path == at or path.startswith(f"{at}/")}

    def _known(self) -> Iterable[Row]:
        return self._mirror.rows.values() if self._mirror else self.rows()

    def drives(self) -> set[str]:
        """Mount points that were met below indexed folders."""
        (state,) = self.connection.call("retrieve", ids=[STATE], with_payload=["drives"])
        return set((state.payload or {}).get("drives", ()))

    def counts(self) -> tuple[int, int]:
        """Number of files, and of pictures."""
        rows = list(self._known())
        return sum(len(row.files) for row in rows), sum(bool(row.files) for row in rows)

    def digests(self) -> set[bytes]:
        """Hashes of all pictures."""
        return {row.digest for row in self._known()}

    def unread(self) -> set[str]:
        """None: no release ever stored a picture here without its facts."""
        return set()
