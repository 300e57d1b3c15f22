"""Running a server: uvicorn with time limits of our own, an address, an orderly end."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from araclip.server.app import create_app
from araclip.server.settings import Settings

MAX_HEADERS = 16_384  # bytes; a request whose headers are longer is refused by h11


class Serving(uvicorn.Server):
    """A uvicorn server that says when it is ready, and lets endless answers end before it waits for the others."""

    def __init__(self, settings: Settings, *, ready: Callable[[str], None] = lambda address: None) -> None:
        self.app = create_app(settings)
        self._settings = settings
        self._ready = ready
        protocol = type("Protocol", (_Hasty,), {"header_seconds": settings.header_seconds})
        super().__init__(
            uvicorn.Config(
                self.app,
                host=settings.host,
                port=settings.port,
                http=protocol,
                ws="none",
                access_log=False,  # it would hold what people search for
                log_config=None,
                server_header=False,
                proxy_headers=settings.behind_proxy,
                limit_concurrency=settings.max_connections,
                timeout_keep_alive=int(settings.idle_seconds),
                timeout_graceful_shutdown=int(settings.drain_seconds),
                h11_max_incomplete_event_size=MAX_HEADERS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; then tell the address."""
        await super().startup(sockets=sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
            self._ready(f"http://{host}:{port}/")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the application first: an event stream would be waited for until the time is up."""
        self.app.state.service.drain()
        await super().shutdown(sockets=sockets)


class _Hasty(H11Protocol):
    """Closes a connection whose request headers do not arrive in time: uvicorn itself would wait for ever."""

    header_seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def serve(settings: Settings, *, ready: Callable[[str], None] = lambda address: None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are being answered are answered.

    Args:
        ready: called with the address once requests are taken.

    Raises:
        AraclipError: the gallery or the model cannot be used.
        OSError: the address is taken or not this machine's.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    Serving(settings, ready=ready).run()
