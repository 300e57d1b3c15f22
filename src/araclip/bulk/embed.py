"""`embed` encodes the pictures of a source and writes shards: in this process, in several, or on a Ray cluster."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import MAX_SHARDS, Plan, ShardTask, make_plan, make_tasks, parse_shard
from araclip.bulk.shard import Outcome, ShardReport, report_if_finished, try_embed_shard
from araclip.bulk.shard_file import schema_of
from araclip.bulk.sources import list_source
from araclip.errors import InputError, ShardFailed
from araclip.models.encoder import Encoder, ModelLike, as_encoder
from araclip.models.folder import DEFAULT_MODEL

ENGINES = ("processes", "ray")
OnShard = Callable[[ShardReport, int], None]


@dataclass
class BulkReport:
    """The result of `embed`: the plan of the shards, a report on each shard, and notes on files that were left out."""

    plan: Plan
    shards: list[ShardReport] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """The number of pictures embedded, in all shards."""
        return sum(each.pictures for each in self.shards)

    @property
    def refused(self) -> int:
        """The number of pictures that could not be read or decoded, in all shards."""
        return sum(each.refused for each in self.shards)


def embed(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: ModelLike | None = None,
    shard: str | None = None,
    shards: int | None = None,
    jobs: int = 1,
    engine: str = "processes",
    device: str | None = None,
    on_shard: OnShard = lambda report, total: None,
) -> BulkReport:
    """Embed the pictures of a source into parquet shards (`bulk.shard_file`), each written completely and only once.

    A finished shard is skipped; a shard whose run was killed is done again. Pictures that cannot be used are listed in
    a file beside their shard.

    Args:
        source: path or URL of the pictures: a folder, tar, parquet file, picture, pattern with *, or list of these.
        out: a folder or a URL; created if it does not exist.
        model: a name, a path or an encoder, as `AraCLIP.load` takes; araclip-mini by default.
        shard: "i/n" to make only shard i of n, so that n machines can share a source and a folder.
        shards: the number of shards, if `shard` is not given; by default as many as the folder has already, or else as
            the size of the source suggests.
        jobs: the number of processes on this machine. With Ray, the greatest number of workers; 0 means one worker for
            each core of the cluster.
        engine: "processes" or "ray" (extra `ray`).
        device: the device that encodes, such as "cpu" or "cuda"; by default $ARACLIP_DEVICE or the CPU.
        on_shard: called for each finished shard, also for those of earlier runs, with the shard's report and the number
            of all shards to make.

    Raises:
        InputError: the source does not exist or holds nothing; `shard`, `shards` or `engine` is invalid; a package is
            missing.
        ShardMismatch: the folder holds shards of another source or model, or of a run with another number of shards.
        ShardFailed: some shards could not be finished; all other shards are finished.
        SourceError: the source cannot be read now. ModelError: the model cannot be found or used.
        OSError: the folder `out` cannot be made or listed.
    """
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; expected {' or '.join(ENGINES)}.")
    if shards is not None and not 1 <= shards <= MAX_SHARDS:
        raise InputError(f"{shards:,} shards are asked for; 1 to {MAX_SHARDS:,} can be had.")
    chosen, count = (None, shards) if shard is None else parse_shard(shard)
    if shard is not None and shards not in (None, count):
        raise InputError(f"--shard {shard} and --shards {shards} contradict each other. Leave --shards out.")
    encoder = as_encoder(DEFAULT_MODEL if model is None else model, device=device)
    schema_of(encoder.width)  # raises InputError now, before the source is listed, if pyarrow is missing
    folder, listed = ShardFolder(out), list_source(source)
    names = set(folder.names())
    plan = make_plan(listed, encoder, names, folder.place, count)
    folder.make()
    report = BulkReport(plan, notes=listed.notes)
    tasks, waiting = make_tasks(plan, listed, range(plan.shards) if chosen is None else [chosen]), []
    for task in tasks:
        # read only shards that the folder lists: an object store takes minutes to say that thousands are missing
        if plan.file_name(task.shard) in names and (done := report_if_finished(task, folder)):
            report.shards.append(done)
            on_shard(done, len(tasks))
        else:
            waiting.append(task)
    failed = []
    for outcome in _run_tasks(waiting, encoder, folder, jobs, engine, model, device) if waiting else ():
        if isinstance(outcome, ShardReport):
            report.shards.append(outcome)
            on_shard(outcome, len(tasks))
        else:
            failed.append(outcome)
    report.shards.sort(key=lambda each: each.shard)
    if failed:
        first = "; ".join(f"shard {shard}: {why}" for shard, why in sorted(failed)[:3])
        more = f" (and {len(failed) - 3:,} more)" if len(failed) > 3 else ""
        raise ShardFailed(
            f"{len(failed):,} of {plan.shards:,} shards were not finished: {first}{more} Run the same command again."
        )
    return report


def _run_tasks(
    tasks: Sequence[ShardTask], encoder: Encoder, out: ShardFolder, jobs: int, engine: str, model: ModelLike | None,
    device: str | None,
) -> Iterable[Outcome]:  # fmt: skip
    if engine == "ray":
        from araclip.bulk.ray_engine import run_on_ray

        return run_on_ray(tasks, name_to_load(model, encoder), device, out.place, jobs)
    if jobs <= 1 or len(tasks) == 1:
        return (try_embed_shard(task, encoder, out) for task in tasks)
    from araclip.bulk.worker_processes import run_processes

    return run_processes(tasks, name_to_load(model, encoder), device, out.place, jobs)


def name_to_load(model: ModelLike | None, encoder: Encoder) -> str:
    """Return the name or path by which another process can load the same model.

    Raises:
        InputError: the encoder was passed as an object that has no name to load it by.
    """
    if model is None:
        return DEFAULT_MODEL
    if origin := getattr(encoder, "origin", ""):
        return str(origin)
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    raise InputError("several processes cannot share an encoder object. Name the model, or use one process.")
