"""Which system this is, the memory that is free, and what only some systems' sockets can do.

Functions, not constants, tell which system it is: tests replace them, and type checkers read `sys.platform` only.
"""

import contextlib
import socket
import sys
from pathlib import Path


def windows() -> bool:
    """Whether this is Windows."""
    return sys.platform == "win32"


def linux() -> bool:
    """Whether this is Linux."""
    return sys.platform.startswith("linux")


def folds_names() -> bool:
    """Whether «A» and «a», or both spellings of «أ» (U+0623; U+0627 U+0654), are usually one file name here."""
    return sys.platform in ("darwin", "win32")


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


def hands_over_files() -> bool:
    """Whether a process can hand an open file to another one over a socket; Windows has no such sockets."""
    return not windows()


def notice_end(line: socket.socket, *, idle: int, between: int, times: int) -> None:
    """Ask the other machine after `idle` seconds of silence, then every `between`, and give up after so many times.

    Where the system has no such settings, it asks in its own time, often after two hours.
    """
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", between), ("TCP_KEEPCNT", times)):
        if hasattr(socket, option):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def drop_silent(line: socket.socket, seconds: float) -> None:
    """Drop a connection that does not take what it is sent, where the system can do so by itself (Linux)."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
