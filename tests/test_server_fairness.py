"""Fair turns: a small request waits for the work in progress, not for the queue; and work ends with its client."""

import asyncio
import contextlib
import json
import socket
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
from araclip.server.http.fair_queue import FairGate, FairQueue, FairSlots, Requester
from araclip.server.http.problem_details import Problem
from serving import data_uri, encoded, make_gallery, photo_album, running, settings_for

SLOW = encoded(Image.new("RGB", (4_000, 4_000)), compress_level=1)  # about 0.2 s to decode
SMALL = encoded(Image.new("RGB", (9, 9)))


def order(arrivals: Sequence[tuple[str, Requester]]) -> list[str]:
    """The order in which items get the only slot."""
    queue: FairQueue[tuple[str, Requester]] = FairQueue()
    for arrival in arrivals:
        queue.add(arrival, arrival[1])
    served = []
    while taken := queue.take(1):
        ((name, requester),) = taken
        served.append(name)
        queue.done(requester)
    return served


# ------------------------------------------------------------------ the order


def test_clients_take_turns_however_much_one_of_them_asks_for() -> None:
    greedy, other, third = ([Requester(client) for _ in range(3)] for client in "abc")
    arrivals = [(f"a{i}", requester) for i, requester in enumerate(greedy)] + [("b0", other[0]), ("c0", third[0])]
    assert order(arrivals) == ["a0", "b0", "c0", "a1", "a2"]


def test_of_one_clients_requests_the_one_with_the_least_left_goes_first() -> None:
    assert order([("many", Requester("a", 16)), ("few", Requester("a", 3)), ("one", Requester("a"))]) == [
        "one", "few", "many",
    ]  # fmt: skip


def test_who_comes_while_others_are_served_is_next() -> None:
    queue: FairQueue[str] = FairQueue()
    greedy, modest = Requester("a"), Requester("b")
    for name in ("a0", "a1", "a2", "a3"):
        queue.add(name, greedy)
    assert queue.take(2) == ["a0", "a1"]
    queue.add("b0", modest)
    queue.done(greedy)
    assert queue.take(1) == ["b0"]
    queue.done(modest)
    queue.done(greedy)
    queue.add("b1", modest)  # coming back at once does not go before who waits
    assert queue.take(2) == ["a2", "b1"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), max_size=40))
def test_everything_is_served_once_and_nothing_is_remembered(asked: list[tuple[str, int]]) -> None:
    queue: FairQueue[int] = FairQueue()
    requesters = [Requester(client, remaining) for client, remaining in asked]
    for number, requester in enumerate(requesters):
        queue.add(number, requester)
    served = []
    while taken := queue.take(3):
        served += taken
        for number in taken:
            queue.done(requesters[number])
    assert sorted(served) == list(range(len(asked)))
    assert not queue._last and not +queue._idle and not +queue._running


def test_a_full_queue_refuses_the_largest_request_of_the_greediest_client() -> None:
    async def story() -> list[bool]:
        slots = FairSlots(1, most=4, seconds=60)
        first = Requester("a")
        await slots.acquire(first)
        asked = [Requester("a", 2), Requester("a", 9), Requester("b", 9), Requester("c"), Requester("a", 3)]
        waits = [asyncio.create_task(slots.acquire(requester)) for requester in asked]
        for _ in range(5):  # until everybody has a turn, an error or a place in the queue
            await asyncio.sleep(0)
        refused = [wait.done() and isinstance(wait.exception(), Problem) for wait in waits]
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        slots.release(first)
        assert slots.inside == 0
        return refused

    assert asyncio.run(story()) == [False, True, False, False, True]


def test_who_waits_too_long_or_leaves_is_out_of_the_queue_and_blocks_nobody() -> None:
    async def story() -> None:
        slots, first = FairSlots(1, most=8, seconds=0.01), Requester("a")
        await slots.acquire(first)
        with pytest.raises(Problem, match="busy"):
            await slots.acquire(Requester("b"))
        assert slots.inside == 1
        slots = FairSlots(1, most=8, seconds=60)
        await slots.acquire(first)
        leaver, stays = Requester("a"), Requester("a")
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
    gate, greedy, modest = FairGate(8), Requester("a"), Requester("b")
    with contextlib.ExitStack() as inside:
        for _ in range(6):
            inside.enter_context(gate.entered(greedy))
        with pytest.raises(Problem):
            inside.enter_context(gate.entered(greedy))
        inside.enter_context(gate.entered(modest))
        inside.enter_context(gate.entered(Requester("c")))
        with pytest.raises(Problem):
            inside.enter_context(gate.entered(Requester("d")))
    assert gate.inside == 0


def test_a_batch_holds_items_of_every_request_that_waits() -> None:
    seen: list[list[str]] = []
    release = threading.Event()

    def encode(texts: Sequence[str]) -> np.ndarray:
        seen.append(list(texts))
        release.wait(30)
        return np.zeros((len(texts), 1), np.float32)

    async def story() -> None:
        batcher = Batcher(encode, most=4, name="test")
        first = asyncio.create_task(batcher.row("first", Requester("a")))
        while not seen:
            await asyncio.sleep(0.001)
        large, small = Requester("a", 8), Requester("a", 1)
        rows = [asyncio.create_task(batcher.row(f"large {i}", large)) for i in range(8)]
        rows += [asyncio.create_task(batcher.row("small", small))]
        rows += [asyncio.create_task(batcher.row("other", Requester("b", 8)))]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *rows)
        batcher.close()

    asyncio.run(story())
    assert set(seen[1]) == {"small", "other", "large 0", "large 1"}


# ------------------------------------------------------------------ decoding


def test_a_job_whose_request_was_cancelled_is_given_up_and_its_process_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("araclip.server.decoding.sandbox.ABANDONED_SECONDS", 0)

    async def story() -> tuple[int, int]:
        box = Sandbox(processes=1, memory=1_000_000_000, seconds=60, max_waiting=8)
        await box.thumbnail(SMALL, 64)  # the process has started
        running_, waiting = (asyncio.create_task(box.thumbnail(SLOW, 64)) for _ in range(2))
        while box.inside < 2 or not box._jobs:
            await asyncio.sleep(0.001)
        running_.cancel()
        waiting.cancel()
        await asyncio.wait((running_, waiting))
        assert (await box.thumbnail(SMALL, 64))[2:] == (9, 9)
        inside, restarts = box.inside, box.restarts
        await box.close()
        return inside, restarts

    assert asyncio.run(story()) == (0, 1)


def test_what_is_nearly_done_when_its_request_is_cancelled_keeps_its_process() -> None:
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


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("fairness")
    return make_gallery(folder / "gallery", photo_album(folder / "album"), tiny_model)


def post(address: str, body: bytes, length: int | None = None) -> socket.socket:
    """Send a request for vectors, or its beginning, without waiting for the answer."""
    parts = urlsplit(address)
    line = socket.create_connection((parts.hostname, parts.port or 80), timeout=60)
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length or len(body)}\r\n"
    line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    return line


def test_small_requests_go_before_large_ones_whose_work_ends_when_they_leave(
    gallery: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten requests with six slow pictures each, and after them three with a small one, while the decoder is busy."""
    body = json.dumps({"input": [data_uri(SLOW)] * 6}).encode()
    with running(settings_for(gallery, tiny_model, decoders=1)) as (server, address), Client(address) as client:
        service, other, decoded = server.app.state.service, Requester("another client"), []
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
        with ThreadPoolExecutor(3) as pool:
            small = [
                pool.submit(lambda: len(client.encode_image([SMALL]))),
                pool.submit(lambda: len(client.search(k=1, pictures=[SMALL]).results)),
                pool.submit(lambda: httpx2.get(thumbnail, timeout=60).is_success),
            ]
            wait_until(lambda: service.sandbox.inside == 14)
            loop.call_soon_threadsafe(service.sandbox._slots.release, other)
            assert [answer.result(60) for answer in small] == [1, 1, True]
        assert max(decoded[:3]) < len(SLOW)
        for line in lines:
            line.close()
        wait_until(lambda: service.sandbox.inside == service.embeddings.inside == 0)
        assert len(decoded) < 60


def test_a_picture_whose_uploader_has_left_is_not_added(gallery: Path, tiny_model: Path) -> None:
    settings = settings_for(gallery, tiny_model, decoders=1, uploads=True)
    with running(settings) as (server, address), Client(address) as client:
        service, other = server.app.state.service, Requester("another client")
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


def test_too_many_pictures_in_a_request_are_refused_before_any_is_decoded(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model, max_request_pictures=2)) as (server, address):
        with Client(address) as client, pytest.raises(ServerError, match="has 3 pictures, the most is 2"):
            client.encode_image([SMALL] * 3)
        assert not server.app.state.service.sandbox._all


def test_small_bodies_are_taken_while_large_ones_fill_the_memory_for_bodies(gallery: Path, tiny_model: Path) -> None:
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
