"""Limits on the bodies of requests: bytes and time, before and while they arrive, as ASGI middleware.

Starlette limits the parts of a form, not the whole body.
"""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from araclip.server.http.problem_details import Problem

BODIES_AT_ONCE = 8  # bodies of the largest size whose bytes may be held at a time
SMALL = 1 / 40  # of the largest size: such bodies are taken even then, or a few large ones would keep everybody out
DRAINED_BYTES = 200_000_000  # of a body that is not wanted, before the connection is closed
SILENCE_SECONDS = 5
_SCOPE_BODY = "araclip.body"


class Aborted(Exception):
    """A response that cannot be completed: its client does not read it, or its file has changed."""


class BeforeBody:
    """A dependency of a route that is checked before any byte of the body is read; see `routes.dependencies`."""

    def __call__(self, request: Request) -> None:
        """Check a request.

        Raises:
            Problem: it is refused.
        """
        raise NotImplementedError


class Bounded:
    """Limits size and time of request bodies, the bytes of all of them together, and the time of each response chunk.

    Nothing of a body is read, and its size not looked at, before the application asks for it: a token is checked first.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, body_seconds: float, send_seconds: float) -> None:
        self._app = app
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._send_seconds = send_seconds
        self._held = _Held(BODIES_AT_ONCE * max_body, int(SMALL * max_body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, self._max_body, self._body_seconds, self._held)
        scope[_SCOPE_BODY] = body

        async def timed_send(message: Message) -> None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise Aborted from None

        async def bounded_send(message: Message) -> None:
            if message["type"] == "http.response.start" and body.will_not_come:
                # Whether the client sends the body all the same is unknown, so the next request has no known beginning.
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            if message["type"] == "http.response.body" and not message.get("more_body", False) and body.is_coming:
                await timed_send({**message, "more_body": True})  # complete for the client, which knows its length
                await body.drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await timed_send(message)

        try:
            with contextlib.suppress(Aborted):  # the response stays incomplete, and uvicorn closes the connection
                await self._app(scope, body.receive, bounded_send)
        finally:
            self._held.count -= body.count


class _Held:
    """Bytes of all bodies that are being received or used."""

    def __init__(self, most: int, small: int) -> None:
        self.count = 0
        self.most = most
        self.small = small  # bytes of a body that are always taken


class _Body:
    """The body of one request, counted while it arrives."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float, held: _Held) -> None:
        headers = Headers(scope=scope)
        claimed = headers.get("content-length", "")
        self._claimed = int(claimed) if claimed.isascii() and claimed.isdecimal() else 0
        self._complete = not self._claimed and "transfer-encoding" not in headers
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._asked = False
        self._late = False
        self._receive = receive
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._held = held
        self.limit = limit
        self.count = 0

    @property
    def will_not_come(self) -> bool:
        """Whether the client waits for a permission to send it (Expect: 100-continue), and was given none."""
        return self._expects and not self._asked and not self._complete

    @property
    def is_coming(self) -> bool:
        """Whether a part of it is still to be received."""
        return not (self._complete or self._late or self.will_not_come)

    async def receive(self) -> Message:
        """The next message, as ASGI's `receive`.

        Raises:
            Problem: it is too large or too slow, or all bodies together are too large.
        """
        if self._complete:  # the next message is the disconnect, which has no deadline
            return await self._receive()
        if max(self._claimed, self.count) > self.limit:
            raise self._too_large()
        self._asked = True
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            raise Problem("slow", headers={"Connection": "close"}, seconds=self._seconds) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.count += size
            self._held.count += size
            self._complete = not message.get("more_body", False)
            if self.count > self.limit:
                raise self._too_large()
            if self._held.count > self._held.most and self.count > self._held.small:
                raise Problem("busy", headers={"Retry-After": "5", "Connection": "close"}, seconds=5)
        return message

    def _too_large(self) -> Problem:
        return Problem("too-large", headers={"Connection": "close"}, limit=self.limit)

    async def drain(self) -> None:
        """Receive and drop what is left, within limits.

        When a connection is closed with bytes unread, the client gets a reset in place of its response.
        """
        left = DRAINED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                while left > 0 and not self._complete:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._complete = message["type"] != "http.request" or not message.get("more_body", False)


def limit_body(request: Request, most: int) -> None:
    """Lower the most bytes of a request's body, before it is read."""
    body: _Body = request.scope[_SCOPE_BODY]
    body.limit = min(body.limit, most)
