"""Hostile requests over a real socket: bodies before tokens, smuggling, long headers, idle and crowded connections."""

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from araclip.server.http.gates import Gate
from araclip.server.http.limits import HEADERS
from araclip.server.originals import Original
from hostile_requests import SMUGGLED, SMUGGLING
from serving import READ, bearer, listening, make_gallery, photo_album, running, settings_for

HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    album = photo_album(folder / "album")
    Image.frombytes("RGB", (1300, 1300), os.urandom(3 * 1300 * 1300)).save(album / "large.bmp")  # 5.07 MB
    return make_gallery(folder / "gallery", album, tiny_model)


@pytest.fixture(scope="module")
def address(gallery: Path, tiny_model: Path) -> Iterator[str]:
    with listening(settings_for(gallery, tiny_model, uploads=True)) as address:
        yield address


@pytest.fixture(scope="module")
def closed(gallery: Path, tiny_model: Path) -> Iterator[str]:
    """A server that wants a token."""
    with listening(settings_for(gallery, tiny_model, token_read=READ)) as address:
        yield address


def connected(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((str(parts.hostname), parts.port or 80), timeout=60)


def answer_to(address: str, *parts: bytes) -> bytes:
    """All that the server sends until it closes, for a client that sends everything and then waits."""
    with connected(address) as line:
        for part in parts:
            line.sendall(part)
        return until_closed(line)


def until_closed(line: socket.socket) -> bytes:
    """All that arrives before the server closes; it resets the connection where it left sent bytes unread."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := line.recv(65536):
            received += piece
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


# ------------------------------------------------------------------ bodies


def test_a_body_is_neither_read_nor_measured_before_the_token(closed: str) -> None:
    for path, length, status in (("search", 30_000_000, 401), ("search", 900_000_000, 401), ("session", 2_001, 413)):
        with connected(closed) as line:
            line.sendall(b"POST /%s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n" % (path.encode(), HOST, JSON, length))
            assert status_of(line.recv(65536)) == status  # though not a byte of the body was sent


def test_session_takes_2_kb_and_form_no_more_than_its_picture(gallery: Path, tiny_model: Path) -> None:
    settings = settings_for(gallery, tiny_model, token_read=READ, token_write=READ, uploads=True, max_upload=1000)
    with listening(settings) as address:
        many = b"{" + b",".join(b'"%d":1' % number for number in range(300)) + b"}"
        assert httpx2.post(f"{address}/session", content=many, headers={"Content-Type": "application/json"}).is_error
        assert httpx2.post(f"{address}/session", json={"token": "x" * 2000}).status_code == 413
        assert httpx2.post(f"{address}/session", json={"token": READ}).status_code == 200
        form = {"file": ("a.png", b"x" * 1_200_000)}
        assert httpx2.post(f"{address}/images", files=form, headers=bearer(READ)).status_code == 413


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"q": "\\ud800"}', "surrogate"),
        (b'{"q": "x", "where": ["format=\\udfff"]}', "surrogate"),
        (b"{" + b'"0":1,' * 200_000 + b'"1":1}', "100000 values"),
        (b"[" * 100_000, "100000 values"),
        (b"[" * 50_000, "nested"),
        (b'{"q": "\xff"}', "UTF-8"),
        (b'{"q": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_json_that_is_no_text_or_too_much_is_refused(address: str, body: bytes, reason: str) -> None:
    answer = httpx2.post(f"{address}/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("body", [b'{"token": "\\ud800"}', b'{"token": "' + b"\xd8\x00" * 9 + b'"}', b"\x1f\x8b", b""])
def test_a_session_of_no_text_is_refused(closed: str, body: bytes) -> None:
    answer = httpx2.post(f"{closed}/session", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip", "Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"},
        {"Content-Type": "multipart/form-data; boundary=x; charset=punycode"},
    ],
)
def test_compressed_bodies_and_other_forms_are_refused(address: str, headers: dict[str, str]) -> None:
    for path in ("search", "search/image", "images"):
        assert httpx2.post(f"{address}/{path}", content=b"a=b", headers=headers).status_code == 415


def test_a_form_of_many_fields_or_long_ones_is_refused(address: str) -> None:
    for fields in ({"q": "x" * 20_000}, {f"f{number}": "" for number in range(100)}):
        files = {"file": ("a.png", b"x")}
        assert httpx2.post(f"{address}/search/image", data=fields, files=files).status_code == 400


def test_the_refusal_of_a_large_body_arrives(address: str) -> None:
    parts = urlsplit(address)
    for path, size in (("/session", 20_000_000), ("/search", 60_000_000)):
        with contextlib.closing(http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)) as line:
            line.request("POST", path, b" " * size, {"Content-Type": "application/json"})
            answer = line.getresponse()
            assert (answer.status, answer.headers["Connection"]) == (413, "close")
            assert json.loads(answer.read())["status"] == 413


def test_a_client_that_waits_for_100_continue_gets_the_refusal(closed: str) -> None:
    head = b"POST /search HTTP/1.1\r\n%s%sContent-Length: 900\r\nExpect: 100-continue\r\n\r\n" % (HOST, JSON)
    answer = answer_to(closed, head)
    assert status_of(answer) == 401
    assert b"connection: close" in answer.lower()  # what follows on this connection would have no known beginning


def test_bodies_together_have_a_limit(gallery: Path, tiny_model: Path) -> None:
    with listening(settings_for(gallery, tiny_model, max_body=10_000)) as address, contextlib.ExitStack() as stack:
        for _ in range(8):
            line = stack.enter_context(connected(address))
            line.sendall(b"POST /search HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 10000\r\n\r\n" + b" " * 9_990)
        ends = time.monotonic() + 60
        while httpx2.post(f"{address}/search", json={"q": "x" * 900}).status_code != 429:
            assert time.monotonic() < ends
        stack.close()
        while httpx2.post(f"{address}/search", json={"q": "x" * 900}).status_code != 200:  # they are given back
            assert time.monotonic() < ends


# ------------------------------------------------------------------ smuggling


@pytest.mark.parametrize("head_and_body", SMUGGLING, ids=range(len(SMUGGLING)))
def test_a_body_of_doubtful_length_ends_the_connection(address: str, head_and_body: bytes) -> None:
    received = b""
    with connected(address) as line, contextlib.suppress(ConnectionError):
        line.sendall(b"POST /search HTTP/1.1\r\n" + HOST + JSON + head_and_body)
        line.shutdown(socket.SHUT_WR)
        received = until_closed(line)
    assert received.count(b"HTTP/1.1 ") <= 1
    assert b'"generation"' not in received  # of /stats
    assert not received or status_of(received) in (400, 408, 413, 422, 431, 501)


@pytest.mark.parametrize("first", [b"Content-Length: 12\r\n", b""])
def test_a_request_with_two_lengths_is_refused(address: str, first: bytes) -> None:
    lengths = first + b"Transfer-Encoding: chunked\r\n" + (b"" if first else b"Content-Length: 0\r\n")
    with connected(address) as line:
        refused = b"POST /search HTTP/1.1\r\n" + HOST + JSON + lengths + b'\r\nb\r\n{"q":"red"}\r\n0\r\n\r\n'
        line.sendall(refused + SMUGGLED)
        received = until_closed(line)
    assert received.count(b"HTTP/1.1 ") == 1
    assert status_of(received) == 400
    assert b"Content-Length and Transfer-Encoding" in received


def test_what_is_no_http_in_middle_of_response_ends_it_quietly(
    gallery: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(settings_for(gallery, tiny_model)) as address, connected(address) as line:
        line.sendall(b"GET /events HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        assert status_of(line.recv(65536)) == 200
        line.sendall(b"no chunk\r\n")
        until_closed(line)
    assert not [record for record in caplog.records if record.exc_info]


# ------------------------------------------------------------------ heads


@pytest.mark.parametrize("size", [17_000, 60_000, 600_000])
def test_headers_over_16_kb_are_refused_with_431(address: str, size: int) -> None:
    answer = answer_to(address, b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * size + b"\r\n\r\n")
    assert status_of(answer) == 431
    assert b"nosniff" in answer
    assert httpx2.get(f"{address}/healthz", headers={"X": "a" * 15_000}).status_code == 200
    assert answer_to(address, b"GET /?" + b"a" * 17_000 + b" HTTP/1.0\r\n" + HOST + b"\r\n").split()[1] == b"431"


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP"])
def test_a_proxys_headers_change_nothing_unless_it_is_trusted(closed: str, name: str) -> None:
    for value in ("https", "evil.example", 'for=127.0.0.1;proto=https;host="evil"', "127.0.0.1"):
        answer = httpx2.post(f"{closed}/session", json={"token": READ}, headers={name: value})
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert httpx2.get(f"{closed}/stats", headers={name: value}).status_code == 401


@pytest.mark.parametrize(
    "cookie", ["NAME", "NAME=.", "NAME=²²²²." + "0" * 64, "araclip_session=.", "=;=;;" * 3000, '"' * 9000]
)
def test_a_cookie_that_is_none_lets_nobody_in(closed: str, cookie: str) -> None:
    (name,) = httpx2.post(f"{closed}/session", json={"token": READ}).cookies  # each server has a name of its own
    sent = cookie.replace("NAME", name).encode("latin-1")
    assert httpx2.get(f"{closed}/stats", headers={"Cookie": sent}).status_code == 401


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/search", "GET, HEAD, POST"),
        ("/images", "POST"),
        (f"/images/{'0' * 32}", "DELETE, GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
def test_allow_names_every_method_of_an_address(address: str, path: str, methods: str) -> None:
    answer = httpx2.request("PATCH", f"{address}{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


# ------------------------------------------------------------------ connections


def test_a_connection_may_idle_longer_than_headers_may_take(gallery: Path, tiny_model: Path) -> None:
    settings = settings_for(gallery, tiny_model, header_seconds=0.3, idle_seconds=60)
    with listening(settings) as address, connected(address) as line:
        for _ in range(2):
            line.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            received = line.recv(65536)
            assert status_of(received) == 200
            while b"ok" not in received:
                received = line.recv(65536)
            time.sleep(0.6)
        line.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /events HTTP/1.1\r\n" + HOST + b"\r\n")
        line.settimeout(0.6)  # the second one began with the end of the first one, and goes on
        with contextlib.suppress(TimeoutError):
            while line.recv(65536):
                pass
            pytest.fail("the stream was ended by the time limit of headers")
    with listening(settings_for(gallery, tiny_model, header_seconds=60, idle_seconds=1)) as address:
        answer = answer_to(address, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")  # and closed after the idle time
        assert status_of(answer) == 200


def test_event_streams_over_their_limit_are_refused(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model)) as (server, address), contextlib.ExitStack() as stack:
        server.app.state.service.events.gate = Gate(2)
        lines = [stack.enter_context(connected(address)) for _ in range(5)]
        for line in lines:
            line.sendall(b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n")
        answers = [line.recv(65536) for line in lines]
        assert sorted(map(status_of, answers)) == [200, 200, 429, 429, 429]
        assert all(b"retry-after: 1" in answer.lower() for answer in answers if status_of(answer) == 429)
        stack.close()
        ends = time.monotonic() + 60
        while server.app.state.service.events.gate.inside:  # a client that left frees its place
            assert time.monotonic() < ends
            time.sleep(0.01)


def test_a_request_above_the_limit_of_connections_is_a_problem(gallery: Path, tiny_model: Path) -> None:
    with listening(settings_for(gallery, tiny_model, max_connections=1)) as address, connected(address) as first:
        first.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert status_of(first.recv(65536)) == 200
        refused = httpx2.get(f"{address}/healthz")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:araclip:problem:busy")
        assert HEADERS.items() <= refused.headers.items()


# ------------------------------------------------------------------ originals


def test_slow_readers_of_a_large_original_hold_no_copy_of_it(gallery: Path, tiny_model: Path) -> None:
    with running(settings_for(gallery, tiny_model)) as (server, address), contextlib.ExitStack() as stack:
        found = httpx2.get(f"{address}/search", params={"q": "x", "where": "format=BMP"}).json()["results"]
        lines = [stack.enter_context(connected(address)) for _ in range(4)]
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(f"GET /images/{found[0]['id']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert [status_of(line.recv(1024)) for line in lines] == [200] * 4
        buffered = [each.transport.get_write_buffer_size() for each in server.server_state.connections]
        assert max(buffered) < 1_000_000  # of 5 MB
        assert server.app.state.service.sending.inside == 4


def test_an_original_written_before_its_sending_is_not_sent(
    gallery: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Original.digest

    def digest(original: Original) -> bytes:
        found = real(original)
        os.utime(original.path)
        return found

    monkeypatch.setattr(Original, "digest", digest)
    found = httpx2.get(f"{address}/search", params={"q": "x", "where": "format=BMP"}).json()["results"]
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
        httpx2.get(f"{address}/images/{found[0]['id']}")
