"""Tell which operating system this is and how much memory is free, and use socket options that only some systems have.

Functions tell which system it is, because tests can replace a function, and because type checkers ignore the code for
other systems after a comparison with `sys.platform` itself.
"""

import contextlib
import socket
import sys
from pathlib import Path


def windows() -> bool:
    """True on Windows."""
    return sys.platform == "win32"


def linux() -> bool:
    """True on Linux."""
    return sys.platform.startswith("linux")


def similar_names_are_one() -> bool:
    """True if «A» and «a», or both forms of «أ» (U+0623; U+0627 U+0654), are usually one file name here."""
    return sys.platform in ("darwin", "win32")


_CGROUP, _GROUP_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return how many bytes this process can still allocate: free memory of the machine, or of a container if less."""
    import psutil  # imported only here, because it takes 30 ms and a search does not need it

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(
        OSError, ValueError, IndexError, KeyError
    ):  # no limit of a container is known: the system is not Linux, has no cgroups v2, or sets no limit
        group = _CGROUP / _GROUP_OF_PROCESS.read_text().split("::")[1].strip().lstrip("/")
        reclaimable = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        used = int((group / "memory.current").read_text()) - int(reclaimable)
        free = min(free, int((group / "memory.max").read_text()) - used)
    return max(free, 0)


def hands_over_files() -> bool:
    """True if a process can pass an open file to another process over a socket; False on Windows."""
    return not windows()


def notice_end(line: socket.socket, *, idle: int, between: int, times: int) -> None:
    """Let a socket notice that the other machine is gone (TCP keep-alive).

    After `idle` seconds of silence, probes are sent every `between` seconds; the connection is dropped after `times`
    probes without an answer. A system that lacks these settings uses its own, and often sends no probe for two hours.
    """
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", between), ("TCP_KEEPCNT", times)):
        if hasattr(socket, option):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def drop_unresponsive(line: socket.socket, seconds: float) -> None:
    """Drop a connection whose other end does not accept sent data for `seconds`; only Linux can do this."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
