"""The commands for models: models, pull, push."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, bars, duration, err, out, print_json, refuse_idle, say_dimly, stoppable
from araclip.cli.options import JsonOption, complete_model, complete_peer
from araclip.cli.train import quiet_libraries
from araclip.core.display import shown
from araclip.errors import InputError

if TYPE_CHECKING:
    from araclip.peers.library import ModelRow
    from araclip.peers.pull import Pulled

WEIGHTS, LANGUAGES = "smooth-int8", "ar,en"  # defaults of the options of `araclip pull`
# Terminals with fewer columns get the table of `araclip models` without the column "width", to leave room for licences.
WIDE = 100
NameOption = Annotated[str | None, typer.Option("--name", help="The model's name here; by default its own name.")]


@app.command()
def models(
    remove: Annotated[
        str | None,
        typer.Option("--remove", help="Delete a pulled model from this machine.", autocompletion=complete_model),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --remove, do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List models: Arabic recall as published, size, licence, speed here, which one to take for what."""
    if remove is not None:
        _remove_model(remove, yes, as_json)
        return
    refuse_idle({"--yes": yes}, "without --remove")
    from araclip.peers.library import model_rows

    rows = model_rows()
    if as_json:
        print_json({"models": [asdict(row) for row in rows]})
    else:
        _print_models(rows)


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="A name of `araclip models`, a hub id, hf:ORG/NAME, KIND:LOCATION or a folder.",
            autocompletion=complete_peer,
        ),
    ],
    weights: Annotated[
        str, typer.Option("--weights", help="smooth-int8 (computed in int8), int8, float16 or float32.")
    ] = WEIGHTS,
    languages: Annotated[
        str, typer.Option("--languages", help="Cut the vocabulary to these languages; all keeps it whole.")
    ] = LANGUAGES,
    target: Annotated[
        Path | None, typer.Option("--out", help="Write the model to this folder instead of the data directory.")
    ] = None,
    name: NameOption = None,
    trainable: Annotated[
        bool,
        typer.Option("--trainable", help="AraCLIP as published only: write a saved AraCLIPModel to --out, to train."),
    ] = False,
    head: Annotated[
        Path | None,
        typer.Option("--head", help="With --trainable: pickled head of an older text encoder; it is never executed."),
    ] = None,
    image_tower: Annotated[
        str | None,
        typer.Option("--image-tower", help="With --trainable: image tower of an older text encoder, of open_clip."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a published model ready to search with: download, convert, check, measure; once.

    To make a published model ready takes PyTorch (extra `peers`); to use it does not. A finished model folder, by
    its path or as hf:ORG/NAME, needs none at all.
    """
    if trainable:
        if target is None:
            raise InputError("--trainable needs --out, the folder for the saved model.")
        idle = {"--weights": weights != WEIGHTS, "--languages": languages != LANGUAGES, "--name": name}
        refuse_idle(idle, "with --trainable")
        _pull_trainable(source, target, head, image_tower, as_json)
        return
    if head or image_tower:
        raise InputError(
            "--head and --image-tower belong to --trainable. For searching, name both towers: "
            "araclip:TEXT+open_clip:IMAGE."
        )
    wanted = None if languages == "all" else tuple(code.strip() for code in languages.split(",") if code.strip())
    if wanted == ():
        raise InputError("--languages is empty. Name codes, such as ar,en, or all.")
    from araclip.peers.pull import pull as pulling

    with _show_downloads() as progress:
        done = pulling(
            source, weights=weights, languages=wanted, out=target, name=name, log=say_dimly, progress=progress,
            converting=quiet_libraries,
        )  # fmt: skip
    if as_json:
        print_json({
            "name": done.named, "folder": str(done.folder), "model": done.config.label, "width": done.config.width,
            "weights": done.config.weights, "languages": done.config.languages, "license": done.config.license,
            "megabytes": round(done.megabytes, 1), "seconds": round(done.seconds, 1), **asdict(done.speed),
        })  # fmt: skip
    else:
        _print_pulled(done)


def _pull_trainable(source: str, target: Path, head: Path | None, image_tower: str | None, as_json: bool) -> None:
    from araclip.peers.pull import pull_trainable

    with _show_downloads() as progress:
        done = pull_trainable(
            source, target, head=head, image=image_tower, log=say_dimly, progress=progress, converting=quiet_libraries
        )
    if as_json:
        print_json({"folder": str(done.folder), "width": done.width, "pictures": done.has_images})
        return
    kinds = "texts and pictures" if done.has_images else "texts only, without an image tower"
    folder = escape(shown(str(done.folder)))
    out.print(f"[bold]{folder}[/] holds the model: {done.width}-wide vectors of {kinds}.", soft_wrap=True)
    if done.has_images:
        out.print(f"Make it searchable: [bold]araclip export {folder} MODEL_FOLDER[/]", soft_wrap=True)


@contextmanager
def _show_downloads() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each large download, in a `with` block that gets `show(file, bytes_done, all_bytes)`."""
    with stoppable("What was downloaded is kept; run the same command again to continue."), bars() as show:
        yield lambda file, done, size: show(f"{file}, MB", done // 1_000_000, size // 1_000_000)


@app.command()
def push(
    folder: Annotated[
        str,
        typer.Argument(help="A model folder, or the name of a pulled model.", autocompletion=complete_model),
    ],
    repository: Annotated[str, typer.Argument(help="Where to upload: hf:ORG/NAME. A missing repository is made.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository a private one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, for others to pull without PyTorch. It is checked whole first."""
    from araclip.peers.library import push as pushing

    with stoppable("Nothing is public before the last file has arrived; run the same command again."):
        done = pushing(folder, repository, private=private, log=say_dimly)
    if as_json:
        print_json(asdict(done))
        return
    out.print(f"{done.megabytes:,.0f} MB uploaded: {escape(shown(done.url))}", soft_wrap=True)
    out.print(f"Anybody can use it now: [bold]araclip pull hf:{escape(done.repository)}[/]", soft_wrap=True)


def _remove_model(name: str, yes: bool, as_json: bool) -> None:
    from araclip.peers.library import galleries_of
    from araclip.peers.library import remove as removing

    users = galleries_of(name)
    for gallery in users:
        err.print(f"{shown(str(gallery))} was made with it, and cannot be searched without it.", soft_wrap=True)
    if not yes and not typer.confirm(f"Delete the model {name}?", err=True):
        raise typer.Exit(1)
    size = removing(name)
    if as_json:
        print_json({"removed": name, "bytes": size, "galleries": [str(gallery) for gallery in users]})
    else:
        out.print(f"{shown(name)} removed, {size / 1e6:,.0f} MB freed. `araclip pull` gets it again.")


def _print_pulled(done: "Pulled") -> None:
    from araclip.peers.model_registry import forbids_commerce

    config, speed = done.config, done.speed
    vocabulary = f"vocabulary of {', '.join(config.languages)}" if config.languages else ""
    about = f" ({', '.join(filter(None, (config.weights, vocabulary)))})" if config.weights or vocabulary else ""
    name = escape(shown(done.named))
    out.print(
        f"[bold]{name}[/] is ready: {config.width}-wide vectors, {done.megabytes:,.0f} MB{about}, in "
        f"{duration(done.seconds)}. Here it encodes {speed.pictures_per_second:,.1f} pictures a second, and a text in "
        f"{speed.text_ms:,.0f} ms ({speed.cores} cores).",
        soft_wrap=True,
    )
    if forbids_commerce(config.license):
        out.print(f"Its licence forbids commercial use: {escape(shown(config.license))}.", style="yellow")
    else:
        out.print(f"Licence: {escape(shown(config.license))}.", soft_wrap=True)
    out.print(f"Index with it: [bold]araclip index FOLDER --model {name}[/]", soft_wrap=True)
    out.print("Then search without naming it: [bold]araclip search 'قطة على طاولة'[/]", soft_wrap=True)


def _print_models(rows: "list[ModelRow]") -> None:
    from araclip.peers.model_registry import PROTOCOLS

    marks = {protocol: chr(ord("a") + i) for i, protocol in enumerate(PROTOCOLS)}
    table = Table(title="Models", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = {"model": True, "Arabic recall, %": True, "MB": True, "width": True, "licence": False, "here": False}
    if out.width < WIDE:
        del columns["width"]
    for name, whole in columns.items():
        number = name in ("MB", "width")
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        size = row.megabytes if row.megabytes is not None else row.published_megabytes
        cells = {
            "model": row.name, "Arabic recall, %": _recall_cell(row, marks),
            "MB": "?" if size is None else f"{size:,.0f}", "width": "?" if row.width is None else str(row.width),
            "licence": _licence_cell(row), "here": _state_cell(row),
        }  # fmt: skip
        lines = ["\n".join(map(shown, cells[name].split("\n"))) for name in columns]
        table.add_row(*map(escape, lines), style=None if _is_here(row) else "dim")
    out.print(table)
    out.print("Recall at 1, 5 and 10, text to picture, or the mean of the three.")
    for protocol, about in PROTOCOLS.items():
        out.print(f"{marks[protocol]}: {about}, as published.", soft_wrap=True)
    own = next((row for row in rows if row.state == "bundled" and row.measured), None)
    if own and own.measured:
        out.print(f"own: measured by this project, {next(iter(own.measured))}.", soft_wrap=True)
    out.print(
        "Figures of different letters cannot be compared. –: none was found. ?: not known. NC: no commercial use."
    )
    out.print("MB: of the folder here, or of both towers in float32. Which one to take:")
    for row in rows:
        if row.take_for:
            out.print(f"  [bold]{escape(row.name)}[/]: {row.take_for}", soft_wrap=True)
    out.print("Get one: [bold]araclip pull NAME[/]")


def _is_here(row: "ModelRow") -> bool:
    return row.state != "available"


def _recall_cell(row: "ModelRow", marks: dict[str, str]) -> str:
    lines = []
    for one in row.recall:
        at = "/".join(f"{share:.1f}" for share in one.at) if one.at else f"mean {one.mean:g}"
        lines.append(f"{at} {marks[one.protocol]}")
    # for the bundled model, the recall that its config.json states, measured by this project's own protocol
    if not lines and row.state == "bundled" and row.measured:
        found = next(iter(row.measured.values()))["arabic"]["t2i"]
        lines.append("/".join(f"{100 * found[f'R@{k}']:.1f}" for k in (1, 5, 10)) + " own")
    return "\n".join(lines) or "–"


def _licence_cell(row: "ModelRow") -> str:
    if row.license is None:
        return "?"
    name = row.license.split(" (")[0]
    return f"{name}, NC" if row.forbids_commerce and "NC" not in name else name


def _state_cell(row: "ModelRow") -> str:
    if row.fault:
        return "damaged: pull it again"
    if not _is_here(row):
        return "–"
    if not row.speed:
        return str(row.state)
    return f"{row.state}, {row.speed.pictures_per_second:,.1f} pictures/s, {row.speed.text_ms:,.0f} ms a text"
