"""Ingestion: pictures are read and hashed, decoded in threads, encoded in batches and committed in groups.

read, hash ─► skip decoding if the hash is known ─► decode (threads) ─► encode (batches) ─► commit

Only a commit needs the writer's lock, so other processes may add and remove pictures between two commits.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder_base import Encoder, pixel_vectors
from araclip.errors import ImageError
from araclip.gallery.catalog.records import File
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.sources import LoadedPicture, PictureBytes, Source, read_source
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.pictures.images import map_ahead, squares_ahead

ENCODE_BATCH = 16
FIRST_COMMIT = 16  # decoded pictures of a run's first transaction, soon seen; each later one may have twice as many
COMMIT_EVERY = 128  # pictures in a transaction: a killed run loses at most these, about two seconds of work
LINK_EVERY = 8  # times as many files whose pictures are known: they cost little, and a commit costs two fsyncs

Refused = Callable[[int, OSError | ImageError], None]
Turn = Callable[[], AbstractContextManager[None]]  # entered for each commit: it holds the writer's lock


@dataclass(frozen=True)
class _Waiting:
    """A picture that has been read and waits for its commit; `number` is its source's."""

    number: int
    loaded: LoadedPicture
    metadata: Mapping[str, Any] | None


def commit_every(size: int) -> int:
    """New pictures in a transaction: as many squares of this side as take the memory of COMMIT_EVERY of 224 pixels."""
    return max(ENCODE_BATCH, COMMIT_EVERY * 224**2 // max(size, 224) ** 2)


class Intake:
    """The ingestion of one run. `committed` counts the sources whose pictures were committed.

    With `few` pictures, their hashes are looked up one by one when they are committed, instead of all beforehand: known
    ones are decoded for nothing, which costs less than reading the hashes of a million pictures.
    """

    def __init__(self, catalog: Store, model: Encoder, turn: Turn, *, few: bool = False) -> None:
        self.committed = 0
        self._catalog = catalog
        self._model = model
        self._turn = turn
        self._few = few

    @cached_property
    def _transform(self) -> ImageTransform:
        return transform_of(self._model)

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
        waiting: list[_Waiting] = []
        decoded = 0  # of the waiting ones
        most = commit_every(self._transform.size)
        enough = min(most, FIRST_COMMIT)

        def refuse(number: int, error: OSError | ImageError) -> None:
            paths[number] = None
            refused(number, error)

        # Looked up in this thread: cached_property has no lock from Python 3.12 on, and threads would share a statement
        known = self._known if any(isinstance(source, File | PictureBytes) for source in sources) else set[bytes]()
        ahead = squares_ahead(self._transform.size)
        loading = map_ahead(lambda source: self._loaded(source, known), sources, self._model.threads, ahead)
        for number, (_, loaded) in enumerate(loading):
            paths.append(None)
            if isinstance(loaded, LoadedPicture):
                paths[number] = loaded.file.path
                waiting.append(_Waiting(number, loaded, metadata[number] if metadata else None))
                decoded += loaded.decoded is not None
                if decoded >= enough or len(waiting) == LINK_EVERY * COMMIT_EVERY:
                    self._commit(waiting, refuse)
                    waiting, decoded, enough = [], 0, min(most, 2 * enough)
            else:
                refuse(number, loaded)
            done(number + 1)
        self._commit(waiting, refuse)
        return paths

    def _loaded(self, source: "Source | LoadedPicture", known: set[bytes]) -> LoadedPicture | OSError | ImageError:
        if isinstance(source, LoadedPicture):
            return source
        try:
            return read_source(source, known, self._transform)
        except (OSError, ImageError) as error:
            return error.with_traceback(None)  # its frames hold the file's bytes

    def _commit(self, group: list[_Waiting], refused: Refused) -> None:
        """Encode what is new, and commit; a picture that another process has removed since is read again."""
        while group:
            group = [read for each in self._committed(group) if (read := self._read_again(each, refused))]

    def _committed(self, group: list[_Waiting]) -> list[_Waiting]:
        """Commit the group; returns those that need to be decoded first, since their picture has been removed."""
        decoded = {each.loaded.digest: each.loaded.decoded for each in group if each.loaded.decoded}
        new = [digest for digest in decoded if self._catalog.content(digest) is None]
        vectors: list[NDArray[np.float32]] = []
        for start in range(0, len(new), ENCODE_BATCH):
            batch = [decoded[digest].pixels for digest in new[start : start + ENCODE_BATCH]]
            vectors.extend(pixel_vectors(self._model, np.stack(batch)))
        lost: list[_Waiting] = []
        with self._turn(), self._catalog.writing():
            ids: dict[bytes, int | None] = {}
            for digest, vector in zip(new, vectors, strict=True):
                ids[digest] = self._catalog.add_content(digest, vector)
            for each in group:
                loaded = each.loaded
                if loaded.digest not in ids:
                    ids[loaded.digest] = self._catalog.content(loaded.digest)
                content = ids[loaded.digest]
                if content is None:
                    lost.append(each)
                    continue
                if loaded.decoded:
                    self._catalog.put_facts(content, loaded.decoded.facts, loaded.decoded.phash)
                if loaded.stored_pixels:
                    self._catalog.store_pixels(content, loaded.stored_pixels)
                self._catalog.put_file(loaded.file, content, each.metadata)
        if "_known" in vars(self):  # cached only once a source has been read here
            self._known.update(decoded)
        self.committed += len(group) - len(lost)
        return lost

    def _read_again(self, each: _Waiting, refused: Refused) -> _Waiting | None:
        if each.loaded.decoded:
            return each
        try:
            return replace(each, loaded=read_source(each.loaded.file, set(), self._transform))
        except (OSError, ImageError) as error:
            refused(each.number, error)
            return None
