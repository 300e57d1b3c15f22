"""Opening a gallery by its location: a folder, or an address on a server (extras `postgres`, `qdrant`)."""

import os
from contextlib import closing
from functools import partial
from pathlib import Path

from araclip.encoder import Encoder, ModelLike
from araclip.errors import InputError, ModelNotFound
from araclip.gallery.absent_model import AbsentModel
from araclip.gallery.addresses import Address, PostgresAddress, QdrantAddress
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest.estimate import seconds_to_encode, seconds_to_encode_noise
from araclip.gallery.ingest.reembed import reembed
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import location_of
from araclip.gallery.maintenance.backup import restore_backup, write_backup
from araclip.gallery.reader import FolderReader, GalleryReader
from araclip.gallery.recorded_model import create_catalog, encoder_for, recorded_in
from araclip.gallery.remote.engine import Engine
from araclip.paths import user_path

MISSING = "A gallery on a {engine} server needs the package {package}. Run: pip install 'araclip[{extra}]'"

LocationLike = str | os.PathLike[str] | Address


def _engine(address: Address) -> Engine:
    """The gallery at an address, through its server's client.

    Raises:
        InputError: the extra with the client is missing.
    """
    is_postgres = isinstance(address, PostgresAddress)
    try:
        if isinstance(address, PostgresAddress):
            from araclip.gallery.postgres.engine import PostgresEngine

            return PostgresEngine(address)
        assert isinstance(address, QdrantAddress)
        from araclip.gallery.qdrant.engine import QdrantEngine

        return QdrantEngine(address)
    except ImportError as error:
        package, extra = ("pg8000", "postgres") if is_postgres else ("qdrant-client", "qdrant")
        raise InputError(MISSING.format(engine=address.engine, package=package, extra=extra)) from error


def open_gallery(
    location: LocationLike, *, model: ModelLike | None = None, create: bool = False, checked: bool = True
) -> BaseGallery:
    """The gallery in a folder, or at an address: postgresql://USER@HOST/DATABASE or qdrant://HOST:6333/COLLECTION.

    Args:
        model, checked: as for `Gallery.open`.

    Raises:
        InputError: an invalid location, or an address while its extra is missing.
        GalleryError: as for `Gallery.open`, `PostgresGallery.open` and `QdrantGallery.open`.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        return Gallery.open(target, model=model, create=create, checked=checked)
    return _engine(target).open(model, create)


def encoder_of(
    location: LocationLike,
    model: ModelLike | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    encodes: bool = True,
) -> Encoder:
    """The encoder for a gallery: `model`, by default the gallery's own, and araclip-mini where there is no gallery yet.

    Args:
        threads, device: as for `AraCLIP.load`.
        encodes: False where nothing will be encoded; then the gallery's own model need not be on this machine.

    Raises:
        ModelNotFound: its own model is not on this machine; the message says which, and how to get it.
        InputError, ModelError, GalleryError: as for `open_gallery`.
    """
    target = location_of(location)
    record = _engine(target).recorded if isinstance(target, Address) else partial(recorded_in, target)
    try:
        return encoder_for(model, record, target, threads=threads, device=device)
    except ModelNotFound as why:
        recorded = None if encodes or model is not None else record()
        if recorded is None:
            raise
        return AbsentModel(recorded, why)


def open_reader(location: LocationLike, model: Encoder, *, create: bool = False) -> GalleryReader:
    """A reader of a gallery, usable from any thread.

    Args:
        create: create the gallery if it does not exist.

    Raises:
        InputError, GalleryError: as for `open_gallery`.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        if create:
            create_catalog(target, model).close()
        return FolderReader.open(target, model)
    if create:
        open_gallery(target, model=model, create=True).close()
    return _engine(target).reader(model)


def repair_gallery(
    location: LocationLike, *, model: ModelLike | None = None, progress: FilesProgress | None = None
) -> list[str]:
    """Repair a gallery, in a folder even if it cannot be opened; returns one line for each action.

    Raises:
        InputError, GalleryError, OSError: as for `open_gallery` and `Gallery.rescue`.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        return Gallery.rescue(target, model=model, progress=progress)
    with open_gallery(target, model=model) as gallery:  # on a server there is no file to recover rows from
        return gallery.repair()


def backup_gallery(location: LocationLike, folder: str | os.PathLike[str]) -> int:
    """Copy a gallery into a new folder, also while programs write it; see `Gallery.backup`. Needs no model.

    Raises:
        InputError: the folder holds other files, or the gallery is on a server.
        GalleryError, OSError: as for `Gallery.backup`.
    """
    target = location_of(location)
    if isinstance(target, Address):
        how = "pg_dump" if isinstance(target, PostgresAddress) else "Qdrant's snapshots"
        raise InputError(f"{target} is on a {target.engine} server. Use {how} to back it up (docs/remote.md).")
    with closing(Catalog.open(target, None)) as catalog:
        return write_backup(catalog, user_path(folder))


def restore_gallery(backup: str | os.PathLike[str], location: LocationLike) -> Path | None:
    """Put a backup at the place of a gallery in a folder; that one is kept beside it. See `restore_backup`.

    Returns:
        Where the gallery is now that was there before; None if there was none.

    Raises:
        InputError: the location is on a server, or holds files that are not a gallery's.
        GalleryError, OSError: as for `restore_backup`.
    """
    target = location_of(location)
    if isinstance(target, Address):
        raise InputError(f"{target} is on a {target.engine} server. Restore it with that server's tools.")
    return restore_backup(user_path(backup), target)


def reembedding_time(location: LocationLike, model: ModelLike | None) -> tuple[int, float]:
    """The number of pictures in a gallery, and the seconds that encoding all of them with `model` takes here.

    Measured on a few of the pictures; on noise for a gallery on a server.

    Raises:
        InputError, GalleryError, ModelError: as for `open_gallery`.
    """
    target, encoder = location_of(location), encoder_of(location, model)
    if not isinstance(target, Address):
        return seconds_to_encode(target, encoder)
    pictures = _engine(target).pictures()
    return pictures, pictures * seconds_to_encode_noise(encoder)


def reembed_gallery(
    location: LocationLike,
    model: ModelLike | None,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Re-embed a gallery with another model; see `gallery.ingest.reembed.reembed`.

    Raises:
        InputError: as for `open_gallery`.
        GalleryError: as for `reembed`.
    """
    target, encoder = location_of(location), encoder_of(location, model)
    if not isinstance(target, Address):
        return reembed(target, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
    return _engine(target).reembed(encoder, forget_missing, progress, skip)
