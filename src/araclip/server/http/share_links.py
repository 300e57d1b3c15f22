"""Links that show one search to whoever has them, without a token: signed, so that nobody can widen them.

The signature's key is made of the server's tokens: links survive a restart, and changing a token ends all of them.
Nothing is stored on the server.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from araclip.server.http.problem_details import Problem

MAX_LINK = 6_000  # characters; the head of a request may have 16,384
PURPOSE = b"araclip share link 1"


class ShareLinks:
    """Makes and reads links."""

    def __init__(self, tokens: Mapping[str, str], *, now: Callable[[], float] = time.time) -> None:
        self._on = bool(tokens)
        pairs = json.dumps(sorted(tokens.items()))  # as JSON, so that no two sets of tokens are the same text
        self._key = hmac.new(PURPOSE, pairs.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        self._now = now

    @property
    def on(self) -> bool:
        """Whether the server has tokens: without one there is nothing to sign with, and nothing to protect."""
        return self._on

    def make(self, search: Mapping[str, Any], seconds: int) -> tuple[str, int]:
        """A link's token, and when it expires (seconds since 1970).

        Raises:
            Problem: "no-tokens", or "too-large" for a search that is too long for an address.
        """
        if not self._on:
            raise Problem("no-tokens")
        expires = int(self._now()) + seconds
        body = json.dumps({"until": expires, "search": search}, ensure_ascii=False, separators=(",", ":"))
        text = _packed(body.encode())
        token = f"{text}.{_packed(self._signature(text))}"
        if len(token) > MAX_LINK:
            raise Problem("too-large", limit=MAX_LINK)
        return token, expires

    def read(self, token: str) -> tuple[dict[str, Any], int]:
        """The search of a link, and when it expires.

        Raises:
            Problem: "no-share": it was not signed with this server's tokens, or has expired.
        """
        text, _, signature = token.partition(".")
        if not self._on or len(token) > MAX_LINK or not token.isascii():
            raise Problem("no-share")
        if not hmac.compare_digest(
            _packed(self._signature(text)), signature
        ):  # of the texts: there is one form of each
            raise Problem("no-share")
        try:
            body = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError):
            raise Problem("no-share") from None
        if body["until"] <= self._now():
            raise Problem("no-share")
        search: dict[str, Any] = body["search"]
        return search, body["until"]

    def _signature(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
