"""The commands that measure models: classify, evaluate (with --suite and --robustness)."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, bars, err, out, print_json, refuse_idle, say, stoppable, write_line
from araclip.cli.options import AnyModelOption, JsonOption, complete_model
from araclip.core.display import counted, shown
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.models.folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.evaluation.rewriting import Kind
    from araclip.evaluation.robustness import Loss, Robustness
    from araclip.evaluation.scores import Evaluated
    from araclip.evaluation.sets import PictureSet
    from araclip.evaluation.significance import Scores, Summary
    from araclip.evaluation.zeroshot import LabelledSet
    from araclip.peers.paper_suite import PaperTable


DEFAULT_K = 3  # limit: labels that are printed for a picture
LABEL_FIELD = "label"
OTHER_NAME = "أخرى"  # the label of --other in every output; it means that none of the labels is right


@app.command()
def classify(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Picture files to classify, or folders with pictures.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="Labels to choose from: قطة,كلب,سيارة, or a file: one a line, or JSON."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many labels to print for each picture.")] = DEFAULT_K,
    templates: Annotated[
        list[str] | None,
        typer.Option("--template", help="Prompt with {} for the label: «صورة {}», or a JSON file of them. Repeatable."),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", help="Measure accuracy on a labelled set instead of classifying pictures."),
    ] = None,
    label_field: Annotated[
        str, typer.Option("--label-field", help="The field of captions.jsonl that names the class.")
    ] = LABEL_FIELD,
    split: Annotated[str | None, typer.Option("--split", help="Part of the set, such as dev; by default all.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that holds the set's pictures, if not the set's own.")
    ] = None,
    model: AnyModelOption = DEFAULT_MODEL,
    other: Annotated[
        bool, typer.Option("--other", help="Add “other”: the probability that none of the labels is right.")
    ] = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: one line for each picture.")] = False,
) -> None:
    """Classify pictures by the names of labels alone, without training (zero-shot classification).

    Each label is put into Arabic prompts; the probabilities of the given labels sum to 1. No file is moved or changed.
    """
    from araclip.evaluation.zeroshot import TEMPLATES, read_templates

    if (dataset is None) == (not pictures):
        raise InputError("name pictures to classify, or --dataset with a labelled set; one of the two.")
    template_sets = [read_templates(Path(text)) if text.endswith(".json") else (text,) for text in templates or ()]
    prompts = [prompt for prompts in template_sets for prompt in prompts] or list(TEMPLATES)
    if dataset is not None:
        refuse_idle({"-k": k != DEFAULT_K, "--other": other, "--csv": as_csv}, "with --dataset")
        from araclip.evaluation.zeroshot import labelled_set

        _print_accuracy(labelled_set(dataset, labels, label_field, split, images), split, prompts, model, as_json)
    elif labels is None:
        raise InputError("name the labels to choose from, such as --labels قطة,كلب,سيارة, or a file with one a line.")
    else:
        set_options = {"--split": split, "--images": images, "--label-field": label_field != LABEL_FIELD}
        refuse_idle(set_options, "without --dataset")
        if as_json and as_csv:
            raise InputError("--json and --csv exclude each other. Choose one.")
        refuse_idle({"-k": as_csv and k != DEFAULT_K}, "with --csv, which has a column a label")
        form = "json" if as_json else "csv" if as_csv else "table"
        _print_labels(pictures or [], labels, prompts, k, model, other, form)


def _print_labels(
    pictures: list[Path], labels: str, templates: list[str], k: int, model: str, other: bool, form: str
) -> None:
    from araclip.evaluation.zeroshot import label_probabilities, read_labels, readable_vectors
    from araclip.models.encoder import as_encoder

    if k < 1:
        raise InputError(f"k is {k}, expected a positive whole number.")
    names, encoder, vectors = read_labels(labels), as_encoder(model), None
    # if a folder is given, a damaged file in it is skipped and does not end the command
    if len(names) > 1 and any(path.is_dir() for path in pictures):
        pictures, vectors = readable_vectors(
            encoder, _list_picture_files(pictures), lambda line: say(f"skipped: {line}", "yellow")
        )
        if not pictures:
            raise InputError("none of the pictures can be read. Check the folder.")
    probabilities = label_probabilities(encoder, pictures, names, templates, other=other, image_vectors=vectors)
    names = (*names, OTHER_NAME) if other else names
    best = [
        [(names[row], float(shares[row])) for row in (-shares).argsort(kind="stable")[:k]] for shares in probabilities
    ]
    if form == "csv":
        _write_row("path", "label", "probability", *names)
        for path, named, shares in zip(pictures, best, probabilities, strict=True):
            _write_row(str(path), named[0][0], f"{named[0][1]:.4f}", *(f"{share:.4f}" for share in shares))
        return
    if form == "json":
        results = [
            {"path": str(path), "labels": [{"label": name, "probability": round(share, 4)} for name, share in named]}
            for path, named in zip(pictures, best, strict=True)
        ]
        print_json({"model": model, "labels": list(names), "results": results})
        return
    table = Table()
    table.add_column("picture", overflow="fold")
    table.add_column("label")
    table.add_column("probability", justify="right")
    for path, named in zip(pictures, best, strict=True):
        for rank, (name, share) in enumerate(named):
            table.add_row("" if rank else escape(shown(str(path))), escape(shown(name)), f"{share:.2f}")
    out.print(table)


def _write_row(*cells: str) -> None:
    """Write a row of CSV to stdout, with names as they are, not escaped for a terminal."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    write_line(text.getvalue())


def _list_picture_files(pictures: list[Path]) -> list[Path]:
    """Return the pictures; a folder is replaced by the picture files below it, without videos."""
    from araclip.gallery.ingest.scan import Walk
    from araclip.pictures.video.formats import is_video

    files, walk = list[Path](), Walk()
    for path in pictures:
        below = [path]
        if path.is_dir():
            below = [Path(file.path) for file in walk.pictures(path) if not is_video(file.path)]
        if not below:
            raise InputError(f"{path} holds no picture files. Name a folder with pictures.")
        files += below
    for line in walk.faults():
        say(f"skipped: {line}", "yellow")
    return files


def _print_accuracy(
    labelled: "LabelledSet", split: str | None, templates: list[str], model: str, as_json: bool
) -> None:
    from araclip.evaluation import zeroshot
    from araclip.models.encoder import as_encoder

    result = zeroshot.classify(as_encoder(model), labelled, templates)
    protocol = result.protocol
    shares = {"top1": result.top1, "top5": result.top5, "mean_per_class": result.mean_per_class}
    if as_json:
        about = {"dataset": protocol.dataset, "split": split, "protocol": protocol.id}
        counts = {"pictures": protocol.n_images, "classes": protocol.n_queries, "missing": result.missing}
        print_json({"model": protocol.model, **about, **counts, **shares})
        return
    missing = f", {result.missing:,} missing" if result.missing else ""
    pools = f"{counted(protocol.n_images, 'picture')} of {counted(protocol.n_queries, 'class', 'classes')}"
    out.print(escape(shown(f"{protocol.dataset}: {pools}{missing}")))
    out.print(
        f"top 1 {result.top1:.3f}, top 5 {result.top5:.3f}, mean over classes of top 1 {result.mean_per_class:.3f}"
    )


COLUMNS = ("R@1", "R@5", "R@10", "MRR")
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="A model to measure; repeatable. Each further model is tested against the first.",
        autocompletion=complete_model,
    ),
]


@app.command()
def evaluate(
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A folder with captions.jsonl, or the name of a known set.")
    ] = None,
    models: ModelsOption = None,
    split: Annotated[str | None, typer.Option("--split", help="Part of the set, such as dev; by default all.")] = None,
    caption_field: Annotated[
        str | None,
        typer.Option("--caption-field", help="Field with the queries; by default caption_ar of captions.jsonl."),
    ] = None,
    captions: Annotated[
        str, typer.Option("--captions", help="Which captions of a picture are queries: all, or only the first.")
    ] = "all",
    both: Annotated[bool, typer.Option("--both", help="Print picture → text too.")] = False,
    as_json: JsonOption = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report to this file (extra `report`).")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Keep results in this folder, so that a stopped run resumes.")
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--path", help="The folder or file of the captions, if --dataset names a known set.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that holds the set's pictures, if not the captions' own.")
    ] = None,
    train_data: Annotated[
        list[str] | None,
        typer.Option(
            "--train-data", help="A training set: count the test pictures and captions in it (leaks). Repeatable."
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="paper: the models of AraCLIP's publication, beside its figures.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --suite: NAME=FOLDER or NAME=FOLDER,PICTURES; --model is ROW=MODEL then."),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure what misspelling, dialects and Arabizi cost, kind by kind.")
    ] = False,
    understood: Annotated[
        bool, typer.Option("--understood", help="With --robustness, let the texts be read as a search reads queries.")
    ] = False,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="With --robustness, only this kind or group. Repeatable.")
    ] = None,
) -> None:
    """Measure how well models find pictures by text, and text by pictures; compare each with the first model.

    Prints recall@k and MRR over every caption and every picture of a set, with 95 % intervals and p-values; --report
    writes nDCG@10 as well.
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
    from araclip.evaluation.leaks import find_leaks, pictures_and_captions
    from araclip.evaluation.published_sets import KNOWN, load_dataset
    from araclip.evaluation.report import check_ready, write_report
    from araclip.evaluation.rewriting import kinds_by_name
    from araclip.evaluation.sets import stated_dialects
    from araclip.evaluation.significance import json_of, summarise

    if report is not None:
        check_ready(report)
    chosen = kinds_by_name(kinds or ()) if robustness or kinds or understood else ()
    pictures = load_dataset(dataset, path=path, images=images, split=split, caption_field=caption_field)
    pictures.queries(captions)  # raises an error about the captions now, before minutes of encoding
    training = []
    for name in train_data or ():
        # if --train-data names the same set as --dataset, --path and --images apply to both
        place, files = (path, images) if name == dataset else (None, None)
        training.append(load_dataset(name, path=place, images=files, split="train", caption_field=caption_field))
    if missing := sum(one.missing for one in training):
        lost = counted(missing, "training picture is", "training pictures are")
        err.print(f"{lost} missing: neither they nor their captions are looked for.", style="yellow")
    leaks = find_leaks(pictures, *pictures_and_captions(training)) if training else None
    dialects = None
    if report is not None and dataset not in KNOWN:
        dialects = stated_dialects(user_path(dataset), pictures.pictures, images, split)
    summaries = summarise(_evaluate(names := models or [DEFAULT_MODEL], pictures, captions, cache))
    losses = measure_losses(names, pictures, [summary.evaluated for summary in summaries], chosen, cache, understood)
    if as_json:
        more: dict[str, Any] = {"leaks": leaks.counts()} if leaks else {}
        more |= {"robustness": [result.json() for result in losses]} if losses else {}
        print_json({**json_of(summaries), **more})
    else:
        out.print(_make_scores_table("Text → picture", summaries, [summary.t2i for summary in summaries]))
        if both:
            out.print(_make_scores_table("Picture → text", summaries, [summary.i2t for summary in summaries]))
        for result in losses:
            out.print(robustness_table(result))
        for line in leaks.lines() if leaks else ():
            out.print(shown(line), soft_wrap=True, markup=False)
    if report is not None:  # written last: if the disk is full, all results are printed already
        owner = summaries[0].evaluated.owner.tolist()
        write_report(report, summaries, [dialects[row] for row in owner] if dialects else None, losses, leaks)
    if report is not None:
        err.print(f"The report is in [bold]{escape(shown(str(report)))}[/]", soft_wrap=True)


def _evaluate(models: Sequence[str], pictures: "PictureSet", captions: str, cache: Path | None) -> "list[Evaluated]":
    from araclip.evaluation.retrieval import evaluate
    from araclip.models import folder as model_folder
    from araclip.models.encoder import AraCLIP
    from araclip.peers.request import parse_request

    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    for name in models:  # fail on a misspelt name before the first model is measured
        if model_folder.names_model_folder(name) or parse_request(name) is None:
            AraCLIP.load(name)
    if pictures.missing:
        lost = counted(pictures.missing, "picture of the list is", "pictures of the list are")
        err.print(f"{lost} missing and left out.", style="yellow")
    done: list[Evaluated] = []

    def how_to_resume() -> str:
        hint = "; the same command resumes there" if cache else "; with --cache they would be kept" if done else ""
        return f"{len(done)} of {counted(len(models), 'model is', 'models are')} measured{hint}."

    with stoppable(how_to_resume):
        for name in models:
            with bars() as show:
                on_progress = partial(_show_model_progress, show, name)
                model = AraCLIP.load(name)
                # A training run names every model «model»: label it with its stage instead, STAGE in RUN/STAGE/model.
                label = f"{Path(name).resolve().parent.name}@{model.fingerprint}" if model.name == "model" else None
                done.append(
                    evaluate(
                        model, pictures, captions=captions, label=label, cache=cache, log=say, progress=on_progress
                    )
                )
    return done


def _show_model_progress(show: "Callable[[str, int, int], None]", model: str, what: str, done: int, total: int) -> None:
    show(f"{model}: {what}", done, total)


def _make_scores_table(title: str, summaries: "Sequence[Summary]", scores: "Sequence[Scores]") -> Table:
    """Make a table with a row for each model: its scores with intervals and, from the second model on, p-values."""
    protocol = summaries[0].evaluated.protocol
    dataset = f"{protocol.dataset}, {protocol.split}" if protocol.split else protocol.dataset
    pools = f"{counted(protocol.n_queries, 'text')} ({protocol.caption_field}, {protocol.captions})"
    test = "; p: paired permutation test against the first model" if len(summaries) > 1 else ""
    table = Table(
        title=escape(shown(f"{title} · {dataset} · {pools}, {counted(protocol.n_images, 'picture')}")),
        title_justify="left",
        caption=f"95 % intervals by picture{test}",
        caption_justify="left",
    )
    table.add_column("model", overflow="fold")
    for name in (*COLUMNS, "median\nrank"):
        table.add_column(name, justify="right", no_wrap=True)
    for summary, score in zip(summaries, scores, strict=True):
        numbers = [_score_cell(score, name) for name in COLUMNS]
        table.add_row(escape(shown(summary.evaluated.name)), *numbers, f"{score.values['median rank']:g}")
    return table


def _score_cell(scores: "Scores", name: str) -> str:
    from araclip.evaluation.significance import p_text

    # Write .512 instead of 0.512, so that the table with the models' names fits into 80 columns.
    ends = "–".join(f"{end:.3f}".removeprefix("0") for end in scores.ci95[name])
    p = f"\n[dim]{p_text(scores.p[name])}[/]" if name in scores.p else ""
    return f"{scores.values[name]:.3f}\n[dim]{ends}[/]{p}"


CLAIMED_MEASURES = ("R@1", "R@5", "MRR")  # the measures that the AraCLIP paper reports


def run_paper_suite(
    sets: Sequence[str], models: Sequence[str], *, split: str | None, caption_field: str | None, captions: str,
    cache: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure models for the table of the AraCLIP paper, and print the table.

    Args:
        sets: NAME=FOLDER, or NAME=FOLDER,PICTURES if the pictures lie in another folder than the captions.
        models: ROW=MODEL, the model to measure for a row of the table, as in AraCLIP=MODEL.
        split, caption_field: the split of each set, and the field with its captions; None: as `paper_table` chooses.
        captions: which captions of a picture are queries: "all", or only the "first".
        cache: folder of stored results; it is made if it is missing.
        as_json: print JSON instead of a table.
    """
    from araclip.peers.paper_suite import paper_table

    places: dict[str, tuple[Path, Path | None]] = {}  # set → its folder, and another folder for its pictures
    for name, value in _split_pairs(sets, "--set", "xtd-ar=FOLDER"):
        folder, _, images = value.partition(",")
        places[name] = user_path(Path(folder)), user_path(Path(images)) if images else None
    chosen = dict(_split_pairs(models, "--model", "AraCLIP=MODEL"))
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    hint = "With --cache, what is measured is kept." if cache is None else "The same command resumes there."
    with stoppable(hint), bars() as show:
        table = paper_table(
            places, chosen, split=split, caption_field=caption_field, captions=captions, cache=cache,
            log=say, progress=partial(_show_model_progress, show),
        )  # fmt: skip
    if as_json:
        print_json(_paper_table_json(table))
        return
    for pictures in table.sets:
        out.print(_make_paper_table(table, pictures))
    for one in table.missing:
        out.print(shown(f"Missing: {one.what}: {one.why}"), soft_wrap=True, markup=False)


def _split_pairs(values: Sequence[str], option: str, example: str) -> list[tuple[str, str]]:
    """Split values of an option, each NAME=VALUE, into names and values; raise InputError for any other form."""
    pairs = []
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest):
            raise InputError(f"{option} {value!r} is not written NAME=VALUE, such as {example}.")
        pairs.append((name, rest))
    return pairs


def _make_paper_table(table: "PaperTable", pictures: "PictureSet") -> Table:
    from araclip.evaluation.significance import summarise
    from araclip.peers.paper_suite import CLAIM, ROWS

    first = next(one for one in table.measured if one.evaluated.protocol.dataset == pictures.name)
    protocol = first.evaluated.protocol
    texts = f"{counted(protocol.n_queries, 'text')} ({protocol.caption_field}, {protocol.captions})"
    printed = Table(
        title=escape(shown(f"Text → picture · {pictures.name} · {texts}, {counted(protocol.n_images, 'picture')}")),
        title_justify="left", caption=f"measured: here, 95 % intervals by picture. claimed: {CLAIM}.",
        caption_justify="left",
    )  # fmt: skip
    printed.add_column("")
    printed.add_column("model", overflow="fold")
    for name in CLAIMED_MEASURES:
        printed.add_column(f"{name}\nmeasured", justify="right", no_wrap=True)
    printed.add_column("claimed\nR@1/R@5/MRR", justify="right", no_wrap=True)
    for row in ROWS:
        one = table.result(pictures, row)
        scores = summarise([one.evaluated])[0].t2i if one else None
        numbers = [_score_cell(scores, name) if scores else "–" for name in CLAIMED_MEASURES]
        model = f"{escape(shown(one.model))}\n[dim]{one.loaded}[/]" if one else "–"
        claimed = "/".join(f"{value:.3f}".removeprefix("0") for value in row.claimed)
        printed.add_row(row.name, model, *numbers, f"[dim]{claimed}[/]")
    return printed


def _paper_table_json(table: "PaperTable") -> dict[str, Any]:
    from araclip.evaluation.significance import json_of, summarise
    from araclip.peers.paper_suite import CLAIM, ROWS

    results = []
    for one in table.measured:
        (model,) = json_of(summarise([one.evaluated]))["models"]
        results.append(
            {"row": one.row.name, "set": one.evaluated.protocol.dataset, "loaded": one.loaded, **model,
             "protocol": asdict(one.evaluated.protocol)}
        )  # fmt: skip
    claimed = {row.name: dict(zip(CLAIMED_MEASURES, row.claimed, strict=True)) for row in ROWS}
    missing = [{"what": one.what, "why": one.why} for one in table.missing]
    return {"suite": "paper", "claimed": {"what": CLAIM, "rows": claimed}, "results": results, "missing": missing}


def measure_losses(
    models: Sequence[str],
    pictures: "PictureSet",
    evaluated: "Sequence[Evaluated]",
    kinds: "Sequence[Kind]",
    cache: Path | None,
    understood: bool = False,
) -> "list[Robustness]":
    """Return how much recall each model loses for each kind of rewriting (misspelling, dialect, …) of the captions.

    Args:
        evaluated: the models' results for the captions as written, in the order of `models`.
        understood: True to interpret the rewritten texts as a search does. The losses are still measured against
            `evaluated`, without interpretation.
    """
    done: list[Robustness] = []
    if not kinds:
        return done

    from araclip.core.paths import data_home
    from araclip.evaluation.robustness import UnderstoodEncoder, measure
    from araclip.models.encoder import AraCLIP
    from araclip.text.resources import interpreter

    with stoppable(lambda: f"The robustness of {len(done)} of {counted(len(models), 'model')} is measured."):
        for name, clean in zip(models, evaluated, strict=True):
            with bars() as show:
                model, way = AraCLIP.load(name), dict[str, Any]()
                if understood:
                    way = {"encode": UnderstoodEncoder(model, interpreter(home=data_home())), "way": "understood"}
                found = measure(
                    model, pictures, captions=clean.protocol.captions, kinds=kinds, clean_ranks=clean.t2i.ranks,
                    label=clean.protocol.model, cache=cache, progress=partial(_show_model_progress, show, name), **way,
                )  # fmt: skip
                done.append(found)
    return done


def robustness_table(result: "Robustness") -> Table:
    """Make a table with a row for each kind of rewriting: texts changed, R@10, and the points of R@10 and R@1 lost."""
    clean = result.losses[0]
    texts = counted(clean.queries, "text")
    table = Table(
        title=escape(shown(f"Robustness · {result.model} · {result.dataset} · {texts}, {result.way}")),
        title_justify="left",
        caption="loss in points (hundredths) over all texts, with its 95 % interval by picture; "
        "last: among the changed ones",
        caption_justify="left",
    )
    table.add_column("kind", overflow="fold")
    for name in ("changed", "R@10", "loss of\nR@10", "loss of\nR@1", "R@10,\nchanged"):
        table.add_column(name, justify="right", no_wrap=True)
    for loss in result.losses:
        table.add_row(escape(shown(loss.kind)), f"{loss.changed:,}", f"{loss.recall['R@10']:.3f}", *_loss_cells(loss))
    return table


def _loss_cells(loss: "Loss") -> tuple[str, str, str]:
    if not loss.changed:
        return "", "", ""

    def cell(points: float, ends: tuple[float, float]) -> str:
        return f"{100 * points:.1f}\n[dim]{100 * ends[0]:.1f} to {100 * ends[1]:.1f}[/]"

    return (
        cell(loss.loss["R@10"], loss.interval["R@10"]),
        cell(loss.loss["R@1"], loss.interval["R@1"]),
        cell(loss.loss_changed["R@10"], loss.interval_changed["R@10"]),
    )
