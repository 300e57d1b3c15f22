"""ASGI middleware that limits requests (headers, host names, bodies, time) and adds security headers to responses."""

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
    "x-frame-options": "DENY",  # forbids framing in old browsers, which do not know frame-ancestors (above)
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), payment=()",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
SCRIPTS_AND_STYLES = (b"text/javascript", b"text/css")  # media types that a browser never opens as a page
# The security headers of files with these media types. All other security headers concern pages only, and would add
# 0.6 kB to each file.
HEADERS_OF_SCRIPTS = (b"x-content-type-options", b"cross-origin-resource-policy")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_HEADERS = 16_384  # limit: bytes of a request's first line and headers together
CROWDED = "araclip.crowded"  # key in the ASGI scope of a request that is refused because there are too many connections

log = logging.getLogger("araclip.server")
BODIES_AT_ONCE = 8  # All bodies together may hold the bytes of this many bodies of the largest size.
# Bodies of up to this share of the largest size are always accepted, so that large ones cannot keep out all others.
SMALL_SHARE = 1 / 40
DRAINED_BYTES = 200_000_000  # limit: bytes of a refused body that are read and dropped before the connection is closed
SILENCE_SECONDS = 5
_SCOPE_BODY = "araclip.body"


class GatedStream(StreamingResponse):
    """A streamed response. While it is sent, it counts as one of the limited number of jobs that a `Gate` admits."""

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


class SecurityHeaders:
    """Adds security headers to every response, also to an internal error's, unless the response has set them.

    Scripts and styles get only HEADERS_OF_SCRIPTS.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower(): value for name, value in message["headers"]}
                no_document = present.get(b"content-type", b"").startswith(SCRIPTS_AND_STYLES)
                missing = [
                    (name, value)
                    for name, value in RAW_HEADERS
                    if name not in present and (not no_document or name in HEADERS_OF_SCRIPTS)
                ]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        # unexpected errors are answered here, because the answer of Starlette's own handler would lack the headers
        except Exception:
            if started:
                raise
            log.exception("A request ended in an error of the server.")
            await answer(Problem("internal"), scope)(scope, receive, send_with_headers)


class HeaderChecks:
    """Refuses requests by their headers.

    Refused are headers that are too long, two lengths of the body (RFC 9112, 6.1), unknown host names, and requests
    from other sites that would change something. Checking host names prevents DNS rebinding, by which another site's
    page could read a server on this machine; checking the site prevents cross-site request forgery.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], addresses: bool) -> None:
        """Wrap `app`. With `addresses`, any IP address is accepted as host, because DNS rebinding needs a name."""
        self._app = app
        self._hosts = hosts
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._find_problem(scope)):
            await answer(problem, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _find_problem(self, scope: Scope) -> Problem | None:
        if scope.get(CROWDED):
            return Problem("busy", headers={"Retry-After": "5", "Connection": "close"}, seconds=5)
        line = len(scope["method"]) + len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
        if line + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADERS:
            return Problem("long-headers", headers={"Connection": "close"}, limit=MAX_HEADERS)
        headers = Headers(scope=scope)
        # refuse a request with two lengths, because it would be ambiguous where its body ends
        if "transfer-encoding" in headers and "content-length" in headers:
            return Problem("bad-request", headers={"Connection": "close"}, reason=message("two lengths"))
        hosts = headers.getlist("host")
        known = len(hosts) == 1 and (
            (host := _without_port(hosts[0])) in self._hosts or (self._addresses and _is_address(host))
        )
        if not known:
            return Problem("wrong-host")
        # another app shares a picture with the page by POST /share, which changes nothing and whose origin is "null"
        if scope["method"] not in SAFE_METHODS and not scope["path"].endswith("/share"):
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != hosts[0].lower():
                return Problem("foreign-origin")
            if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return Problem("foreign-origin")
        return None


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
    """A response cannot be completed: the client does not read it, or the file that is sent has changed."""


class BeforeBody:
    """Base class of route dependencies that are called before the body is read; see `routes.dependencies`."""

    def __call__(self, request: Request) -> None:
        raise NotImplementedError


class BodyLimits:
    """Limits size and time of each request body, the bytes of all bodies together, and the time to send each chunk.

    Before the application asks for a body, none of it is read and its size is not checked: a token is checked first.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, body_seconds: float, send_seconds: float) -> None:
        self._app = app
        self.max_body = max_body
        self.body_seconds = body_seconds
        self._send_seconds = send_seconds
        self.held = 0  # the bytes of all request bodies that are being received or used

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, self)
        scope[_SCOPE_BODY] = body

        async def timed_send(message: Message) -> None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise Aborted from None

        async def bounded_send(message: Message) -> None:
            if message["type"] == "http.response.start" and body.will_not_come:
                # The client may still send the body, so nobody knows where the next request would begin: close the
                # connection.
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            if message["type"] == "http.response.body" and not message.get("more_body", False) and body.is_coming:
                # The client gets the whole answer now, but the answer ends only after the request's body is drained.
                await timed_send({**message, "more_body": True})
                await body.drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await timed_send(message)

        try:
            with contextlib.suppress(Aborted):  # uvicorn closes the connection, because the response is incomplete
                await self._app(scope, body.receive, bounded_send)
        finally:
            self.held -= body.count


class _Body:
    """The body of one request; its bytes are counted while it arrives."""

    def __init__(self, scope: Scope, receive: Receive, bounded: BodyLimits) -> None:
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        self._announced_size = int(announced) if announced.isascii() and announced.isdecimal() else 0
        self._complete = not self._announced_size and "transfer-encoding" not in headers
        self._expects_continue = headers.get("expect", "").lower() == "100-continue"
        self._was_asked_for = False
        self._is_late = False
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + bounded.body_seconds
        self._bounded = bounded
        self.limit = bounded.max_body
        self.count = 0

    @property
    def will_not_come(self) -> bool:
        """True if the client waits for "100 Continue" before it sends the body, and "100 Continue" was not sent."""
        return self._expects_continue and not self._was_asked_for and not self._complete

    @property
    def is_coming(self) -> bool:
        """True if a part of the body is still to be received."""
        return not (self._complete or self._is_late or self.will_not_come)

    async def receive(self) -> Message:
        """Return the next message, as `receive` of ASGI does; raise a Problem if the body is too large or too slow."""
        if self._complete:  # the next message says that the client has left, for which there is no deadline
            return await self._receive()
        if max(self._announced_size, self.count) > self.limit:
            raise self._too_large()
        self._was_asked_for = True
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._is_late = True
            raise Problem("slow", headers={"Connection": "close"}, seconds=self._bounded.body_seconds) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.count += size
            self._bounded.held += size
            self._complete = not message.get("more_body", False)
            if self.count > self.limit:
                raise self._too_large()
            most = self._bounded.max_body
            if self._bounded.held > BODIES_AT_ONCE * most and self.count > int(SMALL_SHARE * most):
                raise Problem("busy", headers={"Retry-After": "5", "Connection": "close"}, seconds=5)
        return message

    def _too_large(self) -> Problem:
        return Problem("too-large", headers={"Connection": "close"}, limit=self.limit)

    async def drain(self) -> None:
        """Receive and drop the rest of the body, within limits of bytes and time.

        If the connection were closed with unread bytes, the client would get a reset instead of its response.
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
    """Lower the limit of a request's body to `most` bytes; a lower limit stays. Call this before the body is read."""
    body: _Body = request.scope[_SCOPE_BODY]
    body.limit = min(body.limit, most)
