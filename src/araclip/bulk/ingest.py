"""Fill a gallery from shards. Their rows are checked and stored; no picture is decoded or encoded.

A picture whose file is not on this machine (but in an object store, in a tar, on another machine) is stored without a
file. It is found like any other picture, under its name, but cannot be shown until its file is indexed here.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from araclip.bulk import shard_file
from araclip.bulk.shard_file import can_be_stored, read_file, read_shard, refuse_another, schema_of
from araclip.errors import InputError, ModelNotFound, first_line
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.records import STORED_PREFIX, EmbeddedPicture, RecordedModel, identity_of
from araclip.gallery.maintenance.verify import are_unit
from araclip.gallery.recorded_model import AbsentModel, recorded_encoder
from araclip.gallery.results import Filled
from araclip.models.encoder import Encoder, as_encoder
from araclip.pictures.captions import MAX_LETTERS
from araclip.pictures.facts import Facts
from araclip.pictures.formats import FORMATS
from araclip.pictures.metadata import clean_name, coordinates, iso_time

GROUP = 8192  # pictures stored in one commit: a quarter of a second of work
REQUIRED = ("path", "vector", "sha256", "phash", "size", "mtime_ns", "has_file", "format", "width", "height", "caption")


def encoder_of_shards(out: str | os.PathLike[str], recorded: RecordedModel, model: str | None = None) -> Encoder:
    """Return the encoder that made the shards; an `AbsentModel`, which cannot encode, if it is not on this machine."""
    try:
        encoder = as_encoder(model) if model else recorded_encoder(recorded, out)
    except ModelNotFound as why:
        if model:
            raise
        return AbsentModel(recorded, why)
    refuse_another(recorded, encoder, str(out))
    return encoder


def fill(gallery: BaseGallery, out: str | os.PathLike[str], *, progress: Callable[[int], None] | None = None) -> Filled:
    """Add the pictures of the shards in a folder to a gallery; pictures already in the gallery are not replaced.

    Args:
        progress: called after each commit with the number of pictures read so far.

    Raises:
        ShardMismatch: the gallery was made with another model than a shard.
        InputError: a shard is damaged, or none is there; everything read before is committed.
        GalleryError: the gallery cannot be written. OSError: the disk is full or read-only.
    """
    refuse_another(shard_file.what_made(out)[0], gallery.model, str(out))
    latest_first = reversed(shard_file.list_shards(shard_file.absolute_place(out)))
    groups = (group for shard in latest_first for group in _read_pictures(shard, gallery.model))
    return gallery.add_embedded(groups, progress=progress)


def _read_pictures(shard: str, model: Encoder) -> Iterator[list[EmbeddedPicture]]:
    """Yield the pictures of a shard; check them, because a shard may come from an untrusted source."""
    try:
        for batch in read_shard(shard, model, schema_of(model.width).names, GROUP):
            yield _convert_rows(batch.filter(batch["reason"].is_null()), shard)
    except ValueError as error:  # a text is not UTF-8, or a path is not valid base64
        raise _damaged(shard, f"a text that cannot be read ({first_line(error):.80})") from None


def _convert_rows(batch: Any, shard: str) -> list[EmbeddedPicture]:
    if gaps := [name for name in REQUIRED if batch.column(name).null_count]:
        raise _damaged(shard, f"gaps in the column {gaps[0]}")
    flat = batch.column("vector").flatten()  # `to_numpy` would import pandas if installed, which takes a second
    vectors = np.frombuffer(flat.buffers()[1], "<f2", len(flat), 2 * flat.offset).reshape(len(batch), -1)
    if not are_unit(vectors).all():
        raise _damaged(shard, "vectors that are not of unit length")
    pictures = []

    @cache
    def is_here(folder: str) -> bool:
        return os.path.isabs(folder) and os.path.isdir(folder)  # noqa: PTH112, PTH117

    for row, vector in zip(batch.drop_columns("vector").to_pylist(), vectors, strict=True):
        file, about = read_file(row), {}
        if not can_be_stored(file.path) or row["format"] not in FORMATS or min(row["width"], row["height"]) < 1:
            raise _damaged(shard, f"a path, a format or a size that no picture has ({file.path!r:.80})")
        if not (row["has_file"] and is_here(os.path.dirname(file.path))):  # noqa: PTH120
            # the file's name is cut from its path, because the row holds base64 if the path is not UTF-8
            name = os.fsencode(file.path).decode("utf-8", "replace").rpartition("/")[2]
            about = {"name": name or row["path"], "source": row["path"]}
            file = replace(file, path=STORED_PREFIX + identity_of(row["sha256"]))
        latitude, longitude = coordinates(row["latitude"], row["longitude"]) or (None, None)
        facts = Facts(
            row["format"], row["width"], row["height"], row["captured_at"] and iso_time(row["captured_at"]),
            row["caption"][:MAX_LETTERS], _name(row["camera"]), _name(row["lens"]), latitude, longitude,
            _name(row["place"]),
        )  # fmt: skip
        pictures.append(EmbeddedPicture(file, row["sha256"], vector, facts, row["phash"], about))
    return pictures


# `clean_name` with a cache, because most pictures have a camera, lens and place that an earlier picture had
_name = lru_cache(maxsize=4096)(clean_name)


def _damaged(place: str, what: str) -> InputError:
    return InputError(
        f"{place} holds {what}: it is damaged, or not written by `araclip embed`. Embed its source again."
    )
