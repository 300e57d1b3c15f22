"""Settings of sockets that only some systems have."""

import socket


def drop_silent(line: socket.socket, seconds: float) -> None:
    """Drop a connection that does not take what it is sent, where the system can do so by itself (Linux)."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
