"""The commands of someone with pictures: index, search, demo."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, as_json_text, err, out, progress, shown, write_line
from araclip.errors import GalleryNotFound, InputError
from araclip.model_folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.demo import Sample
    from araclip.gallery.gallery import Gallery
    from araclip.gallery.results import Hit, Update

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
    out.print(f"Search it: [bold]{escape(shown(command))}[/]")


@app.command()
def search(
    query: Annotated[
        str, typer.Argument(help="What the picture shows: قطة + سجادة حمراء - كلب, or ./sofa.jpg + لون أزرق.")
    ],
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
        hits, total = opened.search(query, k, files=True), len(opened)
    if not total:
        raise GalleryNotFound(f"the gallery {place} holds no pictures yet. Fill it with `araclip index FOLDER`.")
    if as_json:
        results = [{"path": h.path, "score": round(h.score, 4), "rank": h.rank, "copies": list(h.copies)} for h in hits]
        write_line(as_json_text({"query": query, "results": results}))
    elif paths:
        for hit in hits:
            write_line(hit.path)
    else:
        _print_hits(query, hits, f"{len(hits)} of {total:,} pictures · {shown(str(place))}")


@app.command()
def demo() -> None:
    """Build a sample gallery and answer Arabic queries, all on this machine.

    The pictures are OpenMoji drawings and the photographs that ship with scikit-image (extra `demo`).
    """
    from araclip import demo as sample
    from araclip.gallery import places
    from araclip.gallery.gallery import Gallery

    home = places.data_home() / "demo"
    with progress("Drawing the sample pictures") as show:
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
    return f"{hit.score:.2f}  {name}[dim]{escape(shown(Path(hit.path).name))}[/]"


def _index(gallery: "Gallery", root: Path) -> "Update":
    from araclip.gallery import places

    start = time.perf_counter()
    try:
        with progress("Indexing") as show:
            report = gallery.update(
                [root], progress=show, skip=lambda line: err.print(shown(line), soft_wrap=True, markup=False)
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
        title=escape(f"«{shown(query)}»"), title_justify="left", caption=escape(caption), caption_justify="left"
    )
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("picture", overflow="fold")
    for hit in hits:
        more = f"  (+{len(hit.copies)} identical)" if hit.copies else ""
        table.add_row(str(hit.rank), f"{hit.score:.3f}", escape(shown(hit.path) + more))
    out.print(table)
