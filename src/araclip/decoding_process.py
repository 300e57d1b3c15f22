"""What processes that decode untrusted files have in common: limits of memory and time, and messages on a pipe.

A message is four bytes of length, a JSON object of that length, and the blobs whose sizes the object lists. Nothing is
pickled: the output of a process that may be compromised must not be able to run code in the one that reads it.
"""

import contextlib
import json
import math
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import psutil

MAX_HEAD = 100_000  # bytes of the JSON object
PASSED_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR")

Reply = tuple[dict[str, Any], list[bytes]]


def environment() -> dict[str, str]:
    """The environment of such a process: no tokens, and one thread, since a thread's arena counts as memory."""
    passed = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    return passed | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def send(stream: BinaryIO, about: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message."""
    head = json.dumps({**about, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(struct.pack(">I", len(head)) + head)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO, most: int | None = None) -> Reply | None:
    """Read one message; None at the end of the input.

    Args:
        most: bytes of all blobs; None for messages of a process that is trusted.

    Raises:
        ValueError: it is cut short or not of this form, or has larger blobs.
    """
    length = stream.read(4)
    if len(length) < 4:
        return None
    (size,) = struct.unpack(">I", length)
    if most is not None and size > MAX_HEAD:
        raise ValueError(f"a head of {size} bytes")
    about = json.loads(stream.read(size))
    if not isinstance(about, dict) or not isinstance(about.get("blobs"), list):
        raise ValueError("no list of blobs")
    sizes = [int(each) for each in about["blobs"]]
    if most is not None and not (min(sizes, default=0) >= 0 and sum(sizes) <= most):
        raise ValueError(f"blobs of {sizes} bytes")
    blobs = [stream.read(each) for each in sizes]
    if [len(blob) for blob in blobs] != sizes:
        raise ValueError("it is cut short")
    return about, blobs


def restrict(memory: int, files: int = 16, threads: int = 0) -> None:
    """Restrict this process to what decoding needs, as far as the system can enforce it.

    Args:
        memory: bytes of its address space.
        files: how many it may have open.
        threads: how many it may start. The system counts those of all processes of the user together, so the limit lies
            this far above what the user has now.
    """
    if sys.platform == "win32":  # pragma: no cover
        return
    os.nice(5)  # searches have priority
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no writes to files; pipes are not affected
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if hasattr(resource, "RLIMIT_NPROC"):
        most = _tasks_of_this_user() + threads if threads else 0
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _tasks_of_this_user() -> int:
    """Threads of all processes of this user; 0 where they cannot be counted."""
    total, user = 0, os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real == user:
                total += process.num_threads()
    return total


def allow_processor(seconds: float) -> None:
    """Let the system kill this process after so many further seconds of processor time."""
    if sys.platform == "win32":  # pragma: no cover
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), hard))
