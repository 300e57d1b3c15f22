"""Authorization: bearer tokens with scopes, and a short-lived cookie for what a browser fetches by itself.

Without tokens (possible on loopback only) every request may do everything that the server offers.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Literal

from starlette.requests import Request

from araclip.server.limits import SAFE_METHODS
from araclip.server.problem_details import Problem

Scope = Literal["read", "write"]
ALLOWS: dict[str, frozenset[str]] = {"read": frozenset({"read"}), "write": frozenset({"read", "write"})}
COOKIE = "araclip_session"


class Keys:
    """The tokens of a server, and the key that signs its cookies; a restart makes a new key and old cookies void."""

    def __init__(
        self, tokens: Mapping[str, str], *, session_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        self.session_seconds = session_seconds
        self._digests = {scope: hashlib.sha256(token.encode()).digest() for scope, token in tokens.items()}
        self._key = secrets.token_bytes(32)
        self._now = now

    @property
    def needed(self) -> bool:
        """Whether anybody must show a token."""
        return bool(self._digests)

    def scopes_of_token(self, token: str) -> frozenset[str]:
        """What the bearer of a token may do. The time this takes does not depend on how much of it is right."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found: frozenset[str] = frozenset()
        for scope, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found |= ALLOWS[scope]
        return found

    def cookie(self) -> str:
        """A cookie that lets its bearer read for `session_seconds`."""
        ends = str(int(self._now()) + self.session_seconds)
        return f"{ends}.{self._signature(ends)}"

    def scopes_of_cookie(self, cookie: str) -> frozenset[str]:
        """What the bearer of a cookie may do: read, or nothing."""
        ends, _, signature = cookie.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(ends).encode())
        if genuine and ends.isdigit() and int(ends) > self._now():
            return ALLOWS["read"]
        return frozenset()

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def scopes_of(self, request: Request) -> frozenset[str]:
        """What a request may do. A cookie, which a browser sends unasked, counts only where nothing is changed."""
        if not self.needed:
            return ALLOWS["write"]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.scopes_of_token(token.strip())
        if request.method in SAFE_METHODS:
            return self.scopes_of_cookie(request.cookies.get(COOKIE, ""))
        return frozenset()


def require(scope: Scope) -> Callable[[Request], None]:
    """What a route depends on so that only those with `scope` reach it."""

    def check(request: Request) -> None:
        keys: Keys = request.app.state.keys
        held = keys.scopes_of(request)
        if not held:
            raise Problem("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="araclip"'})
        if scope not in held:
            raise Problem(
                "forbidden",
                scope=scope,
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )

    return check
