"""One writer at a time, on a server that has no locks: a lease in the state's point, renewed while its owner works.

Qdrant applies writes to a point one after the other, and `set_payload` with a filter looks and sets in one step. So a
lease is taken by setting it where it has run out, and reading back its owner. An owner who could not renew it in time
stops writing by its own clock, before anybody else can take over; what it had begun is not visible, and the next owner
clears it away.
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
from araclip.gallery.remote.conditions import between, equals, state_where
from araclip.gallery.remote.connection import Connection
from araclip.gallery.remote.rows import STATE

SECONDS = 60.0  # until a lease runs out without renewal; so long a writer that died blocks others
RENEW = 15.0
MARGIN = 10.0  # seconds before its end at which the owner stops: clocks of two machines may differ by that much


class Lease:
    """The right to write, held. `token` is this owner's alone."""

    def __init__(self, connection: Connection, seconds: float = SECONDS) -> None:
        self.token = secrets.token_hex(8)
        self._connection = connection
        self._seconds = seconds
        self._good_until = 0.0  # by this process's own clock
        self._lost = False
        self._done = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator["Lease"]:
        """Take the lease, renew it in the background, give it back at the end.

        Raises:
            GalleryLocked: another process has it; the message names it and says how long at most.
        """
        self._take()
        renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        renewing.start()
        try:
            yield self
        finally:
            self._done.set()
            renewing.join()
            with contextlib.suppress(GalleryError):  # it runs out by itself
                self._connection.set_payload({"writer": "", "expires": 0.0}, self._mine())

    def check(self) -> None:
        """Called before each write.

        Raises:
            GalleryLocked: another process may be writing by now.
        """
        if self._lost or time.monotonic() > self._good_until:
            raise GalleryLocked(
                f"{self._connection.name}: the right to write was lost, since the server could not be reached for "
                f"{self._seconds - self._margin():.0f} seconds. What was committed is kept; run the command again."
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
                f"it died, {left:.0f} seconds are enough."
            )
        self._good_until = mono + self._seconds - self._margin()

    def _renew(self) -> None:
        while not self._done.wait(RENEW * self._seconds / SECONDS):
            mono = time.monotonic()
            with contextlib.suppress(GalleryError):  # the next try may do; `check` knows how long the last one holds
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
