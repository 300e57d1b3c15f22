"""glibc's allocator in a training process: memory that one step frees is reused by the next."""

import ctypes
import sys
from functools import cache

# glibc's mallopt parameters, <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1  # for the trim threshold: nothing at the top of the heap is given back
_GROWTH = 256 * 2**20  # bytes the heap grows by


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for later tensors instead of returning it to the system.

    By default every large tensor is mapped anew and unmapped again, and the kernel clears its pages each time, a good
    part of a training step on a CPU (`benchmarks/page_faults.py`). The process then keeps its peak size.

    Returns:
        Whether the C library accepted it; elsewhere than on glibc nothing is changed.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    accepted = [libc.mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(accepted)
