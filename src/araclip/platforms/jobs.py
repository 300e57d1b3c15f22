"""Job objects of Windows: limits of memory, time and number of processes that hold for this process and its children.

Limits of memory are those of committed memory, of each process by itself. Time is that of user mode since a process
has begun; Windows looks at it about once a second, and ends a process that is past it.
"""

import ctypes
import os
from functools import cache
from typing import Any, cast

EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation, <winnt.h>
# JOB_OBJECT_LIMIT_…
PROCESS_TIME, ACTIVE_PROCESS, PROCESS_MEMORY = 0x2, 0x8, 0x100
DIE_ON_UNHANDLED_EXCEPTION, KILL_ON_JOB_CLOSE = 0x400, 0x2000
TICKS = 10_000_000  # a second, in units of 100 ns


class _Basic(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION; widths are Windows', whose long has 32 bits."""

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
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", _Basic),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Job:
    """The job of this process. Its handle stays open until the process ends."""

    def __init__(self) -> None:
        """Make a job and put this process into it; jobs nest, so that it may be in another one already.

        Raises:
            OSError: Windows refuses.
        """
        self._kernel = _kernel()
        self._limits = Limits()
        self._handle = self._kernel.CreateJobObjectW(None, None)
        _must(self._handle)
        _must(self._kernel.AssignProcessToJobObject(self._handle, self._kernel.GetCurrentProcess()))

    def limit(self, *, memory: int = 0, seconds: float = 0, processes: int = 0, end_children: bool = False) -> None:
        """Set limits; those that are not given stay as they are.

        Args:
            memory: bytes that a process may commit.
            seconds: further time of the processor that this process may take; a child of it may take as much in all.
            processes: how many there may be in the job, this one included.
            end_children: they end with this process.

        Raises:
            OSError: Windows refuses.
        """
        basic = self._limits.basic
        basic.flags |= DIE_ON_UNHANDLED_EXCEPTION  # no window that waits for somebody to close it
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
        _must(
            self._kernel.SetInformationJobObject(
                self._handle, EXTENDED_LIMITS, ctypes.byref(self._limits), ctypes.c_uint32(size)
            )
        )


@cache
def own_job() -> Job:
    """The job of this process, made when it is first asked for.

    Raises:
        OSError: Windows refuses.
    """
    return Job()


def _kernel() -> Any:
    library = cast(Any, ctypes).WinDLL("kernel32", use_last_error=True)
    library.CreateJobObjectW.restype = library.GetCurrentProcess.restype = ctypes.c_void_p
    library.CreateJobObjectW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p)
    library.AssignProcessToJobObject.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.SetInformationJobObject.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
    return library


def _must(done: object) -> None:
    if not done:
        raise cast(Any, ctypes).WinError(cast(Any, ctypes).get_last_error())
