"""Run a server: uvicorn with additional time limits and graceful shutdown."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from araclip.client import Client, Results
from araclip.core.libraries import use_one_malloc_arena
from araclip.core.processes import HANGUP
from araclip.core.system import drop_unresponsive
from araclip.errors import InputError, ServerError
from araclip.server.app import create_app
from araclip.server.http.errors import Problem, answer
from araclip.server.http.limits import CROWDED, MAX_HEADERS, RAW_HEADERS
from araclip.server.settings import Settings

# limits: after a request that is not HTTP was refused, input is still read for so many seconds, up to so many bytes
LINGER_SECONDS, LINGER_BYTES = 2, 1_000_000


class Serving(uvicorn.Server):
    """A uvicorn server that reports its address when it is ready. On shutdown, it first ends the streams of events."""

    def __init__(self, settings: Settings, *, ready: Callable[[str], None] = lambda address: None) -> None:
        self.app = create_app(settings)
        self._settings = settings
        self._ready = ready
        limits = {"header_seconds": settings.header_seconds, "send_seconds": settings.send_seconds}
        super().__init__(
            uvicorn.Config(
                self._call_app,
                interface="asgi3",
                host=settings.host,
                port=settings.port,
                http=type("Protocol", (_TimedProtocol,), limits),
                ws="none",
                access_log=False,  # no log of requests, which would contain users' queries
                log_config=None,
                server_header=False,
                proxy_headers=settings.behind_proxy,
                timeout_keep_alive=math.ceil(settings.idle_seconds),
                timeout_graceful_shutdown=int(settings.drain_seconds),
                h11_max_incomplete_event_size=MAX_HEADERS,
            )
        )

    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; mark the request if there are too many connections.

        The application refuses a marked request; uvicorn's own refusal would lack our headers.
        """
        if len(self.server_state.connections) > self._settings.max_connections:
            scope[CROWDED] = True
        await self.app(scope, receive, send)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, then report its address."""
        await super().startup(sockets=sockets)
        if self.started and sockets:
            host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
            self._ready(f"http://{host}:{sockets[0].getsockname()[1]}/")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGHUP, which a closed terminal sends, stop the server as SIGTERM does."""
        with super().capture_signals():
            if HANGUP is None or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.getsignal(HANGUP)
            if before != signal.SIG_IGN:
                signal.signal(HANGUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(HANGUP, before)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; event streams are ended first, since uvicorn would wait for them until its time limit."""
        self.app.state.service.drain()
        await super().shutdown(sockets=sockets)


class _TimedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with time limits for headers, and with our own answer to what is not HTTP.

    Headers must arrive within `header_seconds` of the connection's start or, on a connection that was already used, of
    their first byte. Between requests, a connection may be idle for uvicorn's `timeout_keep_alive`.
    """

    header_seconds: float
    send_seconds: float
    _timer: asyncio.TimerHandle | None = None
    _has_refused = False
    _dropped_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        line = transport.get_extra_info("socket")
        # asyncio sets TCP_NODELAY only on sockets that were created with an explicit protocol. Without it, the end of a
        # response waits 40 ms for the client's delayed acknowledgement.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # the operating system drops a client that stops reading, even while no task of the server waits for the client
        drop_unresponsive(line, self.send_seconds)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        if self._has_refused:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > LINGER_BYTES:
                self.transport.close()
            return
        if not self._is_answering and self._timer is None:
            self._expect_headers()
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins the answer to the client's next request, if it has already arrived
        if not self.transport.is_closing() and not self._is_answering and self.conn.trailing_data[0]:
            self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        if not self._is_answering:
            self._give_up()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP, with the status that the error of the parser h11 suggests.

        uvicorn calls this while it handles that error.
        """
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # no second response can follow one that has begun
            self.transport.close()
            return
        is_too_long = getattr(sys.exc_info()[1], "error_status_hint", 400) == 431
        problem = Problem("long-headers", limit=MAX_HEADERS) if is_too_long else Problem("bad-request", reason=msg)
        response = answer(problem, {"type": "http", "path": "", "headers": []})
        headers = [*response.raw_headers, *RAW_HEADERS, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=response.status_code, headers=headers),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        # Read on for a while: closing now, with unread bytes, would reset the connection before the answer arrives.
        self._has_refused = True
        self._stop_waiting()
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.header_seconds, self._give_up)

    def _give_up(self) -> None:
        if self.transport.get_write_buffer_size() == 0:
            self.transport.close()
        else:  # close() would wait for ever for a client that does not read: abort after a while
            self._stop_waiting()
            self._timer = self.loop.call_later(self.send_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve(settings: Settings, *, ready: Callable[[str], None] = lambda address: None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are completed.

    Args:
        ready: called with the address once requests are accepted.

    Raises:
        InputError: the server cannot listen on this host and port.
    """
    use_one_malloc_arena()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with contextlib.closing(_open_socket(settings)) as listening, contextlib.suppress(KeyboardInterrupt):
        Serving(settings, ready=ready).run(sockets=[listening])


def check(settings: Settings, query: str) -> Results:
    """Start a server, send it one query over HTTP, stop it; return the results.

    Raises:
        ServerError: the server refused the query, or stopped before it answered.
    """
    answers: list[Results | ServerError] = []

    def ask(address: str) -> None:
        try:
            with Client(address, token=next(iter(settings.tokens.values()), None)) as client:
                answers.append(client.search(query))
        except ServerError as error:
            answers.append(error)
        finally:
            server.should_exit = True

    with contextlib.closing(_open_socket(settings)) as listening:
        server = Serving(settings, ready=lambda address: threading.Thread(target=ask, args=(address,)).start())
        server.run(sockets=[listening])
    if not answers:
        raise ServerError("the server stopped before it responded. Its log says why.")
    if isinstance(answers[0], ServerError):
        raise answers[0]
    return answers[0]


def _open_socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise InputError(
            f"{settings.host}, port {settings.port}: cannot listen there ({error.strerror}). Choose another port with "
            "--port, or 0 for any free one."
        ) from None
