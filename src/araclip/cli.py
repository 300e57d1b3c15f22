"""The command line: a command parses, calls one function, prints."""

import io
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from araclip import __version__
from araclip.errors import AraclipError, GalleryNotFound, InputError
from araclip.model_folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from araclip.demo import Sample
    from araclip.gallery.gallery import Gallery, Hit, Update

app = typer.Typer(
    help="Type Arabic, find pictures. اكتب بالعربية واعثر على صورك.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)

GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="Folder of the gallery; by default one in your user data directory."),
]
ModelOption = Annotated[str, typer.Option("--model", help="A bundled model's name, or the path of a model folder.")]


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder with pictures; folders below it count too.")],
    gallery: GalleryOption = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Index the pictures of a folder, or bring its index up to date.

    Only new and changed files are read. Stop it whenever you like: the next run goes on where it was.
    """
    from araclip.gallery import places
    from araclip.gallery.gallery import Gallery
    from araclip.gallery.scan import checked_root

    root = checked_root(folder)
    place = gallery or places.gallery_of(root)
    with Gallery.open(place, model=model, create=True) as opened:
        _index(opened, root)
    places.remember(place)
    options = [
        *(("--gallery", str(gallery)) if gallery else ()),
        *(("--model", model) if model != DEFAULT_MODEL else ()),
    ]
    command = shlex.join(["araclip", "search", *options, "قطة على طاولة"])
    out.print(f"Search it: [bold]{escape(_shown(command))}[/]")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What the picture shows, in Arabic or English.")],
    gallery: GalleryOption = None,
    k: Annotated[int, typer.Option("-k", help="How many pictures to find.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths only, one a line, best first.")] = False,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Find the pictures that show what you type.

    Without --gallery: the gallery of this folder or of one above it, else the one indexed last.
    """
    from araclip.gallery import places
    from araclip.gallery.gallery import Gallery

    if as_json and paths:
        raise InputError("--json and --paths exclude each other. Choose one.")
    place = gallery or places.gallery_here(Path.cwd())
    with Gallery.open(place, model=model) as opened:
        hits, total = opened.search(query, k), len(opened)
    if not total:
        raise GalleryNotFound(f"the gallery {place} holds no pictures yet. Fill it with `araclip index FOLDER`.")
    if as_json:
        results = [{"path": h.path, "score": round(h.score, 4), "rank": h.rank, "copies": list(h.copies)} for h in hits]
        _write(_json({"query": query, "results": results}))
    elif paths:
        for hit in hits:
            _write(hit.path)
    else:
        _print_hits(query, hits, f"{len(hits)} of {total:,} pictures · {_shown(str(place))}")


@app.command()
def demo() -> None:
    """Build a sample gallery and answer Arabic queries, all on this machine.

    The pictures are OpenMoji drawings and the photographs that ship with scikit-image (extra `demo`).
    """
    from araclip import demo as sample
    from araclip.gallery import places
    from araclip.gallery.gallery import Gallery

    home = places.data_home() / "demo"
    with _progress("Drawing the sample pictures") as show:
        samples = {str(s.path): s for s in sample.sample_pictures(home / "pictures", show)}
    for line in sample.CREDITS:
        out.print(escape(line), style="dim")
    with Gallery.open(home / "gallery", create=True) as gallery:
        _index(gallery, home / "pictures")
        table = Table(title=f"The best of {len(gallery):,} pictures for each query", title_justify="left")
        table.add_column("query", justify="right", style="bold")
        table.add_column("best pictures, with their score")
        table.add_column("ms", justify="right", style="dim")
        for query in sample.QUERIES:
            start = time.perf_counter()
            hits = gallery.search(query, 4)
            took = (time.perf_counter() - start) * 1e3
            table.add_row(query, "\n".join(_described(hit, samples) for hit in hits), f"{took:.0f}")
    out.print(table)
    out.print(f"The pictures lie in {escape(str(home / 'pictures'))}")
    out.print("Now your own: [bold]araclip index FOLDER[/], then [bold]araclip search 'قطة على طاولة'[/]")


def _described(hit: "Hit", samples: "dict[str, Sample]") -> str:
    sample = samples.get(hit.path)  # none for a picture that somebody put into the folder
    name = f"{sample.emoji or '📷'}  {escape(sample.arabic)}  " if sample else ""
    return f"{hit.score:.2f}  {name}[dim]{escape(_shown(Path(hit.path).name))}[/]"


def _index(gallery: "Gallery", root: Path) -> "Update":
    from araclip.gallery import places

    start = time.perf_counter()
    try:
        with _progress("Indexing") as show:
            report = gallery.update(
                [root], progress=show, skip=lambda line: err.print(_shown(line), soft_wrap=True, markup=False)
            )
    except KeyboardInterrupt:
        places.remember(gallery.folder)
        err.print(f"Stopped. {len(gallery):,} pictures are indexed; run the same command again to go on.")
        raise typer.Exit(130) from None
    seconds = time.perf_counter() - start
    out.print(
        f"{report.pictures:,} pictures indexed: {report.added:,} new or changed, {report.unchanged:,} unchanged, "
        f"{report.removed:,} gone, {len(report.skipped):,} skipped, in {seconds:.1f} s"
    )
    return report


def _print_hits(query: str, hits: "list[Hit]", caption: str) -> None:
    table = Table(
        title=escape(f"«{_shown(query)}»"), title_justify="left", caption=escape(caption), caption_justify="left"
    )
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("picture", overflow="fold")
    for hit in hits:
        more = f"  (+{len(hit.copies)} identical)" if hit.copies else ""
        table.add_row(str(hit.rank), f"{hit.score:.3f}", escape(_shown(hit.path) + more))
    out.print(table)


@contextmanager
def _progress(title: str) -> "Iterator[Callable[[int, int], None]]":
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=err)
    task = bar.add_task(title, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before there is something to show: a refused command prints its one line and no bar
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def _shown(text: str) -> str:
    """Text for a terminal: bytes of a file name that are no UTF-8, and control or bidi-override marks, made visible."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else f"\\u{ord(c):04x}" for c in readable)


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8: escaped, it survives the round trip through json.loads
        return json.dumps(value)
    return text


def _write(line: str) -> None:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")


def _version(asked: bool) -> None:
    if asked:
        out.print(f"araclip {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; what AraCLIP raises on purpose becomes one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe in an old code page shows Arabic escaped rather than failing
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (AraclipError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `araclip search … | head`
            sys.stderr.close()
            raise SystemExit(0) from None
        err.print(f"araclip: {_shown(str(error))}", soft_wrap=True, markup=False, style="red")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
