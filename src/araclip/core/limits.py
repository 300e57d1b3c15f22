"""Limits that the system enforces on a process: memory, processor time, files and threads.

On Linux and macOS these are resource limits. On Windows they are limits of a "job", which holds a process and its
children: memory that each process commits, user-mode time since each began, and the number of processes. Windows checks
the time about once a second, and ends a process that has exceeded it. To run another program in a job, call

    python -m araclip.core.limits KILOBYTES PROGRAM [ARGUMENT …]

since Windows has no fork and exec, between which a program could be limited. The program uses the standard streams of
this command, and the command ends with the program's exit code. If the command is killed, the program ends, too.
"""

import ctypes
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, cast

from araclip.core import system
from araclip.core.processes import lower_priority

NOT_STARTED = 127  # a shell's exit code for a program that cannot be started
# A shell sets the limit, not a function between fork and exec: Python's locks may stay held for ever after a fork.
_LIMITED = 'ulimit -v "$0" 2>/dev/null; exec "$@"'


def restrict(memory: int, files: int = 16, threads: int = 0) -> None:
    """Restrict this process to what decoding needs, as far as the system can enforce it, and lower its priority.

    Args:
        memory: most bytes of its address space.
        files: most files that it may have open.
        threads: most threads that it may start. The system counts the threads of all processes of the user together, so
            the limit is this number above the user's present threads.

    On Windows the process may commit `memory` bytes and start no process; files and threads have no limit.

    Raises:
        OSError: the system refuses.
        ValueError: a lower limit is in force.
    """
    lower_priority(5)  # lowers this process's priority, so that searches go first
    if system.windows():
        own_job().limit(memory=memory, processes=1)
        return
    import resource

    most = _tasks_of_this_user() + threads if threads else 0
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writing a file is forbidden; writing to a pipe is not
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if hasattr(resource, "RLIMIT_NPROC"):
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _tasks_of_this_user() -> int:
    """Count the threads of all processes of this user; processes that cannot be asked are left out."""
    import psutil  # imported only here, because the import takes 30 ms

    total, user = 0, os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.uids().real == user:
                total += process.num_threads()
    return total


def allow_processor(seconds: float) -> None:
    """Let the system kill this process after `seconds` more of processor time."""
    if system.windows():
        own_job().limit(seconds=seconds)
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), hard))


def set_limits(wanted: Mapping[str, int]) -> None:
    """Set limits of this process by name, such as RLIMIT_DATA; skip limits that the system lacks or refuses."""
    if system.windows():
        with suppress(OSError):
            own_job().limit(memory=wanted.get("RLIMIT_DATA", 0), seconds=wanted.get("RLIMIT_CPU", 0))
        return
    import resource

    for name, value in wanted.items():
        # the limit is not set if a lower one is in force, or the system has no such limit
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


def with_memory_limit(command: list[str], kilobytes: int) -> list[str]:
    """Return a command that runs `command` with at most `kilobytes` of address space.

    Returns `command` itself, without a limit, if the system has no shell to set the limit.
    """
    if system.windows():
        return [sys.executable, "-P", "-m", "araclip.core.limits", str(kilobytes), *command]
    shell = shutil.which("sh")
    return [shell, "-c", _LIMITED, str(kilobytes), *command] if shell else command


EXTENDED_LIMITS = 9  # Windows' JobObjectExtendedLimitInformation, <winnt.h>
# Windows' flags JOB_OBJECT_LIMIT_…
PROCESS_TIME, ACTIVE_PROCESS, PROCESS_MEMORY = 0x2, 0x8, 0x100
DIE_ON_UNHANDLED_EXCEPTION, KILL_ON_JOB_CLOSE = 0x400, 0x2000
TICKS = 10_000_000  # units of 100 ns in a second


class _BasicLimits(ctypes.Structure):
    """Windows' C structure JOBOBJECT_BASIC_LIMIT_INFORMATION; its `long` fields have 32 bits on every platform."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class Limits(ctypes.Structure):
    """Windows' C structure JOBOBJECT_EXTENDED_LIMIT_INFORMATION, which holds all limits of a job."""

    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Job:
    """The Windows job object that limits this process. Its handle stays open until the process ends."""

    def __init__(self) -> None:
        """Make a Windows job object and put this process into it; the process may be in other jobs at the same time."""
        self._kernel32 = _kernel32()
        self._limits = Limits()
        self._handle = self._kernel32.CreateJobObjectW(None, None)
        _raise_unless_done(self._handle)
        _raise_unless_done(self._kernel32.AssignProcessToJobObject(self._handle, self._kernel32.GetCurrentProcess()))

    def limit(self, *, memory: int = 0, seconds: float = 0, processes: int = 0, end_children: bool = False) -> None:
        """Set limits of the job; limits that are not given stay as they are.

        Args:
            memory: most bytes that each process may commit.
            seconds: further user-mode time that this process may take. A child may take more: `seconds` plus the
                time that this process has taken so far.
            processes: most processes in the job, this one included.
            end_children: True to end this process's children when it ends.
        """
        basic = self._limits.basic
        basic.flags |= DIE_ON_UNHANDLED_EXCEPTION  # a crash opens no error window that waits for a user
        if memory:
            basic.flags |= PROCESS_MEMORY
            self._limits.process_memory = memory
        if seconds:
            basic.flags |= PROCESS_TIME
            basic.process_time = int((os.times().user + seconds) * TICKS)
        if processes:
            basic.flags |= ACTIVE_PROCESS
            basic.active_processes = processes
        if end_children:
            basic.flags |= KILL_ON_JOB_CLOSE
        size = ctypes.sizeof(self._limits)
        _raise_unless_done(
            self._kernel32.SetInformationJobObject(
                self._handle, EXTENDED_LIMITS, ctypes.byref(self._limits), ctypes.c_uint32(size)
            )
        )


@cache
def own_job() -> Job:
    """Return the Windows job object of this process; it is made at the first call."""
    return Job()


def _kernel32() -> Any:
    """Load Windows' library kernel32, with the types of the functions that are called here."""
    library = cast(Any, ctypes).WinDLL("kernel32", use_last_error=True)
    library.CreateJobObjectW.restype = library.GetCurrentProcess.restype = ctypes.c_void_p
    library.CreateJobObjectW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p)
    library.AssignProcessToJobObject.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.SetInformationJobObject.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
    return library


def _raise_unless_done(done: object) -> None:
    """Raise the last error of Windows unless a call has succeeded; `done` is what the call returned."""
    if not done:
        raise cast(Any, ctypes).WinError(cast(Any, ctypes).get_last_error())


def main() -> int:
    """Run as a program, on Windows: limit the memory of this process and its children, and run a command.

    The arguments are the limit in kilobytes and the command. Return the command's exit code; 127, as a shell does, if
    the command cannot be started.
    """
    kilobytes, *command = sys.argv[1:]
    own_job().limit(memory=int(kilobytes) * 1024, end_children=True)
    try:
        return subprocess.run(command, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr, check=False).returncode
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
