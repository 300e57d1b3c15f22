"""The earlier name of `araclip pull`, which works for one release more: convert."""

from pathlib import Path
from typing import Annotated

import typer

from araclip.cli.console import app, err
from araclip.cli.models import pull_and_say, pull_trainable_and_say
from araclip.errors import InputError

UNTIL = "0.3"  # the first release without this command


@app.command(hidden=True)
def convert(
    source: Annotated[str, typer.Argument(help="AraCLIP as published: a hub id, or a folder with its files.")],
    out: Annotated[Path, typer.Argument(help="Folder for the converted model.")],
    head: Annotated[Path | None, typer.Option("--head", help="Of an older text encoder, see `araclip pull`.")] = None,
    image_tower: Annotated[
        str | None, typer.Option("--image-tower", help="Of an older text encoder, see `araclip pull`.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write a model folder of float32 graphs.")] = False,
) -> None:
    """The earlier name of `araclip pull SOURCE --trainable --out OUT`; with --onnx, without --trainable."""
    new = f"araclip pull {source} --out {out} " + ("--weights float32 --languages all" if onnx else "--trainable")
    err.print(
        f"`araclip convert` is now `{new}`; AraCLIP {UNTIL} no longer has the old name.", markup=False, soft_wrap=True
    )
    if not onnx:
        pull_trainable_and_say(source, out, head, image_tower)
        return
    if head is not None:
        raise InputError("--head and --onnx do not go together. Put the head into the folder, beside the weights.")
    location = f"araclip:{source}+open_clip:{image_tower}" if image_tower else source
    pull_and_say(location, weights="float32", languages=None, target=out, name=None)
