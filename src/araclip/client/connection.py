"""Requests to one server over connections that stay open."""

import http.client
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from araclip import bounded_json
from araclip.client.answers import Answered, NotOurs
from araclip.errors import InputError, ServerError


class Connection:
    """Threads may share it. The arguments are those of `Client`."""

    def __init__(
        self, address: str = "http://127.0.0.1:8000", *, token: str | None = None, timeout: float = 30
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{address} is not the address of a server. Pass one such as http://127.0.0.1:8000.")
        self.address = address.rstrip("/")
        self._parts, self._timeout = parts, timeout
        token = token if token is not None else os.environ.get("ARACLIP_TOKEN")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:  # without the token, nor a password in the address
        port = f":{self._parts.port}" if self._parts.port else ""
        return f"{type(self).__name__}('{self._parts.scheme}://{self._parts.hostname}{port}')"

    @contextmanager
    def streamed(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """A response to GET that is read bit by bit, over a connection of its own."""
        connection = self._connect()
        try:
            connection.request("GET", self._parts.path.rstrip("/") + path, headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _error(response.status, response.read(), response.headers.get("Retry-After"))
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def json(self, method: str, path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object of a response to a request that has one, or nothing."""
        body = None if request is None else json.dumps(request).encode()
        return self.answer(self.request(method, path, body, {"Content-Type": "application/json"}))

    def answer(self, data: bytes) -> dict[str, Any]:
        """The JSON object in a response's body, which another program may have sent.

        Raises:
            ServerError: it is none, or nested without end; a field that is asked for and not there raises it too.
        """
        what = f"{self.address}: its answer"
        return Answered(
            bounded_json.parse(data, what, max_bytes=len(data), kind=dict, lone_surrogates=True, error=NotOurs)
        )

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a response.

        Raises:
            ServerError: the server refuses, or cannot be reached.
        """
        url = self._parts.path.rstrip("/") + path
        while True:
            with self._lock:
                reused = self._idle.pop() if self._idle else None
            connection = reused or self._connect()
            try:
                connection.request(method, url, body, {**self._headers, **(headers or {})})
                response = connection.getresponse()
                data: bytes = response.read()
            except BaseException as error:
                connection.close()
                if reused and isinstance(error, ConnectionError):  # the server closed it while it was idle
                    continue
                if isinstance(error, OSError | http.client.HTTPException):
                    raise self._unreachable(error) from error
                raise
            with self._lock:
                self._idle.append(connection)
            if response.status >= 400:
                raise _error(response.status, data, response.headers.get("Retry-After"))
            return data

    def _unreachable(self, error: Exception) -> ServerError:
        return ServerError(f"{self.address}: cannot be reached ({error}). Is `araclip serve` running?")

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        return kind(self._parts.hostname, self._parts.port, timeout=self._timeout)

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _error(status: int, body: bytes, retry_after: str | None) -> ServerError:
    try:
        problem = json.loads(body)
        error = problem.get("error")  # OpenAI's shape, below /v1/
        message = str(error["message"]) if error else f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # an error page of a proxy
        message = body[:200].decode("utf-8", "replace")
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ServerError(message, status=status, retry_after=seconds)
