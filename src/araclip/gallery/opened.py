"""An opened gallery: its catalogue, model, index and lock, and the upkeep that needs no query."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.encoder import Encoder
from araclip.gallery import upkeep
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog import history
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.export import export
from araclip.gallery.index.rabitq import FEW
from araclip.gallery.index.scan_index import MANY, ScanIndex
from araclip.gallery.ingest.update import Progress
from araclip.gallery.reference_queries import background
from araclip.gallery.relevance import Scale, scale_of
from araclip.gallery.results import Fault, Group, Stats

SAMPLE = 4096  # pictures; their covariance is as good as that of all, and takes milliseconds


class Opened(BaseGallery):
    """What `Gallery` stands on. Errors of writing: GalleryLocked, and OSError when the disk is full or read-only."""

    folder: Path
    _catalog: Catalog

    def __init__(self, catalog: Catalog, model: Encoder) -> None:
        self.folder = catalog.folder
        self.model = model
        self._catalog = catalog
        self._index: ScanIndex | None = None
        self._scale: tuple[str, Scale | None] | None = None

    def stats(self) -> Stats:
        """The gallery in numbers."""
        return upkeep.stats(self._catalog)

    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of files that belong together, the largest picture of each first; kind by kind.

        Args:
            kinds: exact (the same bytes), near (scaled, recompressed, in another format), semantic (another picture of
                the same scene). Semantic compares every picture with every other, near does not.

        Raises:
            InputError: an unknown kind.
        """
        return upkeep.duplicates(self._catalog, kinds)

    def verify(self, *, contents: bool = False, progress: Progress | None = None) -> list[Fault]:
        """Everything that is wrong: with the catalogue, the vectors, and the files on the disk. Changes nothing.

        Args:
            contents: also read every file and compare its hash: damage that left size and time as they were.
            progress: called with (files done, files in all).
        """
        return upkeep.verify(self._catalog, contents=contents, progress=progress or (lambda done, total: None))

    def repair(self, *, doubt: bool = False, progress: Progress | None = None) -> list[str]:
        """Put right every fault that `verify` calls repairable; returns one line for each thing done.

        A damaged vector is encoded again from the picture, or the picture forgotten until the next `update`.

        Args:
            doubt: the catalogue was damaged, nobody knows where: encode every picture again that can be read.
            progress: called with (pictures done, pictures in all).

        Raises:
            GalleryLocked, OSError: as for `update`.
        """
        with self._writing():
            actions = upkeep.repair(self._catalog, self.model, doubt, progress or (lambda done, total: None))
            self._index = None
            self._fresh()
        return actions

    def compact(self) -> int:
        """Give the space of removed pictures back to the disk; returns how many bytes.

        Raises:
            GalleryLocked, OSError: as for `update`.
        """
        with self._writing():
            saved = upkeep.compact(self._catalog)
            self._index = None
            return saved

    def export(self, folder: str | os.PathLike[str]) -> int:
        """Write the gallery for other programs into `folder`; returns the number of pictures.

        about.json names the model; vectors.npy holds (n, D) float16 of unit length; line i of pictures.jsonl is the
        picture of row i: sha256, format, width, height, taken, added, and its files with path, size and metadata.

        Raises:
            InputError: the folder holds other files. An earlier export there is replaced.
        """
        return export(self._catalog, Path(folder).expanduser())

    def __len__(self) -> int:
        """Number of different pictures."""
        return self._catalog.counts()[1]

    def close(self) -> None:
        """Release the catalogue file."""
        self._catalog.close()

    def _fresh_scale(self) -> Scale | None:
        generation = self._catalog.generation
        if self._scale is None or self._scale[0] != generation:
            everyday, meaningless = background(self.folder, self.model)
            self._scale = (generation, scale_of(self._fresh_index().sample(SAMPLE), everyday, meaningless))
        return self._scale[1]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with atomic.single_writer(self.folder / "lock"):
            atomic.sweep(self.folder)
            yield
            self._catalog.rest()

    def settle(self) -> None:
        """What a writer does at its end, for one that holds the lock otherwise: derive the index, cut the log, seal."""
        self._fresh()
        self._catalog.rest()

    def _fresh(self) -> None:
        """Derive now what the next search will need; only for the one that writes."""
        index = self._fresh_index(MANY)
        index.keep(self._catalog)
        history.forget_before(self._catalog, index.anchor)
        self._fresh_scale()

    def _fresh_index(self, many: int = FEW) -> ScanIndex:
        if self._index is None or self._index.generation != self._catalog.generation:
            self._index = ScanIndex.of(self._catalog, self._texts, self._index, many)
        return self._index

    def _texts(self) -> NDArray[np.float32]:
        return background(self.folder, self.model)[0]
