"""`araclip index --from OUT`: a gallery from the shards of `araclip embed`."""

import shlex
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from araclip.cli.console import as_json_text, err, out, progress, shown, stoppable, write_line
from araclip.cli.galleries import gallery_location, remember
from araclip.core.display import counted
from araclip.errors import InputError


def fill_from(
    shards: str, folder: Path | None, gallery: str | None, model: str | None, *, others: bool, as_json: bool
) -> None:
    """Fill the gallery that the options name, and say what was read.

    Raises:
        InputError: options that contradict `--from`.
    """
    from araclip.bulk.filling import encoder_of_shards, fill, shards_in
    from araclip.gallery.open import open_gallery

    if folder is not None or others:
        raise InputError(
            "--from fills a gallery from shards alone; FOLDER, --reembed, --ocr and --scenes read files. Run `araclip "
            "index` on the folder afterwards, with the same --gallery."
        )
    found = shards_in(shards)
    if gallery is None and not found.folder.is_local:
        raise InputError(f"name the gallery that is to be filled from {found.folder.place}: --gallery FOLDER.")
    location = gallery_location(gallery, Path(found.folder.place))
    encoder = encoder_of_shards(found, model)
    with (
        stoppable("What was committed is indexed; run the same command again to resume."),
        open_gallery(location, model=encoder, create=True) as opened,
    ):
        with progress("Pictures") as show:
            report = fill(opened, found, progress=lambda done: show(done, found.pictures))
        pictures = len(opened)
    remember(location)
    if as_json:
        about = {"gallery": str(location), "model": encoder.label, "pictures": pictures, "missing": found.missing}
        write_line(as_json_text(about | asdict(report)))
        return
    if found.missing:
        left = counted(found.missing, "shard is", "shards are")
        err.print(f"{left} not finished: run `araclip embed` again, then this.", style="yellow")
    seconds = report.row_seconds + report.word_seconds
    rate = report.read / seconds if seconds else 0
    out.print(
        f"{counted(report.read, 'picture')} read, {report.added:,} of them new, {rate:,.0f} a second; index in "
        f"{report.index_seconds:.1f} s. The gallery holds {pictures:,}."
    )
    command = shlex.join(["araclip", "search", *(("--gallery", gallery) if gallery else ()), "قطة على طاولة"])
    out.print(f"Search it: [bold]{escape(shown(command))}[/]", soft_wrap=True)  # to be copied
