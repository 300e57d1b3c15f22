"""System libraries, called through ctypes: glibc's settings of memory allocation, and NVIDIA's driver."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from araclip.core import system

# glibc's mallopt parameters, <malloc.h>
_MUCH = 100_000_000  # more freed bytes than this are returned to the system at once, which takes a millisecond
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1  # value of the trim threshold with which freed memory at the heap's end is never given back
_GROWTH = 256 * 2**20  # bytes by which the heap grows at a time


def _glibc() -> Any:
    """Return the C library of this process if it is glibc, else None: only glibc has the settings used here."""
    library = ctypes.CDLL(None) if system.linux() else None
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None


def use_one_malloc_arena() -> bool:
    """Let all threads of this process share one malloc arena; return True if the C library is glibc and accepted that.

    By default, glibc creates an arena for each thread, and each keeps its peak size: 10 % more memory after ten minutes
    of queries (docs/log/2026-11.md). Arenas that exist already stay.
    """
    library = _glibc()
    return library is not None and library.mallopt(_ARENA_MAX, 1) == 1


def return_freed_memory(freed: int) -> None:
    """Give freed memory back to the system, if much was freed; glibc would keep it, in an arena for each thread."""
    if freed > _MUCH:
        trim_heap()


def trim_heap() -> None:
    """Return freed memory of all arenas to the system, where the C library has `malloc_trim`."""
    if trim := _malloc_trim():
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    library = _glibc()
    return cast(Callable[[int], int], library.malloc_trim) if hasattr(library, "malloc_trim") else None


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for later tensors instead of returning it to the system.

    By default every large tensor is mapped anew and unmapped again, and the kernel clears its pages each time, which
    takes a good part of a training step on a CPU. With this setting, the process keeps its peak size.

    Returns:
        True if the C library is glibc and accepted all settings, among them a single malloc arena for all threads.
    """
    library = _glibc()
    if library is None:
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    accepted = [library.mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(accepted)


def nvidia_driver() -> ctypes.CDLL:
    """Load the library of NVIDIA's driver; OSError if it is not installed."""
    return ctypes.CDLL("nvcuda.dll" if system.windows() else "libcuda.so.1")


def count_gpus(driver: Any) -> int:
    """Initialise NVIDIA's driver and return how many GPUs it reports; 0 if it fails."""
    count = ctypes.c_int(0)
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0
