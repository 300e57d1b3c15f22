"""Settings of sockets that only some systems have."""

import socket

from araclip.platforms import system


def hands_over_files() -> bool:
    """Whether a process can hand an open file to another one over a socket; Windows has no such sockets."""
    return not system.windows()


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
