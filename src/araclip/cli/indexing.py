"""The commands that fill a gallery, `index` and `watch`, also from shards (--from) and with OCR (--ocr)."""

import shlex
import sys
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from araclip.cli.console import app, duration, err, out, print_json, progress, refuse_idle, say, stoppable
from araclip.cli.options import JsonOption, ModelOption, NewGalleryOption, gallery_location, make_default
from araclip.core.display import counted, shown
from araclip.core.paths import user_path
from araclip.errors import InputError

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.locations import Location
    from araclip.gallery.results import Update


OCR_NEEDS_FOLDER = "--ocr works for galleries in folders; this one is on a server. Leave it off."
_PULL_HINT = (
    "This model runs on PyTorch, which every search of the gallery then needs. `araclip pull` makes a faster folder of "
    "it that needs none; a gallery that was made before has to be encoded again."
)
OcrOption = Annotated[
    bool, typer.Option("--ocr", help="Then read the text in pictures that seem to have text (RapidOCR, Tesseract).")
]
ScenesOption = Annotated[
    int | None,
    typer.Option("--scenes", min=1, max=500, help="The most scenes of a video; by default $ARACLIP_SCENES, or 60."),
]


@app.command()
def index(
    folder: Annotated[Path | None, typer.Argument(help="Folder with pictures; subfolders too.")] = None,
    gallery: NewGalleryOption = None,
    model: ModelOption = None,
    shards: Annotated[
        str | None, typer.Option("--from", metavar="OUT", help="Fill the gallery from shards of `araclip embed`.")
    ] = None,
    reembed: Annotated[
        bool, typer.Option("--reembed", help="Re-embed a gallery of another model with this one, then update it.")
    ] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="With --reembed: remove pictures that cannot be read now.")
    ] = False,
    ocr: OcrOption = False,
    scenes: ScenesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index the pictures of a folder, or bring its index up to date.

    Only new and changed files are read; --reembed reads all files, and --from reads none. A run that was stopped can be
    resumed.
    """
    from araclip.gallery.ingest.scan import checked_root

    refuse_idle({"--forget-missing": forget_missing and not reembed}, "without --reembed")
    if shards is not None:
        fill_from_shards(shards, folder, gallery, model, others=reembed or ocr or scenes is not None, as_json=as_json)
        return
    if folder is None:
        raise typer.BadParameter("name the folder with pictures, or --from OUT.", param_hint="FOLDER")
    root = checked_root(folder)
    location = gallery_location(gallery, root)
    if ocr:
        check_ocr(location)
    with stoppable(partial(how_to_resume, location)):
        if reembed:
            reembed_folder(location, model, forget_missing, quiet=as_json)
        with _open_for_indexing(location, model) as opened:
            opened.scenes = scenes
            # true for a published model that runs in PyTorch, not converted into a model folder
            if hasattr(opened.model, "request"):
                err.print(_PULL_HINT, soft_wrap=True)
            index_folder(opened, root, as_json)
            make_default(location)
            if ocr:
                read_texts(opened, quiet=as_json)
    if as_json:
        return
    _print_how_to_search(gallery)


def _print_how_to_search(gallery: str | None) -> None:
    command = shlex.join(["araclip", "search", *(("--gallery", gallery) if gallery else ()), "قطة على طاولة"])
    # soft_wrap: rich breaks no line of the command, so that the command can be copied
    out.print(f"Search it: [bold]{escape(shown(command))}[/]", soft_wrap=True)


def _open_for_indexing(location: "Location", model: str | None) -> "BaseGallery":
    """Open or create the gallery; if another model made it, raise WidthMismatch with the time that --reembed takes."""
    from araclip.errors import AraCLIPError, WidthMismatch
    from araclip.gallery.open import open_gallery, reembedding_time

    try:
        return open_gallery(location, model=model, create=True)
    except WidthMismatch as error:
        try:
            pictures, seconds = reembedding_time(location, model)
        except (AraCLIPError, OSError):  # encoding cannot be timed: raise the error without an estimate
            raise error from None
        rate = f"{pictures / seconds:,.1f} pictures a second, measured now" if pictures else "it holds no picture"
        raise WidthMismatch(
            f"{error} Its {counted(pictures, 'picture takes', 'pictures take')} about {duration(seconds)} here with "
            f"--reembed ({rate}); until "
            "they are all encoded, searches use the old vectors."
        ) from None


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="Folder with pictures; subfolders too.")],
    gallery: NewGalleryOption = None,
    ocr: OcrOption = False,
    scenes: ScenesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line with one JSON object for each update.")] = False,
    model: ModelOption = None,
) -> None:
    """Index a folder and update the index after every change, until Ctrl-C."""
    from araclip.gallery.ingest.scan import checked_root
    from araclip.gallery.open import open_gallery
    from araclip.gallery.watch import watch as follow

    root = checked_root(folder)
    location = gallery_location(gallery, root)
    if ocr:
        check_ocr(location)
    with stoppable(partial(how_to_resume, location)), open_gallery(location, model=model, create=True) as opened:
        make_default(location)
        opened.scenes = scenes
        say(f"Watching {root}. Stop with Ctrl-C.")

        def print_update(report: "Update") -> None:
            if as_json:
                print_json(asdict(report))
                sys.stdout.flush()
            else:
                out.print(
                    f"{counted(report.pictures, 'picture')} indexed: {report.added:,} new or changed, "
                    f"{report.removed:,} gone"
                )
                _print_notes(report)
            if ocr:
                try:
                    read_texts(opened, quiet=True)
                except InputError as error:  # OCR does not work now: go on watching; a later run reads the text
                    say(str(error), "yellow")

        follow(opened, [root], updated=print_update, skip=say)


def how_to_resume(location: "Location") -> str:
    """Return the text to print when a command that fills a gallery is stopped: how much is indexed, how to resume."""
    from araclip.errors import AraCLIPError, GalleryNotFound
    from araclip.gallery.catalog.catalog import Catalog

    indexed = "What was committed is"
    try:
        if isinstance(location, Path):  # do not count a gallery in PostgreSQL, because that may take long
            with closing(Catalog.open(location, None)) as catalog:
                make_default(location)
                indexed = counted(catalog.counts()[1], "picture is", "pictures are")
    except GalleryNotFound:
        return "Nothing is indexed yet; run the same command again."
    except AraCLIPError:  # the gallery is damaged or was made by a newer release; the next run reports it
        pass
    return f"{indexed} indexed; run the same command again to resume."


def reembed_folder(location: "Location", model: str | None, forget_missing: bool, *, quiet: bool) -> None:
    """Encode all pictures of a gallery again with a model, with a progress bar."""
    from araclip.gallery.open import reembed_gallery

    with progress("Encoding again") as show:
        count = reembed_gallery(location, model, forget_missing=forget_missing, progress=show, skip=say)
    if not quiet:
        out.print(f"{counted(count, 'picture')} encoded again")


def index_folder(gallery: "BaseGallery", root: Path, as_json: bool = False) -> None:
    """Update a gallery with a folder, with a progress bar, and print the report."""
    start = time.perf_counter()
    with progress("Indexing") as show:
        report = gallery.update([root], progress=show, skip=say)
    seconds = time.perf_counter() - start
    if as_json:
        print_json({"gallery": str(gallery.folder), **asdict(report), "seconds": round(seconds, 3)})
        return
    same = report.files - report.pictures
    identical = f"; {counted(same, 'file has', 'files have')} the very picture of another" if same > 0 else ""
    out.print(
        f"{counted(report.pictures, 'picture')} indexed: {report.added:,} new or changed, "
        f"{report.unchanged:,} unchanged, {report.removed:,} gone, {len(report.skipped):,} skipped, in {seconds:.1f} s"
        f"{identical}"
    )
    _print_notes(report)


def _print_notes(report: "Update") -> None:
    from araclip.gallery.ingest.scan import unread_line

    if report.unread:
        out.print(unread_line(report.unread), soft_wrap=True, markup=False, style="yellow")
    if report.hidden:
        hidden = counted(report.hidden, "new file looks", "new files look")
        out.print(
            f"{hidden} like the hidden picture whose place it took, and stays hidden: `araclip hide --list` names what "
            "is hidden, `araclip hide --undo` shows it.", soft_wrap=True, markup=False, style="yellow",
        )  # fmt: skip


def fill_from_shards(
    shards: str, folder: Path | None, gallery: str | None, model: str | None, *, others: bool, as_json: bool
) -> None:
    """Add the pictures of shards to the gallery that the options name, and print how many were read.

    Args:
        others: True if options were given that --from excludes, such as --ocr; then InputError is raised.
    """
    if folder is not None or others:
        raise InputError(
            "--from fills a gallery from shards alone; FOLDER, --reembed, --ocr and --scenes read files. Run `araclip "
            "index` on the folder afterwards, with the same --gallery."
        )
    user_path(shards)  # refuses an empty path, before a package that is missing is named
    from araclip.bulk.ingest import encoder_of_shards, fill
    from araclip.bulk.shard_file import absolute_place, what_made
    from araclip.gallery.locations import URL
    from araclip.gallery.open import open_gallery

    place, (recorded, rows) = absolute_place(shards), what_made(shards)
    if gallery is None and URL.match(place):
        raise InputError(f"name the gallery that is to be filled from {place}: --gallery FOLDER.")
    location = gallery_location(gallery, Path(place))
    encoder = encoder_of_shards(place, recorded, model)
    with (
        stoppable("What was committed is indexed; run the same command again to resume."),
        open_gallery(location, model=encoder, create=True) as opened,
    ):
        with progress("Pictures") as show:
            report = fill(opened, place, progress=lambda done: show(done, rows))
        pictures = len(opened)
    make_default(location)
    if as_json:
        about = {"gallery": str(location), "model": encoder.label, "pictures": pictures}
        print_json(about | asdict(report))
        return
    rate = report.read / report.row_seconds if report.row_seconds else 0
    out.print(
        f"{counted(report.read, 'picture')} read, {report.added:,} of them new, {rate:,.0f} a second; index in "
        f"{report.index_seconds:.1f} s. The gallery holds {pictures:,}."
    )
    _print_how_to_search(gallery)


def check_ocr(location: "Location") -> None:
    """Raise InputError if --ocr is impossible: no OCR engine is on this machine, or the gallery is in PostgreSQL."""
    from araclip.gallery.locations import Address
    from araclip.pictures.ocr.engines import find_engine

    if isinstance(location, Address):
        raise InputError(OCR_NEEDS_FOLDER)
    find_engine()


def read_texts(gallery: "BaseGallery", *, quiet: bool) -> None:
    """Read the text of pictures that OCR has not seen yet, and print how many pictures had text."""
    from araclip.gallery.gallery import Gallery

    if not isinstance(gallery, Gallery):
        raise InputError(OCR_NEEDS_FOLDER)
    with progress("Reading text") as show:
        report = gallery.ocr(progress=show, skip=say)
    if not quiet:
        out.print(
            f"Text was read in {counted(report.read, 'picture')}; {report.without:,} without text, "
            f"{len(report.skipped):,} skipped"
        )
