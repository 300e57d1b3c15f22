"""What every gallery does, wherever it keeps its pictures: taking in, forgetting, finding."""

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.encoder import Encoder
from araclip.errors import ImageError, InputError
from araclip.gallery.catalog.catalog import KEPT, File
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Intake, Picture, absolute, load, metadata_for_each, source_of
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import Progress, Skip, unreadable, update, update_at
from araclip.gallery.query import Query, combine, parse
from araclip.gallery.ranking import Page
from araclip.gallery.relevance import Scale
from araclip.gallery.results import Addition, Fault, Group, Hit, Stats, Update


class BaseGallery(ABC):
    """`Gallery` and `RemoteGallery`: what they share, over the store that each has."""

    folder: Path | str
    model: Encoder
    _catalog: Store

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """The right to write, for the length of a `with` block."""

    @abstractmethod
    def _fresh(self) -> None:
        """Derive what the next search will need."""

    @abstractmethod
    def _fresh_scale(self) -> Scale | None:
        """What relevance is measured against."""

    @abstractmethod
    def _ranked(
        self, vector: NDArray[np.float32], page: Page, scale: Scale | None, exclude: int | None = None
    ) -> list[Hit]:
        """One page of the pictures nearest to a unit vector (D,), without picture `but`."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of different pictures."""

    @abstractmethod
    def close(self) -> None:
        """Release the store."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ upkeep, told in full in `Opened`

    @abstractmethod
    def stats(self) -> Stats:
        """The gallery in numbers."""

    @abstractmethod
    def duplicates(self, kinds: Collection[str] = ("exact", "near")) -> list[Group]:
        """Groups of files that belong together."""

    @abstractmethod
    def verify(self, *, contents: bool = False, progress: Progress | None = None) -> list[Fault]:
        """Everything that is wrong."""

    @abstractmethod
    def repair(self) -> list[str]:
        """Put right what can be; one line for each thing done."""

    @abstractmethod
    def compact(self) -> int:
        """Give space back; returns how many bytes."""

    @abstractmethod
    def export(self, folder: str | os.PathLike[str]) -> int:
        """Write the gallery for other programs; returns the number of pictures."""

    # ------------------------------------------------------------------ what is in it

    def update(
        self, folders: Iterable[str | os.PathLike[str]], *, progress: Progress | None = None, skip: Skip | None = None
    ) -> Update:
        """Bring the gallery in step with `folders`: new and changed files are encoded, vanished ones forgotten.

        Files outside `folders` stay as they are. Work is committed every few seconds, so a run that is stopped or
        killed goes on where it was.

        Args:
            progress: called with (files done, files found).
            skip: called with one line for each file that cannot be used: its name, why, and what to do.

        Raises:
            InputError: a folder does not exist, or holds no picture (what was indexed there is kept: an unplugged drive
                looks like an empty folder).
            GalleryLocked: another process is writing this gallery.
            OSError: the disk is full or read-only.
        """
        if isinstance(folders, str | os.PathLike):
            raise InputError("update takes several folders, got one. Pass [folder].")
        roots = [checked_root(folder) for folder in folders]
        with self._writing():
            report = update(
                self._catalog, self.model, roots, progress or (lambda done, found: None), skip or (lambda line: None)
            )
            self._fresh()
        return report

    def update_at(
        self,
        paths: Iterable[str],
        folders: Iterable[str | os.PathLike[str]],
        *,
        skip: Skip | None = None,
    ) -> Update:
        """As `update` of `folders`, when all that changed lies at `paths` (absolute) or below: looks only there.

        Where that cannot be told from a few paths (links, drives that come and go), it updates all of `folders`.

        Raises:
            InputError, GalleryLocked, OSError: as for `update`.
        """
        roots = [checked_root(folder) for folder in folders]
        with self._writing():
            report = update_at(self._catalog, self.model, roots, paths, skip or (lambda line: None))
            if report is not None:
                self._fresh()
                return report
        return self.update(roots, skip=skip)

    def add(
        self,
        pictures: Iterable[Picture],
        *,
        metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        skip: Skip | None = None,
    ) -> Addition:
        """Add single pictures: paths, encoded bytes, PIL pictures.

        Of a picture without a file the catalogue keeps the pixels, as a JPEG of at most 1,024 pixels a side, under the
        path `picture:…`, which its content decides: the same bytes added twice are one picture.

        Args:
            metadata: a flat mapping for all pictures, or one for each: texts to texts, numbers, true/false or lists of
                these. Filters find pictures by it. A path's earlier metadata is replaced.
            skip: called with one line for each picture that cannot be used.

        Raises:
            InputError: a single picture instead of several, a folder, a path that does not exist, or odd metadata;
                nothing is added.
            GalleryLocked, OSError: as for `update`.
        """
        if isinstance(pictures, str | os.PathLike | bytes | Image.Image):
            raise InputError("add takes several pictures, got one. Pass [picture].")
        sources = [source_of(picture) for picture in pictures]
        about = metadata_for_each(metadata, len(sources))
        lines: list[str] = []

        def refused(number: int, error: OSError | ImageError) -> None:
            source = sources[number]
            if isinstance(source, File) and isinstance(error, OSError):
                line = unreadable(source.path, error)
            else:
                line = f"picture {number + 1}: {error}"
            lines.append(line)
            if skip:
                skip(line)

        with self._writing():
            paths = Intake(self._catalog, self.model).take(sources, refused, metadata=about)
            self._fresh()
        return Addition(tuple(paths), tuple(lines))

    def remove(self, paths: Iterable[str | os.PathLike[str]]) -> int:
        """Forget pictures by path (`picture:…` too), and all below a folder; returns how many paths were forgotten.

        No file on the disk is touched, and the next `update` of a folder takes in again what still lies there.

        Raises:
            InputError: a path is not in the gallery; nothing is removed.
            GalleryLocked, OSError: as for `update`.
        """
        if isinstance(paths, str | os.PathLike):
            raise InputError("remove takes several paths, got one. Pass [path].")
        with self._writing():
            gone: set[str] = set()
            for path in paths:
                named = absolute(path)
                found = self._catalog.files(named)
                if not found:
                    raise InputError(
                        f"{named} is not in the gallery {self.folder}. Check the path; nothing is removed."
                    )
                gone.update(found)
            with self._catalog.writing():
                self._catalog.remove_files(sorted(gone))
            self._fresh()
        return len(gone)

    def picture(self, path: str) -> bytes:
        """An encoded picture: the file at `path`, or what the gallery keeps under `picture:…`.

        Raises:
            InputError: the path is not in the gallery.
            OSError: its file cannot be read.
        """
        content = self._catalog.content_of(path)
        if content is None:
            raise InputError(f"{path} is not in the gallery {self.folder}. Pass the path of a hit.")
        kept = self._catalog.kept(content) if path.startswith(KEPT) else None
        return kept if kept is not None else Path(path).read_bytes()

    def metadata(self, path: str) -> dict[str, Any]:
        """What `add` was told of a path; empty when nothing."""
        return self._catalog.metadata_of(path)

    # ------------------------------------------------------------------ what it finds

    def search(
        self,
        query: str | Query,
        k: int = 10,
        *,
        filters: Filters | None = None,
        threshold: float = 0.0,
        offset: int = 0,
        files: bool = False,
    ) -> list[Hit]:
        """The k pictures nearest to a query, best first: «قطة + سجادة حمراء - كلب», `picture:…` and weights too.

        Identical files count once, files that are gone from the disk not at all. Equal scores come in the order in
        which their pictures were indexed, so pages (`offset` 0, k, 2 k, …) fit together.

        Args:
            filters: only pictures that pass; none of them is missed, however few pass.
            threshold: leave out what has a lower relevance: at 0.5 the weak hits, all of them for a query that means
                nothing here. Where relevance is not known (a picture in the query, a gallery of a few pictures),
                nothing is left out.
            offset: how many of the best to leave out.
            files: whether a term may name a picture file, as in «./sofa.jpg + لون أزرق». Not for what strangers type.

        Raises:
            InputError: the query is empty or malformed (docs/queries.md), or k, offset or threshold
                makes no sense.
            ImageError: a picture of the query cannot be used.
        """
        page = Page(k, offset, filters or Filters(), threshold)
        parsed = query if isinstance(query, Query) else parse(query, files=files)
        scale = self._fresh_scale() if all(term.kind == "text" for term in parsed.terms) else None
        return self._ranked(combine(self._vectors(parsed), parsed), page, scale)

    def _vectors(self, query: Query) -> NDArray[np.float32]:
        """The vectors of the query's terms, (n, D)."""
        texts = iter(self.model.encode_text([term.value for term in query.terms if term.kind == "text"]))
        rows = [next(texts) if term.kind == "text" else self._picture_vector(term.value)[0] for term in query.terms]
        return np.stack(rows)

    def similar(self, picture: Picture, k: int = 10, *, filters: Filters | None = None, offset: int = 0) -> list[Hit]:
        """The k pictures that look most like a picture (path, bytes, PIL, or `picture:…`), best first.

        The picture itself is left out when the gallery has it. What likeness is worth was not measured: the hits'
        relevance is None.

        Raises:
            InputError: as for `search`.
            ImageError: the picture cannot be used.
        """
        page = Page(k, offset, filters or Filters())
        vector, content = self._picture_vector(picture)
        return self._ranked(vector, page, None, content)

    def _picture_vector(self, picture: Picture) -> tuple[NDArray[np.float32], int | None]:
        """The vector of a picture (D,), and its id if the gallery has it."""
        if isinstance(picture, str) and picture.startswith(KEPT):
            content = self._catalog.content_of(picture)
            if content is None:
                raise InputError(f"{picture} is not in the gallery {self.folder}. Pass the path of a hit.")
            return self._catalog.vector(content), content
        loaded = load(source_of(picture), set(), self.model.image_size)
        assert loaded.look is not None  # nothing is known to `load`
        return self.model.encode_pixels(loaded.look.pixels[None])[0], self._catalog.content(loaded.digest)
