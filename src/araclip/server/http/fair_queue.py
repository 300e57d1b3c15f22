"""Fair turns between the clients of a server, and between the requests of a client, for work that queues up.

A client is an address; without further knowledge many requests from one address are one client. The next turn is that
of the client with the least work in progress, and among equals of the one that has waited longest since its last turn
(round robin). Of a client's requests the one with the fewest items left goes first, so that a request with one picture
does not wait for requests with many (shortest remaining work first). Who goes first is decided at each turn anew.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from araclip.server.http.problem_details import Problem

Item = TypeVar("Item")
CROWDED = 3 / 4  # share of a gate's places from which on it admits only clients that have few of them
FEW = 1 / 8  # share of the places


@dataclass(eq=False)
class Requester:
    """A request as the queues know it: its client's address, and how many items of it are not done."""

    client: str = ""
    remaining: int = 1


@dataclass(eq=False)
class _Waiting(Generic[Item]):
    item: Item
    requester: Requester
    number: int  # rises with each arrival


class FairQueue(Generic[Item]):
    """Items that wait, each of a requester, and the order of their turns."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting[Item]] = []
        self._idle: Counter[str] = Counter()  # items that wait, by client
        self._running: Counter[str] = Counter()
        self._last: dict[str, int] = {}  # a client's arrival or the end of its last turn
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item, requester: Requester) -> None:
        """Let an item wait."""
        self._waiting.append(_Waiting(item, requester, next(self._numbers)))
        self._idle[requester.client] += 1
        self._last.setdefault(requester.client, next(self._numbers))

    def remove(self, item: Item) -> None:
        """Take an item back, if it waits."""
        for entry in [entry for entry in self._waiting if entry.item is item]:
            self._waiting.remove(entry)
            self._idle[entry.requester.client] -= 1
            self._forget(entry.requester.client)

    def take(self, most: int) -> list[Item]:
        """The items whose turn it is, at most so many; `done` is called for each of them when its work has ended."""
        chosen = self._in_order()[:most]
        taken = {id(entry) for entry in chosen}
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        clients = [entry.requester.client for entry in chosen]
        self._idle.subtract(clients)
        self._running.update(clients)
        return [entry.item for entry in chosen]

    def done(self, requester: Requester) -> None:
        """The work on an item that was taken has ended."""
        self._running[requester.client] -= 1
        self._last[requester.client] = next(self._numbers)
        self._forget(requester.client)

    def least(self) -> Item:
        """The item to refuse when too many wait: of the client with the most, the largest request's latest."""
        most = max(self._idle.values())
        greedy = [entry for entry in self._waiting if self._idle[entry.requester.client] == most]
        return max(greedy, key=lambda entry: (entry.requester.remaining, entry.number)).item

    def _in_order(self) -> list[_Waiting[Item]]:
        turns = Counter(self._running)
        places: list[tuple[int, int, _Waiting[Item]]] = []
        for entry in sorted(self._waiting, key=lambda entry: (entry.requester.remaining, entry.number)):
            client = entry.requester.client
            places.append((turns[client], self._last[client], entry))
            turns[client] += 1
        return [entry for *_, entry in sorted(places, key=lambda place: place[:2])]

    def _forget(self, client: str) -> None:
        if not self._running[client] and not self._idle[client]:
            del self._running[client], self._idle[client], self._last[client]


class FairSlots:
    """So many jobs at a time; those that wait get a free slot in the order of a `FairQueue`.

    Args:
        slots: jobs at a time.
        most: jobs that run or wait.
        seconds: the longest wait.
    """

    def __init__(self, slots: int, *, most: int, seconds: float) -> None:
        self._free = slots
        self._most = most
        self._seconds = seconds
        self._taken = 0
        self._queue: FairQueue[_Turn] = FairQueue()

    @property
    def inside(self) -> int:
        """Jobs that run or wait."""
        return self._taken + len(self._queue)

    async def acquire(self, requester: Requester) -> None:
        """Wait for a slot, which must be released.

        Raises:
            Problem: "busy", since too many wait and others come first, or since it would take too long.
        """
        turn = _Turn(requester, asyncio.get_running_loop().create_future())
        self._queue.add(turn, requester)
        self._assign()
        if self.inside > self._most and len(self._queue):
            self._refuse(self._queue.least())
        try:
            async with asyncio.timeout(self._seconds):
                await turn.came
        except BaseException as error:
            self._queue.remove(turn)
            if turn.has_come:  # at the moment of the cancellation
                self.release(requester)
            if isinstance(error, TimeoutError):
                raise _busy() from None
            raise

    def release(self, requester: Requester) -> None:
        """Give a slot back, for the next one that waits."""
        self._free += 1
        self._taken -= 1
        self._queue.done(requester)
        self._assign()

    def _assign(self) -> None:
        while self._free and (turns := self._queue.take(1)):
            (turn,) = turns
            if turn.came.done():  # cancelled
                self._queue.done(turn.requester)
                continue
            self._free -= 1
            self._taken += 1
            turn.came.set_result(None)

    def _refuse(self, turn: "_Turn") -> None:
        self._queue.remove(turn)
        if not turn.came.done():
            turn.came.set_exception(_busy())


@dataclass(eq=False)
class _Turn:
    requester: Requester
    came: asyncio.Future[None]

    @property
    def has_come(self) -> bool:
        return self.came.done() and not self.came.cancelled() and self.came.exception() is None


class FairGate:
    """Admits at most so many requests at a time; when it is nearly full, only clients that have few inside."""

    def __init__(self, most: int) -> None:
        self.inside = 0
        self._most = most
        self._of: Counter[str] = Counter()

    @contextlib.contextmanager
    def entered(self, requester: Requester) -> Iterator[None]:
        """Enter for the length of a `with` block.

        Raises:
            Problem: "busy", status 429 with Retry-After.
        """
        client = requester.client
        crowded = self.inside >= self._most * CROWDED and self._of[client] >= self._most * FEW
        if self.inside >= self._most or crowded:
            raise _busy()
        self.inside += 1
        self._of[client] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]


def _busy() -> Problem:
    return Problem("busy", headers={"Retry-After": "1"}, seconds=1)
