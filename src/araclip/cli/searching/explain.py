"""The command that says why a picture was found: explain."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, as_json_text, out, shown, write_line
from araclip.cli.galleries import GalleryOption, JsonOption, ModelOption, opened
from araclip.cli.searching.search import LiteralOption, asked, marked
from araclip.cli.searching.understanding import understood_lines
from araclip.cli.searching.words import WordsCommand

if TYPE_CHECKING:
    from araclip.gallery.explanation import Explanation


@app.command(cls=WordsCommand)
def explain(
    query: Annotated[str, typer.Argument(help="A query, as for `araclip search`.")],
    picture: Annotated[str, typer.Argument(help="A picture of the gallery, picture:… of a hit, or any picture file.")],
    gallery: GalleryOption = None,
    literal: LiteralOption = False,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """Say why a query finds a picture: each word's share, texts that match, and how the query was read.

    A word's share is the cosine that the picture loses when the query is asked without it.
    """
    with opened(gallery, model) as found:
        explanation = found.explain(query, picture, literal=literal, files=True)
    if as_json:
        write_line(as_json_text(_as_object(query, explanation)))
    else:
        _print(query, explanation)


def _as_object(query: str, found: "Explanation") -> dict[str, Any]:
    return {
        "query": query,
        "path": found.path,
        "score": round(found.score, 4),
        "relevance": None if found.relevance is None else round(found.relevance, 4),
        "words": [{"word": each.word, "share": round(each.share, 4)} for each in found.words],
        "matched": [asdict(match) for match in found.matched],
        "interpretation": found.interpretation.json(),
    }


def _print(query: str, found: "Explanation") -> None:
    relevance = "unknown" if found.relevance is None else f"{found.strength} ({found.relevance:.2f})"
    out.print(f"«{asked(query)}» · {shown(found.path)}", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("word")
    table.add_column("share", justify="right")
    for each in found.words:
        table.add_row(escape(shown(each.word)), f"{each.share:+.3f}", style="dim" if each.share <= 0 else None)
    out.print(table)  # narrow, so what is said of it stands around it
    what = f"score {found.score:.3f}, relevance {relevance}; share: what the score loses without the word"
    out.print(what, markup=False, style="dim")
    for line in understood_lines(found.interpretation):
        out.print(escape(shown(line)))
    for match in found.matched:
        out.print(marked(match))
