"""Ingestion: pictures are read and hashed, decoded in threads, encoded in batches and committed in groups.

read, hash ─► skip decoding if the hash is known ─► decode (threads) ─► encode (batches) ─► commit
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.errors import ImageError
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.sources import LoadedPicture, Source, read_source
from araclip.images import map_ahead

ENCODE_BATCH = 16
COMMIT_EVERY = 128  # pictures in a transaction: a killed run loses at most these, about two seconds of work
LINK_EVERY = 8  # times as many files whose pictures are known: they cost little, and a commit costs two fsyncs

Refused = Callable[[int, OSError | ImageError], None]


class Intake:
    """The ingestion of one run. `committed` counts the sources whose pictures were committed.

    With `few` pictures, their hashes are looked up one by one when they are committed, instead of all beforehand.
    """

    def __init__(self, catalog: Store, model: Encoder, *, few: bool = False) -> None:
        self.committed = 0
        self._catalog = catalog
        self._model = model
        self._few = few

    @cached_property
    def _known(self) -> set[bytes]:
        return set() if self._few else self._catalog.digests()

    def ingest(
        self,
        sources: Sequence["Source | LoadedPicture"],
        refused: Refused,
        done: Callable[[int], None] = lambda count: None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str | None]:
        """Commit pictures in groups; returns the path of each, None where `refused` was called with number and error.

        A picture whose hash is known gets a further path and is not encoded again. A `LoadedPicture` has been read by
        another process. `done` is called with the number of sources read.
        """
        paths: list[str | None] = []
        waiting: list[tuple[LoadedPicture, Mapping[str, Any] | None]] = []
        decoded = 0  # of the waiting ones
        for number, (_, loaded) in enumerate(map_ahead(self._loaded, sources, self._model.threads)):
            if isinstance(loaded, LoadedPicture):
                paths.append(loaded.file.path)
                waiting.append((loaded, metadata[number] if metadata else None))
                decoded += loaded.decoded is not None
                if decoded == COMMIT_EVERY or len(waiting) == LINK_EVERY * COMMIT_EVERY:
                    self._commit(waiting)
                    waiting, decoded = [], 0
            else:
                paths.append(None)
                refused(number, loaded)
            done(number + 1)
        if waiting:
            self._commit(waiting)
        return paths

    def _loaded(self, source: "Source | LoadedPicture") -> LoadedPicture | OSError | ImageError:
        if isinstance(source, LoadedPicture):
            return source
        try:
            return read_source(source, self._known, self._model.image_size)
        except (OSError, ImageError) as error:
            return error

    def _commit(self, group: list[tuple[LoadedPicture, Mapping[str, Any] | None]]) -> None:
        decoded = {loaded.digest: loaded.decoded for loaded, _ in group if loaded.decoded}
        ids = {digest: self._catalog.content(digest) for loaded, _ in group if (digest := loaded.digest)}
        new = [digest for digest in decoded if ids[digest] is None]
        vectors: list[NDArray[np.float32]] = []
        for start in range(0, len(new), ENCODE_BATCH):
            batch = [decoded[digest].pixels for digest in new[start : start + ENCODE_BATCH]]
            vectors.extend(self._model.encode_pixels(np.stack(batch)))
        with self._catalog.writing():
            for digest, vector in zip(new, vectors, strict=True):
                ids[digest] = self._catalog.add_content(digest, vector)
            for loaded, metadata in group:
                content = ids[loaded.digest]
                assert content is not None  # a picture that was not decoded is in the catalogue
                if loaded.decoded:
                    self._catalog.put_facts(content, loaded.decoded.facts, loaded.decoded.phash)
                if loaded.stored_pixels:
                    self._catalog.store_pixels(content, loaded.stored_pixels)
                self._catalog.put_file(loaded.file, content, metadata)
        if "_known" in vars(self):  # cached only once a source has been read here
            self._known.update(decoded)
        self.committed += len(group)
