"""The command for zero-shot classification: classify."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, as_json_text, err, out, refuse_idle, shown, write_line
from araclip.cli.galleries import AnyModelOption, JsonOption
from araclip.core.display import counted
from araclip.errors import InputError
from araclip.model_folder import DEFAULT_MODEL

MOST = 3  # labels that are printed for a picture
LABEL_FIELD = "label"
OTHER_NAME = "أخرى"  # of “other”, in every form of output

if TYPE_CHECKING:
    from araclip.evaluation.labelled import LabelledSet


@app.command()
def classify(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Picture files to classify, or folders of them.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="Labels to choose from: قطة,كلب,سيارة, or a file: one a line, or JSON."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many labels to print for each picture.")] = MOST,
    templates: Annotated[
        list[str] | None,
        typer.Option("--template", help="Prompt with {} for the label: «صورة {}», or a JSON file of them. Repeatable."),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", help="Measure accuracy on a labelled set instead of classifying pictures."),
    ] = None,
    label_field: Annotated[
        str, typer.Option("--label-field", help="Field of the set's captions.jsonl with the class.")
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
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: a line a picture, a column a label.")] = False,
) -> None:
    """Classify pictures by the names of labels alone, without training (zero-shot classification).

    Each label is put into Arabic prompts; the probabilities of the given labels sum to 1. No file is moved or changed.
    """
    from araclip.evaluation.labelled import read_templates
    from araclip.evaluation.zeroshot import TEMPLATES

    if (dataset is None) == (not pictures):
        raise InputError("name pictures to classify, or --dataset with a labelled set; one of the two.")
    template_sets = [read_templates(Path(text)) if text.endswith(".json") else (text,) for text in templates or ()]
    prompts = [prompt for prompts in template_sets for prompt in prompts] or list(TEMPLATES)
    if dataset is not None:
        refuse_idle({"-k": k != MOST, "--other": other, "--csv": as_csv}, "with --dataset")
        from araclip.evaluation.labelled import labelled_set

        _measure(labelled_set(dataset, labels, label_field, split, images), split, prompts, model, as_json)
    elif labels is None:
        raise InputError("name the labels to choose from, such as --labels قطة,كلب,سيارة, or a file with one a line.")
    else:
        of_sets = {"--split": split, "--images": images, "--label-field": label_field != LABEL_FIELD}
        refuse_idle(of_sets, "without --dataset")
        if as_json and as_csv:
            raise InputError("--json and --csv exclude each other. Choose one.")
        form = "json" if as_json else "csv" if as_csv else "table"
        _classify(pictures or [], labels, prompts, k, model, other, form)


def _classify(
    pictures: list[Path], labels: str, templates: list[str], k: int, model: str, other: bool, form: str
) -> None:
    from araclip.encoder import as_encoder
    from araclip.evaluation.zeroshot import label_probabilities, read_labels, readable_vectors

    if k < 1:
        raise InputError(f"k is {k}, expected a positive whole number.")
    names, encoder, vectors = read_labels(labels), as_encoder(model), None
    if len(names) > 1 and any(path.is_dir() for path in pictures):  # of a folder, files that are damaged are skipped
        pictures, vectors = readable_vectors(encoder, _files(pictures), _skipped)
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
        write_line(as_json_text({"model": model, "labels": list(names), "results": results}))
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
    """A row of CSV, which a program reads: names as they are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    write_line(text.getvalue())


def _files(pictures: list[Path]) -> list[Path]:
    """The pictures, folders replaced by the picture files below them."""
    from araclip.gallery.ingest.scan import Walk

    files: list[Path] = []
    for path in pictures:
        below = [Path(file.path) for file in Walk().pictures(path)] if path.is_dir() else [path]
        if not below:
            raise InputError(f"{path} holds no picture files. Name a folder with pictures.")
        files += below
    return files


def _skipped(line: str) -> None:
    err.print(f"skipped: {shown(line)}", soft_wrap=True, markup=False, style="yellow")


def _measure(labelled: "LabelledSet", split: str | None, templates: list[str], model: str, as_json: bool) -> None:
    from araclip.encoder import as_encoder
    from araclip.evaluation import zeroshot

    result = zeroshot.classify(as_encoder(model), labelled, templates)
    protocol = result.protocol
    shares = {"top1": result.top1, "top5": result.top5, "mean_per_class": result.mean_per_class}
    if as_json:
        about = {"dataset": protocol.dataset, "split": split, "protocol": protocol.id}
        counts = {"pictures": protocol.n_images, "classes": protocol.n_queries, "missing": result.missing}
        write_line(as_json_text({"model": protocol.model, **about, **counts, **shares}))
        return
    missing = f", {result.missing:,} missing" if result.missing else ""
    pools = f"{counted(protocol.n_images, 'picture')} of {counted(protocol.n_queries, 'class', 'classes')}"
    out.print(escape(shown(f"{protocol.dataset}: {pools}{missing}")))
    out.print(
        f"top 1 {result.top1:.3f}, top 5 {result.top5:.3f}, mean over classes of top 1 {result.mean_per_class:.3f}"
    )
