"""Pictures as callers pass them (paths, bytes, PIL pictures, arrays), read, hashed and decoded for the store."""

import hashlib
import io
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.encoder_base import picture_of
from araclip.errors import ImageError, ImageTooLarge, InputError, UnreadableImage
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.paths import text_path, user_path
from araclip.picture_limits.decode_budget import READING
from araclip.pictures import phash
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import open_file, opened, square
from araclip.pictures.picture_facts import Facts
from araclip.platforms.names import openable
from araclip.text.normalization import SURROGATES
from araclip.video.decoder import pictures_at, still
from araclip.video.hashes import file_hash
from araclip.video.scene_paths import Scene, scene_digest, scene_of, stored

MAX_BYTES = 1_000_000_000  # the largest picture allowed takes 900 MB as uncompressed 16-bit
WHOLE = 64_000_000  # a file of at most so many bytes is read into memory
STORED_SIDE = 1024  # pixels: enough for a preview and for the input of every model, about 200 kB as JPEG
STORED_QUALITY = 90

PictureSource = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]  # an array is (H, W, 3) RGB
T = TypeVar("T")


@dataclass(frozen=True)
class PictureBytes:
    """The bytes of an encoded picture that were read from elsewhere, as the file that they are there."""

    file: File
    data: bytes


Source = File | PictureBytes | bytes | Image.Image


@dataclass(frozen=True)
class DecodedPicture:
    """The model's input, (S, S, 3) uint8 RGB; the facts of the header; and the perceptual hash (64 bits)."""

    pixels: NDArray[np.uint8]
    facts: Facts
    phash: int


@dataclass(frozen=True)
class LoadedPicture:
    """A source as read: its file and hash, the decoded picture unless the gallery knows the hash, and for a source
    without a file the JPEG to store."""

    file: File
    digest: bytes
    decoded: DecodedPicture | None
    stored_pixels: bytes | None = None


def read_source(source: Source, known: set[bytes], transform: ImageTransform) -> LoadedPicture:
    """Read one picture; decode it unless its hash is in `known`.

    Raises:
        OSError: it cannot be read.
        ImageError: it is not a usable picture.
    """
    if isinstance(source, Image.Image):
        return _in_memory(source, transform)
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).digest()
        # Decoded even if the hash is known: the file may vanish, stored pixels stay.
        with opened(io.BytesIO(source), max(STORED_SIDE // 2, transform.size)) as (image, facts):
            return LoadedPicture(
                _stored_file(digest, len(source)), digest, _decoded(image, facts, transform), _as_jpeg(image)
            )
    if isinstance(source, PictureBytes):
        return _from_bytes(source.file, io.BytesIO(source.data), known, transform)
    with open_file(source.path) as stream:
        file = File.of(source.path, os.fstat(stream.fileno()))  # it may have changed since the walk
        if file.size > MAX_BYTES:
            raise ImageTooLarge(
                f"{file.path}: {file.size / 1e9:.1f} GB, the limit is {MAX_BYTES / 1e9:.0f} GB. Save a smaller copy."
            )
        with READING.hold(file.size):
            return _from_file(file, stream, known, transform)


def _from_file(file: File, stream: BufferedReader, known: set[bytes], transform: ImageTransform) -> LoadedPicture:
    """Decode what was hashed: the bytes in memory or, of a large file, the file if nobody wrote to it meanwhile."""
    if file.size <= WHOLE:
        return _from_bytes(file, io.BytesIO(_whole(stream, file.size)), known, transform)
    loaded = _from_bytes(file, stream, known, transform)
    if loaded.decoded and File.of(file.path, os.fstat(stream.fileno())) != file:
        raise UnreadableImage(f"{file.path}: it changed while it was read. Index it again when it is complete.")
    return loaded


def _from_bytes(
    file: File, data: io.BytesIO | BufferedReader, known: set[bytes], transform: ImageTransform
) -> LoadedPicture:
    digest = hashlib.file_digest(data, "sha256").digest()
    if digest in known:
        return LoadedPicture(file, digest, None)
    with opened(data, transform.size, name=file.path, distort=transform.distorts) as (image, facts):
        return LoadedPicture(file, digest, _decoded(image, facts, transform))


def _whole(stream: BufferedReader, size: int) -> bytes:
    """All bytes of a file that has this size, or had it a moment ago. Asking for more would reserve it: 0.1 ms."""
    data = stream.read(size + 1)
    return data + stream.read(WHOLE) if len(data) > size else data


def _in_memory(source: Image.Image, transform: ImageTransform) -> LoadedPicture:
    with opened(source) as (image, facts):
        digest = hashlib.sha256(f"RGB {image.width} {image.height} ".encode() + image.tobytes()).digest()
        pixels = _as_jpeg(image)
        return LoadedPicture(_stored_file(digest, len(pixels)), digest, _decoded(image, facts, transform), pixels)


def _decoded(image: Image.Image, facts: Facts, transform: ImageTransform) -> DecodedPicture:
    bits = phash.phash(square(image, phash.SIZE)[None])[0]
    return DecodedPicture(transform.pixels(image), facts, int(bits))


def _stored_file(digest: bytes, size: int) -> File:
    return File(STORED_PREFIX + digest.hex()[:32], size, 0)


def _as_jpeg(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, "JPEG", quality=STORED_QUALITY)
    return written.getvalue()


def source_of(picture: PictureSource) -> Source:
    """A picture of any accepted type as a source for `read_source`.

    Raises:
        InputError: the path is not a file, or the type is not accepted.
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


def several(items: Iterable[T], method: str, kind: str) -> Iterable[T]:
    """The items, unchanged.

    Raises:
        InputError: a single item was passed instead of an iterable.
    """
    if isinstance(items, str | os.PathLike | bytes | Image.Image | np.ndarray):
        raise InputError(f"{method} takes several {kind}s, got one. Pass [{kind}].")
    if not isinstance(items, Iterable):
        raise InputError(f"{method} takes several {kind}s, got {type(items).__name__}. Pass [{kind}].")
    return items


def index_path(path: str | os.PathLike[str]) -> str:
    """The path under which `update` indexes a file: links of its folder are resolved, the file's own is not."""
    text = text_path(path)
    if text.startswith(STORED_PREFIX):
        return text
    named = user_path(text)
    return stored(str(named.parent.resolve() / named.name))


def index_paths(path: str | os.PathLike[str]) -> list[str]:
    """The paths that a gallery may have for a file or folder as it is named, the likeliest first: as it stands, which a
    hit below a linked folder is indexed under; `index_path`; of a link to an indexed folder, where that folder is.

    Raises:
        InputError: as for `user_path`.
    """
    text = text_path(path)
    if text.startswith(STORED_PREFIX):
        return [text]
    named = user_path(path)
    folder = [str(named.resolve())] if os.path.isdir(named) else []  # noqa: PTH112  (False where it may not be seen)
    return list(dict.fromkeys([stored(str(named.absolute())), index_path(path), *folder]))


def metadata_for_each(
    metadata: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None, count: int
) -> list[Mapping[str, Any]] | None:
    """One mapping for each of `count` pictures, or None when there is no metadata.

    Raises:
        InputError: another number of mappings, or values of a wrong type.
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
    """A known picture decoded again, from a file that still holds it or its stored pixels; or the reason why not."""
    reason = "its file changed since it was indexed"
    for path in sorted(paths, key=lambda path: path.startswith(STORED_PREFIX)):  # files first, then the smaller JPEG
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
    """A scene decoded again; None if its video is not the one that it was seen in.

    Raises:
        OSError, ImageError: it cannot be read.
    """
    with open_file(scene.video) as stream:
        if scene_digest(file_hash(stream, scene.video), scene.time) != digest:
            return None
        found = pictures_at(stream, scene.video, [scene.time], transform)
    return DecodedPicture(found.pixels[0], found.facts, found.phashes[0])


def scene_jpeg(scene: Scene) -> bytes:
    """The picture of a scene as JPEG, of at most STORED_SIDE pixels a side, whatever the video is by now.

    Raises:
        OSError, ImageError: it cannot be read.
    """
    with open_file(scene.video) as stream:
        return still(stream, scene.video, scene.time, STORED_SIDE)
