"""The command `araclip tag`, which writes keywords of pictures for other programs."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from araclip.cli.console import app, bars, out, print_json, refuse_idle, say, stoppable
from araclip.cli.options import AnyModelOption, JsonOption
from araclip.core.display import counted, shown
from araclip.core.paths import user_path
from araclip.errors import GalleryError, InputError
from araclip.models.folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.models.encoder_base import Encoder, Vectors


@app.command()
def tag(
    folder: Annotated[Path, typer.Argument(help="The folder with the pictures; its subfolders are included.")],
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="everyday (the bundled list), or a file: ARABIC; ENGLISH a line."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the side-cars; without it, only show them.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove what --write has added, and nothing else.")] = False,
    at: Annotated[
        float | None, typer.Option("--at", help="Least probability; by default each label's own, or .5.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Names to write: ar, en or both.")] = "both",
    short_names: Annotated[
        bool, typer.Option("--short-names", help="Name new side-cars IMG.xmp (Lightroom) instead of IMG.jpg.xmp.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery", "-g", help="Gallery with the pictures' vectors; by default FOLDER's or the nearest parent's."
        ),
    ] = None,
    model: AnyModelOption = DEFAULT_MODEL,
    as_json: JsonOption = False,
) -> None:
    """Write keywords for the pictures of a folder into XMP side-cars, which photo managers read.

    Without --write it only shows what it would write. Pictures are never changed, and what others wrote stays.
    Pictures that a gallery of the same model holds are not encoded again.
    """
    from araclip.evaluation.tagging import LANGUAGES, untag
    from araclip.evaluation.tagging import tag as tag_pictures
    from araclip.gallery.ingest.scan import Walk, checked_root
    from araclip.models.encoder import as_encoder
    from araclip.pictures.video.formats import is_video
    from araclip.text.labels import read_labels

    root = checked_root(user_path(folder))
    refused: list[str] = []

    def skip(line: str) -> None:
        refused.append(line)
        say(f"skipped: {line}", "yellow")

    if undo:
        idle = {
            "--labels": labels, "--write": write, "--at": at is not None, "--short-names": short_names,
            "--gallery": gallery, "--language": language != "both", "--model": model != DEFAULT_MODEL,
        }  # fmt: skip
        refuse_idle(idle, "with --undo")
        with stoppable("The same command continues there."):
            removed = list(untag(root, skip=skip))
        if as_json:
            print_json({"changed": [str(path) for path, whole in removed if not whole],
                        "removed": [str(path) for path, whole in removed if whole], "skipped": refused})  # fmt: skip
        else:
            gone = sum(whole for _, whole in removed)
            out.print(f"Removed the keywords of {counted(len(removed), 'side-car')}, {gone:,} of them as a whole.")
        return
    if labels is None:
        raise InputError("name the labels to write: --labels everyday, or a file with one a line.")
    if language not in LANGUAGES:
        raise InputError(f"no language '{language}'. Choose one of {', '.join(LANGUAGES)}.")
    if at is not None and not 0 < at <= 1:
        raise InputError(f"--at is {at}; a probability is above 0 and at most 1.")
    with stoppable("What was written is whole; the same command continues there."), bars() as show:
        encoder = as_encoder(model)
        walk = Walk()
        vectors, hidden = _read_gallery(root, gallery, encoder)
        pictures = [
            Path(file.path) for file in walk.pictures(root) if not is_video(file.path) and file.path not in hidden
        ]
        for line in walk.faults():
            skip(line)
        tagged = []
        for one in tag_pictures(
            encoder, pictures, read_labels(labels), write=write, least=at, language=language, short_names=short_names,
            vectors=vectors, skip=skip, progress=partial(show, "pictures"),
            label_progress=partial(show, "label prompts"),
        ):  # fmt: skip
            tagged.append(one)
            if not as_json:
                name = one.picture.relative_to(root)
                line = shown(f"{name}: {'، '.join(one.keywords)} → {one.sidecar.name}")
                out.print(line, soft_wrap=True, markup=False)
    if as_json:
        rows = [
            {"path": str(one.picture), "sidecar": str(one.sidecar), "new": one.is_new, "keywords": one.keywords,
             "labels": {name: round(p, 4) for name, p in one.labels.items()}}
            for one in tagged
        ]  # fmt: skip
        print_json({"model": model, "written": write, "results": rows, "skipped": refused})
        return
    new = sum(one.is_new for one in tagged)
    what = (
        f"keywords of {counted(len(tagged), 'picture')}: {counted(new, 'new side-car')}, {len(tagged) - new:,} changed"
    )
    out.print(f"Wrote {what}." if write else f"Would write {what}. Nothing was written: add --write.", soft_wrap=True)


def _read_gallery(folder: Path, gallery: str | None, model: "Encoder") -> "tuple[dict[str, Vectors], set[str]]":
    """Return the vectors (D,) of the pictures below `folder`, by path, and the paths of hidden pictures.

    They come from the named gallery. If none is named, the gallery of the folder, or of the nearest folder above it
    with a gallery, is used; and if that gallery is missing, unreadable or of another model, both are empty. A named
    gallery with such a fault raises an error.
    """
    from araclip.gallery.locations import gallery_above
    from araclip.gallery.open import open_gallery

    location = gallery or gallery_above(folder)
    try:
        if location:
            with open_gallery(location, model=model) as opened:
                return opened.vectors(folder), set(opened.hidden())
    except (GalleryError, OSError):
        if gallery:
            raise
    return {}, set()
