"""Embed shards on a Ray cluster through Ray Data (extra `ray`): each row of the data set is a shard to embed.

A shard is a Ray task, not an actor: when a machine dies, Ray gives its tasks to other machines with a free core. The
tasks skip shards that are finished already, so the output is the same. A worker process loads the model once.
"""

import os
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import ShardTask
from araclip.bulk.shard import Outcome, try_embed_shard
from araclip.errors import AraCLIPError, InputError
from araclip.models.encoder import Encoder, as_encoder

MISSING_RAY = "The engine 'ray' needs Ray Data. Run: pip install 'araclip[ray]'"


@lru_cache(maxsize=1)
def _load_encoder(model: str, device: str | None) -> Encoder:
    return as_encoder(model, threads=1, device=device)


def embed_rows(batch: dict[str, Any], *, model: str, device: str | None, out: str) -> dict[str, list[bytes]]:
    """Embed the shards of the pickled tasks `batch["task"]`; return their pickled outcomes. Ray Data calls this."""
    outcomes = []
    for packed in batch["task"]:
        task: ShardTask = pickle.loads(packed)  # safe: `run_on_ray` has pickled the task in this run
        try:
            outcome: Outcome = try_embed_shard(task, _load_encoder(model, device), ShardFolder(out))
        except AraCLIPError as error:  # the shard failed, for example because this machine does not have the model
            outcome = task.shard, str(error)
        outcomes.append(pickle.dumps(outcome))
    return {"outcome": outcomes}


def run_on_ray(tasks: Sequence[ShardTask], model: str, device: str | None, out: str, workers: int) -> Iterator[Outcome]:
    """Embed shards on the Ray cluster that $RAY_ADDRESS names, or on a new cluster on this machine; yield the outcomes.

    Args:
        workers: the most shards to embed at a time, each on one core; 0 for as many as the cluster has cores.
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
        outcome: Outcome = pickle.loads(row["outcome"])  # safe: `embed_rows` has pickled the outcome in this run
        yield outcome
