"""What the commands on galleries share: which gallery, with which model, and how to answer programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from araclip.cli.completion import bundled_models

if TYPE_CHECKING:
    from araclip.gallery.gallery import Gallery

GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="Folder of the gallery; by default one in your user data directory."),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="A bundled model's name, or the path of a model folder.",
        autocompletion=bundled_models,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def place_of(gallery: Path | None) -> Path:
    """The gallery that was named, or that of the working folder, or the one indexed last."""
    from araclip.gallery import places

    return gallery or places.gallery_here(Path.cwd())


@contextmanager
def opened(gallery: Path | None, model: str) -> "Iterator[Gallery]":
    """The gallery of a command, open."""
    from araclip.gallery.gallery import Gallery

    with Gallery.open(place_of(gallery), model=model) as found:
        yield found
