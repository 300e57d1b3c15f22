"""A server as a process: slow clients, graceful shutdown, crash, concurrent indexing."""

import asyncio
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from crash.uploads import SOURCE, Acknowledged, process, sound, trial
from crash.uploads import check as check_uploads
from PIL import Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.client import Client
from araclip.errors import GalleryNotFound, InputError, ServerError
from araclip.pictures.ocr import engines
from araclip.server.run import check, serve
from ocr_program import LINES, Program, page
from serving import encoded, end_of_indexing, listening, make_gallery, photo_album, running, settings_for

POST = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def connected(address: str) -> socket.socket:
    parts = urlsplit(address)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=30)


# ------------------------------------------------------------------ slow clients


def seconds_until_closed(line: socket.socket) -> float:
    began = time.monotonic()
    while line.recv(65536):
        pass
    return time.monotonic() - began


def test_a_client_that_sends_slowly_is_disconnected(gallery: Path, tiny_model: Path) -> None:
    with listening(settings_for(gallery, tiny_model, header_seconds=0.5, body_seconds=0.5)) as address:
        with connected(address) as silent, connected(address) as slow, connected(address) as body:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
            body.sendall(POST + b"Content-Length: 99\r\n\r\n{")
            answer = body.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in answer.lower()
            for line in (silent, slow, body):
                assert seconds_until_closed(line) < 20
        with connected(address) as second:  # a connection that was used and is slow now
            second.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert second.recv(65536).startswith(b"HTTP/1.1 200")
            second.sendall(b"GET /hea")
            assert seconds_until_closed(second) < 20
        assert httpx2.get(f"{address}/healthz").status_code == 200


def test_client_that_does_not_read_its_response_is_disconnected(tmp_path: Path, tiny_model: Path) -> None:
    album = photo_album(tmp_path / "album")
    noise = os.urandom(3 * 1600 * 1600)
    Image.frombytes("RGB", (1600, 1600), noise).save(album / "large.bmp")  # 7.7 MB: more than any buffer between us
    served = make_gallery(tmp_path / "gallery", album, tiny_model)
    with running(settings_for(served, tiny_model, send_seconds=0.5)) as (server, address):
        found = httpx2.get(f"{address}/search", params={"q": "x", "where": "format=BMP"}).json()["results"]
        with connected(address) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(f"GET /images/{found[0]['id']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            received = len(line.recv(1))  # the response has begun
            wait_until(lambda: not server.server_state.connections)  # the server has dropped it
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)  # to read what is in the buffers
            with suppress(ConnectionError):
                while chunk := line.recv(1 << 20):
                    received += len(chunk)
            assert received < 7_000_000  # of 7.7 MB
        assert httpx2.get(f"{address}/healthz").status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 600_000 + b"\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",
    ],
)
def test_a_malformed_request_is_refused(request_: bytes, no_http: str) -> None:
    with connected(no_http) as line:
        answer = b""
        with suppress(OSError):  # closed while the rest was on its way
            line.sendall(request_)
            line.shutdown(socket.SHUT_WR)
            answer = line.recv(65536)
    assert not answer or answer.split()[1] in (b"400", b"421", b"422", b"431")


@pytest.fixture(scope="module")
def no_http(gallery: Path, tiny_model: Path) -> Iterator[str]:
    with listening(settings_for(gallery, tiny_model)) as address:
        yield address


# ------------------------------------------------------------------ impatient clients


def test_the_end_of_an_answer_does_not_wait(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model)) as (server, address), connected(address) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        (protocol,) = server.server_state.connections
        theirs = protocol.transport.get_extra_info("socket")
        assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0  # Nagle's algorithm is off


def test_thumbnails_of_cancelled_requests_are_not_made(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model, decoders=1)) as (server, address):
        service = server.app.state.service
        found = httpx2.get(f"{address}/search", params={"q": "أحمر", "k": "12"}).json()["results"]
        first, *others = [result["id"] for result in found]
        loop, slots, other = service.events._loop, service.sandbox._slots, "another client"
        asyncio.run_coroutine_threadsafe(slots.acquire(other), loop).result(60)
        lines = [connected(address) for _ in others]
        for line, identity in zip(lines, others, strict=True):
            line.sendall(f"GET /thumbnails/{identity} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: service.sandbox.inside == 1 + len(others))  # all wait for the one decoder
        for line in lines:
            line.close()
        wait_until(lambda: service.sandbox.inside == 1)
        loop.call_soon_threadsafe(slots.release, other)
        assert httpx2.get(f"{address}/thumbnails/{first}", timeout=60).status_code == 200
        assert not [identity for identity in others if service.thumbnails.get(identity, 256)]
        assert httpx2.get(f"{address}/thumbnails/{others[-1]}", timeout=60).status_code == 200


# ------------------------------------------------------------------ ends


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_sigterm_completes_requests_in_progress_and_ends_streams(gallery: Path, tiny_model: Path) -> None:
    with process("--gallery", gallery, "--model", tiny_model) as (running, address):
        with connected(address) as stream, connected(address) as half:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert stream.recv(65536).startswith(b"HTTP/1.1 200")
            half.sendall(POST + b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n")
            assert half.recv(65536).startswith(b"HTTP/1.1 100")  # the request is being answered: its body is awaited
            running.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            half.sendall(b'{"q": "xyz"}  ')
            assert half.recv(65536).startswith(b"HTTP/1.1 200")
        assert running.wait(60) in (0, -signal.SIGTERM)


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_sigkill_during_uploads_loses_nothing_acknowledged(tmp_path: Path, tiny_model: Path) -> None:
    """Three of the trials of tests/crash/uploads.py, which is run by hand for a hundred."""
    gallery, acknowledged, last = tmp_path / "gallery", Acknowledged(), Acknowledged()
    Gallery.open(gallery, model=AraCLIP(tiny_model, threads=1), create=True).close()
    for seed in range(3):
        last = trial(gallery, tiny_model, random.Random(seed), last)
        assert last.added
        acknowledged.join(last)
    with listening(settings_for(gallery, tiny_model)) as address, Client(address) as client:
        check_uploads(client, acknowledged)
    sound(gallery, tiny_model, acknowledged, 3)


HEAPS = """
import ctypes, sys, threading
from araclip.core.libraries import use_one_malloc_arena

if sys.argv[1] == "one":
    use_one_malloc_arena()
c = ctypes.CDLL(None)
held = threading.Barrier(4)

def allocate():
    c.malloc(1000)
    held.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
c.fopen.restype = ctypes.c_void_p
c.malloc_info(0, ctypes.c_void_p(c.fopen(sys.argv[2].encode(), b"w")))
c.fflush(None)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_threads_of_a_server_share_one_heap(tmp_path: Path) -> None:
    heaps = {}
    for how in ("one", "many"):
        subprocess.run([sys.executable, "-c", HEAPS, how, tmp_path / how], check=True)
        heaps[how] = (tmp_path / how).read_text().count("<heap nr=")
    assert heaps["one"] == 1 < heaps["many"]


# ------------------------------------------------------------------ indexing beside it


def test_a_folder_is_indexed_while_uploads_come_in(tmp_path: Path, tiny_model: Path) -> None:
    album = photo_album(tmp_path / "album")
    for i in range(150):
        pictures.solid(album / f"{i}.png", (i, 255 - i, i // 2), (30 + i, 40))
    settings = settings_for(tmp_path / "gallery", tiny_model, index=(album,), uploads=True)
    with listening(settings) as address, Client(address) as client:
        assert client.search("أحمر", k=1).query == "أحمر"  # answered, whatever is indexed by now
        added = client.add(encoded(Image.new("RGB", (33, 33), (200, 100, 50))), name="مرفوعة.png")
        assert end_of_indexing(client) == "done"
        wait_until(lambda: client.stats()["pictures"] == 163 + 1)
        assert client.details(added.id)["name"] == "مرفوعة.png"
        assert client.search("أحمر", k=1).results[0].id


def test_a_followed_folder_is_indexed_again_and_its_text_read(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Program(tmp_path / 'bin').path.parent}{os.pathsep}{os.environ['PATH']}")
    engines.find_tesseract.cache_clear()
    album = photo_album(tmp_path / "album")
    page(*LINES).save(album / "page.png")
    settings = settings_for(tmp_path / "gallery", tiny_model, index=(album,), watch=True, ocr=True)
    with listening(settings) as address, Client(address) as client:
        wait_until(lambda: client.stats()["pictures"] == 14)
        wait_until(lambda: bool(client.search("فاتورة الكهرباء", k=1).results[0].matched))
        pictures.solid(album / "later.png", (90, 10, 90))
        wait_until(lambda: client.stats()["pictures"] == 15)


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.1)


# ------------------------------------------------------------------ the command


def test_what_cannot_be_served_is_refused_with_what_to_do(
    gallery: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GalleryNotFound, match="araclip index"):
        serve(settings_for(tmp_path / "nothing", tiny_model, port=0))
    with pytest.raises(InputError, match="no such folder"):
        serve(settings_for(gallery, tiny_model, port=0, index=(tmp_path / "nowhere",)))
    with monkeypatch.context() as patch, pytest.raises(InputError, match="--index and --uploads off"):
        patch.setattr(os, "access", lambda path, mode: path != gallery)  # as for a user who may only read it
        serve(settings_for(gallery, tiny_model, port=0, uploads=True, cache=tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="--port"):
        serve(settings_for(gallery, tiny_model, port=taken.getsockname()[1]))


def test_a_server_is_checked_by_one_query_and_stops(gallery: Path, tiny_model: Path) -> None:
    answer = check(settings_for(gallery, tiny_model, port=0), "أحمر")
    assert answer.results[0].name
    with pytest.raises(ServerError, match="empty"):
        check(settings_for(gallery, tiny_model, port=0), "")


def test_the_command_line_refuses_in_one_line(gallery: Path) -> None:
    command = [sys.executable, "-m", "araclip.cli", "serve", "--gallery", str(gallery), "--host", "0.0.0.0"]
    variables = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ARACLIP_TOKEN_READ" in done.stderr
    assert "Traceback" not in done.stderr
