"""Filling a gallery from shards: their rows, checked, become rows of its store; nothing is decoded or encoded.

A picture whose file is not on this machine (a store's, a tar's, another machine's) is stored without a file: it is
found like any other, under its name, and cannot be shown until its file is indexed here.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.bulk.output import ShardFolder
from araclip.bulk.shard_file import FACTS, ShardHeader, read_batches, read_header
from araclip.encoder import Encoder, as_encoder
from araclip.errors import InputError, ModelNotFound, ShardMismatch, first_line
from araclip.gallery.absent_model import AbsentModel
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.embedded.pictures import EMPTY, EmbeddedPictures
from araclip.gallery.catalog.records import STORED_PREFIX, identity_of
from araclip.gallery.recorded_model import recorded_encoder
from araclip.gallery.remote.rows import read_path
from araclip.gallery.results import Filled
from araclip.photo_metadata.record import NOTHING_KNOWN, PhotoMetadata, coordinates, iso_time, name_of
from araclip.picture_formats.kinds import FORMATS
from araclip.pictures.captions import MAX_LETTERS
from araclip.vectors import UNIT_TOLERANCE
from araclip.video.scene_paths import file_of

GROUP = 16_384  # pictures in a commit: a second of work, 16 MB at 512 numbers each
BLOCK = 512  # vectors whose lengths are computed at once: they stay in the processor's cache
MAX_PATH = 4096  # bytes
REQUIRED = ("path", "vector", "sha256", "phash", "size", "mtime_ns", "has_file", "format", "width", "height", "caption")


@dataclass(frozen=True)
class ShardSet:
    """The finished shards of a folder, all of one model."""

    folder: ShardFolder
    names: tuple[str, ...]
    headers: tuple[ShardHeader, ...]

    @property
    def pictures(self) -> int:
        """Rows of all shards."""
        return sum(header.rows for header in self.headers)

    @property
    def missing(self) -> int:
        """How many shards of the plan are not there."""
        return self.headers[0].shards - len(self.names)


def shards_in(out: str | os.PathLike[str]) -> ShardSet:
    """The shards that `embed` has finished in a folder.

    Raises:
        InputError: there is none, or a parquet file there is no shard.
        ShardMismatch: they are of several models or sources.
        SourceError: they cannot be read now.
    """
    folder = ShardFolder(out)
    names = tuple(name for name in folder.names() if name.endswith(".parquet") and not name.startswith("."))
    if not names:
        raise InputError(f"no shards in {folder.place}. Make them with `araclip embed SOURCE {folder.place}`.")
    headers = tuple(read_header(folder.path_of(name)) for name in names)
    for name, header in zip(names, headers, strict=True):
        mine, first = (
            (each.model.fingerprint, each.model.width, each.fingerprint, each.shards) for each in (header, headers[0])
        )
        if mine != first:
            raise ShardMismatch(
                f"{folder.place} holds shards of several models, sources or numbers: {names[0]} is of "
                f"{headers[0].model.label}, {name} of {header.model.label}. Move one kind to another folder."
            )
    return ShardSet(folder, names, headers)


def encoder_of_shards(shards: ShardSet, model: str | None = None, *, device: str | None = None) -> Encoder:
    """The encoder that made them, or what stands for it where it is not on this machine.

    Raises:
        ShardMismatch: `model` is another one.
        ModelError, InputError: `model` cannot be loaded.
    """
    record = shards.headers[0].model
    if model is None:
        try:
            return recorded_encoder(record, shards.folder.place, device=device)
        except ModelNotFound as why:
            return AbsentModel(record, why)
    encoder = as_encoder(model, device=device)
    if encoder.fingerprint != record.fingerprint:
        raise ShardMismatch(
            f"{shards.folder.place} holds vectors of {record.label}, and {encoder.label} is asked for. Leave --model "
            "out, or embed the source with that model."
        )
    return encoder


def fill(gallery: BaseGallery, shards: ShardSet, *, progress: Callable[[int], None] | None = None) -> Filled:
    """Fill a gallery from shards; what it holds already stays.

    Args:
        progress: called with the number of pictures read.

    Raises:
        ShardMismatch: the gallery is another model's.
        InputError: a shard is damaged; what was read before it is committed.
        GalleryError, OSError: as for `BaseGallery.update`.
    """
    record = shards.headers[0].model
    if (gallery.model.fingerprint, gallery.model.width) != (record.fingerprint, record.width):
        raise ShardMismatch(
            f"{shards.folder.place} holds vectors of {record.label}, and gallery {gallery.folder} those of "
            f"{gallery.model.label}. Fill another gallery."
        )
    return gallery.add_embedded(_groups(shards), progress=progress)


def _groups(shards: ShardSet) -> Iterator[EmbeddedPictures]:
    folders = _Folders()
    for name in shards.names:
        place = shards.folder.path_of(name)
        for header, batch in read_batches(place, GROUP, (*REQUIRED, *FACTS)):
            try:
                yield _pictures(batch, header.model.width, place, folders)
            except ValueError as error:  # of a text that is no UTF-8, a path that is no base64
                raise _damaged(place, f"a text that cannot be read ({first_line(error):.80})") from None


class _Folders:
    """Which folders are on this machine, each asked once."""

    def __init__(self) -> None:
        self._there: dict[str, bool] = {}

    def has(self, path: str) -> bool:
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in self._there:
            self._there[folder] = os.path.isabs(path) and os.path.isdir(folder)  # noqa: PTH112, PTH117
        return self._there[folder]


def _pictures(batch: Any, width: int, place: str, folders: _Folders) -> EmbeddedPictures:
    """The rows of a batch, checked: a shard may come from a stranger.

    Raises:
        InputError: they cannot be what `embed` wrote.
    """
    for name in REQUIRED:
        if batch.column(name).null_count:
            raise _damaged(place, f"column {name} has gaps")
    rows = {name: batch.column(name).to_pylist() for name in REQUIRED if name != "vector"}
    vectors = _vectors(batch.column("vector"), width, place)
    if not set(rows["format"]) <= {*FORMATS} or min(rows["width"] + rows["height"], default=1) < 1:
        raise _damaged(place, "formats or sizes that no picture has")
    paths, metadata = [], []
    for raw, own, digest in zip(rows["path"], rows["has_file"], rows["sha256"], strict=True):
        path = read_path(raw) if raw.startswith("bytes:") else raw
        if "\0" in path or not path or len(path) > MAX_PATH or file_of(path) != path or path.startswith(STORED_PREFIX):
            raise _damaged(place, f"the path {path[:80]!r}")
        if own and folders.has(path):
            paths.append(path)
            metadata.append(EMPTY)
        else:
            paths.append(STORED_PREFIX + identity_of(digest))
            metadata.append({"name": raw.rpartition("/")[2] or raw, "source": raw})
    return EmbeddedPictures(
        paths=paths, sizes=rows["size"], mtimes_ns=rows["mtime_ns"], digests=rows["sha256"], vectors=vectors,
        phashes=rows["phash"], formats=rows["format"], widths=rows["width"], heights=rows["height"],
        captions=[caption[:MAX_LETTERS] for caption in rows["caption"]], photos=_photos(batch), metadata=metadata,
    )  # fmt: skip


def _vectors(column: Any, width: int, place: str) -> NDArray[np.float16]:
    flat = column.flatten()  # its memory as it is: `to_numpy` imports pandas where that is installed, a second
    vectors = np.frombuffer(flat.buffers()[1], "<f2", len(flat), 2 * flat.offset).reshape(-1, width)  # (n, D)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        if not bool((np.abs(lengths - 1) <= 2 * UNIT_TOLERANCE).all()):  # NaN neither
            raise _damaged(place, "vectors that are not of unit length")
    return vectors


def _photos(batch: Any) -> list[PhotoMetadata]:
    columns = [batch.column(name) for name in FACTS]
    if all(column.null_count == len(column) for column in columns):
        return [NOTHING_KNOWN] * batch.num_rows
    return [_photo(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def _photo(*known: Any) -> PhotoMetadata:
    if not any(each is not None for each in known):
        return NOTHING_KNOWN
    captured_at, camera, lens, latitude, longitude, place = known
    latitude, longitude = coordinates(latitude, longitude) or (None, None)
    return PhotoMetadata(
        captured_at and iso_time(captured_at), _name(camera), _name(lens), latitude, longitude, _name(place)
    )


@lru_cache(maxsize=4096)
def _name(text: str | None) -> str | None:
    """A camera's, a lens's or a place's name, checked; the same ones return again and again."""
    return name_of(text)


def _damaged(place: str, what: str) -> InputError:
    return InputError(
        f"{place} holds {what}: it is damaged, or not written by `araclip embed`. Embed its source again."
    )
