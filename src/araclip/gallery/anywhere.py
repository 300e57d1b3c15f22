"""One door to galleries in folders and on servers."""

import os
from typing import TYPE_CHECKING, Union

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.gallery.gallery import Gallery
from araclip.gallery.remote.address import is_remote

if TYPE_CHECKING:
    from araclip.gallery.remote.gallery import RemoteGallery

EXTRA = "A gallery on a Qdrant server needs the package qdrant-client. Run: pip install 'araclip[qdrant]'"


def open_gallery(
    place: str | os.PathLike[str], *, model: AraCLIP | str = "araclip-mini", create: bool = False
) -> Union[Gallery, "RemoteGallery"]:
    """The gallery at a folder, or at an address such as qdrant://HOST:6333/COLLECTION.

    Raises:
        InputError: an address, and the extra `qdrant` is missing.
        GalleryError: as for `Gallery.open` and `RemoteGallery.open`.
    """
    if not is_remote(place):
        return Gallery.open(place, model=model, create=create)
    try:
        from araclip.gallery.remote.gallery import RemoteGallery
    except ImportError as error:
        raise InputError(EXTRA) from error
    return RemoteGallery.open(str(place), model=model, create=create)
