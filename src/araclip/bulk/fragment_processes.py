"""Fragments made ahead by other processes, while this one stores those before them.

One task is a JSON object, one answer a fragment (`gallery.catalog.embedded.fragment`); they go through the pipes of
`python -m araclip.bulk.fragment_worker`. Processes of `multiprocessing` would import the program that fills the gallery
anew, which a script without a guard does not survive.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast

from araclip import errors
from araclip.decoding_process import receive, send
from araclip.errors import AraCLIPError
from araclip.platforms.processes import usable_cores

MOST = 3  # processes; with more, storing is what takes longest
STOP_SECONDS = 10.0  # that a process gets to end before it is killed

Task = Mapping[str, Any]


@contextmanager
def ahead(tasks: Sequence[Task], build: Callable[[Task], bytes]) -> Iterator[Iterator[bytes]]:
    """The fragments of tasks in their order, as `build` makes them: in other processes, or a few in a thread.

    Raises:
        AraCLIPError: what `build` raised for a task.
    """
    jobs = min(MOST, usable_cores(), len(tasks))
    if jobs < 2:
        with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
            yield _from_thread(tasks, build, reader)
        return
    workers = [_Worker() for _ in range(jobs)]
    try:
        yield _from_workers(tasks, build, workers)
    finally:
        for worker in workers:
            worker.end()


def _from_thread(tasks: Sequence[Task], build: Callable[[Task], bytes], reader: ThreadPoolExecutor) -> Iterator[bytes]:
    coming = [reader.submit(build, task) for task in tasks[:1]]
    for task in (*tasks[1:], None):
        fragment = coming.pop().result()
        if task is not None:
            coming.append(reader.submit(build, task))
        yield fragment


def _from_workers(
    tasks: Sequence[Task], build: Callable[[Task], bytes], workers: "Sequence[_Worker]"
) -> Iterator[bytes]:
    for worker, task in zip(workers, tasks, strict=False):
        worker.ask(task)
    for number, task in enumerate(tasks):
        worker = workers[number % len(workers)]
        fragment = worker.answer()
        if number + len(workers) < len(tasks):
            worker.ask(tasks[number + len(workers)])
        yield build(task) if fragment is None else fragment  # its process was killed


class _Worker:
    """A process that answers one task after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-m", "araclip.bulk.fragment_worker"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            env=environment,
            start_new_session=True,  # a Ctrl-C is not for it
        )

    def ask(self, task: Task) -> None:
        """Give it a task."""
        with suppress(OSError):  # it is dead, and gives no answer
            send(cast(Any, self._process.stdin), dict(task))

    def answer(self) -> bytes | None:
        """The fragment of the task it was given first; None where the process is dead.

        Raises:
            AraCLIPError: the task's own error.
        """
        try:
            answered = receive(cast(Any, self._process.stdout))
        except (OSError, ValueError):
            return None
        if answered is None:
            return None
        about, blobs = answered
        if "error" in about:
            kind = getattr(errors, str(about["error"]), AraCLIPError)
            raise kind(about["message"])
        return blobs[0]

    def end(self) -> None:
        """Let the process end, or kill it."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                cast(Any, stream).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
