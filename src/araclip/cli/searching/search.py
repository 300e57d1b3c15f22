"""The commands that find pictures: search, similar."""

from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.text import Text

from araclip.cli.completion import FILTERS, completer
from araclip.cli.console import app, as_json_text, err, out, shown, write_line
from araclip.cli.galleries import GalleryOption, JsonOption, ModelOption, opened
from araclip.cli.searching.understanding import understood_lines
from araclip.cli.searching.words import WordsCommand, query_of
from araclip.core.display import counted, shortened
from araclip.errors import GalleryNotFound, ImageError, InputError
from araclip.pictures.video.scenes import clock, file_of

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.results import Hit, Match

MAX_TITLE = 200  # letters of a query above its results: two or three lines

CountOption = Annotated[int, typer.Option("-k", help="How many pictures to find.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        help="Only pictures with KEY=VALUE: folder, captured, format, camera, near, name, … Repeatable.",
        autocompletion=completer(FILTERS),
    ),
]
ThresholdOption = Annotated[
    float,
    typer.Option(
        "--threshold", "-t", help="Least relevance of a hit, 0 to 1; 0.2 leaves out weak hits, 0.5 fair ones too."
    ),
]
OffsetOption = Annotated[int, typer.Option("--offset", help="Skip so many of the best hits, for the next page.")]
CollapseOption = Annotated[bool, typer.Option("--collapse", help="Show only the best of near-duplicates.")]
TextWeightOption = Annotated[
    float,
    typer.Option("--text-weight", help="How much words in names, metadata, captions and OCR count, 0 (not) to 10."),
]
LiteralOption = Annotated[
    bool, typer.Option("--literal", help="Take the words as typed: no spelling, dialects, Arabizi, dates or “without”.")
]
LexiconOption = Annotated[
    Path | None,
    typer.Option("--lexicon", help="Your own words, one a line (docs/queries.md); else $ARACLIP_LEXICON."),
]
ThumbnailsOption = Annotated[
    bool, typer.Option("--thumbnails", help="Show the pictures in the terminal (kitty, iTerm2, sixel, else blocks).")
]
PathsOption = Annotated[bool, typer.Option("--paths", help="Print paths only, one a line, best first.")]


@app.command(cls=WordsCommand)
def search(
    query: Annotated[
        list[str],
        typer.Argument(
            help="What the picture shows, in words, quoted or not: قطة + سجادة حمراء - كلب, or ./sofa.jpg + أزرق."
        ),
    ],
    gallery: GalleryOption = None,
    k: CountOption = 10,
    where: WhereOption = None,
    threshold: ThresholdOption = 0.0,
    offset: OffsetOption = 0,
    collapse: CollapseOption = False,
    text_weight: TextWeightOption = 1.0,
    literal: LiteralOption = False,
    lexicon: LexiconOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    thumbnails: ThumbnailsOption = False,
    model: ModelOption = None,
) -> None:
    """Find the pictures that match a query, by what they show and by words in their texts."""
    _check_form(as_json, paths, thumbnails)
    text = query_of(query)
    with opened(gallery, model) as found:
        from araclip.encoder import AraCLIP

        if isinstance(found.model, AraCLIP):
            found.model.open_text_tower()  # a quarter of the whole time, while the query is read
        if lexicon:
            from araclip.text.resources import interpreter

            found.interpreter = interpreter(lexicon)
        hits = found.search(
            text, k, where=where, threshold=threshold, offset=offset, collapse=collapse, files=True,
            text_weight=text_weight, literal=literal,
        )  # fmt: skip
        _show(text, hits, found, as_json, paths, thumbnails)


@app.command()
def similar(
    picture: Annotated[str, typer.Argument(help="A picture file, or picture:… of a hit.")],
    gallery: GalleryOption = None,
    k: CountOption = 10,
    where: WhereOption = None,
    offset: OffsetOption = 0,
    collapse: CollapseOption = False,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    thumbnails: ThumbnailsOption = False,
    model: ModelOption = None,
) -> None:
    """Find the pictures most similar to a picture. The picture itself is left out."""
    _check_form(as_json, paths, thumbnails)
    with opened(gallery, model) as found:
        hits = found.similar(picture, k, where=where, offset=offset, collapse=collapse)
        _show(picture, hits, found, as_json, paths, thumbnails)


def asked(query: str) -> str:
    """A query as the title of its results, of a thousand words both ends."""
    return shown(shortened(query, MAX_TITLE))


def _check_form(as_json: bool, paths: bool, thumbnails: bool) -> None:
    chosen = [name for name, on in (("--json", as_json), ("--paths", paths), ("--thumbnails", thumbnails)) if on]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other. Choose one.")


def _show(query: str, hits: "list[Hit]", gallery: "BaseGallery", as_json: bool, paths: bool, thumbnails: bool) -> None:
    total = len(gallery)
    if not total:
        raise GalleryNotFound(
            f"the gallery {gallery.folder} holds no pictures yet. Fill it with `araclip index FOLDER`."
        )
    if as_json:
        understood = getattr(hits, "interpretation", None)
        more = {"interpretation": understood.json()} if understood else {}
        write_line(as_json_text({"query": query, **more, "results": [_as_object(hit) for hit in hits]}))
        return
    if paths:
        for hit in hits:
            write_line(hit.file)
        return
    if interpretation := getattr(hits, "interpretation", None):
        for line in understood_lines(interpretation):
            err.print(f"[dim]{escape(shown(line))}[/dim]")
    if not hits:
        err.print("Nothing found. Try fewer filters, a lower --threshold or a smaller --offset.")
    else:
        print_hits = _print_pictures if thumbnails else _print_hits
        print_hits(query, hits, f"{len(hits)} of {counted(total, 'picture')} · {shown(str(gallery.folder))}")
        if hits[0].weak:
            err.print("Nothing here fits well; these are the nearest. With --threshold 0.2 they would be left out.")


def _as_object(hit: "Hit") -> dict[str, Any]:
    relevance = None if hit.relevance is None else round(hit.relevance, 4)
    return {
        "path": hit.file,
        **({} if hit.time is None else {"time": hit.time}),
        "score": round(hit.score, 4),
        "rank": hit.rank,
        "copies": [file_of(path) for path in hit.copies],
        "relevance": relevance,
        "weak": hit.weak,
        "matched": [asdict(match) for match in hit.matched],
    }


def _print_hits(query: str, hits: "list[Hit]", caption: str) -> None:
    table = Table(
        title=escape(f"«{asked(query)}»"), title_justify="left", caption=escape(caption), caption_justify="left"
    )
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("relevance")
    table.add_column("picture", overflow="fold")
    for hit in hits:
        table.add_row(
            str(hit.rank), f"{hit.score:.3f}", hit.strength or "–", _picture(hit), style="dim" if hit.weak else None
        )
    out.print(table)


def _print_pictures(query: str, hits: "list[Hit]", caption: str) -> None:
    """Each hit as a picture with a line below it; a file that cannot be opened as the line alone."""
    from araclip.cli.searching import thumbnails

    out.print(f"«{asked(query)}»", markup=False, soft_wrap=True)
    for hit in hits:
        try:
            thumbnails.show(out, hit.path)
        except ImageError as error:
            err.print(shown(str(error)), soft_wrap=True, markup=False)
        line = Text.assemble((f"{hit.rank}  {hit.score:.3f}  {hit.strength or '–'}  ", "dim"), _picture(hit), "\n")
        out.print(line, soft_wrap=True)
    out.print(caption, markup=False, style="dim")


def _picture(hit: "Hit") -> Text:
    """Its path (on a terminal a link), the time of a scene, how many copies it has, and the texts that matched."""
    link = PurePath(hit.file).as_uri() if PurePath(hit.file).is_absolute() else None
    text = Text(shown(hit.file), Style(link=link) if link and out.is_terminal else "")
    if hit.time is not None:
        text.append(f"  {clock(hit.time)}", Style())
    if hit.copies:
        text.append(f"  (+{len(hit.copies)} identical)", Style())
    for match in hit.matched:
        text.append("\n").append_text(Text.from_markup(marked(match)))
    return text


def marked(match: "Match") -> str:
    """A text with its words in bold, as markup."""
    pieces, done = [f"[dim]{match.field}:[/] "], 0
    for start, end in match.marks:
        pieces += [escape(shown(match.text[done:start])), f"[bold]{escape(shown(match.text[start:end]))}[/]"]
        done = end
    return "".join([*pieces, escape(shown(match.text[done:]))])
