"""Filling a gallery from shards: their rows, checked, become rows of its store; nothing is decoded or encoded."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from araclip.bulk.output import ShardFolder
from araclip.bulk.shard_file import ShardHeader, read_header
from araclip.bulk.shard_groups import ShardGroups
from araclip.errors import InputError, ModelNotFound, ShardMismatch
from araclip.gallery.base import BaseGallery
from araclip.gallery.recorded_model import AbsentModel, recorded_encoder
from araclip.gallery.results import Filled
from araclip.models.encoder import Encoder, as_encoder


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
    def places(self) -> tuple[str, ...]:
        """Path or URL of each."""
        return tuple(self.folder.path_of(name) for name in self.names)

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
    return gallery.add_embedded(ShardGroups(shards.places, shards.headers), progress=progress)
