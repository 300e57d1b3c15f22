"""The commands that train and export models: train, export, unpack."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, err, out, refuse_idle, say_dimly, stoppable
from araclip.core.display import shown
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.models import folder as model_folder

_NEEDED_PACKAGES = ("torch", "transformers", "timm", "accelerate", "pyarrow", "onnx", "onnxscript")

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from araclip.training.export.export import Report

VERSION, WEIGHTS = "1", "int8"  # defaults of `araclip export`
RUN_FILES = ("model", "metrics.jsonl", "plot.png")  # results of a stage; without steps there is no plot.png


@app.command()
def train(
    stage: Annotated[str, typer.Argument(help="A section of the recipe, such as distill or finetune, or all.")],
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    runs: Annotated[
        Path | None,
        typer.Option("--runs", help="Folder of the stages' results; by default runs/ and the recipe's name."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of the recipe, as distill.steps=200; repeatable."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the results of an earlier run of this stage.")] = False,
) -> None:
    """Train a stage of a recipe, or resume it.

    It may be stopped at any time, even with kill -9: the same command resumes from the last checkpoint, with identical
    numbers. Several processes: accelerate launch -m araclip.cli train STAGE RECIPE.
    """
    check_training_extra()
    # Let PyTorch put tensors into huge pages (Linux). PyTorch reads the variable once, so set it before the import.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from araclip.training.loop.processes import is_main_process, leave_group
    from araclip.training.recipe.recipe import read_recipe
    from araclip.training.stages.dev_recall import protocol
    from araclip.training.stages.dispatch import run_all, run_stage

    quiet_libraries()
    parsed = read_recipe(recipe, changes or [])
    folder = runs or Path("runs") / parsed.name
    begun = time.time()

    def how_to_resume() -> str:
        if not fresh:
            return "The same command resumes from the last checkpoint."
        if any(path.stat().st_mtime >= begun for path in folder.glob("*/step-*.pt")):
            return "The same command without --fresh resumes from the last checkpoint."
        return "No checkpoint was written yet."

    with stoppable(how_to_resume), _show_bars() as reporter:
        if stage == "all":
            results = run_all(parsed, folder, reporter, fresh=fresh)
        else:
            results = {stage: run_stage(parsed, stage, folder, reporter, fresh=fresh)}
    leave_group()
    if not is_main_process():
        return
    table = Table(title=f"Dev recall, text → picture · {escape(shown(parsed.name))}", title_justify="left")
    protocols: dict[str, list[str]] = {}  # how recall was measured, in words → the stages measured in this way
    table.add_column("stage")
    for name in ("R@1", "R@5", "R@10", "MRR"):
        table.add_column(name, justify="right")
    for name, recall in results.items():
        table.add_row(
            escape(shown(name)),
            *(f"{recall[key]:.3f}" if key in recall else "–" for key in ("R@1", "R@5", "R@10", "MRR")),
        )
        protocols.setdefault(protocol(parsed.stage(name)) if recall else "", []).append(name)
    out.print(table)
    protocols.pop("", None)
    for measured, names in protocols.items():
        out.print(escape(shown(f"{', '.join(names)}: {measured}")), soft_wrap=True)
    for name in results:
        files = ", ".join(file for file in RUN_FILES if (folder / name / file).exists())
        out.print(f"{escape(shown(name))}: [bold]{escape(shown(str(folder / name)))}[/] holds {files}", soft_wrap=True)


@app.command()
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A finished stage, such as runs/mini/finetune, or a saved AraCLIPModel; with --layout also a model."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The model folder to write; an existing model folder is replaced.")],
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="Write the model for another program: transformers.js or sentence-transformers."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The model's name; by default the folder's name.")] = None,
    version: Annotated[str, typer.Option("--version", help="The model's version.")] = VERSION,
    dev: Annotated[
        list[Path] | None,
        typer.Option("--dev", help="Picture set to measure recall on (its dev split), instead of the recipe's."),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            help="How weights are stored: int8, compact (word embeddings in 4 bits), float16 or float32, computed in "
            "float32; or computed in int8: smooth-int8, smooth-compact, static-int8. 'TEXT + IMAGE' stores each tower "
            "in a way of its own.",
        ),
    ] = WEIGHTS,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option("--calibrate", help="Pictures on which static-int8 measures ranges; by default the dev set's."),
    ] = None,
    about: Annotated[
        Path | None, typer.Option("--about", help="TOML file with license, training_data and notes for the card.")
    ] = None,
) -> None:
    """Export a trained model as ONNX graphs for `AraCLIP.load` and --model, or any model for other programs.

    Nothing is written unless the graphs reproduce the model's vectors, and quantized weights keep its dev recall.
    """
    if layout is not None and model_folder.names_model_folder(run):
        training_options = {
            "--name": name, "--version": version != VERSION, "--dev": dev, "--weights": weights != WEIGHTS,
            "--calibrate": calibrate, "--about": about,
        }  # fmt: skip
        refuse_idle(training_options, "on a model that is exported already")
        _write_layout(run, folder, layout)
        return
    check_training_extra()
    from araclip.training.export import export as exporting
    from araclip.training.export.model_card import read_about
    from araclip.training.recipe.stages import DevSet

    quiet_libraries()
    if layout is not None:  # check the target before the export, which takes minutes
        _import_layouts().check_target(folder, layout)
    with TemporaryDirectory() if layout is not None else nullcontext() as beside:
        target = folder if beside is None else Path(beside) / user_path(folder).name
        report = exporting.export(
            run, target, name=name, version=version, dev=[DevSet(path, per_picture=None) for path in dev or ()] or None,
            weights=weights, calibrate=calibrate or (), about=read_about(about) if about else None, log=say_dimly,
        )  # fmt: skip
        _print_export(report)
        if layout is not None:
            _write_layout(target, folder, layout)
        else:
            out.print(f"The model is in [bold]{escape(shown(str(report.folder)))}[/]", soft_wrap=True)


@app.command()
def unpack(
    model: Annotated[str, typer.Argument(help="A model folder, or a bundled model such as araclip-mini.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the AraCLIPModel.")],
) -> None:
    """Convert an exported model back into one for training and transformers.

    A recipe needs no such folder: its start, text or vision may name a model folder or a bundled model.
    """
    check_training_extra()
    from araclip.training.model import saved_models

    quiet_libraries()
    if folder.exists():
        raise InputError(f"{folder} exists already. Name a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    saved_models.save_model(folder, *saved_models.unpack(model))
    out.print(f"The model is in [bold]{escape(shown(str(folder)))}[/]", soft_wrap=True)


def _import_layouts() -> ModuleType:
    if find_spec("onnx") is None:
        raise InputError("--layout needs the package onnx. Run: pip install onnx")
    return import_module("araclip.layouts.layout")


def _write_layout(source: Path, folder: Path, layout: str) -> None:
    written = _import_layouts().write_layout(source, folder, layout, log=say_dimly)
    out.print(f"{layout} reads the model in [bold]{escape(shown(str(written)))}[/]", soft_wrap=True)


def _print_export(report: "Report") -> None:
    stored = report.config.weights
    table = Table(title=f"{escape(shown(report.config.label))}, weights stored as {stored}", title_justify="left")
    table.add_column("")
    for part in report.sizes:
        table.add_column(part.name, justify="right")
    for title, values in (
        ("MB in float32", [f"{part.megabytes_float32:.1f}" for part in report.sizes]),
        ("MB as stored", [f"{part.megabytes:.1f}" for part in report.sizes]),
        ("ms each, one at a time", [f"{part.milliseconds:.1f}" for part in report.sizes]),
        ("ms each, in batches", [f"{part.milliseconds_batched:.1f} (of {part.batch})" for part in report.sizes]),
        ("least cosine to PyTorch, float32", [f"{part.cosine_float32:.6f}" for part in report.sizes]),
        ("least cosine to PyTorch, stored", [f"{part.cosine:.4f}" for part in report.sizes]),
        ("mean cosine to PyTorch, stored", [f"{part.cosine_mean:.4f}" for part in report.sizes]),
    ):
        table.add_row(title, *values)
    out.print(table)
    for recall in report.recalls:
        line = f"R@1 {recall.float32:.4f} in float32, {recall.stored:.4f} as {stored}: {recall.protocol}"
        out.print(escape(shown(line)), soft_wrap=True)
    for note in report.warnings:
        out.print(escape(shown(note)), soft_wrap=True, style="yellow")


def check_training_extra() -> None:
    """Raise InputError if the packages for training are not installed."""
    missing = [name for name in _NEEDED_PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"training needs {', '.join(missing)}. Install the extra: pip install 'araclip[train]'.")


def quiet_libraries() -> None:
    """Turn off the progress bars and loading messages of libraries, which would garble our own."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("timm").setLevel(logging.ERROR)


class _StepBar:
    """Draws the progress bar of one training stage."""

    def __init__(self, bars: "Progress", stage: str) -> None:
        self.bars, self.stage = bars, stage
        self.task: TaskID | None = None

    def update(self, step: int, total: int, rows_per_second: float, values: dict[str, float]) -> None:
        if self.task is None:
            self.task = self.bars.add_task(shown(self.stage), total=total, news="")
        news = f"loss {values['loss']:.3f} · {rows_per_second:.0f} rows/s"
        self.bars.update(self.task, completed=step, news=news)


class _BarReporter:
    """A reporter that prints lines and draws progress bars."""

    def __init__(self, bars: "Progress") -> None:
        self.bars = bars
        self._teacher: TaskID | None = None

    def log(self, line: str) -> None:
        self.bars.console.print(shown(line), markup=False, soft_wrap=True)

    def step_progress(self, stage: str) -> _StepBar:
        return _StepBar(self.bars, stage)

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        if self._teacher is None:
            self._teacher = self.bars.add_task("teacher's vectors", total=total, news="")
        self.bars.update(self._teacher, completed=done, total=total, news=f"{per_second:.0f} texts/s")
        if done >= total:
            self._teacher = None


@contextmanager
def _show_bars() -> Iterator[_BarReporter]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[news]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err) as bars:
        yield _BarReporter(bars)
