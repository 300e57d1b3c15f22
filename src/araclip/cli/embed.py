"""The command `araclip embed`, which embeds pictures into shards of vectors, on one machine or on many."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from araclip.cli.console import app, err, print_json, progress, say, stoppable
from araclip.cli.console import out as screen
from araclip.cli.options import AnyModelOption, JsonOption
from araclip.core.display import counted
from araclip.models.folder import DEFAULT_MODEL


@app.command()
def embed(
    source: Annotated[
        str, typer.Argument(help="A folder, tar, parquet file, pattern or .txt list of these; a path or a URL.")
    ],
    out: Annotated[str, typer.Argument(help="The folder of the shards, or a URL to write to.")],
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Embed only share I of N, counted from 0.")
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option("--shards", min=1, max=99_999, help="How many shards to make; by default by the source's size."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="How many processes to start; with Ray, the most shards at a time."),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="processes, or ray (extra `ray`).")] = "processes",
    model: AnyModelOption = DEFAULT_MODEL,
    as_json: JsonOption = False,
) -> None:
    """Embed pictures into parquet shards, each written exactly once.

    Finished shards are skipped, so the same command goes on after a stop or a kill. `araclip index --from OUT` then
    fills a gallery.
    """
    from araclip.bulk.embed import embed as embed_source
    from araclip.bulk.shard import ShardReport

    with stoppable("Finished shards are kept; run the same command again to resume."), progress("Shards") as show:
        done = 0

        def on_shard(report: ShardReport, total: int) -> None:
            nonlocal done
            done += 1
            if not as_json:
                what = "finished before" if report.skipped else f"{report.seconds:.0f} s"
                err.print(
                    f"shard {report.shard}: {counted(report.pictures, 'picture')}, {report.refused:,} refused, {what}"
                )
            show(done, total)

        workers = jobs if jobs is not None else 0 if engine == "ray" else 1
        report = embed_source(
            source, out, model=model, shard=shard, shards=shards, jobs=workers, engine=engine, on_shard=on_shard
        )
    if as_json:
        about: dict[str, Any] = {"out": out, "fingerprint": report.plan.fingerprint, "model": report.plan.model.label}
        about |= {"shards": report.plan.shards, "pictures": report.pictures, "refused": report.refused}
        about |= {"done": [asdict(each) for each in report.shards], "notes": list(report.notes)}
        print_json(about)
        return
    for note in report.notes:
        say(note, "yellow")
    finished = sum(each.skipped for each in report.shards)
    screen.print(
        f"{counted(report.pictures, 'picture')} in {counted(len(report.shards), 'shard')} of {report.plan.shards:,} "
        f"({finished:,} finished before); {report.refused:,} refused, listed beside their shards."
    )
