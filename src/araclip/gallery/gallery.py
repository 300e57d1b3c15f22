"""A gallery: the pictures of some folders, kept in step with the disk and searched by text.

scan ─► unchanged? skip ─► read, hash ─► known? link ─► decode (threads) ─► encode (batches) ─► commit
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.arabic import normalize
from araclip.encoder import AraCLIP
from araclip.errors import ImageError, ImageTooLarge, InputError
from araclip.gallery.ann import ScanIndex
from araclip.gallery.catalog import Catalog, File
from araclip.gallery.scan import Walk, checked_root
from araclip.images import FORMATS, map_ahead, open_image, square
from araclip.model_folder import find

ENCODE_BATCH = 16
MAX_BYTES = 1_000_000_000  # a file is read whole; uncompressed, the largest picture allowed takes 900 MB in 16 bits
COMMIT_EVERY = 128  # pictures a transaction: a killed run loses at most these, about two seconds of work

Progress = Callable[[int, int], None]
Skip = Callable[[str], None]


@dataclass(frozen=True)
class Hit:
    """One picture found: cosine in −1…1, rank from 1, and other paths that hold the very same file."""

    path: str
    score: float
    rank: int
    copies: tuple[str, ...] = ()


@dataclass
class Update:
    """What one run over the folders did, in files."""

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[str] = field(default_factory=list)
    pictures: int = 0


@dataclass(frozen=True)
class _Loaded:
    """A file as read: its hash, and its square unless the gallery has that picture already."""

    file: File
    digest: bytes
    pixels: NDArray[np.uint8] | None


class Gallery:
    """Pictures indexed with one model. One process writes at a time, any number search."""

    def __init__(self, catalog: Catalog, model: AraCLIP) -> None:
        self.folder = catalog.folder
        self.model = model
        self._catalog = catalog
        self._index: tuple[str, ScanIndex] | None = None

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, model: AraCLIP | str = "araclip-mini", create: bool = False
    ) -> "Gallery":
        """Open the gallery in folder `path`.

        Args:
            create: make it if it is not there.

        Raises:
            GalleryNotFound, GalleryCorrupt, NewerGallery: there is none, or it cannot be used.
            WidthMismatch: it was made by another model than `model`.
        """
        encoder = model if isinstance(model, AraCLIP) else AraCLIP(find(model))
        opener = Catalog.create if create else Catalog.open
        config = encoder.config
        return cls(opener(Path(path).expanduser(), config.name, config.fingerprint, config.width), encoder)

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
        report, say = Update(), progress or (lambda done, found: None)
        with atomic.single_writer(self.folder / "lock"):
            walk, known = Walk(), self._catalog.files()
            found: dict[str, File] = {}
            for root in roots:
                here = {file.path: file for file in walk.pictures(root)}
                if not here:
                    raise _nothing_in(root, sum(_below(path, str(root)) for path in known))
                found |= here
            changed = [file for file in found.values() if known.get(file.path) != file]
            report.unchanged = len(found) - len(changed)
            for place, reason in walk.unreadable.items():
                self._skip(report, skip, f"{place}: cannot be read ({reason}). What was indexed there is kept.")
            gone = [
                path
                for path in known
                if path not in found
                and any(_below(path, str(root)) for root in roots)
                and not any(path == place or _below(path, place) for place in walk.unreadable)
            ]
            say(report.unchanged, len(found))
            gone += self._encode(changed, report, skip, lambda done: say(report.unchanged + done, len(found)))
            report.removed = len(known.keys() & set(gone))
            if gone or changed:
                with self._catalog.writing():
                    self._catalog.remove_files(gone)
            _, report.pictures = self._catalog.counts()
            self._fresh_index()
        return report

    def _encode(self, files: list[File], report: Update, skip: Skip | None, done: Callable[[int], None]) -> list[str]:
        """Commit `files` in groups; returns paths that no longer hold a usable picture."""
        lost: list[str] = []
        digests = self._catalog.digests()

        def load(file: File) -> _Loaded | OSError | ImageError:
            try:
                return _load(file, digests, self.model.config.image.size)
            except (OSError, ImageError) as error:
                return error

        def usable() -> Iterator[_Loaded]:
            for count, (file, loaded) in enumerate(map_ahead(load, files, self.model.threads), 1):
                if isinstance(loaded, _Loaded):
                    yield loaded
                elif isinstance(loaded, ImageError):
                    lost.append(file.path)
                    self._skip(report, skip, str(loaded))
                elif isinstance(loaded, FileNotFoundError):  # vanished since the walk: as if it had not been met
                    lost.append(file.path)
                else:
                    self._skip(
                        report,
                        skip,
                        f"{file.path}: cannot be read ({loaded.strerror or loaded}). Check its permissions.",
                    )
                done(count)

        waiting: list[_Loaded] = []
        for loaded in usable():
            waiting.append(loaded)
            if len(waiting) == COMMIT_EVERY:
                self._commit(waiting, digests)
                report.added += len(waiting)
                waiting = []
        if waiting:
            self._commit(waiting, digests)
            report.added += len(waiting)
        return lost

    def _commit(self, group: list[_Loaded], digests: set[bytes]) -> None:
        new = {loaded.digest: loaded.pixels for loaded in group if loaded.pixels is not None}
        vectors: list[NDArray[np.float32]] = []
        squares = [pixels for pixels in new.values() if pixels is not None]
        for start in range(0, len(squares), ENCODE_BATCH):
            vectors.extend(self.model.encode_pixels(np.stack(squares[start : start + ENCODE_BATCH])))
        with self._catalog.writing():
            ids = {
                digest: self._catalog.add_content(digest, vector) for digest, vector in zip(new, vectors, strict=True)
            }
            for loaded in group:
                content = ids.get(loaded.digest) or self._catalog.content(loaded.digest)
                assert content is not None  # a digest without pixels came from the catalogue, which this process locks
                self._catalog.put_file(loaded.file, content)
        digests.update(new)

    @staticmethod
    def _skip(report: Update, skip: Skip | None, line: str) -> None:
        report.skipped.append(line)
        if skip:
            skip(line)

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The k pictures nearest to a text, best first.

        Identical files count once, files that are gone from the disk not at all.

        Raises:
            InputError: the query is empty, or k is not positive.
        """
        if not normalize(query):
            raise InputError("the query is empty. Type what the picture shows, for example: قطة على طاولة")
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 picture.")
        return self._nearest(self.model.encode_text([query])[0], k)

    def _nearest(self, vector: NDArray[np.float32], k: int) -> list[Hit]:
        index, hits, seen = self._fresh_index(), list[Hit](), 0
        while len(hits) < k and seen < len(index):
            ids, scores = index.search(vector, max(k, 2 * seen))  # more, should the first ones be gone from the disk
            for content, score in list(zip(ids, scores, strict=True))[seen:]:
                paths = [path for path in self._catalog.paths_of(content) if os.path.lexists(path)]
                if paths and len(hits) < k:
                    hits.append(Hit(paths[0], score, len(hits) + 1, tuple(paths[1:])))
            seen = len(ids)
        return hits

    def _fresh_index(self) -> ScanIndex:
        generation = self._catalog.generation
        if self._index is None or self._index[0] != generation:
            self._index = (generation, ScanIndex.of(self._catalog))
        return self._index[1]

    def __len__(self) -> int:
        """Number of different pictures."""
        return self._catalog.counts()[1]

    def close(self) -> None:
        """Release the catalogue file."""
        self._catalog.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _load(file: File, known: set[bytes], size: int) -> _Loaded:
    with open(file.path, "rb") as stream:  # noqa: PTH123  (a path that is not UTF-8 stays as it is)
        now = File.of(file.path, os.fstat(stream.fileno()))  # what is read, should it have changed since the walk
        if now.size > MAX_BYTES:
            raise ImageTooLarge(
                f"{file.path}: {now.size / 1e9:.1f} GB, the limit is {MAX_BYTES / 1e9:.0f} GB. Save a smaller copy."
            )
        data = stream.read()
    digest = hashlib.sha256(data).digest()
    if digest in known:
        return _Loaded(now, digest, None)
    return _Loaded(now, digest, square(open_image(io.BytesIO(data), size, name=file.path), size))


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


def _nothing_in(root: Path, indexed: int) -> InputError:
    if indexed:
        return InputError(
            f"no pictures left in {root}, where {indexed:,} were indexed. Is a drive unplugged? They are kept, and "
            "found again when they are back."
        )
    return InputError(
        f"no pictures in {root}. AraCLIP reads {', '.join(FORMATS)} files; hidden files and folders are left out."
    )
