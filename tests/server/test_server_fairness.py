"""No client starves others: it waits for the work in progress and little more; and work ends with its client."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from araclip.client import Client
from araclip.errors import ServerError
from araclip.server.batching import Batcher
from araclip.server.decoding.sandbox import Data, Sandbox
from araclip.server.http.errors import Problem
from araclip.server.http.gates import Gate, Slots
from serving import data_uri, encoded, running, settings_for

SLOW = encoded(Image.new("RGB", (4_000, 4_000)), compress_level=1)  # about 0.2 s to decode
SMALL = encoded(Image.new("RGB", (9, 9)))


# ------------------------------------------------------------------ the order


def test_clients_take_turns_however_much_one_of_them_asks_for() -> None:
    async def story() -> list[str]:
        slots, served = Slots(1, most=64, seconds=60), list[str]()
        await slots.acquire("z")

        async def job(name: str) -> None:
            await slots.acquire(name[0])
            served.append(name)
            await asyncio.sleep(0)
            slots.release(name[0])

        jobs = [asyncio.create_task(job(f"a{i}")) for i in range(20)]
        await asyncio.sleep(0)
        jobs += [asyncio.create_task(job(name)) for name in ("b0", "c0")]
        await asyncio.sleep(0)
        slots.release("z")
        await asyncio.gather(*jobs)
        assert slots.inside == 0 and not slots._client_slots
        return served

    served = asyncio.run(story())
    assert set(served[:4]) >= {"b0", "c0"}
    assert [name for name in served if name[0] == "a"] == [f"a{i}" for i in range(20)]


@given(st.lists(st.sampled_from("abcd"), max_size=40))
def test_everything_is_served_once_and_nothing_is_remembered(asked: list[str]) -> None:
    async def story() -> list[int]:
        slots, served = Slots(3, most=100, seconds=60), list[int]()

        async def job(number: int, client: str) -> None:
            await slots.acquire(client)
            await asyncio.sleep(0)
            served.append(number)
            slots.release(client)

        await asyncio.gather(*(job(number, client) for number, client in enumerate(asked)))
        assert slots.inside == 0 and not slots._client_slots
        return served

    assert sorted(asyncio.run(story())) == list(range(len(asked)))


def test_a_full_queue_refuses_the_client_that_has_most_of_it() -> None:
    async def story() -> list[bool]:
        slots = Slots(1, most=4, seconds=60)
        await slots.acquire("a")
        asked = ["a", "a", "a", "b", "c"]
        waits = [asyncio.create_task(slots.acquire(client)) for client in asked]
        for _ in range(5):  # until everybody has a turn, an error or a place in the queue
            await asyncio.sleep(0)
        refused = [wait.done() and isinstance(wait.exception(), Problem) for wait in waits]
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        slots.release("a")
        assert slots.inside == 0
        return refused

    assert asyncio.run(story()) == [False, False, True, False, True]  # a has three quarters; with b it is full


def test_who_waits_too_long_or_leaves_blocks_nobody() -> None:
    async def story() -> None:
        slots, first = Slots(1, most=8, seconds=0.01), "a"
        await slots.acquire(first)
        with pytest.raises(Problem, match="busy"):
            await slots.acquire("b")
        assert slots.inside == 1
        slots = Slots(1, most=8, seconds=60)
        await slots.acquire(first)
        leaver, stays = "a", "a"
        leaving = asyncio.create_task(slots.acquire(leaver))
        await asyncio.sleep(0)
        staying = asyncio.create_task(slots.acquire(stays))
        await asyncio.sleep(0)
        slots.release(first)  # the leaver's turn comes and it leaves at the same time
        leaving.cancel()
        await staying
        slots.release(stays)
        assert slots.inside == 0

    asyncio.run(story())


def test_a_nearly_full_gate_admits_those_who_have_few_inside() -> None:
    gate, greedy, modest = Gate(8), "a", "b"
    with contextlib.ExitStack() as inside:
        for _ in range(6):
            inside.enter_context(gate.entered(greedy))
        with pytest.raises(Problem):
            inside.enter_context(gate.entered(greedy))
        inside.enter_context(gate.entered(modest))
        inside.enter_context(gate.entered("c"))
        with pytest.raises(Problem):
            inside.enter_context(gate.entered("d"))
    assert gate.inside == 0


def test_a_batch_holds_items_of_every_client_that_waits() -> None:
    seen: list[list[str]] = []
    release = threading.Event()

    def encode(texts: Sequence[str]) -> np.ndarray:
        seen.append(list(texts))
        release.wait(30)
        return np.zeros((len(texts), 1), np.float32)

    async def story() -> None:
        batcher = Batcher(encode, most=4, name="test")
        first = asyncio.create_task(batcher.row("first", "a"))
        while not seen:
            await asyncio.sleep(0.001)
        rows = [asyncio.create_task(batcher.row(f"large {i}", "a")) for i in range(8)]
        rows += [asyncio.create_task(batcher.row("small", "c"))]
        rows += [asyncio.create_task(batcher.row("other", "b"))]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *rows)
        batcher.close()

    asyncio.run(story())
    assert set(seen[1]) == {"small", "other", "large 0", "large 1"}


# ------------------------------------------------------------------ decoding


def test_a_cancelled_job_is_given_up_and_its_process_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("araclip.server.decoding.sandbox.ABANDONED_SECONDS", 0)

    async def story() -> tuple[int, int]:
        box = Sandbox(processes=1, memory=1_000_000_000, seconds=60, max_waiting=8)
        await box.thumbnail(SMALL, 64)
        (child,) = box._children.idle
        os.kill(
            child._process.pid, signal.SIGSTOP
        )  # so that the next picture is still being decoded when it is given up
        running_, waiting = (asyncio.create_task(box.thumbnail(SMALL, 64)) for _ in range(2))
        while box.inside < 2 or child.jobs < 2:
            await asyncio.sleep(0.001)
        running_.cancel()
        waiting.cancel()
        await asyncio.wait((running_, waiting))
        assert (await box.thumbnail(SMALL, 64))[2:] == (9, 9)
        inside, restarts = box.inside, box.restarts
        await box.close()
        return inside, restarts

    assert asyncio.run(story()) == (0, 1)


def test_what_is_nearly_done_keeps_its_process() -> None:
    async def story() -> int:
        box = Sandbox(processes=1, memory=1_000_000_000, seconds=60, max_waiting=8)
        await box.thumbnail(SMALL, 64)
        job = asyncio.create_task(box.thumbnail(SMALL, 64))
        while not box._jobs:
            await asyncio.sleep(0)
        job.cancel()
        await asyncio.wait((job,))
        await box.thumbnail(SMALL, 64)
        restarts = box.restarts
        await box.close()
        return restarts

    assert asyncio.run(story()) == 0


# ------------------------------------------------------------------ over HTTP


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def post(address: str, body: bytes, length: int | None = None) -> socket.socket:
    """Send a request for vectors, or its beginning, without waiting for the answer."""
    parts = urlsplit(address)
    line = socket.create_connection((parts.hostname, parts.port or 80), timeout=60)
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length or len(body)}\r\n"
    line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    return line


@pytest.mark.skipif(sys.platform != "linux", reason="a second address of this machine")
def test_one_client_does_not_starve_another(gallery: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten requests with six slow pictures each, and after them three with a small one from another address, while the
    decoder is busy."""
    body = json.dumps({"input": [data_uri(SLOW)] * 6}).encode()
    with running(settings_for(gallery, tiny_model, decoders=1)) as (server, address), Client(address) as client:
        service, other, decoded = server.app.state.service, "another client", []
        real = service.sandbox._decode

        def decode(about: dict[str, object], data: Data) -> Coroutine[Any, Any, Any]:
            decoded.append(len(data) if isinstance(data, bytes) else 0)  # the thumbnail's is read when it begins
            return real(about, data)

        monkeypatch.setattr(service.sandbox, "_decode", decode)
        thumbnail = f"{address}/thumbnails/{client.search('أحمر', k=1).results[0].id}"
        loop = service.events._loop
        asyncio.run_coroutine_threadsafe(service.sandbox._slots.acquire(other), loop).result(60)
        lines = [post(address, body) for _ in range(10)]
        wait_until(lambda: service.sandbox.inside == 11)  # each has one picture in the queue
        transport = httpx2.HTTPTransport(local_address="127.0.0.2")
        with httpx2.Client(transport=transport, base_url=address, timeout=60) as there, ThreadPoolExecutor(3) as pool:
            small = [
                pool.submit(lambda: there.post("/v1/embeddings", json={"input": data_uri(SMALL)}).is_success),
                pool.submit(lambda: there.post("/search/image", files={"file": ("a.png", SMALL)}).is_success),
                pool.submit(lambda: there.get(thumbnail).is_success),
            ]
            wait_until(lambda: service.sandbox.inside == 14)
            loop.call_soon_threadsafe(service.sandbox._slots.release, other)
            assert [answer.result(60) for answer in small] == [True, True, True]
        assert sum(size < len(SLOW) for size in decoded[:7]) == 3  # in turn with those of the other client
        for line in lines:
            line.close()
        wait_until(lambda: service.sandbox.inside == service.embeddings.inside == 0)
        assert len(decoded) < 60


def test_a_picture_whose_uploader_has_left_is_not_added(gallery: Path, tiny_model: Path) -> None:
    settings = settings_for(gallery, tiny_model, decoders=1, uploads=True)
    with running(settings) as (server, address), Client(address) as client:
        service, other = server.app.state.service, "another client"
        pictures = client.stats()["files"]
        loop = service.events._loop
        asyncio.run_coroutine_threadsafe(service.sandbox._slots.acquire(other), loop).result(60)
        parts = urlsplit(address)
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + SMALL + b"\r\n--x--\r\n"
        head = f"POST /images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        with contextlib.closing(socket.create_connection((parts.hostname, parts.port), timeout=60)) as line:
            line.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body)
            wait_until(lambda: service.sandbox.inside == 2)
        wait_until(lambda: service.sandbox.inside == 1)
        loop.call_soon_threadsafe(service.sandbox._slots.release, other)
        wait_until(lambda: service.sandbox.inside == 0)
        assert client.stats()["files"] == pictures
        assert client.add(SMALL, name="a").width == 9


def test_too_many_pictures_in_a_request_are_refused(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model, max_request_pictures=2)) as (server, address):
        with Client(address) as client, pytest.raises(ServerError, match="has 3 pictures, the most is 2"):
            client.encode_image([SMALL] * 3)
        assert not server.app.state.service.sandbox._children.idle


def test_small_bodies_are_taken_while_large_ones_fill_memory(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model, max_body=100_000)) as (_, address), Client(address) as client:
        unfinished = b'{"input": "' + b" " * 99_000
        with contextlib.ExitStack() as lines:
            for _ in range(9):  # 8 bodies of the largest size may be held
                lines.enter_context(contextlib.closing(post(address, unfinished, length=100_000)))
            wait_until(lambda: status(address, {"input": "x", "padding": "x" * 50_000}) == 429)
            assert client.search("أحمر", k=1).results
            assert len(client.encode_text(["أحمر"])) == 1
        wait_until(lambda: status(address, {"input": "x", "padding": "x" * 50_000}) == 200)


def status(address: str, body: dict[str, str]) -> int:
    return httpx2.post(f"{address}/v1/embeddings", json=body, timeout=60).status_code
