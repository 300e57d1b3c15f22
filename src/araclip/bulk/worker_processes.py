"""Embed shards in several processes on one machine. If a process dies, only the shard it was working on fails.

Each process gets the model, the device, the folder and its number of threads as JSON, and then one shard after another.
"""

import json
import pickle
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import ShardTask
from araclip.bulk.shard import Outcome, ShardReport, try_embed_shard
from araclip.core.child_process import Child, ChildEnded, Parent, Pool, own_environment
from araclip.core.processes import usable_cores
from araclip.errors import AraCLIPError
from araclip.models.encoder import as_encoder


def run_processes(tasks: Sequence[ShardTask], model: str, device: str | None, out: str, jobs: int) -> Iterator[Outcome]:
    """Embed shards in `jobs` processes, each of which loads the model; yield each shard's outcome when it is done."""
    jobs = min(jobs, len(tasks))
    settings = json.dumps({"model": model, "device": device, "out": out, "threads": max(1, usable_cores() // jobs)})

    def start() -> Child:
        module = "araclip.bulk.worker_processes"
        return Child(module, settings, seconds=None, environment=own_environment(), stderr=None, apart=True)

    pool, stopped = Pool(start, keep=jobs), threading.Event()

    def embed_in_child(task: ShardTask) -> Outcome:
        try:
            with pool.child() as child:
                if stopped.is_set():
                    child.kill()
                answer, _ = child.ask({}, [pickle.dumps(task)])  # pickle is safe here: both processes are araclip's
        except ChildEnded as error:
            how = error.how or str(error)
            return task.shard, f"its process ended with {how} (SIGKILL: out of memory? Take fewer --jobs)."
        except OSError as error:
            return task.shard, f"no process could be started for it ({error}). Take fewer --jobs."
        return ShardReport(**answer["report"]) if "report" in answer else (task.shard, answer["fault"])

    threads = ThreadPoolExecutor(jobs, thread_name_prefix="shards")
    try:
        for done in as_completed([threads.submit(embed_in_child, task) for task in tasks]):
            yield done.result()
    finally:
        stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
        pool.close()
        threads.shutdown()


def main() -> None:
    """Run a worker process: load the model, then embed each shard that the parent asks for."""
    settings, parent = json.loads(sys.argv[1]), Parent()
    try:
        encoder, fault = as_encoder(settings["model"], threads=settings["threads"], device=settings["device"]), ""
    except AraCLIPError as error:
        encoder, fault = None, str(error)
    folder = ShardFolder(settings["out"])
    parent.answer({"ready": True})
    while (question := parent.question()) is not None:
        task: ShardTask = pickle.loads(question[1][0])
        outcome = (task.shard, fault) if encoder is None else try_embed_shard(task, encoder, folder)
        parent.answer({"fault": outcome[1]} if isinstance(outcome, tuple) else {"report": asdict(outcome)})


if __name__ == "__main__":
    main()
