"""Limit how much is processed at a time, in all and for each client, so that no client can starve the others.

A client is identified by its address: all requests from one address count as one client.
"""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Iterator

from araclip.server.http.errors import Problem

CLIENTS_SHARE = 3 / 4  # of all jobs that may run, one client may have this share; the rest is for others


class Gate:
    """Admits a limited number of jobs at a time. One client may take at most CLIENTS_SHARE of the places."""

    def __init__(self, most: int) -> None:
        self.inside = 0
        self._most = most
        self._most_of_client = math.ceil(most * CLIENTS_SHARE)
        self._places_by_client: Counter[str] = Counter()

    def enter(self, client: str) -> None:
        """Let a job of a client in, until `leave` is called; raise a Problem ("busy") if no place is free for it."""
        if self.inside >= self._most or self._places_by_client[client] >= self._most_of_client:
            raise _busy_problem()
        self.inside += 1
        self._places_by_client[client] += 1

    def leave(self, client: str) -> int:
        """Say that a job of a client has ended; return how many jobs of the client are still inside."""
        self.inside -= 1
        self._places_by_client[client] -= 1
        return self._places_by_client[client] or self._places_by_client.pop(client)

    @contextlib.contextmanager
    def entered(self, client: str) -> Iterator[None]:
        """Let a job of a client in for the length of a `with` block; errors as for `enter`."""
        self.enter(client)
        try:
            yield
        finally:
            self.leave(client)


class Slots:
    """Lets a limited number of jobs run at a time; other jobs wait, first come, first served.

    At most `slots` jobs of a client stand in the queue or run at a time; the client's further jobs wait until one of
    these has ended. So a new client waits for only a few jobs of each other client, however many jobs they have.

    Args:
        slots: jobs that may run at a time.
        most: jobs that may run or wait.
        seconds: the longest wait.
    """

    def __init__(self, slots: int, *, most: int, seconds: float) -> None:
        self._gate = Gate(most)
        self._slots = slots
        self._seconds = seconds
        self._free = asyncio.Semaphore(slots)
        self._client_slots: dict[str, asyncio.Semaphore] = {}

    @property
    def inside(self) -> int:
        """Return how many jobs run or wait."""
        return self._gate.inside

    async def acquire(self, client: str) -> None:
        """Wait for a slot, to `release` later; raise a Problem ("busy") if too many jobs wait, or after `seconds`."""
        self._gate.enter(client)
        client_slots = self._client_slots.setdefault(client, asyncio.Semaphore(self._slots))
        try:
            async with asyncio.timeout(self._seconds):
                await client_slots.acquire()
                try:
                    await self._free.acquire()
                except BaseException:
                    client_slots.release()
                    raise
        except BaseException as error:
            self._leave(client)
            if isinstance(error, TimeoutError):
                raise _busy_problem() from None
            raise

    def release(self, client: str) -> None:
        """Give a slot back to the next job that waits."""
        self._free.release()
        self._client_slots[client].release()
        self._leave(client)

    def _leave(self, client: str) -> None:
        if not self._gate.leave(client):
            del self._client_slots[client]


def _busy_problem() -> Problem:
    return Problem("busy", headers={"Retry-After": "1"}, seconds=1)
