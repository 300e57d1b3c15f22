"""Limits on requests by their number, their heads and host names, and the headers of responses, as ASGI middleware."""

import ipaddress
import logging
from collections.abc import AsyncIterator, Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from araclip.server.http.gates import Gate
from araclip.server.http.problem_details import Problem, answer

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
FOR_NO_DOCUMENTS = (b"x-content-type-options", b"cross-origin-resource-policy")  # the others bind pages: 0.6 kB a file
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_HEADERS = 16_384  # bytes of a request's first line and headers
CROWDED = "araclip.crowded"  # set in the scope of a request that comes when there are too many connections

log = logging.getLogger("araclip.server")


class GatedStream(StreamingResponse):
    """A streamed response that enters a gate before it starts, and leaves it however it ends."""

    def __init__(self, content: AsyncIterator[bytes], gate: Gate, client: str, **options: Any) -> None:
        super().__init__(content, **options)
        self._gate = gate
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            Problem: "busy", before anything is sent.
        """
        with self._gate.entered(self._client):
            await super().__call__(scope, receive, send)


class SafeHeaders:
    """Adds security headers to every response, unless they are set already; a fault of the server is one of them.

    Scripts and styles get those that are not for pages alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
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
    """Refuses requests by their heads: too long, for other host names, or changing requests from other sites.

    The second stops DNS rebinding, by which another site's page could read a server on this machine; the third stops
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
        if scope.get(CROWDED):
            return Problem("busy", headers={"Retry-After": "5", "Connection": "close"}, seconds=5)
        if _head_bytes(scope) > MAX_HEADERS:
            return Problem("long-headers", headers={"Connection": "close"}, limit=MAX_HEADERS)
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
