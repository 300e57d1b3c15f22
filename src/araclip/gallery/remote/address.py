"""Where a remote gallery is: qdrant://host:6333/collection, or https://… when the way there is encrypted. Pure."""

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from araclip.errors import InputError

KEY = "ARACLIP_QDRANT_API_KEY"  # environment variable; never an argument, which other users of a machine can read
PORT = 6333
_SCHEMES = {"qdrant": "http", "http": "http", "https": "https"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Address:
    """A collection on a Qdrant server; `str` of it is what people typed, without secrets."""

    server: str  # http(s)://host:port/prefix
    collection: str
    text: str

    @classmethod
    def read(cls, text: str) -> "Address":
        """The address that `text` is.

        Raises:
            InputError: no host, no collection, or a password in it.
        """
        example = f"Write qdrant://HOST:{PORT}/COLLECTION, or https://HOST:{PORT}/COLLECTION."
        parts = urlsplit(text)
        if parts.username or parts.password or parts.query:
            raise InputError(f"an address of a gallery holds no password. Put the API key into ${KEY}. {example}")
        try:
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            raise InputError(f"'{text}' has a port that is none. {example}") from None
        *prefix, collection = parts.path.strip("/").split("/")
        if parts.scheme not in _SCHEMES or not host:
            raise InputError(f"'{text}' is no address of a gallery. {example}")
        if not _NAME.fullmatch(collection):
            raise InputError(
                f"'{text}' names no collection, or one with other signs than letters, digits, _, - and dots. {example}"
            )
        shown_host = f"[{host}]" if ":" in host else host
        return cls("/".join([f"{_SCHEMES[parts.scheme]}://{shown_host}:{port}", *prefix]), collection, text.rstrip("/"))

    def __str__(self) -> str:
        return self.text


def is_remote(place: object) -> bool:
    """Whether a place is an address, and no folder."""
    return isinstance(place, str) and re.match(r"[a-z]+://", place) is not None


def api_key() -> str | None:
    """The key from the environment."""
    return os.environ.get(KEY) or None
