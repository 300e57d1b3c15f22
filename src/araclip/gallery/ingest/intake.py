"""The way in: pictures are read and hashed, decoded by threads, encoded in batches and committed in groups.

read, hash ─► known? link ─► decode (threads) ─► encode (batches) ─► commit
"""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip import phash
from araclip.encoder import Encoder
from araclip.errors import ImageError, ImageTooLarge, InputError
from araclip.gallery.catalog.catalog import KEPT, File
from araclip.gallery.catalog.store import Store
from araclip.images import Facts, map_ahead, open_image, read_facts, square

ENCODE_BATCH = 16
MAX_BYTES = 1_000_000_000  # a file is read whole; uncompressed, the largest picture allowed takes 900 MB in 16 bits
COMMIT_EVERY = 128  # pictures a transaction: a killed run loses at most these, about two seconds of work
LINK_EVERY = 8  # times as many files, when they hold pictures that are known: a commit costs two flushes of the disk
KEPT_SIDE = 1024  # pixels: enough for a preview and for every model's square, about 200 kB as JPEG
KEPT_QUALITY = 90

Picture = str | os.PathLike[str] | bytes | Image.Image
Source = File | bytes | Image.Image
Refused = Callable[[int, OSError | ImageError], None]


@dataclass(frozen=True)
class Look:
    """A decoded picture: the model's square (S, S, 3), its facts, its perceptual hash."""

    pixels: NDArray[np.uint8]
    facts: Facts
    phash: int


@dataclass(frozen=True)
class Loaded:
    """A source as read: its path, its hash, its look unless the gallery knows it, its pixels if they shall be kept."""

    file: File
    digest: bytes
    look: Look | None
    kept: bytes | None = None


class Intake:
    """What one run brings in. `taken` counts what was committed.

    With `few` pictures to come, their hashes are looked up one by one, when they are committed.
    """

    def __init__(self, catalog: Store, model: Encoder, *, few: bool = False) -> None:
        self.taken = 0
        self._catalog = catalog
        self._model = model
        self._few = few

    @cached_property
    def _known(self) -> set[bytes]:
        return set() if self._few else self._catalog.digests()

    def take(
        self,
        sources: Sequence["Source | Loaded"],
        refused: Refused,
        done: Callable[[int], None] = lambda count: None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str | None]:
        """Commit pictures in groups; returns the path of each, None where `refused` was told its number and why.

        A picture that is known by its hash is linked, not encoded; one that another process has read may come as
        `Loaded`. `done` is told how many have been looked at.
        """
        paths: list[str | None] = []
        waiting: list[tuple[Loaded, Mapping[str, Any] | None]] = []
        looks = 0  # of those that wait
        for number, (_, loaded) in enumerate(map_ahead(self._loaded, sources, self._model.threads)):
            if isinstance(loaded, Loaded):
                paths.append(loaded.file.path)
                waiting.append((loaded, metadata[number] if metadata else None))
                looks += loaded.look is not None
                if looks == COMMIT_EVERY or len(waiting) == LINK_EVERY * COMMIT_EVERY:
                    self._commit(waiting)
                    waiting, looks = [], 0
            else:
                paths.append(None)
                refused(number, loaded)
            done(number + 1)
        if waiting:
            self._commit(waiting)
        return paths

    def _loaded(self, source: "Source | Loaded") -> Loaded | OSError | ImageError:
        if isinstance(source, Loaded):
            return source
        try:
            return load(source, self._known, self._model.image_size)
        except (OSError, ImageError) as error:
            return error

    def _commit(self, group: list[tuple[Loaded, Mapping[str, Any] | None]]) -> None:
        looks = {loaded.digest: loaded.look for loaded, _ in group if loaded.look}
        ids = {digest: self._catalog.content(digest) for loaded, _ in group if (digest := loaded.digest)}
        new = [digest for digest in looks if ids[digest] is None]
        vectors: list[NDArray[np.float32]] = []
        for start in range(0, len(new), ENCODE_BATCH):
            batch = [looks[digest].pixels for digest in new[start : start + ENCODE_BATCH]]
            vectors.extend(self._model.encode_pixels(np.stack(batch)))
        with self._catalog.writing():
            for digest, vector in zip(new, vectors, strict=True):
                ids[digest] = self._catalog.add_content(digest, vector)
            for loaded, metadata in group:
                content = ids[loaded.digest]
                assert content is not None  # without a look it came from the catalogue, from which nobody removes now
                if loaded.look:
                    self._catalog.put_facts(content, loaded.look.facts, loaded.look.phash)
                if loaded.kept:
                    self._catalog.keep(content, loaded.kept)
                self._catalog.put_file(loaded.file, content, metadata)
        if "_known" in vars(self):  # not if all came as Loaded, and nobody asked what is known
            self._known.update(looks)
        self.taken += len(group)


def load(source: Source, known: set[bytes], size: int) -> Loaded:
    """Read one picture; decode it unless its hash is in `known`.

    Raises:
        OSError, ImageError: it cannot be read, or used.
    """
    if isinstance(source, Image.Image):
        return _in_memory(source, size)
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).digest()
        image = open_image(io.BytesIO(source), KEPT_SIDE // 2)  # also if known: its file may vanish, these pixels stay
        look = _look(image, read_facts(io.BytesIO(source)), size)
        return Loaded(_kept_file(digest, len(source)), digest, look, _as_jpeg(image))
    with open(source.path, "rb") as stream:  # noqa: PTH123  (a path that is not UTF-8 stays as it is)
        file = File.of(source.path, os.fstat(stream.fileno()))  # what is read, should it have changed since the walk
        if file.size > MAX_BYTES:
            raise ImageTooLarge(
                f"{file.path}: {file.size / 1e9:.1f} GB, the limit is {MAX_BYTES / 1e9:.0f} GB. Save a smaller copy."
            )
        data = stream.read()
    digest = hashlib.sha256(data).digest()
    if digest in known:
        return Loaded(file, digest, None)
    image = open_image(io.BytesIO(data), size, name=file.path)
    return Loaded(file, digest, _look(image, read_facts(io.BytesIO(data)), size))


def _in_memory(source: Image.Image, size: int) -> Loaded:
    image = open_image(source)
    digest = hashlib.sha256(f"RGB {image.width} {image.height} ".encode() + image.tobytes()).digest()
    kept = _as_jpeg(image)
    return Loaded(_kept_file(digest, len(kept)), digest, _look(image, read_facts(source), size), kept)


def _look(image: Image.Image, facts: Facts, size: int) -> Look:
    bits = phash.phash(square(image, phash.SIZE)[None])[0]
    return Look(square(image, size), facts, int(bits))


def _kept_file(digest: bytes, size: int) -> File:
    return File(KEPT + digest.hex()[:32], size, 0)


def _as_jpeg(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, "JPEG", quality=KEPT_QUALITY)
    return written.getvalue()


def source_of(picture: Picture) -> Source:
    """What `load` reads for a picture of any kind.

    Raises:
        InputError: the path leads to no file.
    """
    if isinstance(picture, bytes | Image.Image):
        return picture
    path = absolute(picture)
    try:
        about = os.stat(path)  # noqa: PTH116  (names that are not UTF-8 stay text)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: no such picture ({reason}). Check the path.") from None
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{path} is no file. Pass picture files, or bring a whole folder in with update([folder]).")
    return File.of(path, about)


def absolute(path: str | os.PathLike[str]) -> str:
    """As `update` stores it: the folder's links resolved, the file's own not."""
    if str(path).startswith(KEPT):
        return str(path)
    named = Path(path).expanduser()
    return str(named.parent.resolve() / named.name)


def metadata_for_each(
    metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None, count: int
) -> list[Mapping[str, Any]] | None:
    """One mapping for each of `count` pictures, or None when there is no metadata.

    Raises:
        InputError: another number of mappings, or odd ones.
    """
    if metadata is None:
        return None
    several = [metadata] * count if isinstance(metadata, Mapping) else list(metadata)
    if len(several) != count:
        raise InputError(f"{count} pictures but {len(several)} metadata. Pass one mapping for all, or one for each.")
    return [_checked_metadata(each) for each in several]


def _checked_metadata(metadata: object) -> Mapping[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadata is a {type(metadata).__name__}; pass a mapping, such as {{'album': 'رحلة'}}.")
    for key, value in metadata.items():
        members = value if isinstance(value, list | tuple) else [value]
        if not isinstance(key, str) or not all(isinstance(member, str | int | float | bool) for member in members):
            raise InputError(
                f"metadata {key!r} is {value!r:.80}; a key is a text, a value a text, a number, true, false or a list "
                "of these."
            )
    return metadata


def look_again(paths: Iterable[str], digest: bytes, kept: Callable[[], bytes | None], size: int) -> Look | str:
    """A known picture decoded anew, from a file that still holds it or else from its kept pixels; or why not."""
    reason = "its file changed since it was indexed"
    for path in sorted(paths, key=lambda path: path.startswith(KEPT)):  # the file is better than a JPEG of it
        try:
            pixels = (kept() or b"") if path.startswith(KEPT) else None
            loaded = load(File(path, 0, 0) if pixels is None else pixels, set(), size)
            if loaded.look and (pixels is not None or loaded.digest == digest):
                return loaded.look
        except (OSError, ImageError) as error:
            reason = str(error)
    return reason
