"""An interpreter that has imported what takes seconds, and forks for each program that it is given.

A test that needs a process of its own (to be killed, or to import something as the first) pays for the imports once.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import araclip

SERVER = """
import json, os, sys, traceback
exec(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
    elif not (answer := os.fork()):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(asked["printed"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        sys.argv, code = ["-c", *asked["arguments"]], 0
        try:
            exec(asked["program"], {"__name__": "__main__"})
        except BaseException as error:
            code = 1
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os._exit(code)
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True)
class Started:
    """A running program."""

    pid: int
    printed: Path  # what it prints, and the traceback it ends with
    interpreter: "Warm"

    def until(self, printed: str) -> None:
        """Wait until it has printed this and nothing else."""
        patience = time.monotonic() + 120
        while not self.printed.is_file() or self.printed.read_text(encoding="utf-8") != printed:
            assert time.monotonic() < patience
            time.sleep(0.005)

    def wait(self) -> int:
        """Its exit code, as subprocess gives it."""
        return self.interpreter.ask(wait=self.pid)


class Warm:
    """See the module; made by `warm`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **asked: object) -> int:
        """Send a request to the interpreter; its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer: int = json.loads(self._process.stdout.readline())
        return answer

    def start(self, program: str, *arguments: str, printed: Path) -> Started:
        """Start a program with `sys.argv[1:]`; what it prints goes into a file."""
        return Started(self.ask(program=program, arguments=arguments, printed=str(printed)), printed, self)


def environment(**variables: str) -> dict[str, str]:
    """Of an interpreter that finds araclip and the tests' modules."""
    paths = [os.environ.get("PYTHONPATH"), str(Path(araclip.__file__).parent.parent), str(Path(__file__).parent)]
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **variables}


@contextmanager
def warm(imports: str) -> Iterator[Warm]:
    """An interpreter that has run the statement `imports`."""
    command = [sys.executable, "-c", SERVER, imports]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        yield Warm(process)
        assert process.stdin is not None
        process.stdin.close()
