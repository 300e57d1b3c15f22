"""Queries on a collection: pictures, paths and vectors of the generation that its state names."""

import base64
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.encoder import Encoder
from araclip.gallery.catalog.records import File, Overview, PictureRecord
from araclip.gallery.qdrant.conditions import both, visible, where
from araclip.gallery.qdrant.connection import Connection
from araclip.gallery.qdrant.mirror import Mirror
from araclip.gallery.qdrant.overview import overview
from araclip.gallery.qdrant.payloads import ABOUT, STATE, pixels_id, row_of
from araclip.gallery.qdrant.state import physical_name, read_state
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.rows import Row, record_of, stored_path
from araclip.gallery.remote.state import State
from araclip.video.scene_paths import MARK, file_of


class QdrantLookups:
    """The read-only part of `QdrantCatalog`; documented in `CatalogLookups`. Inside a session it reads the mirror."""

    def __init__(self, alias: Connection, model: Encoder | None) -> None:
        """The gallery at `alias`, with vectors of `model`, or of any model if None."""
        self.alias = alias
        self._model = model
        self._collection: Connection | None = None
        self._mirror: Mirror | None = None

    @property
    def folder(self) -> str:
        """The address."""
        return self.alias.name

    def state(self) -> State:
        """The current state.

        Raises:
            WidthMismatch: the vectors are not of our model.
        """
        state = read_state(self.alias)
        if self._model:
            state.check(self._model, self.folder)
        if self._collection is None:  # resolve the alias once, to read the same collection after a switch
            target = self.alias.of(physical_name(self.alias.collection, state.model.fingerprint))
            self._collection = target if target.exists() else self.alias
        return state

    @property
    def generation(self) -> str:
        """A token of the last commit: equal tokens, equal content."""
        return self.state().generation

    @property
    def connection(self) -> Connection:
        """The collection with our model's vectors, also after the alias is switched to another."""
        if self._collection is None:
            self.state()
        assert self._collection is not None
        return self._collection

    @property
    def recorded(self) -> RecordedModel:
        """The model of the vectors."""
        return self.state().model

    @property
    def stored_bytes(self) -> int:
        """0: the server does not say."""
        return 0

    def rows_with_vectors(self) -> tuple[list[Row], NDArray[np.float32]]:
        """Pictures of one generation in the order of indexing, and their vectors (n, D)."""
        state = self.state()
        pairs = [
            (row_of(str(point.id), point.payload or {}), np.asarray(point.vector, np.float32))
            for point in self.connection.scroll(visible(state.number), vectors=True)
        ]
        pairs.sort(key=lambda pair: pair[0].id)
        vectors = np.stack([vector for _, vector in pairs]) if pairs else np.zeros((0, state.model.width), np.float32)
        return [row for row, _ in pairs], vectors

    def _fetched(self, key: str, value: str | int) -> Iterator[Row]:
        return self.rows(where(key, value))

    def _last_id(self) -> int:
        """The highest id of a picture."""
        points, _ = self.connection.call(
            "scroll", scroll_filter=visible(self.state().number), limit=1, with_payload=["order"], with_vectors=False,
            order_by=models.OrderBy(key="order", direction=models.Direction.DESC),
        )  # fmt: skip
        return int(points[0].payload["order"]) if points else 0

    def rows(self, condition: models.Filter | None = None) -> Iterator[Row]:
        """Every picture of the current generation that passes."""
        passing = both(visible(self.state().number), condition)
        for point in self.connection.scroll(passing, payload=list(ABOUT)):
            yield row_of(str(point.id), point.payload or {})

    def row(self, condition: models.Filter) -> Row | None:
        """The one picture that passes."""
        return next(self.rows(condition), None)

    def by_id(self, content: int) -> Row:
        """A picture by its id in this gallery."""
        row = self._mirror.with_id(content) if self._mirror else self.row(where("order", content))
        assert row is not None  # ids come from this gallery
        return row

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash."""
        if self._mirror:
            return self._mirror.with_digest(digest)
        row = self.row(where("sha256", digest.hex()))
        return row.id if row else None

    def content_of(self, path: str) -> int | None:
        """The id of the picture at a path."""
        row = self._with_path(path)
        return row.id if row else None

    def record(self, identity: str) -> PictureRecord | None:
        """A picture by its id over HTTP."""
        row = self.row(where("first", identity))
        return record_of(row) if row else None

    def overview(self) -> Overview:
        """Counts of the current generation."""
        return overview(self.connection, self.state().number)

    def metadata_of(self, path: str) -> dict[str, Any]:
        """The metadata stored with a path."""
        row = self._with_path(path)
        return next((dict(entry.metadata) for entry in row.files if entry.file.path == path), {}) if row else {}

    def _with_path(self, path: str) -> Row | None:
        if self._mirror:
            content = self._mirror.with_path(path)
            return None if content is None else self._mirror.rows[content]
        return self.row(where("files[].path", stored_path(path)))

    def vector(self, content: int) -> NDArray[np.float32]:
        """The vector (D,) of a picture."""
        (point,) = self.connection.call("retrieve", ids=[self.by_id(content).point], with_vectors=True)
        return np.asarray(point.vector, np.float32)

    def stored_pixels(self, content: int) -> bytes | None:
        """The JPEG of a picture without a file."""
        points = self.connection.call("retrieve", ids=[pixels_id(self.by_id(content).digest)], with_payload=True)
        return base64.b64decode(points[0].payload["pixels"]) if points else None

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or those at a path and below."""
        mirror, rows = self._mirror, self._all_rows()
        if mirror and at is not None:
            mirror.fetch_file(at)
        if mirror and at in mirror.by_path:  # a picture: nothing lies below it
            rows = [mirror.rows[mirror.by_path[at]]]
        files = {entry.file.path: entry.file for row in rows for entry in row.files}
        inside = (f"{at}{os.sep}", f"{at}{MARK}")
        return {path: file for path, file in files.items() if at is None or path == at or path.startswith(inside)}

    def _all_rows(self) -> Iterable[Row]:
        return self._mirror.rows.values() if self._mirror else self.rows()

    def drives(self) -> set[str]:
        """Mount points seen below indexed folders."""
        (state,) = self.connection.call("retrieve", ids=[STATE], with_payload=["drives"])
        return set((state.payload or {}).get("drives", ()))

    def counts(self) -> tuple[int, int]:
        """Number of files, and of pictures."""
        rows = list(self._all_rows())
        return len({file_of(entry.file.path) for row in rows for entry in row.files}), sum(
            bool(row.files) for row in rows
        )

    def digests(self) -> set[bytes]:
        """Hashes of all pictures that are complete."""
        return {row.digest for row in self._all_rows() if row.photo_read}

    def incomplete(self) -> set[str]:
        """Paths of pictures without camera and place, which older releases did not store."""
        return {entry.file.path for row in self._all_rows() if not row.photo_read for entry in row.files}
