"""Choose the form of an answer: 304 for a known version (If-None-Match), gzip (Accept-Encoding), no body (HEAD)."""

import gzip
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WORTH_COMPRESSING = 1000  # bytes; a shorter JSON text fits into one packet anyway
LEVEL = 5  # gzip's level: compresses an answer of 200 hits to a seventh in 1 ms
HEAD_ONLY = "araclip.head"  # key that marks the scope of a HEAD request, answered as GET without the body
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def is_known(request: Request, etag: str) -> bool:
    """True if the client already has the representation with this entity tag (RFC 9110, 13.1.2).

    This is so if the header If-None-Match is `*` or lists the tag, which may be marked as weak there.
    """
    tags = ",".join(request.headers.getlist("if-none-match")).strip()
    return tags == "*" or etag.removeprefix("W/").strip('"') in _TAG.findall(tags)


def accepts_gzip(headers: Headers) -> bool:
    """True if a client takes gzip: it names gzip, or `*`, with a weight above 0 (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in ",".join(headers.getlist("accept-encoding")).lower().split(","):
        name, _, weight = part.partition(";")
        try:
            weights[name.strip()] = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            weights[name.strip()] = 0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0))) > 0


class Representations:
    """Answers HEAD on every path that has GET, and compresses JSON for clients that take it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head, original_scope = scope["method"] == "HEAD", scope
        if head:
            scope = {**scope, "method": "GET", HEAD_ONLY: True}
        compresses = accepts_gzip(Headers(scope=scope))
        waiting: Message = {}  # the message that starts a JSON response, kept until its body comes

        async def send_represented(message: Message) -> None:
            nonlocal waiting
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if headers.get("content-type", "").startswith(("application/json", "application/problem+json")):
                    headers.add_vary_header("Accept-Encoding")
                    waiting = message
                    return
            elif waiting:
                start, waiting = waiting, {}
                message = _compress_body(start, message) if compresses else message
                await send(start)
            if head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_represented)
        original_scope["route"] = scope.get("route")  # the metrics read the route from the original scope


def _compress_body(start: Message, message: Message) -> Message:
    """Return the message with its body compressed, and set the headers in `start`.

    A message with a streamed or short body is returned unchanged.
    """
    body = message.get("body", b"")
    if message.get("more_body", False) or len(body) < WORTH_COMPRESSING:
        return message
    body = gzip.compress(body, LEVEL, mtime=0)
    headers = MutableHeaders(raw=start["headers"])
    headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(body))
    return {**message, "body": body}
