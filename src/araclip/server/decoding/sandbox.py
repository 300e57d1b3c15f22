"""Decoding untrusted pictures in separate processes with limits, so that they cannot harm the server.

A client with many pictures does not keep out other clients, see `Slots` in `http.gates`. When a request is cancelled,
its pictures in the queue are not decoded, and the decoding of its current picture is stopped after a short while.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np

from araclip import errors
from araclip.core.child_process import Child, ChildEnded, Pool, Reply
from araclip.core.messages import message, message_from_json
from araclip.errors import ImageTooLarge, UnreadableImage
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import DecodedPicture, LoadedPicture
from araclip.pictures.facts import Facts
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.limits import MAX_PIXELS
from araclip.server.http.gates import Slots

START_SECONDS = 30
# Seconds for which the picture of a client that has left may still be decoded, before the process is killed. Starting
# another process takes about as long.
ABANDONED_SECONDS = 1
MOST_JOBS = 500  # a process is replaced after this many pictures, so that memory leaks of decoders do not add up

Data = bytes | Callable[[], Awaitable[bytes]]


class Sandbox:
    """A pool of processes that decode untrusted pictures; a process is started when a picture needs one."""

    def __init__(
        self, *, processes: int, memory: int, seconds: float, max_waiting: int, wait_seconds: float = 30
    ) -> None:
        """Prepare a pool of at most `processes` processes with `memory` bytes each.

        Args:
            seconds: the longest time to decode a picture.
            max_waiting: the most pictures that are decoded or wait at a time.
            wait_seconds: the longest time that a picture waits in the queue.
        """
        self._seconds = seconds
        self._slots = Slots(processes, most=max_waiting, seconds=wait_seconds)
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decoding")

        def start() -> Child:
            module = "araclip.server.decoding.worker"
            return Child(module, str(memory), seconds=START_SECONDS, stderr=None, apart=True)

        self._children = Pool(start, keep=processes, most_jobs=MOST_JOBS)
        self._jobs: set[asyncio.Task[Reply]] = set()

    @property
    def restarts(self) -> int:
        """The number of decoding processes that were replaced."""
        return self._children.replaced

    @property
    def inside(self) -> int:
        """The number of pictures that are being decoded or wait."""
        return self._slots.inside

    async def thumbnail(
        self, data: Data, side: int, client: str = "", max_pixels: int = MAX_PIXELS
    ) -> tuple[bytes, bytes, int, int]:
        """Return an upright WebP of at most `side` pixels a side; its placeholder; its width and its height.

        The placeholder is a tiny WebP that the page shows until the thumbnail has loaded; it may be empty.

        Args:
            data: the picture's bytes, or a function that reads them when the picture's turn has come: so pictures that
                wait hold no memory.

        Raises:
            ImageError: the picture cannot be used.
            Problem: too many pictures are waiting, or this picture has waited too long.
        """
        about, (small, placeholder) = await self._run_job("thumbnail", data, side, max_pixels, client)
        return small, placeholder, int(about["width"]), int(about["height"])

    async def read(self, data: bytes, transform: ImageTransform, max_pixels: int, client: str = "") -> LoadedPicture:
        """Read an uploaded picture; return what the catalogue needs: hash, the model's input, facts, JPEG to store.

        Raises the same errors as `thumbnail`.
        """
        about, (pixels, stored) = await self._run_job("read", data, asdict(transform), max_pixels, client)
        square = np.frombuffer(pixels, np.uint8).reshape(transform.size, transform.size, 3)
        file = File(str(about["path"]), int(about["bytes"]), 0)
        decoded = DecodedPicture(square, Facts(**about["facts"]), int(about["phash"]))
        return LoadedPicture(file, bytes.fromhex(about["digest"]), decoded, stored)

    async def _run_job(self, job: str, data: Data, target: Any, max_pixels: int, client: str) -> Reply:
        about = {"job": job, "target": target, "max_pixels": max_pixels, "seconds": self._seconds}
        await self._slots.acquire(client)
        task = asyncio.create_task(self._decode(about, data))
        task.add_done_callback(lambda _: self._slots.release(client))
        self._jobs.add(task)
        task.add_done_callback(self._forget_task)
        try:
            answer, blobs = await asyncio.shield(task)
        except asyncio.CancelledError:  # the client has left, so this request was cancelled
            asyncio.get_running_loop().call_later(ABANDONED_SECONDS, task.cancel)
            raise
        if "error" in answer:
            raise errors.image_error(answer["error"])(message_from_json(answer))
        return answer, blobs

    def _forget_task(self, task: "asyncio.Task[Reply]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # marks the error as seen, so that asyncio does not log it

    async def _decode(self, about: dict[str, Any], data: Data) -> Reply:
        picture = data if isinstance(data, bytes) else await data()
        cancelled, children = threading.Event(), list[Child]()

        def ask() -> Reply:
            with self._children.child() as child:
                children.append(child)
                if cancelled.is_set():
                    raise ChildEnded
                return child.ask(about, [picture], seconds=about["seconds"])

        answer = asyncio.get_running_loop().run_in_executor(self._threads, ask)
        try:
            return await asyncio.shield(answer)
        except TimeoutError:
            raise UnreadableImage(message("decoding seconds", seconds=about["seconds"])) from None
        except ChildEnded:
            raise ImageTooLarge(message("decoding ended")) from None
        except asyncio.CancelledError:
            cancelled.set()
            for child in children:
                child.kill()
            await asyncio.wait([answer])
            answer.exception()  # marks the error as seen, so that asyncio does not log it
            raise

    async def close(self) -> None:
        """Cancel all decoding, and end the threads and processes."""
        for task in self._jobs:
            task.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)
        self._threads.shutdown()
        self._children.close()
