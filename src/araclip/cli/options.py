"""Options that several commands share, their completion in the shell, and how the named gallery is opened."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from araclip.cli.console import describe_os_error, say
from araclip.core.installed_models import installed

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.locations import Location


KINDS = {
    "exact": "the same bytes",
    "near": "scaled, recompressed, another format",
    "semantic": "another picture of the same scene",
}


def make_completer(words: dict[str, str]) -> Callable[[str], Iterable[tuple[str, str]]]:
    """Return a function that completes a typed beginning to one of `words`, a mapping from word to explanation."""

    def complete(incomplete: str) -> Iterable[tuple[str, str]]:
        return [(word, about) for word, about in words.items() if word.startswith(incomplete)]

    return complete


def complete_filter(incomplete: str) -> Iterable[tuple[str, str]]:
    """Complete a beginning to the names of filters, each with an example of its values."""
    from araclip.gallery.catalog.filters import NAMED

    spelled = {name if name.endswith(".") else f"{name}=": filter.example for name, filter in NAMED.items()}
    return make_completer(spelled)(incomplete)


def complete_peer(incomplete: str) -> Iterable[str]:
    """Complete a beginning to names of published models in the registry; the shell itself completes paths."""
    from araclip.peers.model_registry import BY_NAME

    return sorted(name for name in BY_NAME if name.startswith(incomplete))


def complete_model(incomplete: str) -> Iterable[str]:
    """Complete a beginning to names of bundled and pulled models; the shell itself completes paths."""
    return sorted(name for name in installed() if name.startswith(incomplete))


_GALLERY = "A folder, or postgresql://USER@HOST/DATABASE; by default"
NewGalleryOption = Annotated[  # the option --gallery of commands that create a missing gallery
    str | None, typer.Option("--gallery", "-g", help=f"{_GALLERY} a folder in your user data directory.")
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery", "-g", help=f"{_GALLERY} this folder's or its nearest indexed parent's, else the one indexed last."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A bundled, pulled or published model, or a model folder; by default the gallery's own model.",
        autocompletion=complete_model,
    ),
]
AnyModelOption = Annotated[  # the option --model of commands that use no gallery
    str,
    typer.Option(
        "--model",
        help="A bundled, pulled or published model, or a model folder.",
        autocompletion=complete_model,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def gallery_location(gallery: str | None, pictures: Path | None = None) -> "Location":
    """Return the location of the named gallery.

    Without a name, return the location of the gallery of the folder `pictures`. Without both, return the location of
    the gallery of the working folder (or of a folder above it), or else of the gallery that was indexed last.
    """
    from araclip.gallery import locations

    if gallery is not None:
        return locations.location_of(gallery)
    return locations.gallery_of(pictures) if pictures else locations.gallery_here(Path.cwd())


def existing_gallery(gallery: str | None) -> "Location":
    """Return the location of the named gallery, as `gallery_location` does.

    If `gallery` names a folder of pictures whose gallery lies elsewhere, return the location of that gallery.
    """
    from araclip.gallery.catalog.schema import is_gallery
    from araclip.gallery.locations import gallery_of

    location = gallery_location(gallery)
    if isinstance(location, Path) and not is_gallery(location) and is_gallery(own := gallery_of(location)):
        return own
    return location


def make_default(location: "Location") -> None:
    """Let searches use this gallery by default, if it lies in AraCLIP's data folder; print a line if that fails."""
    from araclip.gallery import locations

    try:
        locations.make_default(location)
    except OSError as error:
        why = f"{describe_os_error(error)} Until then name it: --gallery {location}"
        say(f"What was committed is indexed, but the gallery could not be made the default one. {why}")


@contextmanager
def open_chosen_gallery(
    gallery: str | None, model: str | None, *, checked: bool = True, encodes: bool = True
) -> "Iterator[BaseGallery]":
    """Open the gallery that a command's options name, in a `with` block.

    Args:
        checked: False to open a gallery with damaged rows, for `verify` or `repair`.
        encodes: False if nothing will be encoded; then the gallery's own model need not be on this machine.
    """
    from araclip.gallery.open import encoder_of, open_gallery

    location = existing_gallery(gallery)
    encoder = encoder_of(location, model, encodes=encodes)
    with open_gallery(location, model=encoder, checked=checked) as opened:
        yield opened


def complete_hidden_picture(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the path of a hidden picture after --undo; return nothing otherwise, so that the shell completes files.

    Paths in the working folder are relative, unless the typed path is absolute.
    """
    from araclip.errors import AraCLIPError

    if not ctx.params.get("undo"):
        return []
    try:
        with open_chosen_gallery(ctx.params.get("gallery"), None, encodes=False) as gallery:
            hidden = gallery.hidden()
    except (AraCLIPError, OSError):  # offer no completion: the shell cannot show an error
        return []
    below = f"{Path.cwd()}{os.sep}"
    named = hidden if Path(incomplete).is_absolute() else [path.removeprefix(below) for path in hidden]
    return [_escape_for_shell(path) for path in named if path.startswith(incomplete)]


def _escape_for_shell(path: str) -> str:
    """Return a path as a user would type it: escaped for bash, which inserts completions as they are."""
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", path) if "bash" in os.environ.get("_ARACLIP_COMPLETE", "") else path
