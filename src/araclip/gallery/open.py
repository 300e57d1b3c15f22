"""Opening a gallery by its location: a folder, or an address on a Qdrant server (extra `qdrant`)."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from araclip.encoder import Encoder, ModelLike
from araclip.errors import InputError, ModelNotFound
from araclip.gallery.absent_model import AbsentModel
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest.estimate import seconds_to_encode, seconds_to_encode_noise
from araclip.gallery.ingest.reembed import reembed
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import Address, location_of
from araclip.gallery.maintenance.backup import write_backup
from araclip.gallery.reader import FolderReader, GalleryReader
from araclip.gallery.recorded_model import RecordedModel, create_catalog, encoder_for, recorded_in
from araclip.paths import user_path

MISSING_QDRANT = "A gallery on a Qdrant server needs the package qdrant-client. Run: pip install 'araclip[qdrant]'"

LocationLike = str | os.PathLike[str] | Address


@contextmanager
def _qdrant() -> Iterator[None]:
    """Turn a failing import inside the block into an error that names the extra."""
    try:
        yield
    except ImportError as error:
        raise InputError(MISSING_QDRANT) from error


def open_gallery(
    location: LocationLike, *, model: ModelLike | None = None, create: bool = False, checked: bool = True
) -> BaseGallery:
    """The gallery in a folder, or at an address such as qdrant://HOST:6333/COLLECTION.

    Args:
        model, checked: as for `Gallery.open`.

    Raises:
        InputError: an invalid location, or an address while the extra `qdrant` is missing.
        GalleryError: as for `Gallery.open` and `RemoteGallery.open`.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        return Gallery.open(target, model=model, create=create, checked=checked)
    with _qdrant():
        from araclip.gallery.remote.gallery import RemoteGallery
    return RemoteGallery.open(target, model=model, create=create)


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
    record: Callable[[], RecordedModel | None]
    if isinstance(target, Address):
        with _qdrant():
            from araclip.gallery.remote.state import recorded_at
        record = partial(recorded_at, target)
    else:
        record = partial(recorded_in, target)
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
        create: create the gallery if it does not exist; in a folder only.

    Raises:
        InputError, GalleryError: as for `open_gallery`.
    """
    target = location_of(location)
    if not isinstance(target, Address):
        if create:
            create_catalog(target, model).close()
        return FolderReader.open(target, model)
    with _qdrant():
        from araclip.gallery.remote.reader import RemoteReader
    return RemoteReader.open(target, model)


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
        raise InputError(f"{target} is on a Qdrant server. Use Qdrant's snapshots to back it up.")
    with closing(Catalog.open(target, None)) as catalog:
        return write_backup(catalog, user_path(folder))


def reembedding_time(location: LocationLike, model: ModelLike | None) -> tuple[int, float]:
    """The number of pictures in a gallery, and the seconds that encoding all of them with `model` takes here.

    Measured on a few of the pictures; on noise for a gallery on a server.

    Raises:
        InputError, GalleryError, ModelError: as for `open_gallery`.
    """
    target, encoder = location_of(location), encoder_of(location, model)
    if not isinstance(target, Address):
        return seconds_to_encode(target, encoder)
    with _qdrant():
        from araclip.gallery.remote.state import picture_count
    pictures = picture_count(target)
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
    with _qdrant():
        from araclip.gallery.remote import reembed as remote
    return remote.reembed(target, encoder, forget_missing=forget_missing, progress=progress, skip=skip)
