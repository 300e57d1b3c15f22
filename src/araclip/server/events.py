"""Server-sent events: the progress of indexing, and each change of the gallery (event "generation")."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from araclip.server.http.gates import Gate

HEARTBEAT_SECONDS = 15  # pause between heartbeats; without them, proxies close a connection that is idle for a minute
MAX_QUEUED = 32  # events queued for a slow client; the oldest are dropped, because only the latest state matters


class Events:
    """Sends each event to all listeners; a new listener gets the latest event of each kind first.

    A listener that reads slowly loses the oldest of its events.
    """

    def __init__(self, *, most_listeners: int = 128) -> None:
        self.gate = Gate(most_listeners)
        self._latest: dict[str, bytes] = {}
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Remember the running event loop, to which `publish` hands events from any thread."""
        self._loop = asyncio.get_running_loop()

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event; callable from any thread."""
        message = f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, kind, message)

    def _send(self, kind: str, message: bytes) -> None:
        self._latest[kind] = message
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    def close(self) -> None:
        """End all streams, so that the server can shut down."""
        self._closed = True
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(self, seconds: float) -> AsyncIterator[bytes]:
        """Yield the bytes of one client's event stream for at most `seconds`; browsers reconnect by themselves."""
        if self._closed:
            return
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED)
        self._queues.add(queue)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            yield b"retry: 2000\n\n" + b"".join(self._latest.values())
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                try:
                    async with asyncio.timeout(min(HEARTBEAT_SECONDS, left)):
                        message = await queue.get()
                except TimeoutError:
                    yield b": here\n\n"
                    continue
                if message is None:
                    return
                yield message
        finally:
            self._queues.discard(queue)
