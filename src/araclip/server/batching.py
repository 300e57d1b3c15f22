"""Micro-batching: items that arrive while the encoder is busy go through it together, next.

No item waits for a batch to fill: when the encoder is idle, an item is encoded at once, alone. Under load batches grow,
and with them the throughput.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Rows of `encode(items)`, computed in one thread for all callers of about the same time."""

    def __init__(self, encode: Callable[[Sequence[Item]], Vector], *, most: int, name: str) -> None:
        self.batches = 0
        self.items = 0
        self._encode = encode
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Vector]]] = []
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def row(self, item: Item) -> Vector:
        """The vector (D,) of one item."""
        future: asyncio.Future[Vector] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def rows(self, items: Sequence[Item]) -> list[Vector]:
        """The vectors of several items."""
        return list(await asyncio.gather(*(self.row(item) for item in items)))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                group = [(item, future) for item, future in group if not future.done()]  # whose client went away
                if not group:
                    continue
                self.batches += 1
                self.items += len(group)
                try:
                    vectors = await loop.run_in_executor(self._thread, self._encode, [item for item, _ in group])
                except Exception as error:  # whatever it is, every caller gets it
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for (_, future), vector in zip(group, vectors, strict=True):
                        if not future.done():
                            future.set_result(vector)
        finally:
            self._running = None

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class TextVectorCache:
    """The vectors of the texts that were asked for last: the second page of a search encodes nothing."""

    def __init__(self, batcher: Batcher[str], *, most: int = 2048) -> None:
        self.hits = 0
        self._batcher = batcher
        self._most = most
        self._known: OrderedDict[Hashable, Vector] = OrderedDict()

    async def rows(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of texts."""
        return list(await asyncio.gather(*(self._row(text) for text in texts)))

    async def _row(self, text: str) -> Vector:
        if (known := self._known.get(text)) is not None:
            self.hits += 1
            self._known.move_to_end(text)
            return known
        vector = await self._batcher.row(text)
        self._known[text] = vector
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return vector
