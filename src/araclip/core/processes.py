"""Processes: usable cores, priority, exit status, and the signals that stop them.

Imports only modules that load fast, because commands install their signal handlers first.
"""

import math
import os
import signal
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # Linux: the limits of the container that this process runs in


def usable_cores() -> int:
    """Return the number of cores this process may keep busy.

    A CPU set (taskset, `docker run --cpuset-cpus`) and a container's CPU quota (`docker run --cpus`) can lower it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_quota())))


def _cpu_quota() -> float:
    """Return how many seconds of CPU time the container gets in a second; infinity without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # names in cgroups v2, in v1
        with suppress(OSError, ValueError, ArithmeticError):  # ValueError: the quota is "max", which means no limit
            quota, period = " ".join((CGROUP / name).read_text() for name in names).split()
            if int(quota) > 0:
                return int(quota) / int(period)
    return math.inf


def one_blas_thread() -> None:
    """Let NumPy's BLAS compute in the thread that calls it, in this process and in processes started from it.

    This is for a server with a thread for each request: if products of several requests share BLAS's helper threads, a
    product of 0.12 ms takes 10 ms. Call this before NumPy is imported. OPENBLAS_NUM_THREADS and VECLIB_MAXIMUM_THREADS
    in the environment take precedence, OMP_NUM_THREADS does not.
    """
    for library in ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(library, "1")


def lower_priority(niceness: int) -> None:
    """Lower this process's priority by `niceness`, 1 to 19. Windows has only one such step."""
    if hasattr(os, "nice"):
        os.nice(niceness)
    else:
        import psutil  # imported only here, because the import takes 30 ms

        with suppress(psutil.Error, OSError):
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)  # type: ignore[attr-defined,unused-ignore]


def status_name(code: int) -> str:
    """Return how a process ended: the signal's name, such as SIGXCPU (too much time), or its exit code."""
    with suppress(ValueError):
        return signal.Signals(-code).name
    return str(code)


HANGUP = getattr(signal, "SIGHUP", None)  # sent when a terminal is closed; None on Windows
BREAK = getattr(signal, "SIGBREAK", None)  # Windows only: sent by Ctrl-Break and when a console is closed


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return this system's signals that end a command in an orderly way, such as SIGINT (Ctrl-C) and SIGTERM."""
    return tuple(each for each in (signal.SIGINT, signal.SIGTERM, HANGUP, BREAK) if each is not None)
