"""Limits on requests: concurrency, size, time and host names, as ASGI middleware.

Starlette limits the parts of a form, not the whole body.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Collection, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from araclip.server.problem_details import Problem, answer

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), payment=()",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Gate:
    """Admits at most so many concurrent requests, those waiting for a thread or process included, and refuses others.

    Counting the waiting ones bounds memory and the longest wait.
    """

    def __init__(self, most: int, *, retry_after: int = 1) -> None:
        self.inside = 0
        self._most = most
        self._retry_after = retry_after

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Enter for the length of a `with` block.

        Raises:
            Problem: "busy", status 429 with Retry-After.
        """
        if self.inside >= self._most:
            raise Problem("busy", headers={"Retry-After": str(self._retry_after)}, seconds=self._retry_after)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


class SafeHeaders:
    """Adds security headers to every response, unless they are set already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present),
                ]
            await send(message)

        await self._app(scope, receive, safe if scope["type"] == "http" else send)


class KnownHost:
    """Refuses requests for other host names, and changing requests from other sites.

    The first stops DNS rebinding, by which another site's page could read a server on this machine; the second stops
    cross-site request forgery.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], addresses: bool) -> None:
        """`addresses`: whether any IP address is accepted as host; DNS rebinding needs a name."""
        self._app = app
        self._hosts = hosts
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and (problem := self._fault(scope)):
            await answer(problem, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower().rstrip(".")


class _Stuck(Exception):
    """A client does not read its response."""


class Bounded:
    """Limits size and time of the request body, and the time of each chunk of the response."""

    def __init__(self, app: ASGIApp, *, max_body: int, body_seconds: float, send_seconds: float) -> None:
        self._app = app
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        claimed = headers.get("content-length", "0")
        if claimed.isdigit() and int(claimed) > self._max_body:
            # The connection is closed, since the rest of the body will not be read.
            problem = Problem("too-large", headers={"Connection": "close"}, limit=self._max_body)
            await answer(problem, scope)(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        deadline, count, complete = loop.time() + self._body_seconds, 0, False

        async def bounded_receive() -> Message:
            nonlocal count, complete
            if complete:  # the next message is the disconnect, which has no deadline
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Problem("slow", headers={"Connection": "close"}, seconds=self._body_seconds) from None
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if count > self._max_body:
                    raise Problem("too-large", headers={"Connection": "close"}, limit=self._max_body)
            return message

        async def bounded_send(message: Message) -> None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise _Stuck from None

        with contextlib.suppress(_Stuck):  # the response stays incomplete, and uvicorn closes the connection
            await self._app(scope, bounded_receive, bounded_send)
