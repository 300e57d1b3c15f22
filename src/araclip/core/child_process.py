"""Child processes: start a module of this package, ask it with a deadline, replace it when it dies, and end it.

A message is four bytes of length, a JSON object of that length, and the blobs whose sizes the object lists. Nothing is
pickled: a process that decodes untrusted files must not be able to run code in the process that reads its output. A
child first sends that it is ready (or what it lacks), then answers one question after the other. It ends when its input
is closed, as happens when its parent ends.
"""

import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO, Self, cast
from weakref import finalize

from araclip.core.limits import with_memory_limit
from araclip.core.processes import status_name

MAX_HEAD = 100_000  # limit: bytes of a message's JSON object
MOST_BYTES = 500_000_000  # limit: bytes of all binary parts (blobs) of one answer together
END_SECONDS = 1.0  # seconds that a child which has closed its output gets to end, so that its exit code tells why
PASSED_ENVIRONMENT = (
    "PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR",
    "TESSDATA_PREFIX",
)  # fmt: skip
TOKENS = "ARACLIP_TOKEN"  # no child gets environment variables with this prefix
# Let libraries use one thread only: each further thread's malloc arena would count towards the memory limit.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

MORE = "more"  # the key that marks a message as progress, not as the answer

Reply = tuple[dict[str, Any], list[bytes]]


class ChildEnded(OSError):
    """A child process has ended, or its answer is not a message.

    Attributes:
        how: the signal that ended the process, such as SIGXCPU (too much processor time), or its exit code.
    """

    how = ""


def safe_environment() -> dict[str, str]:
    """Return the environment for a process that opens untrusted files: no tokens or passwords, and one thread."""
    return {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ} | _ONE_THREAD


def own_environment() -> dict[str, str]:
    """Return this process's environment, with its module path and without the server's tokens, for a trusted child."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TOKENS)}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def send(stream: BinaryIO, about: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message: the object `about`, then the blobs."""
    head = json.dumps({**about, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(struct.pack(">I", len(head)) + head)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO, most: int | None = None) -> Reply | None:
    """Read one message and return its object and its blobs.

    Return None if the input ends before the message, or within the four bytes of its length.

    Args:
        most: the most bytes of all blobs together. None sets no limit on blobs and object; only for a trusted process.

    Raises:
        ValueError: the message is incomplete or malformed, or its object or blobs are too large.
    """
    length = stream.read(4)
    if len(length) < 4:
        return None
    (size,) = struct.unpack(">I", length)
    if most is not None and size > MAX_HEAD:
        raise ValueError(f"a head of {size} bytes")
    try:
        about = json.loads(stream.read(size))
        sizes = [int(each) for each in about["blobs"]]
    except (LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no object with a list of blobs ({type(error).__name__})") from error
    if most is not None and not (min(sizes, default=0) >= 0 and sum(sizes) <= most):
        raise ValueError(f"blobs of {sizes} bytes")
    blobs = [stream.read(each) for each in sizes]
    if [len(blob) for blob in blobs] != sizes:
        raise ValueError("it is cut short")
    return about, blobs


# ------------------------------------------------------------------ the parent's side


class Child:
    """A process of `python -P -m MODULE ARGUMENTS`, ready for questions.

    Attributes:
        ready: the first message of the child.
        jobs: the number of questions that the child was asked.
    """

    def __init__(
        self, module: str, *arguments: str, seconds: float | None, memory_kb: int = 0, takes_files: bool = False,
        environment: Mapping[str, str] | None = None, stderr: int | IO[bytes] | None = subprocess.DEVNULL,
        apart: bool = False,
    ) -> None:  # fmt: skip
        """Start the child, and wait until it is ready.

        Args:
            seconds: the longest wait; None for as long as it takes.
            memory_kb: limit of the child's address space from its start; it may restrict itself further after loading.
            takes_files: True if questions may come with an open file; not on Windows (`system.hands_over_files`).
            environment: the child's environment variables, by default `safe_environment()`.
            stderr: where the child writes errors: nowhere, a file, or (None) this process's stderr.
            apart: True to keep a terminal's Ctrl-C from the child; this process must then end the child.

        Raises:
            OSError: the child cannot be started.
            TimeoutError: the child is not ready in time.
            ChildEnded: the child ends before it is ready.
        """
        # -P: import no module from the working folder
        command = [sys.executable or "python", "-P", "-m", module, *arguments]
        command = with_memory_limit(command, memory_kb) if memory_kb else command
        env = safe_environment() if environment is None else environment
        self.jobs, self._owner, self._killed, self._late = 0, os.getpid(), False, False
        group = 0 if apart else None
        self._socket: socket.socket | None = None
        if takes_files:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=stderr, env=env,
                    process_group=group,
                )  # fmt: skip
            self._to = self._from = cast(BinaryIO, self._socket.makefile("rwb"))
        else:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=stderr, env=env, process_group=group
            )
            self._to, self._from = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        try:
            with self._kill_after(seconds):
                self.ready = self._receive()[0]
        except BaseException:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        """True if the child can be asked. A forked process cannot ask the children of its parent."""
        return not self._killed and self._owner == os.getpid() and self._process.poll() is None

    def ask(
        self, about: Mapping[str, Any], blobs: Sequence[bytes] = (), *, seconds: float | None = None,
        file: IO[bytes] | None = None, progress: Callable[[dict[str, Any]], None] = lambda said: None,
    ) -> Reply:  # fmt: skip
        """Send a question and wait for its answer. After an error the child is killed: it might still answer late.

        Args:
            about, blobs: the question, a JSON object and bytes beside it.
            seconds: the longest wait; None for as long as it takes.
            file: an open file that the child gets from its beginning.
            progress: called with each message that the child sends before its answer.

        Raises:
            TimeoutError: there is no answer in time.
            ChildEnded: the child has ended, or its answer is not a message.
        """
        self.jobs += 1
        with self._kill_after(seconds):
            try:
                if file is not None:
                    file.seek(0)
                    socket.send_fds(cast(socket.socket, self._socket), [b"f"], [file.fileno()])
                send(self._to, about, blobs)
            except OSError as error:
                raise self._error_of_end(error) from None
            while MORE in (reply := self._receive())[0]:
                progress(reply[0])
            return reply

    def _receive(self) -> Reply:
        """Read a message of the child; raise TimeoutError or ChildEnded if no message comes, or a malformed one."""
        try:
            reply = receive(self._from, MOST_BYTES)
        except (OSError, ValueError) as error:
            raise self._error_of_end(error) from None
        if reply is None:
            raise self._error_of_end(EOFError())
        return reply

    def _error_of_end(self, error: Exception) -> Exception:
        """End the child after an error of its streams; return the error to raise, TimeoutError or ChildEnded."""
        if self._late:
            return TimeoutError("no answer in time")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()
        ended = ChildEnded(f"{self._process.args!r:.300} has ended, or its answer is none ({error!r:.200})")
        ended.how = status_name(self._process.wait())
        return ended

    @contextmanager
    def _kill_after(self, seconds: float | None) -> Iterator[None]:
        """Kill the child if the `with` block takes longer than `seconds` (so that its wait ends), or if it raises."""
        timer = threading.Timer(seconds or 0, self._kill_because_late)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            yield
        except BaseException:
            self.kill()
            raise
        finally:
            timer.cancel()

    def _kill_because_late(self) -> None:
        self._late = True
        self.kill()

    def kill(self) -> None:
        """Stop the child at once, from any thread; the thread that waits for an answer gets ChildEnded."""
        self._killed = True
        if self._owner == os.getpid():
            self._process.kill()

    def end(self) -> None:
        """Stop the child, and close its streams in this process."""
        self.kill()
        for stream in (self._to, self._from):
            with suppress(OSError, ValueError):  # no error if closing fails to send the last data, which nobody reads
                stream.close()
        if self._socket is not None:
            self._socket.close()
        if self._owner == os.getpid():
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Pool:
    """Keeps idle child processes, all started by `start`, for questions of any thread; they end with this process.

    The pool has no lock, because a lock that is held while another thread forks would stay held in the forked process.
    Single operations of sets and deques are atomic.

    Args:
        start: starts a child.
        keep: the most children that are kept idle.
        most_jobs: a child is replaced after this many questions, so that memory leaks of decoders do not add up.
    """

    def __init__(self, start: Callable[[], Child], *, keep: int, most_jobs: float = math.inf) -> None:
        self.replaced = 0  # children replaced because they died in a job or had answered `most_jobs` questions
        self.idle: deque[Child] = deque()
        self._active: set[Child] = set()
        self._start, self._keep, self._most_jobs = start, keep, most_jobs
        finalize(self, _end_all, self.idle, self._active)

    @contextmanager
    def child(self) -> Iterator[Child]:
        """Lend an idle child, or a new one, for the length of a `with` block."""
        child = self._idle_child() or self._start()
        self._active.add(child)
        try:
            yield child
        finally:
            self._active.discard(child)
            fit = child.alive and child.jobs < self._most_jobs
            self.replaced += not fit
            if fit and len(self.idle) < self._keep:
                self.idle.append(child)
            else:
                child.end()

    def _idle_child(self) -> Child | None:
        with suppress(IndexError):
            while not (child := self.idle.pop()).alive:
                child.end()  # the child died while it was idle: drop it, and take the next idle child
            return child
        return None

    def stop(self) -> None:
        """Kill the children that are being asked; the threads that ask them get ChildEnded."""
        for child in list(self._active):
            child.kill()

    def close(self) -> None:
        """End all children; the pool can be used again."""
        _end_all(self.idle, self._active)


def _end_all(idle: deque[Child], active: set[Child]) -> None:
    for child in list(active):
        child.kill()
    while idle:
        idle.pop().end()


# ------------------------------------------------------------------ the child's side


class Parent:
    """The connection to the parent process, used in a child process: receives questions and sends answers.

    The connection is the standard input and output or, with `takes_files`, a socket, which also passes open files.
    """

    def __init__(self, *, takes_files: bool = False) -> None:
        self._socket = socket.socket(fileno=0) if takes_files else None
        if self._socket is not None:
            self._from = self._to = cast(BinaryIO, self._socket.makefile("rwb"))
        else:
            self._from, self._to = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
            os.dup2(2, 1)  # what libraries print goes to stderr, not among the answers

    def answer(self, about: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send the answer to a question; also the first message, which says that this process is ready."""
        send(self._to, about, blobs)

    def tell(self, about: Mapping[str, Any]) -> None:
        """Send a message before the answer, such as how far the work is."""
        send(self._to, {**about, MORE: True})

    def question(self) -> Reply | None:
        """Wait for the next question; None when the parent asks no more."""
        return receive(self._from)

    def questions_with_files(self) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
        """Yield each question with its open file, which is closed before the next question."""
        assert self._socket is not None
        while True:
            _, handed, *_ = socket.recv_fds(self._socket, 1, 1)
            if not handed or (question := self.question()) is None:
                return
            with open(handed[0], "rb", buffering=0) as file:  # noqa: PTH123  (a descriptor)
                yield question[0], cast(BinaryIO, file)
