"""Open a gallery by its location: a folder, or an address in PostgreSQL (which needs the extra `postgres`)."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from araclip.core.paths import user_path
from araclip.errors import InputError, ModelNotFound, WidthMismatch
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.locations import Address, location_of
from araclip.gallery.reader import FolderReader, GalleryReader
from araclip.gallery.recorded_model import AbsentModel, encoder_for, read_record
from araclip.models.encoder import Encoder, ModelLike

if TYPE_CHECKING:
    from araclip.gallery.ingest.update import FilesProgress, Skip
    from araclip.gallery.postgres.gallery import PostgresGallery

MISSING = "A gallery on a PostgreSQL server needs the package pg8000. Run: pip install 'araclip[postgres]'"

LocationLike = str | os.PathLike[str] | Address


def _postgres() -> type[PostgresGallery]:
    """Import and return the class of galleries in PostgreSQL, which needs the extra `postgres`.

    Raises:
        InputError: the extra `postgres` is not installed.
    """
    try:
        from araclip.gallery.postgres.gallery import PostgresGallery
    except ImportError as error:
        raise InputError(MISSING) from error
    return PostgresGallery


def open_gallery(
    location: LocationLike, *, model: ModelLike | None = None, create: bool = False, checked: bool = True
) -> BaseGallery:
    """Open the gallery in a folder, or at an address: postgresql://USER@HOST/DATABASE.

    Args:
        model: a name, a path or an encoder; by default the gallery's own model, and araclip-mini for a new gallery.
        create: create the gallery if it does not exist.
        checked: False to open a gallery in a folder for `verify` or `repair` although rows are damaged.

    Raises:
        InputError: the location is invalid, or is an address and the extra `postgres` is not installed.
        GalleryError: the gallery does not exist, cannot be used, or was made with another model.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        return Gallery.open(target, model=model, create=create, checked=checked)
    return _postgres().open(target, model=model, create=create)


def encoder_of(
    location: LocationLike,
    model: ModelLike | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    encodes: bool = True,
) -> Encoder:
    """Return the encoder for a gallery: `model`, by default the gallery's own, or araclip-mini for a new gallery.

    Args:
        threads, device: the number of threads and the device that run the model; None for the defaults.
        encodes: False if nothing will be encoded; then the gallery's own model need not be on this machine.
    """
    target = location_of(location)
    record = partial(_postgres().recorded, target) if isinstance(target, Address) else partial(read_record, target)
    # what the gallery records about its model, if nothing will be encoded and the caller names no model
    needless = None if encodes or model is not None else record()
    try:
        encoder = encoder_for(model, record, target, threads=threads, device=device)
        if needless:
            needless.check(encoder, target)  # raises if this machine's model is another release than the recorded one
    except (ModelNotFound, WidthMismatch) as why:
        if needless is None:
            raise
        return AbsentModel(needless, why)
    return encoder


def open_reader(location: LocationLike, model: Encoder, *, create: bool = False) -> GalleryReader:
    """Open a reader of a gallery, which any thread can use.

    Args:
        create: create the gallery if it does not exist.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        if create:
            Catalog.create(target, model).close()
        return FolderReader.open(target, model)
    if create:
        open_gallery(target, model=model, create=True).close()
    return _postgres().reader(target, model)


def repair_gallery(
    location: LocationLike, *, model: ModelLike | None = None, progress: FilesProgress | None = None
) -> list[str]:
    """Repair a gallery; return one line for each action.

    A gallery in a folder is repaired even if it cannot be opened; a gallery in PostgreSQL only if it can be opened.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        return Gallery.rescue(target, model=model, progress=progress)
    with open_gallery(target, model=model) as gallery:  # no rescue in PostgreSQL, where no file holds rows to recover
        return gallery.repair()


def backup_gallery(location: LocationLike, folder: str | os.PathLike[str]) -> int:
    """Copy a gallery in a folder into another folder, even while programs write to it; return the number of pictures.

    Needs no model.

    Raises:
        InputError: the gallery is in PostgreSQL; and the errors of `Gallery.backup`.
    """
    from araclip.gallery.maintenance.backup import write_backup

    target = location_of(location)
    if isinstance(target, Address):
        raise InputError(f"{target} is on a PostgreSQL server. Use pg_dump to back it up (docs/remote.md).")
    with closing(Catalog.open(target, None)) as catalog:
        return write_backup(catalog, user_path(folder))


def restore_gallery(backup: str | os.PathLike[str], location: LocationLike) -> Path | None:
    """Put a backup in the place of a gallery in a folder, and keep the earlier gallery beside it; see `restore_backup`.

    Returns:
        The folder to which the earlier gallery was moved; None if there was none.

    Raises:
        InputError: the location is in PostgreSQL, or holds files that are not a gallery's.
        GalleryError: the backup cannot be used, or a process is writing the gallery. OSError: the disk is full.
    """
    from araclip.gallery.maintenance.backup import restore_backup

    target = location_of(location)
    if isinstance(target, Address):
        raise InputError(f"{target} is on a PostgreSQL server. Restore its dump with psql (docs/remote.md).")
    return restore_backup(user_path(backup), target)


def reembedding_time(location: LocationLike, model: ModelLike | None) -> tuple[int, float]:
    """Return the number of pictures in a gallery, and an estimate of the seconds to encode them all with `model` here.

    The estimate is measured on a few of the pictures, or on noise if none of their files is on this machine.
    """
    from araclip.gallery.ingest.reembed import seconds_to_encode

    target, encoder = location_of(location), encoder_of(location, model)
    with (
        _postgres().open_store(target) if isinstance(target, Address) else closing(Catalog.open(target, None)) as store
    ):
        return seconds_to_encode(store, encoder)


def reembed_gallery(
    location: LocationLike,
    model: ModelLike | None,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Encode all pictures of a gallery again with another model, as `gallery.ingest.reembed.reembed` does."""
    from araclip.gallery.ingest.reembed import reembed, reembed_store

    target, encoder = location_of(location), encoder_of(location, model)
    if not isinstance(target, Address):
        return reembed(target, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
    with _postgres().open_store(target) as store, store.database.locked():
        return reembed_store(store, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
