"""Memory that is free, of the machine or of its container."""

import contextlib
from pathlib import Path

_CGROUP, _GROUP_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def free_memory() -> int:
    """Bytes that this process can still allocate: of the machine, or of its container if that has a lower limit."""
    import psutil  # a search needs none of it: 30 ms

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(
        OSError, ValueError, IndexError, KeyError
    ):  # not Linux, no cgroups v2, or no limit ("max")
        group = _CGROUP / _GROUP_OF_PROCESS.read_text().split("::")[1].strip().lstrip("/")
        reclaimable = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        used = int((group / "memory.current").read_text()) - int(reclaimable)
        free = min(free, int((group / "memory.max").read_text()) - used)
    return max(free, 0)
