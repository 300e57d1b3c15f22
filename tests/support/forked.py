"""A forked process that reports lines, to be read while it runs and killed at any moment."""

import contextlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable

Send = Callable[[str], None]


class Forked:
    """Runs `work(send)` in a child of this process.

    Args:
        hear: called with each line that it sends, as it is read.
    """

    def __init__(self, work: Callable[[Send], None], hear: Callable[[str], None] = lambda line: None) -> None:
        self.lines: list[str] = []
        self.steps = 0  # lines that begin with "step"
        self.ended = False
        self._hear, self._rest = hear, b""
        self._reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._reader)
            _run(work, writer)
        os.close(writer)

    def read(self, seconds: float) -> None:
        """Read what was sent; waits for it up to `seconds`."""
        while not self.ended and select.select([self._reader], [], [], seconds)[0]:
            raw = os.read(self._reader, 1 << 16)
            if not raw:
                self._end()
                return
            *whole, self._rest = (self._rest + raw).split(b"\n")
            for line in whole:  # a last line that was cut by a kill is never whole
                text = line.decode()
                self.lines.append(text)
                self.steps += text.startswith("step ")
                self._hear(text)
            seconds = 0

    def told(self, word: str) -> str:
        """What follows `word` in the first line that begins with it, or an empty text."""
        return next((line.removeprefix(word) for line in self.lines if line.startswith(word)), "")

    def wait(self) -> None:
        """Read until it ends."""
        while not self.ended:
            self.read(60)

    def kill(self) -> None:
        """SIGKILL; what it had sent before is read."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def _end(self) -> None:
        self.ended = True
        os.close(self._reader)
        os.waitpid(self.pid, 0)


def _run(work: Callable[[Send], None], writer: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream, target in ((0, nothing), (1, nothing), (2, writer)):  # what it says of an error is a line too
        os.dup2(target, stream)
    sys.stderr = os.fdopen(os.dup(writer), "w", buffering=1)  # Python's own takes the pipe for what it was before

    def send(line: str) -> None:
        raw = f"{line}\n".encode()
        while raw:
            raw = raw[os.write(writer, raw) :]

    try:
        work(send)
    except SystemExit as done:
        if done.code not in (0, None):
            send(f"exit {done.code}")
    except BaseException:
        with contextlib.suppress(OSError):
            send(f"error {traceback.format_exc()!r}")
    os._exit(0)
