"""The commands that search a gallery: search, similar, explain."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from araclip.cli.console import app, err, out, print_json, say, write_line
from araclip.cli.options import GalleryOption, JsonOption, ModelOption, complete_filter, open_chosen_gallery
from araclip.core.display import counted, shortened, shown
from araclip.core.messages import Message, in_arabic, message, message_of
from araclip.errors import GalleryNotFound, ImageError, InputError
from araclip.gallery.results import fits_nothing
from araclip.pictures.video.scenes import clock, file_of
from araclip.text.script import script_of

if TYPE_CHECKING:
    from araclip.gallery.base import BaseGallery
    from araclip.gallery.explanation import Explanation
    from araclip.gallery.plan import Interpretation
    from araclip.gallery.results import Hit, Match
    from araclip.gallery.search import Hits


MAX_TITLE = 200  # limit: letters of the query that are printed above its results

CountOption = Annotated[int, typer.Option("-k", help="How many pictures to find.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="KEY=VALUE",
        help="Only pictures that pass this filter (folder, captured, format, place, near, name, …); repeatable.",
        autocompletion=complete_filter,
    ),
]
ThresholdOption = Annotated[
    float,
    typer.Option(
        "--threshold", "-t", help="The least relevance of a hit, 0 to 1: 0.2 leaves out weak hits, 0.5 fair hits too."
    ),
]
OffsetOption = Annotated[int, typer.Option("--offset", help="Skip this many of the best hits, for a next page.")]
CollapseOption = Annotated[
    bool | None,
    typer.Option(
        "--collapse/--no-collapse",
        help="Of near-duplicates show only the best; the default in a table, but not with --json and --paths.",
    ),
]
TextWeightOption = Annotated[
    float,
    typer.Option("--text-weight", help="Weight of the words in names, metadata, captions and OCR text, 0 to 10."),
]
SortOption = Annotated[
    str,
    typer.Option(
        "--sort", help="relevance, date (pictures that fit, newest first) or oldest (first).", show_default=False
    ),
]
LiteralOption = Annotated[
    bool, typer.Option("--literal", help="Take the words as typed: no spelling, dialects, Arabizi, dates or “without”.")
]
LexiconOption = Annotated[
    Path | None,
    typer.Option(
        "--lexicon", help="File of your own words, such as «سيارة; car; eg: عربية»; by default $ARACLIP_LEXICON."
    ),
]
ThumbnailsOption = Annotated[
    bool, typer.Option("--thumbnails", help="Show the pictures in the terminal (kitty, iTerm2, sixel, else blocks).")
]
PathsOption = Annotated[bool, typer.Option("--paths", help="Print only paths, one a line, best first.")]


# An invisible character, put before a word such as -كلب ("no dog"), which click would otherwise take for an option.
_MARK = "\u2060"


class WordsCommand(TyperCommand):
    """A command whose arguments may begin with a minus if no option can begin so: -كلب, '- cat'.

    A minus before a Latin letter still begins an option, so that a misspelt option is refused. After `--` everything is
    an argument.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        marked = [_MARK + each if _is_excluded_word(each) else each for each in args[:end]]
        try:
            left = super().parse_args(ctx, [*marked, *args[end:]])
        except Exception as error:
            unknown = getattr(error, "option_name", "--")  # the option that is unknown to click, if any
            word = next((each[1:] for each in args if each.startswith(unknown) and not each.startswith("--")), "")
            if word:
                error.message += f". To leave out what shows “{word}”, write: - {word}"  # type: ignore[attr-defined]
            raise
        ctx.params = {name: _remove_mark(value) for name, value in ctx.params.items()}
        return left


def _is_excluded_word(argument: str) -> bool:
    sign, letter = argument[:1], argument[1:2]
    return sign in ("-", "\u2212", "\u2013") and bool(letter) and (letter.isspace() or not letter.isascii())


def _remove_mark(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, Path):
        return Path(str(value).removeprefix(_MARK))
    return type(value)(map(_remove_mark, value)) if isinstance(value, list | tuple) else value


@app.command(cls=WordsCommand)
def search(
    query: Annotated[
        list[str],
        typer.Argument(help="What the picture shows, quoted or not: قطة + سجادة حمراء - كلب, or ./sofa.jpg + أزرق."),
    ],
    gallery: GalleryOption = None,
    k: CountOption = 10,
    where: WhereOption = None,
    threshold: ThresholdOption = 0.0,
    offset: OffsetOption = 0,
    collapse: CollapseOption = None,
    text_weight: TextWeightOption = 1.0,
    sort: SortOption = "relevance",
    literal: LiteralOption = False,
    lexicon: LexiconOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    thumbnails: ThumbnailsOption = False,
    model: ModelOption = None,
) -> None:
    """Find the pictures that match a query, by what they show and by words in their texts."""
    _check_form(as_json, paths, thumbnails)
    text = " ".join(query)
    with _translate_errors(text), open_chosen_gallery(gallery, model) as found:
        from araclip.models.encoder import AraCLIP

        if isinstance(found.model, AraCLIP):
            # Open the model in the background while the query is read: opening takes a quarter of the command's time.
            found.model.open_text_tower()
        if lexicon:
            from araclip.text.resources import interpreter

            found.interpreter = interpreter(lexicon)
        hits = found.search(
            text, k, where=where, threshold=threshold, offset=offset, text_weight=text_weight, sort=sort,
            collapse=_should_collapse(collapse, as_json, paths), files=True, literal=literal,
        )  # fmt: skip
        _print_results(text, hits, found, as_json, paths, thumbnails, sort=sort)


@app.command()
def similar(
    picture: Annotated[str, typer.Argument(help="A picture file, in the gallery or not, or the picture:… of a hit.")],
    gallery: GalleryOption = None,
    k: CountOption = 10,
    where: WhereOption = None,
    offset: OffsetOption = 0,
    collapse: CollapseOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    thumbnails: ThumbnailsOption = False,
    model: ModelOption = None,
) -> None:
    """Find the pictures most similar to a picture. The picture itself is left out."""
    _check_form(as_json, paths, thumbnails)
    with open_chosen_gallery(gallery, model) as found:
        collapse = _should_collapse(collapse, as_json, paths)
        hits = found.similar(picture, k, where=where, offset=offset, collapse=collapse)
        _print_results(picture, hits, found, as_json, paths, thumbnails)


def shorten_query(query: str) -> str:
    """Return a query, safe to print; a very long query is shortened in the middle."""
    return shown(shortened(query, MAX_TITLE))


def _check_form(as_json: bool, paths: bool, thumbnails: bool) -> None:
    chosen = [name for name, on in (("--json", as_json), ("--paths", paths), ("--thumbnails", thumbnails)) if on]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other. Choose one.")


def _should_collapse(option: bool | None, as_json: bool, paths: bool) -> bool:
    """True to show only the best picture of each group of near-duplicates.

    `option`, the value of --collapse, decides; if it is None, only --json and --paths show all pictures.
    """
    return not (as_json or paths) if option is None else option


def _print_results(
    query: str, hits: "Hits", gallery: "BaseGallery", as_json: bool, paths: bool, thumbnails: bool,
    sort: str = "relevance",
) -> None:  # fmt: skip
    total = len(gallery)
    if not total:
        raise GalleryNotFound(
            f"the gallery {gallery.folder} holds no pictures yet. Fill it with `araclip index FOLDER --gallery "
            f"{shlex.quote(str(gallery.folder))}`."
        )
    interpretation = hits.interpretation
    language = _message_language(interpretation)
    if interpretation and not (as_json or paths):
        for line in interpretation_lines(interpretation):
            err.print(f"[dim]{escape(shown(line))}[/dim]")
    if hits.away:
        say(_translate("search away", language, folder=hits.away))
    if as_json:
        more = {"interpretation": interpretation.json()} if interpretation else {}
        print_json({"query": query, **more, "away": hits.away, "results": [_hit_json(hit) for hit in hits]})
    elif paths:
        for hit in hits:
            write_line(hit.file)
    elif not hits and not hits.away:
        err.print(_translate("search nothing", language))
    elif hits:
        print_hits = _print_pictures if thumbnails else _print_hits
        print_hits(query, hits, f"{len(hits)} of {counted(total, 'picture')} · {shown(str(gallery.folder))}")
        dated = sort != "relevance" or bool(interpretation and interpretation.sort)
        if fits_nothing([hit.relevance for hit in hits], by_date=dated):
            err.print(_translate("search weak", language))


def _message_language(interpretation: "Interpretation | None") -> Literal["ar", "en"]:
    """Return "ar" for a query with Arabic words or Arabizi, else "en"; without words there is no `interpretation`."""
    return "ar" if interpretation and interpretation.language in ("ar", "arabizi", "mixed") else "en"


def _translate(key: str, language: Literal["ar", "en"], **fields: object) -> str:
    english = message(key, **fields)
    return english if language == "en" else in_arabic(english)


@contextmanager
def _translate_errors(query: str) -> Iterator[None]:
    """In a `with` block, translate errors about the query or its filters into Arabic if the query is Arabic."""
    try:
        yield
    except InputError as error:
        text_of_error = message_of(error)
        if not isinstance(text_of_error, Message) or script_of(query) not in ("arabic", "mixed"):
            raise
        raise InputError(in_arabic(text_of_error)) from error


def _hit_json(hit: "Hit") -> dict[str, Any]:
    return {
        "path": hit.file,
        **({} if hit.time is None else {"time": hit.time}),
        "score": round(hit.score, 4),
        "rank": hit.rank,
        "copies": [file_of(path) for path in hit.copies],
        "relevance": None if hit.relevance is None else round(hit.relevance, 4),
        "weak": hit.weak,
        "captured_at": hit.captured_at,
        "matched": [asdict(match) for match in hit.matched],
    }


def _print_hits(query: str, hits: "list[Hit]", caption: str) -> None:
    table = Table(
        title=escape(f"«{shorten_query(query)}»"), title_justify="left", caption=escape(caption), caption_justify="left"
    )
    dated = _is_dated(hits)
    table.add_column("", justify="right", style="dim")
    rated = any(hit.relevance is not None for hit in hits)  # True: the table shows relevance; False: the cosine
    table.add_column("taken" if dated else "relevance" if rated else "score", justify="left" if dated else "right")
    table.add_column("picture", overflow="fold")
    for hit in hits:
        table.add_row(str(hit.rank), _rank_value(hit, dated), _hit_cell(hit), style="dim" if hit.weak else None)
    out.print(table)


def _is_dated(hits: "list[Hit]") -> bool:
    """True if the hits are listed by date, because the query names nothing that a picture shows; they have no score."""
    return all(hit.score == 0 and hit.relevance is None for hit in hits)


def _rank_value(hit: "Hit", dated: bool) -> str:
    """Return the value by which a hit is ordered, as text: the day it was taken, its relevance, or its cosine."""
    if dated:
        return (hit.captured_at or "–")[:10]
    return f"{hit.score:.3f}" if hit.relevance is None else f"{hit.strength} {_round_down(hit.relevance)}"


def _round_down(relevance: float) -> str:
    """Return a relevance (0 to 1) with two digits, rounded down: 0.199 is weak, and must not look fair, as 0.20 is."""
    return f"{int(relevance * 100 + 1e-9) / 100:.2f}"


def _print_pictures(query: str, hits: "list[Hit]", caption: str) -> None:
    """Print each hit as a picture with a line below it; if a file cannot be opened, print only the line."""
    from araclip.cli import thumbnails

    out.print(f"«{shorten_query(query)}»", markup=False, soft_wrap=True)
    for hit in hits:
        try:
            thumbnails.show(out, hit.path)
        except ImageError as error:
            say(str(error))
        line = Text.assemble((f"{hit.rank}  {_rank_value(hit, _is_dated(hits))}  ", "dim"), _hit_cell(hit), "\n")
        out.print(line, soft_wrap=True)
    out.print(caption, markup=False, style="dim")


def _hit_cell(hit: "Hit") -> Text:
    """Return the text that the table shows for a hit.

    It is the path (on a terminal, a link), the time of a video scene, the numbers of identical and of similar pictures,
    and the texts of the picture that match the query.
    """
    link = PurePath(hit.file).as_uri() if PurePath(hit.file).is_absolute() else None
    text = Text(shown(hit.file), Style(link=link) if link and out.is_terminal else "")
    if hit.time is not None:
        text.append(f"  {clock(hit.time)}", Style())
    if hit.copies:
        text.append(f"  (+{len(hit.copies)} identical)", Style())
    if hit.near:
        text.append(f"  (+{hit.near} alike)", Style())
    for match in hit.matched:
        text.append("\n").append_text(Text.from_markup(mark_words(match)))
    return text


def mark_words(match: "Match") -> str:
    """Return a match as markup of rich: its field, and its text with the matching words in bold."""
    pieces, done = [f"[dim]{match.field}:[/] "], 0
    for start, end in match.marks:
        pieces += [escape(shown(match.text[done:start])), f"[bold]{escape(shown(match.text[start:end]))}[/]"]
        done = end
    return "".join([*pieces, escape(shown(match.text[done:]))])


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
    with _translate_errors(query), open_chosen_gallery(gallery, model) as found:
        explanation = found.explain(query, picture, literal=literal, files=True)
    if as_json:
        print_json({
            "query": query,
            "path": explanation.path,
            "score": round(explanation.score, 4),
            "relevance": None if explanation.relevance is None else round(explanation.relevance, 4),
            "words": [{"word": each.word, "share": round(each.share, 4)} for each in explanation.words],
            "matched": [asdict(match) for match in explanation.matched],
            "interpretation": explanation.interpretation.json(),
        })  # fmt: skip
    else:
        _print_explanation(query, explanation)


def _print_explanation(query: str, found: "Explanation") -> None:
    relevance = "unknown" if found.relevance is None else f"{found.strength} ({_round_down(found.relevance)})"
    out.print(f"«{shorten_query(query)}» · {shown(found.path)}", markup=False, soft_wrap=True)
    table = Table()
    table.add_column("word")
    table.add_column("share", justify="right")
    for each in found.words:
        table.add_row(escape(shown(each.word)), f"{each.share:+.3f}", style="dim" if each.share <= 0 else None)
    # the table's columns are too narrow to explain a "share", so the line below the table explains it
    out.print(table)
    what = f"score {found.score:.3f}, relevance {relevance}; share: what the score loses without the word"
    out.print(what, markup=False, style="dim")
    for line in interpretation_lines(found.interpretation):
        out.print(escape(shown(line)))
    for match in found.matched:
        out.print(mark_words(match))


def interpretation_lines(found: "Interpretation") -> list[str]:
    """Return a line for each part of the query that was not read as typed, and a line for a suggestion if there is one.

    The last line before the suggestion says how to have all words read as typed.
    """
    language = _message_language(found)
    comma = ", " if language == "en" else "، "
    listed = {"search also": found.also, "search excluded": found.excluded, "query quality": found.qualities}
    lines = [_translate(key, language, words=comma.join(words)) for key, words in listed.items() if words]
    failed = "none" if sum(not each.applied for each in found.filters) == 1 else "together"
    for each in found.filters:
        part = "outside" if each.applied and each.where[0].startswith("folder!") else each.part
        key = f"search {part}" if each.applied else f"search {part} {failed}"
        lines.append(_translate(key, language, words=each.words, where=" ".join(each.where)))
    if lines:
        lines[-1] += "  " + _translate("search literal", language)
    if found.suggestion:
        lines.append(_translate("search suggestion", language, text=found.suggestion))
    return lines
