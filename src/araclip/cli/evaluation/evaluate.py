"""The commands that measure models: evaluate, mteb."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.completion import models_here
from araclip.cli.console import app, as_json_text, bars, err, out, refuse_idle, shown, stoppable, write_line
from araclip.cli.evaluation.paper import run_paper_suite
from araclip.cli.evaluation.robustness import robustness_of, robustness_table
from araclip.cli.galleries import AnyModelOption, JsonOption
from araclip.core.display import counted
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.model_folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.evaluation.picture_sets.datasets import PictureSet
    from araclip.evaluation.results import Evaluated
    from araclip.evaluation.summary import Scores, Summary

COLUMNS = ("R@1", "R@5", "R@10", "MRR")
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Bundled or pulled model, model folder or peer (docs/peers.md), once for each.",
        autocompletion=models_here,
    ),
]


@app.command()
def evaluate(
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A folder with captions.jsonl, or the name of a published set.")
    ] = None,
    models: ModelsOption = None,
    split: Annotated[str | None, typer.Option("--split", help="Part of the set, such as dev; by default all.")] = None,
    caption_field: Annotated[
        str | None, typer.Option("--caption-field", help="Field of the queries; caption_ar in our folders.")
    ] = None,
    captions: Annotated[
        str, typer.Option("--captions", help="Which captions of a picture are queries: all, or the first.")
    ] = "all",
    both: Annotated[bool, typer.Option("--both", help="Print picture → text too.")] = False,
    as_json: JsonOption = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report to this file (extra `report`).")
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder to cache results in.")] = None,
    path: Annotated[
        Path | None, typer.Option("--path", help="Path of a published set, if --dataset names one.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that holds the set's pictures, if not the captions' own.")
    ] = None,
    train_data: Annotated[
        list[str] | None,
        typer.Option(
            "--train-data", help="A training set of a model: count the test pictures and captions in it (leaks)."
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="paper: the rows of AraCLIP's description, beside what it claims.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --suite: NAME=FOLDER or NAME=FOLDER,PICTURES; --model is ROW=MODEL then."),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure what misspelling, dialects and Arabizi cost, kind by kind.")
    ] = False,
    understood: Annotated[
        bool, typer.Option("--understood", help="With --robustness, read the texts as a search does.")
    ] = False,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="With --robustness, only this kind or group. Repeatable.")
    ] = None,
) -> None:
    """Measure how well models find pictures by text, and text by pictures; compare them with the first.

    Recall@k, MRR and nDCG over every caption and every picture of a set, with 95 % intervals and p-values.
    """
    path, images, cache, report = (place and user_path(place) for place in (path, images, cache, report))
    if suite is not None or sets:
        if suite != "paper":
            raise InputError(f"--suite is {suite!r}, there is one suite: paper. --set belongs to it.")
        refuse_idle(
            {
                "--dataset": dataset, "--path": path, "--images": images, "--both": both, "--report": report,
                "--train-data": train_data, "--robustness": robustness, "--understood": understood, "--kind": kinds,
            },
            "with --suite",
        )  # fmt: skip
        run_paper_suite(
            sets or (), models or (), split=split, caption_field=caption_field, captions=captions, cache=cache,
            as_json=as_json,
        )  # fmt: skip
        return
    if dataset is None:
        raise InputError("there is nothing to measure on. Name a picture set with --dataset.")
    from araclip.evaluation.dataset_registry import load_dataset
    from araclip.evaluation.leaks import find_leaks, pictures_and_captions
    from araclip.evaluation.picture_sets.datasets import stated_dialects
    from araclip.evaluation.report import check_ready, write_report
    from araclip.evaluation.robustness.kinds import kinds_by_name
    from araclip.evaluation.summary import json_of, summarise

    if report is not None:
        check_ready(report)
    chosen = kinds_by_name(kinds or ()) if robustness or kinds or understood else ()
    pictures = load_dataset(dataset, path=path, images=images, split=split, caption_field=caption_field)
    pictures.queries(captions)  # refused now, not after minutes
    training = []
    for name in train_data or ():
        place, files = (path, images) if name == dataset else (None, None)  # the same set lies at the same place
        training.append(load_dataset(name, path=place, images=files, split="train", caption_field=caption_field))
    if missing := sum(one.missing for one in training):
        lost = counted(missing, "training picture is", "training pictures are")
        err.print(f"{lost} missing: neither they nor their captions are looked for.", style="yellow")
    leaks = find_leaks(pictures, *pictures_and_captions(training)) if training else None
    dialects = stated_dialects(user_path(dataset), pictures.pictures, images)
    summaries = summarise(_measured(names := models or [DEFAULT_MODEL], pictures, captions, cache))
    losses = robustness_of(names, pictures, [summary.evaluated for summary in summaries], chosen, cache, understood)
    if report is not None:
        owner = summaries[0].evaluated.owner.tolist()
        write_report(report, summaries, [dialects[row] for row in owner] if dialects else None, losses, leaks)
    if as_json:
        more: dict[str, Any] = {"leaks": leaks.counts()} if leaks else {}
        more |= {"robustness": [result.json() for result in losses]} if losses else {}
        write_line(as_json_text({**json_of(summaries), **more}))
    else:
        out.print(_table("Text → picture", summaries, [summary.t2i for summary in summaries]))
        if both:
            out.print(_table("Picture → text", summaries, [summary.i2t for summary in summaries]))
        for result in losses:
            out.print(robustness_table(result))
        for line in leaks.lines() if leaks else ():
            out.print(shown(line), soft_wrap=True, markup=False)
    if report is not None:
        err.print(f"The report is in [bold]{escape(shown(str(report)))}[/]", soft_wrap=True)


@app.command()
def mteb(
    tasks: Annotated[list[str], typer.Argument(help="Tasks of mteb, such as XM3600T2IRetrieval WITT2IRetrieval.")],
    model: AnyModelOption = DEFAULT_MODEL,
    languages: Annotated[
        list[str] | None, typer.Option("--language", help="Languages to run, such as ara; by default all of a task.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of mteb's own result files.")] = Path("mteb-results"),
    as_json: JsonOption = False,
) -> None:
    """Run tasks of the Massive Text Embedding Benchmark, as its leaderboard does (extra `mteb`).

    The data come from the Hugging Face hub; tasks with results in --out are not run again.
    """
    from araclip.encoder import AraCLIP
    from araclip.evaluation.mteb_model import run_tasks, tasks_by_name

    chosen = tasks_by_name(tasks, languages or [])
    scores = run_tasks(AraCLIP.load(model), chosen, folder)
    if as_json:
        write_line(as_json_text({"model": model, "results": [asdict(score) for score in scores]}))
        return
    table = Table(title=escape(shown(f"{model} on mteb")), title_justify="left")
    for name in ("task", "split", "subset"):
        table.add_column(name)
    columns = dict.fromkeys(name for score in scores for name in score.values)  # others of tasks that are no retrieval
    for name in columns:
        table.add_column(name, justify="right")
    for score in scores:
        names = (escape(shown(name)) for name in (score.task, score.split, score.subset))
        table.add_row(*names, *(f"{score.values[name]:.3f}" if name in score.values else "–" for name in columns))
    out.print(table)
    out.print(f"mteb's files are in [bold]{escape(shown(str(folder)))}[/]", soft_wrap=True)


def _measured(models: Sequence[str], pictures: "PictureSet", captions: str, cache: Path | None) -> "list[Evaluated]":
    from araclip import model_folder
    from araclip.encoder import AraCLIP
    from araclip.evaluation.retrieval import evaluate
    from araclip.peers import loading

    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    for name in models:  # fail on a misspelt name before the first model is measured
        if model_folder.is_ours(name) or loading.parse_request(name) is None:
            AraCLIP.load(name)
    if pictures.missing:
        lost = counted(pictures.missing, "picture of the list is", "pictures of the list are")
        err.print(f"{lost} missing and left out.", style="yellow")
    done: list[Evaluated] = []

    def log(line: str) -> None:
        err.print(shown(line), soft_wrap=True, markup=False)

    def how_to_resume() -> str:
        hint = "; the same command resumes there" if cache else "; with --cache they would be kept" if done else ""
        return f"{len(done)} of {counted(len(models), 'model is', 'models are')} measured{hint}."

    with stoppable(how_to_resume):
        for name in models:
            with bars() as show:
                on_progress = partial(_of_model, show, name)
                done.append(
                    evaluate(
                        AraCLIP.load(name), pictures, captions=captions, cache=cache, log=log, progress=on_progress
                    )
                )
    return done


def _of_model(show: "Callable[[str, int, int], None]", model: str, what: str, done: int, total: int) -> None:
    show(f"{model}: {what}", done, total)


def _table(title: str, summaries: "Sequence[Summary]", scores: "Sequence[Scores]") -> Table:
    """Each number with its interval and, from the second model on, its p-value."""
    protocol = summaries[0].evaluated.protocol
    of = f"{protocol.dataset}, {protocol.split}" if protocol.split else protocol.dataset
    pools = f"{counted(protocol.n_queries, 'text')} ({protocol.caption_field}, {protocol.captions})"
    test = "; p: paired permutation test against the first model" if len(summaries) > 1 else ""
    table = Table(
        title=escape(shown(f"{title} · {of} · {pools}, {counted(protocol.n_images, 'picture')}")),
        title_justify="left",
        caption=f"95 % intervals by picture{test}",
        caption_justify="left",
    )
    table.add_column("model", overflow="fold")
    for name in (*COLUMNS, "median\nrank"):
        table.add_column(name, justify="right", no_wrap=True)
    for summary, score in zip(summaries, scores, strict=True):
        numbers = [_cell(score, name) for name in COLUMNS]
        table.add_row(escape(shown(summary.evaluated.name)), *numbers, f"{score.values['median rank']:g}")
    return table


def _cell(scores: "Scores", name: str) -> str:
    from araclip.evaluation.summary import p_text

    ends = "–".join(f"{end:.3f}".removeprefix("0") for end in scores.ci95[name])  # leaves room for names in 80 columns
    p = f"\n[dim]{p_text(scores.p[name])}[/]" if name in scores.p else ""
    return f"{scores.values[name]:.3f}\n[dim]{ends}[/]{p}"
