"""The vectors of a gallery's next model, which re-embedding stores beside the old ones until every picture has one."""

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.catalog_file import CatalogFile
from araclip.gallery.catalog.records import RecordedModel
from araclip.gallery.catalog.store import NextVectors
from araclip.models.encoder_base import Encoder


class CatalogNextVectors(NextVectors):
    """The table `next_vectors` of a catalogue."""

    def __init__(self, catalog: CatalogFile) -> None:
        self._catalog = catalog

    def missing(self, model: Encoder) -> list[int]:
        if self._catalog.meta("next_fingerprint") != model.fingerprint:
            with self._catalog.writing(visible=False):
                self._catalog.change("DELETE FROM next_vectors")
                self._catalog.put_meta("next_fingerprint", model.fingerprint)
        sql = "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM next_vectors) ORDER BY id"
        return [content for (content,) in self._catalog.rows(sql)]

    def put(self, model: Encoder, vectors: Iterable[tuple[int, NDArray[np.float16]]]) -> None:
        with self._catalog.writing(visible=False):
            rows = ((content, vector.tobytes()) for content, vector in vectors)
            self._catalog.connection.change_each("INSERT INTO next_vectors (content, vector) VALUES (?, ?)", rows)

    def switch(self, model: Encoder) -> None:
        with self._catalog.writing():
            missing = self._catalog.rows(
                "SELECT path FROM files WHERE content NOT IN (SELECT content FROM next_vectors)"
            )
            self._catalog.remove_files([os.fsdecode(raw) for (raw,) in missing])
            self._catalog.change(
                "UPDATE contents SET vector = (SELECT vector FROM next_vectors WHERE content = contents.id)"
            )
            for key, value in RecordedModel.of(model).settings().items():
                self._catalog.put_meta(key, value)
            self._forget()
        self._catalog.checkpoint()

    def drop(self) -> None:
        if self._catalog.meta("next_fingerprint"):
            with self._catalog.writing(visible=False):
                self._forget()
            self._catalog.checkpoint()

    def _forget(self) -> None:
        self._catalog.change("DELETE FROM next_vectors")
        self._catalog.change("DELETE FROM meta WHERE key = 'next_fingerprint'")
