"""The command `araclip embed`, which embeds pictures into shards of vectors, on one machine or on a Ray cluster."""

from dataclasses import asdict
from typing import Annotated

import typer

from araclip.cli.console import app, print_json, say, stoppable
from araclip.cli.console import out as screen
from araclip.cli.options import AnyModelOption, JsonOption
from araclip.core.display import counted
from araclip.models.folder import DEFAULT_MODEL


@app.command()
def embed(
    source: Annotated[str, typer.Argument(help="A folder, picture, tar or parquet file; a path, or a URL of a store.")],
    out: Annotated[str, typer.Argument(help="The folder of the shards, or a URL to write to.")],
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="How many encoders; by default one for each core, or each GPU."),
    ] = None,
    model: AnyModelOption = DEFAULT_MODEL,
    as_json: JsonOption = False,
) -> None:
    """Embed pictures into parquet shards with Ray, each picture once.

    What stands in a shard is not embedded again, so the same command goes on after a stop or a kill. `araclip index
    --from OUT` then fills a gallery.
    """
    from araclip.bulk.embed import embed as embed_source

    with stoppable("Shards are kept; run the same command again to resume."):
        report = embed_source(source, out, model=model, jobs=jobs)
    if as_json:
        print_json(asdict(report))
        return
    for note in report.notes:
        say(note, "yellow")
    embedded = f"{counted(report.pictures, 'picture')} in {report.out}, {report.new:,} new"
    screen.print(f"{embedded}; {report.refused:,} refused.", soft_wrap=True, markup=False)
