"""Options that the commands on galleries share, and the gallery that they mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from araclip.cli.completion import bundled_models

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.locations import Location

GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        "-g",
        help="A folder, or qdrant://HOST:6333/COLLECTION; by default a folder in your user data directory.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Bundled model, model folder or peer (docs/peers.md).",
        autocompletion=bundled_models,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def gallery_location(gallery: str | None, pictures: Path | None = None) -> "Location":
    """The gallery that was named, or that of a picture folder, or of the working folder, or the one indexed last."""
    from araclip.gallery import locations

    if gallery:
        return locations.location_of(gallery)
    return locations.gallery_of(pictures) if pictures else locations.gallery_here(Path.cwd())


@contextmanager
def opened(gallery: str | None, model: str) -> "Iterator[BaseGallery]":
    """The gallery of a command, open."""
    from araclip.gallery.open import open_gallery

    with open_gallery(gallery_location(gallery), model=model) as found:
        yield found
