"""Sending an original, whole or a range of it, piece by piece."""

import re

from fastapi import Request
from starlette.types import Receive, Scope, Send

from araclip.server.http.limits import GatedStream
from araclip.server.http.problem_details import Problem
from araclip.server.originals import Original
from araclip.server.service import Service

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class OriginalResponse(GatedStream):
    """An original, or a range of it, read from its file while it is sent; the file is closed however that ends."""

    def __init__(
        self,
        service: Service,
        client: str,
        original: Original,
        part: tuple[int, int] | None,
        headers: dict[str, str],
    ) -> None:
        start, stop = part or (0, original.size)
        headers |= {"Accept-Ranges": "bytes", "Content-Length": str(stop - start)}
        if part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{original.size}"
        self._original = original
        super().__init__(
            original.pieces(start, stop, service.in_thread), service.sending, client,
            status_code=206 if part else 200, headers=headers, media_type=original.media_type,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._original:
            await super().__call__(scope, receive, send)


def range_of(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The start and stop of a Range header with one range; None for the whole, as for headers of any other form.

    Raises:
        Problem: "range", the picture has no such bytes.
    """
    found = RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag) != etag or found[1] == found[2] == "":
        return None
    if found[1]:
        start, stop = int(found[1]), min(int(found[2] or size - 1) + 1, size)
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, stop = max(0, size - int(found[2])), size
    if start >= stop:
        raise Problem("range", size=size, headers={"Content-Range": f"bytes */{size}"})
    return start, stop
