"""Authorization: bearer tokens with scopes, and a session cookie for a browser's own requests (images, events).

Without tokens, which is allowed on loopback only, every request has all scopes.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Literal

from starlette.requests import Request

from araclip.server.http.errors import Problem
from araclip.server.http.limits import SAFE_METHODS, BeforeBody

Scope = Literal["read", "write"]
ALLOWS: dict[str, frozenset[str]] = {"read": frozenset({"read"}), "write": frozenset({"read", "write"})}


class Keys:
    """A server's tokens, and the key that signs its cookies; a restart creates a new key and voids old cookies."""

    def __init__(
        self, tokens: Mapping[str, str], *, session_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        self.session_seconds = session_seconds
        self._digests = {scope: hashlib.sha256(token.encode()).digest() for scope, token in tokens.items()}
        self._key = secrets.token_bytes(32)
        # Each server has a cookie name of its own, because servers on other ports of this host share its cookies.
        self.cookie_name = f"araclip_session_{secrets.token_hex(4)}"
        self._now = now

    @property
    def needed(self) -> bool:
        """True if requests need a token."""
        return bool(self._digests)

    def scopes_of_token(self, token: str) -> frozenset[str]:
        """Return the scopes of a token, none for an unknown token. Tokens are compared in constant time."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        scopes: frozenset[str] = frozenset()
        for scope, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                scopes |= ALLOWS[scope]
        return scopes

    def cookie(self) -> str:
        """Make a signed cookie with the scope "read", valid for `session_seconds`."""
        expires = str(int(self._now()) + self.session_seconds)
        return f"{expires}.{self._signature(expires)}"

    def scopes_of_cookie(self, cookie: str) -> frozenset[str]:
        """Return the scopes of a cookie: "read", or none if the cookie is not valid."""
        expires, _, signature = cookie.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(expires).encode())
        if genuine and expires.isdigit() and int(expires) > self._now():
            return ALLOWS["read"]
        return frozenset()

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def scopes_of(self, request: Request) -> frozenset[str]:
        """Return the scopes of a request, by its token or else by its cookie.

        Cookies count for safe methods only, because browsers also send them with other sites' requests (CSRF).
        """
        if not self.needed:
            return ALLOWS["write"]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.scopes_of_token(token.strip())
        if request.method in SAFE_METHODS:
            return self.scopes_of_cookie(request.cookies.get(self.cookie_name, ""))
        return frozenset()


def unauthorized() -> Problem:
    """Return the problem of a request without a valid token."""
    return Problem("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="araclip"'})


class RequiresScope(BeforeBody):
    """A dependency of routes: refuses requests that do not have the scope, with a Problem."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __call__(self, request: Request) -> None:
        keys: Keys = request.app.state.keys
        held = keys.scopes_of(request)
        if not held:
            raise unauthorized()
        if self._scope not in held:
            raise Problem(
                "forbidden",
                scope=self._scope,
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self._scope}"'},
            )
