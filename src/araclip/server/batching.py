"""Micro-batching: items that arrive while the encoder is busy form the next batch.

No item waits for a batch to fill: an idle encoder encodes an item at once. Under load batches grow, and with them the
throughput.
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
    """Computes rows of `encode(items)` in one thread, in batches across concurrent callers."""

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

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                batch = [(item, future) for item, future in batch if not future.done()]  # a client may have left
                if not batch:
                    continue
                self.batches += 1
                self.items += len(batch)
                try:
                    vectors = await loop.run_in_executor(self._thread, self._encode, [item for item, _ in batch])
                except Exception as error:  # passed on to every caller
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for (_, future), vector in zip(batch, vectors, strict=True):
                        if not future.done():
                            future.set_result(vector)
        finally:
            self._running = None

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class TextVectorCache:
    """An LRU cache of text vectors, so that the next page of a search encodes nothing."""

    def __init__(self, batcher: Batcher[str], *, most: int = 2048) -> None:
        self.hits = 0
        self._batcher = batcher
        self._most = most
        self._cache: OrderedDict[Hashable, Vector] = OrderedDict()

    async def rows(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of texts."""
        return list(await asyncio.gather(*(self._row(text) for text in texts)))

    async def _row(self, text: str) -> Vector:
        if (cached := self._cache.get(text)) is not None:
            self.hits += 1
            self._cache.move_to_end(text)
            return cached
        vector = await self._batcher.row(text)
        self._cache[text] = vector
        if len(self._cache) > self._most:
            self._cache.popitem(last=False)
        return vector
