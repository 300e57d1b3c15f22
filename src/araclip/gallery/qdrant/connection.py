"""Requests to a Qdrant server, with retries after transient failures and errors of ours."""

import os
import random
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import httpx
import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from araclip.errors import GalleryError, GalleryNotFound, GalleryUnreachable
from araclip.gallery.addresses import KEY, Address, QdrantAddress

TIMEOUT = 60  # seconds for a request; an exact search over millions takes several
TRIES = 5  # with pauses of about 0.2, 0.4, 0.8 and 1.6 seconds: enough for a restart of the server
PAUSE = 0.2
PAGE = 1000  # points a scroll
CHUNK = 256  # points a write: about 2 MB of JSON at 384 numbers each; Qdrant takes 32 MB
PIXELS = 16  # the same for stored pixels, a quarter of a megabyte each
IDS = 1000  # points named in one request
Id = int | str | UUID  # qdrant-client's ids of points; ours are texts
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_UNAUTHORIZED = {401, 403}
_jitter = random.Random()  # separate: callers may have seeded the module's generator


def connect(address: QdrantAddress, timeout: int = TIMEOUT) -> QdrantClient:
    """A client of the server; sends nothing yet."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Api key is used with an insecure connection"
        )  # docs/remote.md says so
        return QdrantClient(
            url=address.server, api_key=os.environ.get(KEY) or None, timeout=timeout, check_compatibility=False
        )


def point_of(id_: str, vector: NDArray[np.float32], payload: dict[str, Any]) -> models.PointStruct:
    """A point for `upsert`."""
    return models.PointStruct(id=id_, vector=vector.tolist(), payload=payload)


def id_batches(ids: Iterable[str]) -> Iterator[list[Id]]:
    """Ids in groups of at most IDS."""
    waiting = iter(ids)
    while group := list(islice(waiting, IDS)):
        yield [*group]


def connection_to(address: str | QdrantAddress, client: QdrantClient | None = None) -> "Connection":
    """A connection to the collection at an address, through `client` or a new one; sends nothing yet.

    Raises:
        InputError: an invalid address.
    """
    target = Address.read(address) if isinstance(address, str) else address
    assert isinstance(target, QdrantAddress)
    return Connection(client or connect(target), target.collection, str(target))


class Connection:
    """One collection of a server. All our requests are idempotent, so they can be retried."""

    def __init__(self, client: QdrantClient, collection: str, name: str) -> None:
        self.collection = collection
        self.name = name
        self._client = client

    def of(self, collection: str) -> "Connection":
        """A connection to another collection of the same server."""
        return Connection(self._client, collection, self.name)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of `QdrantClient` for this collection.

        Raises:
            GalleryUnreachable: no answer after several tries.
            GalleryNotFound: there is no such collection.
            GalleryError: the server refuses the request; the message quotes it.
        """
        return self.call_server(method, collection_name=self.collection, **arguments)

    def call_server(self, method: str, **arguments: Any) -> Any:
        """As `call`, for methods without a collection."""
        for attempt in range(TRIES):
            wait = PAUSE * 2**attempt * _jitter.uniform(0.75, 1.25)
            try:
                return getattr(self._client, method)(**arguments)
            except ResourceExhaustedResponse as error:
                reason, wait = "429 Too Many Requests", max(wait, min(error.retry_after_s, 10))
            except UnexpectedResponse as error:
                reason = f"{error.status_code} {error.reason_phrase}"
                if error.status_code not in _TRANSIENT:
                    raise self._refusal(error) from None
            except ResponseHandlingException as error:
                reason = " ".join(str(error.source).split()) or type(error.source).__name__
                if not isinstance(error.source, httpx.TransportError):
                    raise GalleryError(
                        f"{self.name}: qdrant-client cannot read the server's answer ({reason[:200]}). Use matching "
                        "releases of both, and check that the address is a Qdrant server's."
                    ) from None
            except ValueError as error:  # the local mode of qdrant-client, which tests use
                if "not found" in str(error):
                    raise self.not_found() from None
                raise
            if attempt + 1 < TRIES:
                time.sleep(wait)
        raise GalleryUnreachable(
            f"{self.name}: the Qdrant server does not answer ({reason}) after {TRIES} tries. Check that it runs, the "
            "address and the network, then run the command again: it resumes where it stopped."
        )

    def not_found(self) -> GalleryNotFound:
        """The error for a collection that is not there."""
        return GalleryNotFound(
            f"no gallery at {self.name}. Make one with `araclip index FOLDER --gallery {self.name}`."
        )

    def _refusal(self, error: UnexpectedResponse) -> GalleryError:
        if error.status_code in _UNAUTHORIZED:
            return GalleryError(
                f"{self.name}: the server refuses the API key ({error.status_code}). Put one with the needed "
                f"rights into ${KEY}."
            )
        if error.status_code == 404:
            return self.not_found()
        words = error.content.decode("utf-8", "replace")[:300]
        return GalleryError(f"{self.name}: the server refuses the request ({error.status_code}): {words}")

    # ------------------------------------------------------------------ common requests

    def exists(self) -> bool:
        """Whether there is a collection or alias of this name."""
        return bool(self.call("collection_exists"))

    def scroll(
        self, condition: models.Filter, *, payload: Any = True, vectors: bool = False, page: int = PAGE
    ) -> Iterator[models.Record]:
        """All points that pass, in order of their ids."""
        offset = None
        while True:
            points, offset = self.call(
                "scroll", scroll_filter=condition, limit=page, offset=offset, with_payload=payload, with_vectors=vectors
            )
            yield from points
            if offset is None:
                return

    def upsert(self, points: list[models.PointStruct], at_once: int = CHUNK) -> None:
        """Write points, and wait until they are stored."""
        for start in range(0, len(points), at_once):
            self.call("upsert", points=points[start : start + at_once], wait=True)

    def set_payload(self, payload: dict[str, Any], condition: models.Filter) -> None:
        """Set payload keys of all points that pass; filter and write are one atomic step on the server."""
        self.call("set_payload", payload=payload, points=models.FilterSelector(filter=condition), wait=True)

    def delete(self, condition: models.Filter) -> None:
        """Delete all points that pass."""
        self.call("delete", points_selector=models.FilterSelector(filter=condition), wait=True)

    def count(self, condition: models.Filter) -> int:
        """The number of points that pass."""
        return int(self.call("count", count_filter=condition, exact=True).count)

    def close(self) -> None:
        """Close the client, also one that was passed in."""
        self._client.close()
