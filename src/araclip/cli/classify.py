"""The command for zero-shot classification: classify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.completion import models_here
from araclip.cli.console import app, as_json_text, out, shown, write_line
from araclip.errors import InputError
from araclip.model_folder import DEFAULT_MODEL

if TYPE_CHECKING:
    from araclip.evaluation.labelled import LabelledSet


@app.command()
def classify(
    pictures: Annotated[list[Path] | None, typer.Argument(help="Picture files to classify.")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", "-l", help="Labels to choose from: قطة,كلب,سيارة, or a file, one a line.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many labels to print for each picture.")] = 3,
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
    ] = "label",
    split: Annotated[str | None, typer.Option("--split", help="Part of the set, such as dev; by default all.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that holds the set's pictures, if not the set's own.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Bundled or pulled model, model folder or peer (docs/peers.md).", autocompletion=models_here
        ),
    ] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Classify pictures by the names of labels alone, without training (zero-shot classification).

    Each label is put into Arabic prompts; the probabilities of the given labels sum to 1.
    """
    from araclip.evaluation.labelled import read_templates
    from araclip.evaluation.zeroshot import TEMPLATES

    if (dataset is None) == (not pictures):
        raise InputError("name pictures to classify, or --dataset with a labelled set; one of the two.")
    template_sets = [read_templates(Path(text)) if text.endswith(".json") else (text,) for text in templates or ()]
    prompts = [prompt for prompts in template_sets for prompt in prompts] or list(TEMPLATES)
    if dataset is not None:
        from araclip.evaluation.labelled import labelled_set

        _measure(labelled_set(dataset, labels, label_field, split, images), split, prompts, model, as_json)
    elif labels is None:
        raise InputError("name the labels to choose from, such as --labels قطة,كلب,سيارة, or a file with one a line.")
    else:
        _classify(pictures or [], labels, prompts, k, model, as_json)


def _classify(pictures: list[Path], labels: str, templates: list[str], k: int, model: str, as_json: bool) -> None:
    from araclip.encoder import as_encoder
    from araclip.evaluation.zeroshot import label_probabilities, read_labels

    if k < 1:
        raise InputError(f"k is {k}, expected a positive whole number.")
    names = read_labels(labels)
    probabilities = label_probabilities(as_encoder(model), pictures, names, templates)
    best = [
        [(names[row], float(shares[row])) for row in (-shares).argsort(kind="stable")[:k]] for shares in probabilities
    ]
    if as_json:
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
    out.print(
        escape(shown(f"{protocol.dataset}: {protocol.n_images:,} pictures of {protocol.n_queries:,} classes{missing}"))
    )
    out.print(
        f"top 1 {result.top1:.3f}, top 5 {result.top5:.3f}, mean over classes of top 1 {result.mean_per_class:.3f}"
    )
