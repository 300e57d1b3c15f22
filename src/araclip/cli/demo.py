"""The command `araclip demo`: builds a sample gallery, answers queries and serves the gallery's web page."""

import time
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, out, progress, say, stoppable
from araclip.cli.indexing import how_to_resume, index_folder, reembed_folder
from araclip.core.display import counted, shown
from araclip.core.processes import one_blas_thread
from araclip.models.folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.demo import Sample
    from araclip.gallery.gallery import Gallery
    from araclip.gallery.results import Hit


DRAWN_AT_ONCE = 64  # sample pictures that are made in one step; Ctrl-C waits for the end of a step


@app.command()
def demo() -> None:
    """Build a sample gallery and answer Arabic queries, all on this machine.

    The pictures are OpenMoji drawings and the photographs that ship with scikit-image (extra `demo`). The first answers
    come from a part of the pictures; the rest are drawn and indexed while the page is served.
    """
    one_blas_thread()
    from araclip import demo as sample
    from araclip.core.paths import data_home

    pictures, gallery = data_home() / "demo" / "pictures", data_home() / "demo" / "gallery"
    samples = sample.available(pictures)
    with stoppable(partial(how_to_resume, gallery)):
        complete = _build_demo(gallery, pictures, samples, sample.first_samples(samples))
        if not (complete or out.is_terminal):
            _build_demo(gallery, pictures, samples, samples, quiet=True)
    out.print("Now your own: [bold]araclip index FOLDER[/], then [bold]araclip search قطة على طاولة[/]")
    out.print(f"The pictures are in {escape(shown(str(pictures)))}")
    for line in sample.CREDITS:
        out.print(escape(line), style="dim")
    _serve_demo(gallery, pictures, sample.QUERIES[0], [] if complete else samples)


def _build_demo(
    folder: Path, pictures: Path, samples: "list[Sample]", wanted: "list[Sample]", *, quiet: bool = False
) -> bool:
    """Make the missing pictures of `wanted`, index the folder `pictures`, and answer example queries, unless `quiet`.

    Return True if the files of all `samples` exist after that.
    """
    from araclip import demo as sample

    with progress("Drawing the sample pictures") as show:
        sample.make_samples(wanted, show)
    known = {str(each.path): each for each in samples}
    with _open_demo_gallery(folder) as gallery:
        index_folder(gallery, pictures)
        # count the missing files: the gallery's own number is lower, because it counts equal drawings once
        left = sum(not each.path.is_file() for each in samples)
        if quiet:
            return left <= 0
        follow = f"; {left:,} more {'follows' if left == 1 else 'follow'}" if left > 0 else ""
        table = Table(title=f"The best of {counted(len(gallery), 'picture')}{follow}", title_justify="left")
        table.add_column("query", justify="right", style="bold")
        table.add_column("best pictures, with their score")
        table.add_column("ms", justify="right", style="dim")
        for query in sample.QUERIES:
            start = time.perf_counter()
            hits = gallery.search(query, 4)
            took = (time.perf_counter() - start) * 1e3
            table.add_row(query, "\n".join(_describe_hit(hit, known) for hit in hits), f"{took:.0f}")
        out.print(table)
        return left <= 0


def _open_demo_gallery(folder: Path) -> "Gallery":
    """Open the sample gallery, and create it if it is missing; if it is of another model, re-embed it first."""
    from araclip.errors import WidthMismatch
    from araclip.gallery.gallery import Gallery

    try:
        return Gallery.open(folder, model=DEFAULT_MODEL, create=True)
    except WidthMismatch:
        out.print("The sample gallery is from another release's model.")
        reembed_folder(folder, DEFAULT_MODEL, forget_missing=True, quiet=False)
        return Gallery.open(folder)


def _serve_demo(gallery: Path, pictures: Path, query: str, missing: "list[Sample]") -> None:
    """Serve the sample gallery until Ctrl-C; meanwhile, make the missing pictures and let the server index them.

    Without a terminal, only check that the server responds.
    """
    from araclip.server.run import check, serve
    from araclip.server.settings import Settings

    settings = Settings.read(gallery=gallery, model=DEFAULT_MODEL, host="127.0.0.1", port=0, offer=pictures)
    if not out.is_terminal:
        results = check(settings, query).results
        out.print(f"The page and its API respond: {counted(len(results), 'picture')} for «{query}».")
        return
    stopped = Event()

    def ready(address: str) -> None:
        out.print(f"Search them at [bold]{address}[/]. Stop with Ctrl-C.")
        Thread(target=_index_missing_samples, args=(missing, address, stopped), daemon=True).start()

    serve(settings, ready=ready)
    stopped.set()


def _index_missing_samples(missing: "list[Sample]", address: str, stopped: Event) -> None:
    """Make the pictures of the missing samples, then tell the server to index them."""
    from araclip.client import Client
    from araclip.demo import make_samples
    from araclip.errors import AraCLIPError

    try:
        for start in range(0, len(missing), DRAWN_AT_ONCE):
            if stopped.is_set():
                return
            make_samples(missing[start : start + DRAWN_AT_ONCE], lambda done, total: None)
        if missing:
            with Client(address) as client:
                client.index()
    except AraCLIPError as error:
        if not stopped.is_set():
            say(str(error))


def _describe_hit(hit: "Hit", samples: "dict[str, Sample]") -> str:
    sample = samples.get(hit.path)  # None for a picture that the user has added to the sample gallery
    name = f"{sample.emoji or '📷'}  {escape(sample.arabic)}  " if sample else ""
    return f"{hit.score:.2f}  {name}[dim]{escape(shown(Path(hit.path).name))}[/]"
