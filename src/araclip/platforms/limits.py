"""Limits that the system enforces on a process: memory, time of the processor, files and threads.

Linux and macOS have resource limits; Windows has jobs, which limit memory, time and the number of processes.
"""

import math
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress

import psutil

from araclip.platforms import system
from araclip.platforms.jobs import own_job
from araclip.platforms.processes import step_back

# By a shell: after a fork, Python's threads may hold locks.
_LIMITED = 'ulimit -v "$0" 2>/dev/null; exec "$@"'


def restrict(memory: int, files: int = 16, threads: int = 0) -> None:
    """Restrict this process to what decoding needs, as far as the system can enforce it.

    Args:
        memory: bytes of its address space.
        files: how many it may have open.
        threads: how many it may start. The system counts those of all processes of the user together, so the limit lies
            this far above what the user has now.

    On Windows it may commit so much memory and start no process; files and threads have no limit.

    Raises:
        OSError: the system refuses; ValueError where a lower limit is in force.
    """
    step_back(5)  # searches have priority
    if system.windows():
        own_job().limit(memory=memory, processes=1)
        return
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
        with suppress(psutil.Error, OSError):
            if process.uids().real == user:
                total += process.num_threads()
    return total


def allow_processor(seconds: float) -> None:
    """Let the system kill this process after so many further seconds of processor time."""
    if system.windows():
        own_job().limit(seconds=seconds)
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), hard))


def limit(wanted: Mapping[str, int]) -> None:
    """Set limits of this process by their names, such as RLIMIT_DATA; those that the system lacks are left out."""
    if system.windows():
        with suppress(OSError):
            own_job().limit(memory=wanted.get("RLIMIT_DATA", 0), seconds=wanted.get("RLIMIT_CPU", 0))
        return
    import resource

    for name, value in wanted.items():
        with suppress(ValueError, OSError, AttributeError):  # a lower limit is in force, or the system has none
            resource.setrlimit(getattr(resource, name), (value, value))


def with_memory(command: list[str], kilobytes: int) -> list[str]:
    """A command that runs another one with so much address space; the command itself where there is no shell."""
    if system.windows():
        return [sys.executable, "-P", "-m", "araclip.platforms.limited", str(kilobytes), *command]
    shell = shutil.which("sh")
    return [shell, "-c", _LIMITED, str(kilobytes), *command] if shell else command
