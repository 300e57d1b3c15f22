"""Ingestion: pictures are read and hashed, decoded by threads, encoded in batches and committed in groups.

read, hash ─► known? link ─► decode (threads) ─► encode (batches) ─► commit
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
COMMIT_EVERY = 128  # pictures a transaction: a killed run loses at most these, about two seconds of work
LINK_EVERY = 8  # times as many files, when they hold pictures that are known: a commit costs two flushes of the disk

Refused = Callable[[int, OSError | ImageError], None]


class Intake:
    """What one run brings in. `committed` counts the sources whose pictures were committed.

    With `few` pictures to come, their hashes are looked up one by one, when they are committed.
    """

    def __init__(self, catalog: Store, model: Encoder, *, few: bool = False) -> None:
        self.committed = 0
        self._catalog = catalog
        self._model = model
        self._few = few

    @cached_property
    def _known(self) -> set[bytes]:
        return set() if self._few else self._catalog.digests()

    def take(
        self,
        sources: Sequence["Source | LoadedPicture"],
        refused: Refused,
        done: Callable[[int], None] = lambda count: None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str | None]:
        """Commit pictures in groups; returns the path of each, None where `refused` was told its number and why.

        A picture that is known by its hash is linked, not encoded; one that another process has read may come as
        `LoadedPicture`. `done` is called with how many sources have been read.
        """
        paths: list[str | None] = []
        waiting: list[tuple[LoadedPicture, Mapping[str, Any] | None]] = []
        decoded = 0  # of those that wait
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
                assert content is not None  # not decoded, so the catalogue has it; the writer holds the lock
                if loaded.decoded:
                    self._catalog.put_facts(content, loaded.decoded.facts, loaded.decoded.phash)
                if loaded.stored_pixels:
                    self._catalog.store_pixels(content, loaded.stored_pixels)
                self._catalog.put_file(loaded.file, content, metadata)
        if "_known" in vars(self):  # not where all came as LoadedPicture and the hashes were never read
            self._known.update(decoded)
        self.committed += len(group)
