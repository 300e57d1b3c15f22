"""One writer at a time, on a server without locks: a lease in the state's point, renewed by its owner.

Qdrant applies writes to a point one after the other, and `set_payload` with a filter is an atomic compare-and-set. So a
lease is acquired by setting it where it has expired, and reading back its owner. An owner that could not renew it in
time stops by its own clock, before another process can take over; its unfinished commit is invisible and removed by
the next owner.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from qdrant_client import models

from araclip.errors import GalleryError, GalleryLocked
from araclip.gallery.qdrant.conditions import between, equals, state_where
from araclip.gallery.qdrant.connection import Connection
from araclip.gallery.qdrant.payloads import STATE

SECONDS = 60.0  # until a lease expires; a dead writer blocks others this long
RENEW = 15.0
ASK_AGAIN = 0.2
MARGIN = 10.0  # seconds before expiry at which the owner stops: the largest difference of two machines' clocks


class Lease:
    """A lease on a gallery. `token` identifies its owner."""

    def __init__(self, connection: Connection, seconds: float = SECONDS, patience: float = 0.0) -> None:
        self.token = secrets.token_hex(8)
        self._connection = connection
        self._seconds, self._patience = seconds, patience
        self._good_until = 0.0  # by this process's monotonic clock
        self._lost = False
        self._done = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator["Lease"]:
        """Acquire the lease, within `patience` seconds, renew it in the background, release it at the end.

        Raises:
            GalleryLocked: another process holds it; the message names the process and the time until expiry.
        """
        ends = time.monotonic() + self._patience
        while True:
            try:
                self._take()
                break
            except GalleryLocked:
                if time.monotonic() > ends:
                    raise
                time.sleep(ASK_AGAIN)
        renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        renewing.start()
        try:
            yield self
        finally:
            self._done.set()
            renewing.join()
            with contextlib.suppress(GalleryError):  # it expires by itself
                self._connection.set_payload({"writer": "", "expires": 0.0}, self._mine())

    def check(self) -> None:
        """Check that the lease still holds; called before each write.

        Raises:
            GalleryLocked: another process may have taken over.
        """
        if self._lost or time.monotonic() > self._good_until:
            raise GalleryLocked(
                f"{self._connection.name}: the lease was lost, since the server could not be reached for "
                f"{self._seconds - self._margin():.0f} seconds. Earlier commits are kept; run the command again."
            )

    def _take(self) -> None:
        now, mono = time.time(), time.monotonic()
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        claim = {"writer": self.token, "owner": owner, "expires": now + self._seconds}
        self._connection.set_payload(claim, state_where(between("expires", None, now)))
        if not self._is_mine():
            state = self._state()
            left = max(1.0, float(state["expires"]) - time.time())
            raise GalleryLocked(
                f"{self._connection.name} is being written by {state['owner']}. Wait for it to end, then try again; if "
                f"it died, within {left:.0f} seconds."
            )
        self._good_until = mono + self._seconds - self._margin()

    def _renew(self) -> None:
        while not self._done.wait(RENEW * self._seconds / SECONDS):
            mono = time.monotonic()
            with contextlib.suppress(GalleryError):  # retried next time; `check` knows when the last renewal expires
                self._connection.set_payload({"expires": time.time() + self._seconds}, self._mine())
                if not self._is_mine():
                    self._lost = True
                    return
                self._good_until = mono + self._seconds - self._margin()

    def _margin(self) -> float:
        return MARGIN * self._seconds / SECONDS

    def _mine(self) -> models.Filter:
        return state_where(equals("writer", self.token))

    def _is_mine(self) -> bool:
        return bool(self._state()["writer"] == self.token)

    def _state(self) -> dict[str, Any]:
        (point,) = self._connection.call("retrieve", ids=[STATE], with_payload=True)
        return dict(point.payload)
