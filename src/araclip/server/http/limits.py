"""Limits on requests by their heads, host names, bodies and time, and the headers of responses, as ASGI middleware."""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from araclip.core.messages import message
from araclip.server.http.errors import Problem, answer
from araclip.server.http.gates import Gate
from araclip.server.http.representations import HEAD_ONLY

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
        "connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), payment=()",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
NO_DOCUMENTS = (b"text/javascript", b"text/css")  # media types that a browser never opens as a page
# Such a file is sent with these headers alone: the others concern pages only, and would add 0.6 kB to each file.
FOR_NO_DOCUMENTS = (b"x-content-type-options", b"cross-origin-resource-policy")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_HEADERS = 16_384  # bytes of a request's first line and headers
CROWDED = "araclip.crowded"  # set in the scope of a request that comes when there are too many connections

log = logging.getLogger("araclip.server")
BODIES_AT_ONCE = 8  # bodies of the largest size whose bytes may be held at a time
SMALL = 1 / 40  # of the largest size: such bodies are taken even then, or a few large ones would keep everybody out
DRAINED_BYTES = 200_000_000  # of a body that is not wanted, before the connection is closed
SILENCE_SECONDS = 5
_SCOPE_BODY = "araclip.body"


class GatedStream(StreamingResponse):
    """A streamed response that enters a gate before it starts, and leaves it however it ends."""

    def __init__(self, content: AsyncIterator[bytes], gate: Gate, client: str, **options: Any) -> None:
        super().__init__(content, **options)
        self._gate = gate
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(HEAD_ONLY):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        with self._gate.entered(self._client):
            await super().__call__(scope, receive, send)


class SafeHeaders:
    """Adds security headers to every response, unless they are set already; a fault of the server is one of them.

    Scripts and styles get those that are not for pages alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def safe(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower(): value for name, value in message["headers"]}
                no_document = present.get(b"content-type", b"").startswith(NO_DOCUMENTS)
                missing = [
                    (name, value)
                    for name, value in RAW_HEADERS
                    if name not in present and (not no_document or name in FOR_NO_DOCUMENTS)
                ]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        try:
            await self._app(scope, receive, safe)
        except Exception:  # Starlette's own handler stands outside and would answer without these headers
            if started:
                raise
            log.exception("A request ended in an error of the server.")
            await answer(Problem("internal"), scope)(scope, receive, safe)


class CheckedHead:
    """Refuses requests by their heads: too long, with two lengths (RFC 9112, 6.1), for other host names, or changing
    requests from other sites.

    A host name stops DNS rebinding, by which another site's page could read a server on this machine; a site,
    cross-site request forgery.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], addresses: bool) -> None:
        """`addresses`: whether any IP address is accepted as host; DNS rebinding needs a name."""
        self._app = app
        self._hosts = hosts
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._fault(scope)):
            await answer(problem, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> Problem | None:
        if scope.get(CROWDED):
            return Problem("busy", headers={"Retry-After": "5", "Connection": "close"}, seconds=5)
        if _head_bytes(scope) > MAX_HEADERS:
            return Problem("long-headers", headers={"Connection": "close"}, limit=MAX_HEADERS)
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:  # where it ends depends on the reader
            return Problem("bad-request", headers={"Connection": "close"}, reason=message("two lengths"))
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_known(_without_port(hosts[0])):
            return Problem("wrong-host")
        if scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != hosts[0].lower():
                return Problem("foreign-origin")
            if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return Problem("foreign-origin")
        return None

    def _is_known(self, host: str) -> bool:
        return host in self._hosts or (self._addresses and _is_address(host))


def _head_bytes(scope: Scope) -> int:
    line = len(scope["method"]) + len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower().rstrip(".")


# ------------------------------------------------------------------ bodies


class Aborted(Exception):
    """A response cannot be completed: its client does not read it, or the file that is sent has changed."""


class BeforeBody:
    """A dependency of a route that is checked before any byte of the body is read; see `routes.dependencies`."""

    def __call__(self, request: Request) -> None:
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
    """Counts the bytes of all bodies that are being received or used."""

    def __init__(self, most: int, small: int) -> None:
        self.count = 0
        self.most = most
        self.small = small  # bytes of a body that are always taken


class _Body:
    """The body of one request; its bytes are counted while it arrives."""

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
        """True if the client waits for a permission to send the body (Expect: 100-continue) that it never got."""
        return self._expects and not self._asked and not self._complete

    @property
    def is_coming(self) -> bool:
        """True if a part of the body is still to be received."""
        return not (self._complete or self._late or self.will_not_come)

    async def receive(self) -> Message:
        """Return the next message, as `receive` of ASGI does."""
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
    """Refuse a request's body above `most` bytes, if its limit is not lower already. Call this before reading it."""
    body: _Body = request.scope[_SCOPE_BODY]
    body.limit = min(body.limit, most)
