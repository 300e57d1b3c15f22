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

from araclip.bulk import shard_file
from araclip.bulk.shard_file import FACTS, can_be_stored, read_path, refuse_another
from araclip.errors import InputError, ModelNotFound, first_line
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, File, RecordedModel, identity_of
from araclip.gallery.maintenance.verify import are_unit
from araclip.gallery.recorded_model import AbsentModel, recorded_encoder
from araclip.gallery.results import Filled
from araclip.models.encoder import Encoder, as_encoder
from araclip.pictures.captions import MAX_LETTERS
from araclip.pictures.facts import Facts
from araclip.pictures.formats import FORMATS
from araclip.pictures.images import map_ahead
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata, clean_name, coordinates, iso_time

GROUP = 8192  # pictures stored in one commit: a quarter of a second of work
REQUIRED = ("path", "vector", "sha256", "phash", "size", "mtime_ns", "has_file", "format", "width", "height", "caption")


@dataclass(frozen=True)
class ShardSet:
    """The paths or URLs of the shards in a folder, the latest run's first, the model of all, and how many rows."""

    place: str
    shards: tuple[str, ...]
    model: RecordedModel
    rows: int


def shards_in(out: str | os.PathLike[str]) -> ShardSet:
    """Return the shards that `embed` has written to a folder.

    Raises:
        InputError: the folder holds no shard, or a shard is damaged. ShardMismatch: shards of several models.
    """
    place = shard_file.absolute_place(out)
    found = {shard: shard_file.read_model(shard) for shard in reversed(shard_file.list_shards(place))}
    if not found:
        raise InputError(f"no shards in {place}. Make them with `araclip embed SOURCE {place}`.")
    model, _ = next(iter(found.values()))
    for shard, (other, _) in found.items():
        refuse_another(other, model, shard)
    return ShardSet(place, tuple(found), model, sum(rows for _, rows in found.values()))


def encoder_of_shards(shards: ShardSet, model: str | None = None) -> Encoder:
    """Return the encoder that made the shards; an `AbsentModel`, which cannot encode, if it is not on this machine.

    Raises:
        ShardMismatch: `model` is given and is not the model that made the shards.
    """
    try:
        encoder = as_encoder(model) if model else recorded_encoder(shards.model, shards.place)
    except ModelNotFound as why:
        if model:
            raise
        return AbsentModel(shards.model, why)
    refuse_another(shards.model, encoder, shards.place)
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
    refuse_another(shards.model, gallery.model, shards.place)
    groups = (group for shard in shards.shards for group in _read_pictures(shard, shards.model) if group)
    # One thread reads the next group while the gallery commits the last one.
    with closing(map_ahead(lambda _: next(groups, []), repeat(None), threads=1, most=2)) as ahead:
        return gallery.add_embedded(takewhile(len, (group for _, group in ahead)), progress=progress)


def _read_pictures(shard: str, model: RecordedModel) -> Iterator[list[EmbeddedPicture]]:
    """Yield the pictures of a shard; check them, because a shard may come from an untrusted source."""
    try:
        for batch in shard_file.read_shard(shard, model, (*REQUIRED, *FACTS, "reason"), GROUP):
            yield _convert_rows(batch.filter(batch["reason"].is_null()), shard)
    except ValueError as error:  # a text is not UTF-8, or a path is not valid base64
        raise _damaged(shard, f"a text that cannot be read ({first_line(error):.80})") from None


def _convert_rows(batch: Any, shard: str) -> list[EmbeddedPicture]:
    for name in REQUIRED:
        if batch.column(name).null_count:
            raise _damaged(shard, f"gaps in the column {name}")
    rows = {name: batch.column(name).to_pylist() for name in (*REQUIRED, *FACTS) if name != "vector"}
    flat = batch.column("vector").flatten()  # `to_numpy` would import pandas if installed, which takes a second
    vectors = np.frombuffer(flat.buffers()[1], "<f2", len(flat), 2 * flat.offset).reshape(len(batch), -1)
    if not are_unit(vectors).all():
        raise _damaged(shard, "vectors that are not of unit length")
    if not set(rows["format"]) <= {*FORMATS} or min(rows["width"] + rows["height"], default=1) < 1:
        raise _damaged(shard, "formats or sizes that no picture has")
    pictures = []

    @cache
    def is_here(folder: str) -> bool:
        return os.path.isabs(folder) and os.path.isdir(folder)  # noqa: PTH112, PTH117

    for row, (raw, own, digest) in enumerate(zip(rows["path"], rows["has_file"], rows["sha256"], strict=True)):
        path, about = read_path(raw), {}
        if not can_be_stored(path):
            raise _damaged(shard, f"the path {path[:80]!r}")
        if not (own and is_here(os.path.dirname(path))):  # noqa: PTH120
            # the file's name is cut from `path`, because `raw` holds base64 if the path is not UTF-8
            name = os.fsencode(path).decode("utf-8", "replace").rpartition("/")[2]
            path, about = STORED_PREFIX + identity_of(digest), {"name": name or raw, "source": raw}
        caption, known = rows["caption"][row][:MAX_LETTERS], vars(_photo(*(rows[name][row] for name in FACTS)))
        facts = Facts(*(rows[name][row] for name in ("format", "width", "height")), caption=caption, **known)
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
