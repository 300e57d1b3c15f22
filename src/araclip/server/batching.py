"""Micro-batching: items that arrive while the encoder is busy form the next batch.

No item waits for a batch to fill: an idle encoder encodes an item at once. Under load, batches grow, and with them the
throughput. A batch takes items from all clients in turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Item = TypeVar("Item")


@dataclass(eq=False)
class _Request(Generic[Item]):
    item: Item
    vector: "asyncio.Future[Vector]"


class Batcher(Generic[Item]):
    """Encodes the single items of concurrent callers in batches of at most `most` items.

    For each batch, `encode(items)` is called, always in the same thread.
    """

    def __init__(self, encode: Callable[[Sequence[Item]], Vector], *, most: int, name: str) -> None:
        self.batches = 0
        self.items = 0
        self._encode = encode
        self._most = most
        self._waiting: dict[str, deque[_Request[Item]]] = {}  # client → its waiting items; the first client is next
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def row(self, item: Item, client: str = "") -> Vector:
        """Encode one item, in a batch with the items of other callers; return the vector (D,)."""
        request = _Request(item, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(client, deque()).append(request)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await request.vector

    async def _run(self) -> None:
        try:
            while taken := self._next_batch():
                # leave out the items of clients that have left
                if batch := [request for request in taken if not request.vector.done()]:
                    await self._encode_batch(batch)
        finally:
            self._running = None

    def _next_batch(self) -> list[_Request[Item]]:
        """Return the next batch: an item of each client, then a second item of each, until the batch is full."""
        batch: list[_Request[Item]] = []
        while self._waiting and len(batch) < self._most:
            client = next(iter(self._waiting))
            waiting = self._waiting.pop(client)
            batch.append(waiting.popleft())
            if waiting:
                self._waiting[client] = waiting  # puts the client behind all others
        return batch

    async def _encode_batch(self, batch: Sequence[_Request[Item]]) -> None:
        self.batches += 1
        self.items += len(batch)
        loop = asyncio.get_running_loop()
        try:
            vectors = await loop.run_in_executor(self._thread, self._encode, [request.item for request in batch])
        except Exception as error:  # every caller of the batch gets this error
            for request in batch:
                if not request.vector.done():
                    request.vector.set_exception(error)
        else:
            for request, vector in zip(batch, vectors, strict=True):
                if not request.vector.done():
                    request.vector.set_result(vector)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class TextVectorCache:
    """An LRU cache of text vectors, so that the next page of a search encodes nothing."""

    def __init__(self, batcher: Batcher[str], *, most: int = 2048) -> None:
        self.hits = 0
        self._batcher = batcher
        self._most = most
        self._cache: OrderedDict[Hashable, Vector] = OrderedDict()

    async def rows(self, texts: Sequence[str], client: str = "") -> list[Vector]:
        """Return the vectors of texts; texts that are not in the cache are encoded."""
        return list(await asyncio.gather(*(self._look_up_or_encode(text, client) for text in texts)))

    async def _look_up_or_encode(self, text: str, client: str) -> Vector:
        cache = self._cache
        if (cached := cache.get(text)) is not None:
            self.hits += 1
            cache.move_to_end(text)
            return cached
        vector = await self._batcher.row(text, client)
        cache[text] = vector
        if len(cache) > self._most:
            cache.popitem(last=False)
        return vector

    def forget(self) -> None:
        """Empty the cache, because the model has changed. Vectors still being computed are not stored."""
        self._cache = OrderedDict()
