"""Checks of vectors, stored pixels and files that `verify` makes in every kind of gallery."""

import hashlib
import io
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from araclip.errors import ImageError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import File
from araclip.gallery.results import Fault
from araclip.pictures.images import open_file, open_image
from araclip.platforms.names import openable
from araclip.video.hashes import file_hash
from araclip.video.scene_paths import Scene, file_of, scene_digest, scene_of

_OUT_OF_LENGTH = 0.02  # float16 rounding moves the length of a unit vector by less than 0.002


def is_unit(vector: NDArray[np.float32]) -> bool:
    """Whether a stored vector has length 1, up to rounding; False for NaN."""
    return bool(abs(float(np.linalg.norm(vector)) - 1) <= _OUT_OF_LENGTH)


def bad_vectors(catalog: Catalog) -> list[int]:
    """Ids of the pictures whose vector has the wrong width or length."""
    width, bad = int(catalog.meta("width")), []
    for content, raw in catalog.rows("SELECT id, vector FROM contents ORDER BY id"):
        if raw is None or len(raw) != 2 * width or not is_unit(np.frombuffer(raw, "<f2").astype(np.float32)):
            bad.append(content)
    return bad


def stored_fault(path: str, pixels: bytes | None) -> Iterator[Fault]:
    """The fault of the stored pixels of a picture without a file, if there is one.

    That there are none is no fault: the file of a picture from shards of `araclip embed` may be elsewhere.
    """
    try:
        if pixels is not None:
            open_image(io.BytesIO(pixels), 16, name=path)
    except ImageError:
        yield Fault(path, "its pixels are damaged", "It is still found; add the picture again to see it.")


def file_fault(stored: File, digest: bytes | None) -> Iterator[Fault]:
    """The fault of a file on the disk, if there is one; its content is compared too if `digest` is given.

    Of a scene, the file is its video.
    """
    scene = scene_of(stored.path)
    file = File(file_of(stored.path), stored.size, stored.mtime_ns)
    try:
        now = File.of(file.path, os.stat(openable(file.path)))  # noqa: PTH116  (names that are not UTF-8 stay text)
        if now != file:
            yield Fault(file.path, "changed since it was indexed", "Run `araclip index` on its folder.")
        elif digest is not None and _digest(file.path, scene) != digest:
            yield Fault(
                file.path, "its content changed while size and time did not", "Restore it from a copy if it is damaged."
            )
    except FileNotFoundError:
        yield Fault(file.path, "is gone", "Run `araclip index` on its folder, or reconnect the drive.")
    except ImageError as error:
        yield Fault(file.path, "is no file any more", str(error))
    except OSError as error:
        yield Fault(file.path, f"cannot be read ({error.strerror or error})", "Check its permissions.")


def _digest(path: str, scene: Scene | None) -> bytes:
    with open_file(path) as stream:
        if scene:
            return scene_digest(file_hash(stream, path), scene.time)
        return hashlib.file_digest(stream, "sha256").digest()
