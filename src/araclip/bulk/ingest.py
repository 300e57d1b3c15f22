"""Fill a gallery from shards. Their rows are checked and stored; no picture is decoded or encoded.

A picture whose file is not on this machine (but in an object store, in a tar, on another machine) is stored without a
file. It is found like any other picture, under its name, but cannot be shown until its file is indexed here.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import repeat, takewhile
from typing import Any

import numpy as np

from araclip.bulk.shard_file import FACTS, ShardFolder, ShardHeader, can_be_stored, read_header, read_path, read_rows
from araclip.errors import InputError, ModelNotFound, first_line
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

GROUP = 16_384  # pictures stored in one commit: half a second of work, 16 MB with vectors of 512 numbers
MAX_BYTES = 64_000_000  # limit: bytes of vectors in one commit, for models with long vectors
BLOCK = 512  # vectors whose lengths are computed at once: they fit into the processor's cache
REQUIRED = ("path", "vector", "sha256", "phash", "size", "mtime_ns", "has_file", "format", "width", "height", "caption")


@dataclass(frozen=True)
class ShardSet:
    """The shards in a folder, the latest run's first; all have the model and source of the first one's header."""

    folder: ShardFolder
    names: tuple[str, ...]
    header: ShardHeader
    pictures: int


def shards_in(out: str | os.PathLike[str]) -> ShardSet:
    """Return the shards that `embed` has written to a folder.

    Raises:
        InputError: the folder holds no shard, or a shard is damaged. ShardMismatch: several models or sources.
    """
    folder = ShardFolder(out)
    names = tuple(reversed(folder.names(".parquet")))
    if not names:
        raise InputError(f"no shards in {folder.place}. Make them with `araclip embed SOURCE {folder.place}`.")
    headers = [read_header(folder.path_of(name)) for name in names]
    for name, header in zip(names, headers, strict=True):
        header.refuse_another(headers[0].model, headers[0].source, folder.path_of(name))
    return ShardSet(folder, names, headers[0], sum(header.rows for header in headers))


def encoder_of_shards(shards: ShardSet, model: str | None = None) -> Encoder:
    """Return the encoder that made the shards; an `AbsentModel`, which cannot encode, if it is not on this machine.

    Raises:
        ShardMismatch: `model` is given and is not the model that made the shards.
    """
    try:
        record = shards.header.model
        encoder = as_encoder(model) if model else recorded_encoder(record, shards.folder.place)
    except ModelNotFound as why:
        if model:
            raise
        return AbsentModel(record, why)
    shards.header.refuse_another(encoder, shards.header.source, shards.folder.place)
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
    shards.header.refuse_another(gallery.model, shards.header.source, shards.folder.place)
    groups = _read_groups(shards)
    # One thread reads the next group while the gallery commits the last one.
    with closing(map_ahead(lambda _: next(groups, []), repeat(None), threads=1, most=2)) as ahead:
        return gallery.add_embedded(takewhile(len, (group for _, group in ahead)), progress=progress)


def _read_groups(shards: ShardSet) -> Iterator[list[EmbeddedPicture]]:
    """Yield the pictures of shards, so many as one commit takes."""
    most = max(1, min(GROUP, MAX_BYTES // (2 * shards.header.model.width)))
    waiting: list[EmbeddedPicture] = []
    for place in map(shards.folder.path_of, shards.names):
        try:
            for header, batch in read_rows(place, (*REQUIRED, *FACTS), most):
                if waiting and len(waiting) + len(batch) > most:
                    yield waiting
                    waiting = []
                waiting += _convert_rows(batch, header, place)
        except InputError:  # what was read before is stored
            if waiting:
                yield waiting
            raise
        except ValueError as error:  # a text is not UTF-8, or a path is not valid base64
            raise _damaged(place, f"a text that cannot be read ({first_line(error):.80})") from None
    if waiting:
        yield waiting


def _convert_rows(batch: Any, header: ShardHeader, place: str) -> list[EmbeddedPicture]:
    """Check the rows of a batch and convert them to pictures; a shard may come from an untrusted source.

    If the source's path contains a link, the files get paths without the link, as `BaseGallery.update` stores them.

    Raises:
        InputError: a value is missing or invalid.
    """
    for name in REQUIRED:
        if batch.column(name).null_count:
            raise _damaged(place, f"gaps in the column {name}")
    rows = {name: batch.column(name).to_pylist() for name in (*REQUIRED, *FACTS) if name != "vector"}
    flat = batch.column("vector").flatten()  # `to_numpy` would import pandas if installed, which takes a second
    vectors = np.frombuffer(flat.buffers()[1], "<f2", len(flat), 2 * flat.offset).reshape(-1, header.model.width)
    if not all(are_unit(vectors[start : start + BLOCK]).all() for start in range(0, len(vectors), BLOCK)):
        raise _damaged(place, "vectors that are not of unit length")
    if not set(rows["format"]) <= {*FORMATS} or min(rows["width"] + rows["height"], default=1) < 1:
        raise _damaged(place, "formats or sizes that no picture has")
    named = os.path.join(read_path(header.source), "")  # noqa: PTH118
    real = os.path.join(os.path.realpath(named), "") if os.path.isabs(named) else named  # noqa: PTH117, PTH118
    pictures = []

    @cache
    def is_here(folder: str) -> bool:
        return os.path.isabs(folder) and os.path.isdir(folder)  # noqa: PTH112, PTH117

    for row, (raw, own, digest) in enumerate(zip(rows["path"], rows["has_file"], rows["sha256"], strict=True)):
        path, about = read_path(raw), {}
        if not can_be_stored(path):
            raise _damaged(place, f"the path {path[:80]!r}")
        if path.startswith(named):
            path = real + path[len(named) :]
        if not (own and is_here(os.path.dirname(path))):  # noqa: PTH120
            # the file's name is cut from `path`, because `raw` holds base64 if the path is not UTF-8
            name = os.fsencode(path).decode("utf-8", "replace").rpartition("/")[2]
            path, about = STORED_PREFIX + identity_of(digest), {"name": name or raw, "source": raw}
        facts = Facts(
            rows["format"][row], rows["width"][row], rows["height"][row], caption=rows["caption"][row][:MAX_LETTERS],
            **vars(_photo(*(rows[name][row] for name in FACTS))),
        )  # fmt: skip
        file = File(path, rows["size"][row], rows["mtime_ns"][row])
        pictures.append(EmbeddedPicture(file, digest, vectors[row], facts, rows["phash"][row], about))
    return pictures


def _photo(*known: Any) -> PhotoMetadata:
    if not any(each is not None for each in known):
        return NOTHING_KNOWN
    captured_at, camera, lens, latitude, longitude, place = known
    latitude, longitude = coordinates(latitude, longitude) or (None, None)
    captured_at = captured_at and iso_time(captured_at)
    return PhotoMetadata(captured_at, _name(camera), _name(lens), latitude, longitude, _name(place))


# `clean_name` with a cache, because most pictures have a camera, lens and place that an earlier picture had
_name = lru_cache(maxsize=4096)(clean_name)


def _damaged(place: str, what: str) -> InputError:
    return InputError(
        f"{place} holds {what}: it is damaged, or not written by `araclip embed`. Embed its source again."
    )
