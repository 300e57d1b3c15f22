"""Fill a gallery from shards (parquet files with pictures' vectors, written by `araclip embed`).

The rows of the shards are checked and stored; no picture is decoded or encoded.

A picture whose file is not on this machine (but in an object store, in a tar, on another machine) is stored without a
file. It is found like any other picture, under its name, but cannot be shown until its file is indexed here.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.bulk.places import ShardFolder
from araclip.bulk.shard_file import FACTS, ROW_GROUP, ShardHeader, can_be_stored, read_header, read_path, read_rows
from araclip.errors import InputError, ModelNotFound, ShardMismatch, first_line
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, File, identity_of
from araclip.gallery.maintenance.verify import are_unit
from araclip.gallery.recorded_model import AbsentModel, recorded_encoder
from araclip.gallery.results import Filled
from araclip.models.encoder import Encoder, as_encoder
from araclip.pictures.captions import MAX_LETTERS
from araclip.pictures.facts import Facts
from araclip.pictures.formats import FORMATS
from araclip.pictures.images import map_ahead
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata, clean_name, coordinates, iso_time

GROUP = ROW_GROUP  # pictures stored in one commit: half a second of work, 16 MB with vectors of 512 numbers
# For models with long vectors: a commit has about so many bytes of vectors, and never more than twice as many.
MAX_BYTES = 64_000_000
BLOCK = 512  # vectors whose lengths are computed at once: they fit into the processor's cache
REQUIRED = ("path", "vector", "sha256", "phash", "size", "mtime_ns", "has_file", "format", "width", "height", "caption")


def read_group(place: str, start: int, rows: int) -> list[EmbeddedPicture]:
    """Read and check the pictures of `rows` rows, from row `start` on, of the shard at `place`.

    Raises:
        InputError: the shard is damaged, or was not written by `araclip embed`.
    """
    header, batch = read_rows(place, start, rows, (*REQUIRED, *FACTS))
    try:
        return _convert_rows(batch, header, place)
    except ValueError as error:  # a text is not UTF-8, or a path is not valid base64
        raise _damaged_error(place, f"a text that cannot be read ({first_line(error):.80})") from None


def divide_rows(row_groups: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Divide the rows of a file into groups; yield the first row and the number of rows of each group.

    Small row groups are joined into groups of at most `most` rows; row groups of more than twice `most` are split.
    """
    start, waiting = 0, 0
    for rows in row_groups:
        if waiting and waiting + rows > most:
            yield start, waiting
            start, waiting = start + waiting, 0
        waiting += rows
        while waiting > 2 * most:
            yield start, most
            start, waiting = start + most, waiting - most
    if waiting:
        yield start, waiting


def _convert_rows(batch: Any, header: ShardHeader, place: str) -> list[EmbeddedPicture]:
    """Check the rows of a batch and convert them to pictures; a shard may come from an untrusted source.

    If the source's path contains a link, the files get paths without the link, as `BaseGallery.update` stores them.

    Raises:
        InputError: a value is missing or invalid.
    """
    for name in REQUIRED:
        if batch.column(name).null_count:
            raise _damaged_error(place, f"column {name} has gaps")
    rows = {name: batch.column(name).to_pylist() for name in REQUIRED if name != "vector"}
    vectors = _read_vectors(batch.column("vector"), header.model.width, place)
    named = os.path.join(header.source, "")  # noqa: PTH118
    real = os.path.join(os.path.realpath(header.source), "") if os.path.isabs(named) else named  # noqa: PTH117, PTH118
    if not set(rows["format"]) <= {*FORMATS} or min(rows["width"] + rows["height"], default=1) < 1:
        raise _damaged_error(place, "formats or sizes that no picture has")
    pictures = []
    columns = [batch.column(name) for name in FACTS]
    photos = [NOTHING_KNOWN] * batch.num_rows
    if not all(column.null_count == len(column) for column in columns):
        photos = [_make_photo(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]

    @cache
    def is_here(folder: str) -> bool:
        return os.path.isabs(folder) and os.path.isdir(folder)  # noqa: PTH112, PTH117

    for row, (raw, own, digest) in enumerate(zip(rows["path"], rows["has_file"], rows["sha256"], strict=True)):
        path = read_path(raw)
        if not can_be_stored(path):
            raise _damaged_error(place, f"the path {path[:80]!r}")
        about = {}
        if path.startswith(named):
            path = real + path[len(named) :]
        if not (own and is_here(os.path.dirname(path))):  # noqa: PTH120
            # the file's name is cut from `path`, because `raw` holds base64 if the path is not UTF-8
            name = os.fsencode(path).decode("utf-8", "replace").rpartition("/")[2]
            path, about = STORED_PREFIX + identity_of(digest), {"name": name or raw, "source": raw}
        file = File(path, rows["size"][row], rows["mtime_ns"][row])
        facts = Facts(
            rows["format"][row], rows["width"][row], rows["height"][row], caption=rows["caption"][row][:MAX_LETTERS],
            **vars(photos[row]),
        )  # fmt: skip
        pictures.append(EmbeddedPicture(file, digest, vectors[row], facts, rows["phash"][row], about))
    return pictures


def _read_vectors(column: Any, width: int, place: str) -> NDArray[np.float16]:
    flat = column.flatten()  # `to_numpy` would import pandas if installed, which takes a second
    vectors = np.frombuffer(flat.buffers()[1], "<f2", len(flat), 2 * flat.offset).reshape(-1, width)  # row by row
    for start in range(0, len(vectors), BLOCK):
        if not are_unit(vectors[start : start + BLOCK]).all():
            raise _damaged_error(place, "vectors that are not of unit length")
    return vectors


def _make_photo(*known: Any) -> PhotoMetadata:
    if not any(each is not None for each in known):
        return NOTHING_KNOWN
    captured_at, camera, lens, latitude, longitude, place = known
    latitude, longitude = coordinates(latitude, longitude) or (None, None)
    return PhotoMetadata(
        captured_at and iso_time(captured_at), _name(camera), _name(lens), latitude, longitude, _name(place)
    )


# `clean_name` with a cache, because most pictures have a camera, lens and place that an earlier picture had
_name = lru_cache(maxsize=4096)(clean_name)


def _damaged_error(place: str, what: str) -> InputError:
    return InputError(
        f"{place} holds {what}: it is damaged, or not written by `araclip embed`. Embed its source again."
    )


@dataclass(frozen=True)
class ShardSet:
    """The finished shards in a folder; all have the same model, source and number of shards."""

    folder: ShardFolder
    names: tuple[str, ...]
    headers: tuple[ShardHeader, ...]

    @property
    def pictures(self) -> int:
        """The number of pictures in all shards."""
        return sum(header.rows for header in self.headers)

    @property
    def missing(self) -> int:
        """The number of shards that are not finished yet."""
        return self.headers[0].shards - len(self.names)


def shards_in(out: str | os.PathLike[str]) -> ShardSet:
    """Return the shards that `embed` has finished in a folder.

    Raises:
        InputError: the folder holds no shard, or a shard is damaged.
        ShardMismatch: the shards differ in their model, their source, or the number of shards of their run.
    """
    folder = ShardFolder(out)
    names = tuple(name for name in folder.names() if name.endswith(".parquet") and not name.startswith("."))
    if not names:
        raise InputError(f"no shards in {folder.place}. Make them with `araclip embed SOURCE {folder.place}`.")
    headers = tuple(read_header(folder.path_of(name)) for name in names)
    for name, header in zip(names, headers, strict=True):
        own, first = (
            (each.model.fingerprint, each.model.width, each.fingerprint, each.shards) for each in (header, headers[0])
        )
        if own != first:
            raise ShardMismatch(
                f"{folder.place} holds shards of several models, sources or numbers: {names[0]} is of "
                f"{headers[0].model.label}, {name} of {header.model.label}. Move one kind to another folder."
            )
    return ShardSet(folder, names, headers)


def encoder_of_shards(shards: ShardSet, model: str | None = None, *, device: str | None = None) -> Encoder:
    """Return the encoder that made the shards.

    If `model` is None and that encoder is not on this machine, return an `AbsentModel`, which cannot encode.

    Raises:
        ShardMismatch: `model` is given and is not the model that made the shards.
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
    """Add the pictures of shards to a gallery, with their vectors; pictures already in the gallery are not replaced.

    Args:
        progress: called after each commit with the number of pictures read so far.

    Raises:
        ShardMismatch: the gallery was made with another model than the shards.
        InputError: a shard is damaged; everything read before it is committed.
        GalleryError: the gallery cannot be written. OSError: the disk is full or read-only.
    """
    record = shards.headers[0].model
    if (gallery.model.fingerprint, gallery.model.width) != (record.fingerprint, record.width):
        raise ShardMismatch(
            f"{shards.folder.place} holds vectors of {record.label}, and gallery {gallery.folder} those of "
            f"{gallery.model.label}. Fill another gallery."
        )
    groups = [
        (shards.folder.path_of(name), start, rows)
        for name, header in zip(shards.names, shards.headers, strict=True)
        for start, rows in divide_rows(header.row_groups, max(1, min(GROUP, MAX_BYTES // (2 * header.model.width))))
    ]
    # One thread reads the next group while the gallery commits the last one.
    ahead = map_ahead(lambda group: read_group(*group), groups, threads=1, most=2)
    with closing(ahead):
        return gallery.add_embedded((pictures for _, pictures in ahead), progress=progress)
