"""Fragments made ahead by other processes, while this one stores those before them.

One task is a JSON object, one answer a fragment (`gallery.catalog.embedded.fragment`); they go through the pipes of
`python -m araclip.bulk.fragment_worker`. Processes of `multiprocessing` would import the program that fills the gallery
anew, which a script without a guard does not survive.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from queue import SimpleQueue
from typing import Any, cast

from araclip import errors
from araclip.decoding_process import receive, send
from araclip.errors import AraCLIPError
from araclip.pictures.images import map_ahead
from araclip.platforms.processes import usable_cores

MOST = 3  # processes; with more, storing is what takes longest
STOP_SECONDS = 10.0  # that a process gets to end before it is killed

Task = Mapping[str, Any]


@contextmanager
def ahead(tasks: Sequence[Task], build: Callable[[Task], bytes]) -> Iterator[Iterator[bytes]]:
    """The fragments of tasks in their order, as `build` makes them: in other processes, or a single one in a thread.

    Raises:
        AraCLIPError: what `build` raised for a task.
    """
    jobs = min(MOST, usable_cores(), len(tasks))
    free = SimpleQueue[_Worker]()

    def made(task: Task) -> bytes:
        worker = free.get()
        try:
            found = worker.answer(task)
        finally:
            free.put(worker)
        return build(task) if found is None else found  # its process was killed

    workers = [_Worker() for _ in range(jobs if jobs > 1 else 0)]
    for worker in workers:
        free.put(worker)
    try:
        with closing(map_ahead(made if workers else build, tasks, max(jobs, 1), jobs + 1)) as found:
            yield (fragment for _, fragment in found)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that answers one task after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-m", "araclip.bulk.fragment_worker"]
        pipe = subprocess.PIPE  # and a session of its own, for a Ctrl-C is not for it
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True)

    def answer(self, task: Task) -> bytes | None:
        """The fragment of a task; None where the process is dead.

        Raises:
            AraCLIPError: the task's own error.
        """
        try:
            send(cast(Any, self._process.stdin), dict(task))
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
