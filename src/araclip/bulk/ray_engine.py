"""Embed shards on a Ray cluster through Ray Data (extra `ray`): each row of the data set is a shard to embed.

A shard is a Ray task, not an actor: when a machine dies, Ray gives its tasks to other machines with a free core. Shards
that the dead machine had finished are skipped there, so the output is the same. A worker process loads the model once.
"""

import os
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import ShardTask
from araclip.bulk.shard import Outcome, ShardReport, try_embed_shard
from araclip.errors import AraCLIPError, InputError
from araclip.models.encoder import Encoder, as_encoder

MISSING_RAY = "The engine 'ray' needs Ray Data. Run: pip install 'araclip[ray]'"
COLUMNS = ("shard", "pictures", "refused", "seconds", "skipped", "why")


@lru_cache(maxsize=1)
def _load_encoder(model: str, device: str | None) -> Encoder:
    return as_encoder(model, threads=1, device=device)


def embed_rows(batch: dict[str, Any], *, model: str, device: str | None, out: str) -> dict[str, list[Any]]:
    """Embed a batch of shards; Ray Data calls this function on a worker.

    `batch["task"]` holds n pickled tasks; the result has n values for each of COLUMNS. `why` is empty for a shard that
    was finished, and otherwise says why it was not.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for packed in batch["task"]:
        task: ShardTask = pickle.loads(packed)  # unpickling is safe, because `run_on_ray` has pickled it in this run
        try:
            outcome = try_embed_shard(task, _load_encoder(model, device), ShardFolder(out))
        except AraCLIPError as error:  # the shard failed, for example because this machine does not have the model
            outcome = task.shard, str(error)
        if isinstance(outcome, ShardReport):
            row: tuple[Any, ...] = (outcome.pictures, outcome.refused, outcome.seconds, outcome.skipped, "")
        else:
            row = (0, 0, 0.0, False, outcome[1])
        for name, value in zip(COLUMNS, (task.shard, *row), strict=True):
            columns[name].append(value)
    return columns


def run_on_ray(tasks: Sequence[ShardTask], model: str, device: str | None, out: str, workers: int) -> Iterator[Outcome]:
    """Embed shards on the Ray cluster that $RAY_ADDRESS names, or on a new one on this machine; one core for a shard.

    Args:
        workers: the most shards at a time; 0 for as many as the cluster has cores.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError(MISSING_RAY) from None
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # turns off Ray's usage reports
        ray.init()
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=len(tasks))
    done = rows.map_batches(
        embed_rows, fn_kwargs={"model": model, "device": device, "out": out}, batch_size=1, num_cpus=1,
        concurrency=workers or None,
    )  # fmt: skip
    for row in done.iter_rows():
        if row["why"]:
            yield int(row["shard"]), str(row["why"])
        else:
            numbers = (int(row["shard"]), int(row["pictures"]), int(row["refused"]), float(row["seconds"]))
            yield ShardReport(*numbers, skipped=bool(row["skipped"]))
