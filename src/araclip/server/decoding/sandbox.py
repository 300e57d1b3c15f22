"""Decoding untrusted pictures in separate processes with limits, so that they cannot harm the server.

A client has a few of the processes at a time, see `http.gates`. When a request is cancelled, what it has in the queue
is not decoded, and what is being decoded is given up after a short while.
"""

import asyncio
import contextlib
import json
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from araclip import errors
from araclip.decoding_process import MAX_HEAD, Reply, environment
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import DecodedPicture, LoadedPicture
from araclip.picture_limits.decode_limits import MAX_PIXELS
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.picture_facts import Facts
from araclip.server.http.gates import Slots

START_SECONDS = 30
ABANDONED_SECONDS = 1  # for a picture nobody wants any more; a process that is killed costs as much to replace
MOST_JOBS = 500  # per process, which is then replaced: memory leaks of decoders do not add up

Data = bytes | Callable[[], Awaitable[bytes]]


class Sandbox:
    """A pool of decoding processes, started on demand."""

    def __init__(
        self, *, processes: int, memory: int, seconds: float, max_waiting: int, wait_seconds: float = 30
    ) -> None:
        """`seconds` to decode a picture, after at most `wait_seconds` in the queue; `max_waiting` pictures at once."""
        self.restarts = 0
        self._memory = memory
        self._seconds = seconds
        self._slots = Slots(processes, most=max_waiting, seconds=wait_seconds)
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._jobs: set[asyncio.Task[Reply]] = set()

    @property
    def inside(self) -> int:
        """Pictures that are decoded or wait."""
        return self._slots.inside

    async def thumbnail(self, data: Data, side: int, client: str = "") -> tuple[bytes, bytes, int, int]:
        """An upright WebP of at most `side` pixels a side, its placeholder (may be empty), width and height.

        Args:
            data: the picture, or what reads it when its turn has come: pictures that wait hold no memory.

        Raises:
            ImageError: the picture cannot be used.
            Problem: too many pictures are waiting, or it has waited too long.
        """
        about, (small, placeholder) = await self._job("thumbnail", data, side, MAX_PIXELS, client)
        return small, placeholder, int(about["width"]), int(about["height"])

    async def read(self, data: bytes, transform: ImageTransform, max_pixels: int, client: str = "") -> LoadedPicture:
        """An uploaded picture read for the catalogue: hash, model input, facts, and the JPEG to store.

        Raises:
            ImageError, Problem: as for `thumbnail`.
        """
        about, (pixels, stored) = await self._job("read", data, asdict(transform), max_pixels, client)
        square = np.frombuffer(pixels, np.uint8).reshape(transform.size, transform.size, 3)
        file = File(str(about["path"]), int(about["bytes"]), 0)
        return LoadedPicture(
            file,
            bytes.fromhex(about["digest"]),
            DecodedPicture(square, Facts(**about["facts"]), int(about["phash"])),
            stored,
        )

    async def _job(self, job: str, data: Data, target: Any, max_pixels: int, client: str) -> Reply:
        about = {"job": job, "target": target, "max_pixels": max_pixels, "seconds": self._seconds}
        await self._slots.acquire(client)
        task = asyncio.create_task(self._decode(about, data))
        task.add_done_callback(lambda _: self._slots.release(client))
        self._jobs.add(task)
        task.add_done_callback(self._ended)
        try:
            answer, blobs = await asyncio.shield(task)
        except asyncio.CancelledError:  # the client has left
            asyncio.get_running_loop().call_later(ABANDONED_SECONDS, task.cancel)
            raise
        if "error" in answer:
            kind = getattr(errors, str(answer["error"]), UnreadableImage)
            raise (kind if issubclass(kind, ImageError) else UnreadableImage)(str(answer["message"]))
        return answer, blobs

    def _ended(self, task: "asyncio.Task[Reply]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits for it any more

    async def _decode(self, about: dict[str, Any], data: Data) -> Reply:
        picture = data if isinstance(data, bytes) else await data()
        async with self._decoder() as decoder:
            try:
                async with asyncio.timeout(self._seconds):
                    return await decoder.ask(about, picture)
            except TimeoutError:
                decoder.kill()
                raise UnreadableImage(
                    f"the picture took more than {self._seconds:.0f} s to decode. Save a smaller or plainer copy."
                ) from None
            except (OSError, asyncio.IncompleteReadError, ValueError):
                decoder.kill()
                raise ImageTooLarge(
                    "the picture could not be decoded within the memory and time it may take. Save a smaller copy."
                ) from None
            except BaseException:  # cancelled in the middle of an answer: the stream is out of step
                decoder.kill()
                raise

    @contextlib.asynccontextmanager
    async def _decoder(self) -> "AsyncIterator[_Decoder]":
        decoder = await self._acquire()
        try:
            yield decoder
        finally:
            if decoder.alive and decoder.jobs < MOST_JOBS:
                self._idle.append(decoder)
            else:
                self.restarts += 1
                await self._drop(decoder)

    async def _acquire(self) -> "_Decoder":
        while self._idle:
            decoder = self._idle.pop()
            if decoder.alive:
                return decoder
            await self._drop(decoder)  # it died while idle
        decoder = await _Decoder.start(self._memory)
        self._all.add(decoder)
        return decoder

    async def _drop(self, decoder: "_Decoder") -> None:
        self._all.discard(decoder)
        await decoder.end()

    async def close(self) -> None:
        """End all jobs and processes."""
        for task in self._jobs:
            task.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)
        for decoder in list(self._all):
            decoder.kill()
            await self._drop(decoder)


class _Decoder:
    """One process of `araclip.server.decoding.worker`."""

    def __init__(self, process: Process) -> None:
        self.jobs = 0
        self._killed = False
        self._process = process

    @property
    def alive(self) -> bool:
        return not self._killed and self._process.returncode is None

    @classmethod
    async def start(cls, memory: int) -> "_Decoder":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no module of the working directory comes first
            "-m",
            "araclip.server.decoding.worker",
            str(memory),
            stdin=PIPE,
            stdout=PIPE,
            env=environment(),
        )
        decoder = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await decoder._answer()
        except BaseException:
            decoder.kill()
            await decoder.end()
            raise
        return decoder

    async def ask(self, about: dict[str, Any], data: bytes) -> Reply:
        self.jobs += 1
        head = json.dumps({**about, "blobs": [len(data)]}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(struct.pack(">I", len(head)) + head)
        self._process.stdin.write(data)
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> Reply:
        source = self._process.stdout
        assert source is not None
        (length,) = struct.unpack(">I", await source.readexactly(4))
        if length > MAX_HEAD:
            raise ValueError(f"a head of {length} bytes")
        about = json.loads(await source.readexactly(length))
        return about, [await source.readexactly(int(size)) for size in about["blobs"]]

    def kill(self) -> None:
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        self._killed = True
        if self._process.stdin is not None:
            self._process.stdin.close()  # the worker exits at the end of its input
        await self._process.wait()
