"""Processes: how many cores they may use, how they step back, how they ended, which signals stop them.

Imports nothing that takes time: commands install their signals first.
"""

import os
import signal
from contextlib import suppress


def usable_cores() -> int:
    """Cores this process may run on (containers and taskset narrow it below the machine's count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread() -> None:
    """Let NumPy's BLAS compute in the thread that calls it, here and in processes started from here.

    For a process whose requests are its threads: their products wait for each other's helpers, and an eighth of a
    millisecond becomes ten. To be called before NumPy is imported. OPENBLAS_NUM_THREADS and VECLIB_MAXIMUM_THREADS of
    the environment go first, OMP_NUM_THREADS does not.
    """
    for library in ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(library, "1")


def step_back(niceness: int) -> None:
    """Let other processes go first: 1 to 19, the more the later; Windows has one such class."""
    if hasattr(os, "nice"):
        os.nice(niceness)
    else:
        import psutil  # 30 ms that nobody else waits for

        with suppress(psutil.Error, OSError):
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)  # type: ignore[attr-defined,unused-ignore]


def status_name(code: int) -> str:
    """How a process ended: the signal's name, such as SIGXCPU (too much time), or its exit code."""
    with suppress(ValueError):
        return signal.Signals(-code).name
    return str(code)


HANGUP = getattr(signal, "SIGHUP", None)  # a terminal that is closed; Windows has none
BREAK = getattr(signal, "SIGBREAK", None)  # Ctrl-Break, and a console that is closed; Windows only


def stopping() -> tuple[signal.Signals, ...]:
    """The signals of this system that end a command in an orderly way: Ctrl-C, and requests of other programs."""
    return tuple(each for each in (signal.SIGINT, signal.SIGTERM, HANGUP, BREAK) if each is not None)
