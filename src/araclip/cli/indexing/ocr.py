"""The option --ocr of the commands that fill a gallery."""

from typing import TYPE_CHECKING, Annotated

import typer

from araclip.cli.console import err, out, progress, shown
from araclip.core.display import counted
from araclip.errors import InputError

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.locations import Location

OcrOption = Annotated[
    bool, typer.Option("--ocr", help="Then read the text in pictures that look like text (RapidOCR or Tesseract).")
]
IN_A_FOLDER = "--ocr works for galleries in folders; this one is on a server. Leave it off."


def check_ocr(location: "Location") -> None:
    """Refuse --ocr before any work where it could only fail.

    Raises:
        InputError: nothing that reads is installed, or the gallery is on a server.
    """
    from araclip.gallery.locations import Address
    from araclip.pictures.ocr.engines import find

    if isinstance(location, Address):
        raise InputError(IN_A_FOLDER)
    find()


def read_texts(gallery: "BaseGallery", *, quiet: bool) -> None:
    """Read what OCR has not seen yet, and say how much there was."""
    from araclip.gallery.gallery import Gallery

    if not isinstance(gallery, Gallery):
        raise InputError(IN_A_FOLDER)
    with progress("Reading text") as show:
        report = gallery.ocr(progress=show, skip=lambda line: err.print(shown(line), soft_wrap=True, markup=False))
    if not quiet:
        out.print(
            f"Text was read in {counted(report.read, 'picture')}; {report.without:,} without text, "
            f"{len(report.skipped):,} skipped"
        )
