"""The earlier name of `araclip pull --trainable`: convert."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from araclip.cli.console import app, err, shown
from araclip.cli.console import out as screen
from araclip.cli.train import need_training_extra, quiet_libraries


@app.command(hidden=True)
def convert(
    source: Annotated[str, typer.Argument(help="AraCLIP as published: a hub id, or a folder with its files.")],
    out: Annotated[Path, typer.Argument(help="Folder for the converted model.")],
    head: Annotated[
        Path | None,
        typer.Option(
            "--head",
            help="Pickled head of an older text encoder, if not in its folder; it is read without executing it.",
        ),
    ] = None,
    image_tower: Annotated[
        str | None,
        typer.Option("--image-tower", help="Image tower of an older text encoder, such as ViT-B-16-SigLIP-512/webli."),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write a model folder of float32 ONNX graphs.")] = False,
) -> None:
    """Convert the published AraCLIP; the earlier name of `araclip pull`, with --trainable unless --onnx is given.

    Missing, unknown or misshapen tensors are errors; the folder is written atomically.
    """
    convert_published(source, out, head, image_tower, onnx=onnx)


def convert_published(source: str, out: Path, head: Path | None, image_tower: str | None, *, onnx: bool) -> None:
    """Convert the published AraCLIP as an AraCLIPModel, or as a model folder of float32 graphs, and say so."""
    need_training_extra("open_clip")
    from araclip.peers.convert import convert as converting

    quiet_libraries()
    done = converting(
        source, out, head=head, image=image_tower, onnx=onnx,
        log=lambda line: err.print(shown(line), markup=False, soft_wrap=True, style="dim"),
    )  # fmt: skip
    kinds = "texts and pictures" if done.has_images else "texts only, without an image tower"
    folder = escape(shown(str(done.folder)))
    screen.print(f"[bold]{folder}[/] holds the model: {done.width}-wide vectors of {kinds}.", soft_wrap=True)
    if done.has_images and not done.onnx:
        screen.print(f"Make it searchable: [bold]araclip export {folder} MODEL_FOLDER[/]", soft_wrap=True)
