"""Shards in several processes of one machine. A process that dies takes its shard with it and no other."""

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import ShardTask
from araclip.bulk.shard import Outcome, outcome_of
from araclip.core.processes import status_name, usable_cores
from araclip.errors import AraCLIPError
from araclip.models.encoder import as_encoder

STOP_SECONDS = 10.0  # that a process gets to end before it is killed


def run_processes(tasks: Sequence[ShardTask], model: str, device: str | None, out: str, jobs: int) -> Iterator[Outcome]:
    """Embed shards in `jobs` processes, each of which loads the model; yields outcomes as they come."""
    jobs = min(jobs, len(tasks))
    threads = max(1, usable_cores() // jobs)
    context = multiprocessing.get_context("spawn")
    waiting, busy = list(reversed(tasks)), dict[Connection, tuple[Any, ShardTask]]()

    def start(process: Any, pipe: Connection) -> None:
        """Give a process its next shard, or let it end."""
        task = waiting.pop() if waiting else None
        try:
            pipe.send(task)
        except OSError:  # it is dead, and is replaced
            pipe.close()
            if task is not None:
                waiting.append(task)
                launch()
            return
        if task is not None:
            busy[pipe] = (process, task)

    def launch() -> None:
        mine, its = context.Pipe()
        process = context.Process(target=_work, args=(its, model, device, out, threads), daemon=True)
        process.start()
        processes.append(process)
        its.close()
        start(process, mine)

    processes: list[Any] = []
    try:
        for _ in range(jobs):
            launch()
        while busy:
            for pipe in cast(list[Connection], wait(list(busy))):
                process, task = busy.pop(pipe)
                try:
                    yield pipe.recv()
                except (EOFError, OSError):
                    process.join(STOP_SECONDS)
                    yield task.shard, _death(process.exitcode)
                    pipe.close()
                    if waiting:
                        launch()
                else:
                    start(process, pipe)
    finally:
        for process in processes:
            if busy:
                process.terminate()
            process.join(STOP_SECONDS)
            if process.is_alive():
                process.kill()


def _death(code: int | None) -> str:
    how = status_name(code) if code is not None else "no answer"
    return f"its process ended with {how} (SIGKILL: out of memory? Take fewer --jobs)."


def _work(pipe: Connection, model: str, device: str | None, out: str, threads: int) -> None:
    """The life of one process: shards come through the pipe, and outcomes go back."""
    try:
        encoder, fault = as_encoder(model, threads=threads, device=device), ""
    except AraCLIPError as error:
        encoder, fault = None, str(error)
    folder = ShardFolder(out)
    try:
        while (task := pipe.recv()) is not None:
            pipe.send((task.shard, fault) if encoder is None else outcome_of(task, encoder, folder))
    except (EOFError, OSError, KeyboardInterrupt):  # the run was stopped
        return
