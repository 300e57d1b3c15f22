"""Ingest pictures: read and hash them, decode them in threads, encode them in batches, commit them in groups.

read, hash ─► skip decoding if the hash is known ─► decode (threads) ─► encode (batches) ─► commit

Pictures come as paths, bytes, PIL pictures or arrays; or with their vectors, if they were embedded elsewhere. Only a
commit needs the writer's lock, so other processes may add and remove pictures between two commits.
"""

import hashlib
import io
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from io import BufferedReader
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.core.files import openable
from araclip.errors import ImageError, ImageTooLarge, InputError, UnreadableImage
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, File, identity_of, index_path
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.catalog.store import Store
from araclip.gallery.results import Filled
from araclip.models.encoder_base import Encoder, picture_of, pixel_vectors
from araclip.pictures import phash
from araclip.pictures.facts import Facts
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.pictures.images import encode_picture, map_ahead, open_file, open_with_facts, square, squares_ahead
from araclip.pictures.limits import READING
from araclip.pictures.video.decoder import pictures_at, still
from araclip.pictures.video.scenes import Scene, file_hash, scene_digest, scene_of
from araclip.text.normalization import SURROGATES

MAX_BYTES = 1_000_000_000  # limit: bytes of a file; the largest allowed picture has 900 MB as uncompressed 16-bit
WHOLE = 64_000_000  # limit: bytes of a file that is read into memory as a whole
# The longer side, in pixels, of the JPEG that is stored of a picture without a file: enough for a preview and for every
# model; it takes about 200 kB.
STORED_SIDE = 1024
STORED_QUALITY = 90

PictureSource = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]  # an array is (height, width, 3), RGB
T = TypeVar("T")


@dataclass(frozen=True)
class PictureBytes:
    """The bytes of an encoded picture from a tar or an object store, with the `File` that names the picture there."""

    file: File
    data: bytes


Source = File | PictureBytes | bytes | Image.Image


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded picture: the model's square input (S, S, 3) uint8 RGB, facts (format, size …), perceptual hash."""

    pixels: NDArray[np.uint8]
    facts: Facts
    phash: int


@dataclass(frozen=True)
class LoadedPicture:
    """A picture that was read: its file and the SHA-256 hash of its bytes.

    `decoded` is None if the gallery knows the hash already; `stored_pixels` is the JPEG to store for a picture without
    a file.
    """

    file: File
    digest: bytes
    decoded: DecodedPicture | None
    stored_pixels: bytes | None = None


def read_source(source: Source, known: set[bytes], transform: ImageTransform) -> LoadedPicture:
    """Read and hash a picture; decode it unless `known` has its SHA-256. Bytes and PIL pictures are always decoded."""
    if isinstance(source, Image.Image):
        with open_with_facts(source) as (image, facts):
            digest = hashlib.sha256(f"RGB {image.width} {image.height} ".encode() + image.tobytes()).digest()
            pixels = _as_jpeg(image)
            file = File(STORED_PREFIX + identity_of(digest), len(pixels), 0)
            return LoadedPicture(file, digest, _decode(image, facts, transform), pixels)
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).digest()
        file = File(STORED_PREFIX + identity_of(digest), len(source), 0)
        # Decode even a picture that the gallery has, to store a JPEG of it: its file may vanish, the JPEG stays.
        with open_with_facts(io.BytesIO(source), max(STORED_SIDE // 2, transform.size)) as (image, facts):
            return LoadedPicture(file, digest, _decode(image, facts, transform), _as_jpeg(image))
    if isinstance(source, PictureBytes):
        return _load_bytes(source.file, io.BytesIO(source.data), known, transform)
    with open_file(source.path) as stream:
        # take the file's size and time as they are now, because it may have changed since its folder was listed
        file = File.of(source.path, os.fstat(stream.fileno()))
        if file.size > MAX_BYTES:
            raise ImageTooLarge(
                f"{file.path}: {file.size / 1e9:.1f} GB, the limit is {MAX_BYTES / 1e9:.0f} GB. Save a smaller copy."
            )
        with READING.hold(file.size):
            if file.size <= WHOLE:  # read into memory once, so that hash and pixels come from the same bytes
                # The first read asks for one byte more, to notice a longer file; asking for many more takes 0.1 ms to
                # reserve memory.
                data = stream.read(file.size + 1)
                data += stream.read(WHOLE) if len(data) > file.size else b""
                return _load_bytes(file, io.BytesIO(data), known, transform)
            loaded = _load_bytes(file, stream, known, transform)
        # a large file was read twice, for its hash and for its pixels: refuse it if it was changed in between
        if loaded.decoded and File.of(file.path, os.fstat(stream.fileno())) != file:
            raise UnreadableImage(f"{file.path}: it changed while it was read. Index it again when it is complete.")
        return loaded


def _load_bytes(
    file: File, data: io.BytesIO | BufferedReader, known: set[bytes], transform: ImageTransform
) -> LoadedPicture:
    digest = hashlib.file_digest(data, "sha256").digest()
    if digest in known:
        return LoadedPicture(file, digest, None)
    with open_with_facts(data, transform.size, name=file.path, distort=transform.distorts) as (image, facts):
        return LoadedPicture(file, digest, _decode(image, facts, transform))


def _decode(image: Image.Image, facts: Facts, transform: ImageTransform) -> DecodedPicture:
    bits = phash.phash(square(image, phash.SIZE)[None])[0]
    return DecodedPicture(transform.pixels(image), facts, int(bits))


def _as_jpeg(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    return encode_picture(small, "JPEG", quality=STORED_QUALITY)


def source_of(picture: PictureSource) -> Source:
    """Convert a picture of any accepted type to a source for `read_source`.

    Raises:
        InputError: another type, or a path that is no picture file.
    """
    if isinstance(picture, bytes | Image.Image):
        return picture
    if isinstance(picture, np.ndarray):
        return picture_of(picture)  # type: ignore[return-value]  # of an array it is a PIL picture
    if not isinstance(picture, str | os.PathLike):
        raise InputError(
            f"a picture is a path, encoded bytes, a PIL picture or an array of pixels; got {type(picture).__name__}."
        )
    try:
        path = index_path(picture)
    except InputError as error:
        raise InputError(f"no such picture: {error}") from None
    if scene_of(path):
        raise InputError(
            f"{path} is the name of a scene in a video; no picture file can be indexed under it. Rename it."
        )
    try:
        about = os.stat(openable(path))  # noqa: PTH116  (names that are not UTF-8 stay text)
    except OSError as error:
        raise InputError(f"{path}: no such picture ({error.strerror}). Check the path.") from None
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{path} is not a file. Pass picture files, or index a whole folder with update([folder]).")
    return File.of(path, about)


def metadata_for_each(
    metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None, count: int
) -> list[Mapping[str, Any]] | None:
    """Return one mapping for each of `count` pictures; None if there is no metadata.

    Raises:
        InputError: the number of mappings is wrong, or a mapping has a key or a value that cannot be stored as JSON.
    """
    if metadata is None:
        return None
    mappings = [metadata] * count if isinstance(metadata, Mapping) else list(metadata)
    if len(mappings) != count:
        raise InputError(f"{count} pictures but {len(mappings)} metadata. Pass one mapping for all, or one for each.")
    return [_checked_metadata(each) for each in mappings]


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
        for text in (key, *members):
            if isinstance(text, float) and not math.isfinite(text):
                raise InputError(f"metadata {key!r} is {value!r:.80}; JSON has no such number. Leave it out.")
            if isinstance(text, str) and SURROGATES.search(text):
                raise InputError(f"metadata {key!r} is {value!r:.80}, with half of a character. Leave it out.")
    return metadata


def decode_again(
    paths: Iterable[str], digest: bytes, stored_pixels: Callable[[], bytes | None], transform: ImageTransform
) -> DecodedPicture | str:
    """Decode a picture again, from a file with the hash `digest` or the gallery's JPEG; or return why that fails."""
    reason = "its file changed since it was indexed"
    # try the files before the gallery's JPEG, which has fewer pixels
    for path in sorted(paths, key=lambda path: path.startswith(STORED_PREFIX)):
        try:
            if scene := scene_of(path):
                if decoded := decode_scene(scene, digest, transform):
                    return decoded
                continue
            pixels = (stored_pixels() or b"") if path.startswith(STORED_PREFIX) else None
            loaded = read_source(File(path, 0, 0) if pixels is None else pixels, set(), transform)
            if loaded.decoded and (pixels is not None or loaded.digest == digest):
                return loaded.decoded
        except (OSError, ImageError) as error:
            reason = str(error)
    return reason


def decode_scene(scene: Scene, digest: bytes, transform: ImageTransform) -> DecodedPicture | None:
    """Decode a scene of a video again; return None if the file no longer holds the video that had this scene."""
    with open_file(scene.video) as stream:
        if scene_digest(file_hash(stream, scene.video), scene.time) != digest:
            return None
        found = pictures_at(stream, scene.video, [scene.time], transform)
    return DecodedPicture(found.pixels[0], found.facts, found.phashes[0])


def scene_jpeg(scene: Scene) -> bytes:
    """Decode a video scene now, and return it as JPEG of at most STORED_SIDE pixels a side.

    Nothing checks whether the video file was changed since the scene was indexed.
    """
    with open_file(scene.video) as stream:
        return still(stream, scene.video, scene.time, STORED_SIDE)


ENCODE_BATCH = 16
FIRST_COMMIT = 16  # pictures in a run's first commit, so that users see them soon; each later commit may double it
COMMIT_EVERY = 128  # limit: new pictures in a commit: a killed run loses their encoding, about two seconds of work
# limit: all pictures in a commit, in multiples of COMMIT_EVERY: pictures that the gallery has already take little time
LINK_EVERY = 8

Refused = Callable[[int, OSError | ImageError], None]  # called with the position of an unusable source, and the error


@dataclass(frozen=True)
class _WaitingPicture:
    """A picture that was read and waits for its commit; `number` is the position of its source."""

    number: int
    loaded: LoadedPicture
    metadata: Mapping[str, Any] | None


def vectors_in_batches(model: Encoder, squares: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """Encode n decoded squares (S, S, 3), ENCODE_BATCH at a time to save memory; return the n unit vectors (D,)."""
    vectors: list[NDArray[np.float32]] = []
    for start in range(0, len(squares), ENCODE_BATCH):
        vectors.extend(pixel_vectors(model, np.stack(squares[start : start + ENCODE_BATCH])))
    return vectors


def commit_every(size: int) -> int:
    """Return the most new pictures in a commit, for a model whose square inputs have `size` pixels a side.

    Their squares take as much memory as COMMIT_EVERY squares of 224 pixels a side.
    """
    return max(ENCODE_BATCH, COMMIT_EVERY * 224**2 // max(size, 224) ** 2)


class Intake:
    """Ingests the pictures of one run. `committed` counts the sources whose pictures were committed.

    `few`: True if the run has only a few pictures. Then the gallery's hashes are not read beforehand: each hash is
    looked up at its commit. Pictures that the gallery has are then decoded needlessly, but that costs less than reading
    a million hashes.
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
    def _digests(self) -> set[bytes]:
        return set() if self._few else self._catalog.digests()

    def ingest(
        self,
        sources: Sequence["Source | LoadedPicture"],
        refused: Refused,
        done: Callable[[int], None] = lambda count: None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str | None]:
        """Read, encode and commit pictures in groups; return each picture's path, None for a refused picture.

        A picture that the gallery has gets a further path and is not encoded again.

        Args:
            sources: pictures, not read yet; a `LoadedPicture` among them was read by another process already.
            refused: called with the index in `sources`, and the error, of each picture that cannot be used.
            done: called after each source with the number of sources read so far.
            metadata: one mapping for each source.
        """
        paths: list[str | None] = []
        waiting: list[_WaitingPicture] = []
        decoded = 0  # how many of the waiting pictures were decoded
        most = commit_every(self._transform.size)
        enough = min(most, FIRST_COMMIT)

        def refuse(number: int, error: OSError | ImageError) -> None:
            paths[number] = None
            refused(number, error)

        # Look the hashes up in this thread: from Python 3.12 on, cached_property has no lock, so that several threads
        # could run the same statement.
        known = self._digests if any(isinstance(source, File | PictureBytes) for source in sources) else set[bytes]()
        ahead = squares_ahead(self._transform.size)
        loading = map_ahead(lambda source: self._load(source, known), sources, self._model.threads, ahead)
        for number, (_, loaded) in enumerate(loading):
            paths.append(None)
            if isinstance(loaded, LoadedPicture):
                paths[number] = loaded.file.path
                waiting.append(_WaitingPicture(number, loaded, metadata[number] if metadata else None))
                decoded += loaded.decoded is not None
                if decoded >= enough or len(waiting) == LINK_EVERY * COMMIT_EVERY:
                    self._commit(waiting, refuse)
                    waiting, decoded, enough = [], 0, min(most, 2 * enough)
            else:
                refuse(number, loaded)
            done(number + 1)
        self._commit(waiting, refuse)
        return paths

    def _load(self, source: "Source | LoadedPicture", known: set[bytes]) -> LoadedPicture | OSError | ImageError:
        if isinstance(source, LoadedPicture):
            return source
        try:
            return read_source(source, known, self._transform)
        except (OSError, ImageError) as error:
            return error.with_traceback(None)  # drop the traceback: its frames hold the file's bytes

    def _commit(self, group: list[_WaitingPicture], refused: Refused) -> None:
        """Encode new pictures and commit the group; read a picture again if it was removed meanwhile."""
        while group:
            group = [read for each in self._commit_what_is_decoded(group) if (read := self._read_again(each, refused))]

    def _commit_what_is_decoded(self, group: list[_WaitingPicture]) -> list[_WaitingPicture]:
        """Commit the group; return the pictures that were not committed, because they must be decoded first.

        They were not decoded, because the gallery knew them; but another process has removed them meanwhile.
        """
        decoded = {each.loaded.digest: each.loaded.decoded for each in group if each.loaded.decoded}
        new = [digest for digest in decoded if self._catalog.content(digest) is None]
        vectors = vectors_in_batches(self._model, [decoded[digest].pixels for digest in new])
        lost: list[_WaitingPicture] = []
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
                self._catalog.put_file(loaded.file, content, each.metadata, new=loaded.digest in new)
        if "_digests" in vars(self):  # if the set of known hashes was loaded, add the new ones
            self._digests.update(decoded)
        self.committed += len(group) - len(lost)
        return lost

    def _read_again(self, each: _WaitingPicture, refused: Refused) -> _WaitingPicture | None:
        if each.loaded.decoded:
            return each
        try:
            return replace(each, loaded=read_source(each.loaded.file, set(), self._transform))
        except (OSError, ImageError) as error:
            refused(each.number, error)
            return None


def add_embedded(
    store: Store, groups: Iterable[Sequence[EmbeddedPicture]], turn: Turn, progress: Callable[[int], None]
) -> Filled:
    """Commit each group of pictures that were embedded elsewhere; see `BaseGallery.add_embedded`."""
    report, begin = Filled(), time.perf_counter()
    with store.large_writes() if isinstance(store, Catalog) else nullcontext():
        for group in groups:
            with turn(), store.writing():
                report.added += store.put_embedded(group)
            report.read += len(group)
            progress(report.read)
    report.row_seconds = time.perf_counter() - begin
    return report
