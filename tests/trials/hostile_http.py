"""What hostile requests do to a server: what they are answered, how long others wait, how much memory it takes.

    python tests/trials/hostile_http.py                        # all, a Markdown row each
    python tests/trials/hostile_http.py --only session         # those whose name begins so
    PYTHONPATH=../old/src python tests/trials/hostile_http.py  # another version of the package

For each attack a server of its own is started over a gallery of a few pictures, one of them a BMP of 60 MB, with the
tests' tiny model and a token. Meanwhile /healthz is asked ten times a second; its longest time tells how long the event
loop stood still. Memory is the growth of the resident set from before the attack to its highest.
"""

import argparse
import gzip
import http.client
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import httpx2
import psutil
from crash.uploads import process
from PIL import ExifTags, Image

import pictures
from hostile_requests import FORMS, HOSTILE_NAMES, SMUGGLING, WRONG_HOSTS
from serving import READ, WRITE, bearer, encoded, make_gallery, photo_album
from tiny import write_tiny_model

SIDE = 4_472  # pixels; 60 MB as a BMP
MB39 = b"{" + b",".join(b'"%d":1' % number for number in range(3_400_000)) + b"}"
JSON = {"Content-Type": "application/json"}
LONGEST = 120  # seconds that are waited for an answer


class Target:
    """A server, how long it lets others wait, and how much memory it takes."""

    def __init__(self, pid: int, address: str) -> None:
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.longest = 0.0
        self._process = psutil.Process(pid)
        self._before = self.most = self._process.memory_info().rss
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._weigh)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            began = time.monotonic()
            with suppress(httpx2.HTTPError):
                httpx2.get(f"{self.address}/healthz", timeout=LONGEST)
            self.longest = max(self.longest, time.monotonic() - began)

    def _weigh(self) -> None:
        while not self._over.wait(0.05):
            with suppress(psutil.Error):
                self.most = max(self.most, self._process.memory_info().rss)

    def stop(self) -> float:
        """The growth of memory, in MB."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return (self.most - self._before) / 1e6

    def post(self, path: str, content: bytes | Iterator[bytes], **headers: str) -> str:
        """The status of an answer, or the error in its place; the token is sent with `token="yes"`."""
        sent = {**JSON, **(bearer(WRITE) if headers.pop("token", "") else {}), **headers}
        with httpx2.Client(timeout=LONGEST) as client:
            try:
                return str(client.post(f"{self.address}{path}", content=content, headers=sent).status_code)
            except httpx2.HTTPError as error:
                return type(error).__name__

    def connected(self, *, slow: bool = False) -> socket.socket:
        """A raw connection; a slow one has a small window."""
        line = socket.socket()
        if slow:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(LONGEST)
        line.connect(("127.0.0.1", self.port))
        return line

    def status(self, line: socket.socket) -> str:
        """The status of what a connection answers, "closed" or "reset"."""
        try:
            found = line.recv(4096)
        except OSError as error:
            return "none in time" if isinstance(error, TimeoutError) else "reset"
        return found.split()[1].decode() if found.startswith(b"HTTP/1.1 ") else "closed"


def session_bomb(target: Target) -> str:
    """39 MB of JSON to /session, no token"""
    return target.post("/session", MB39)


def search_bomb(target: Target) -> str:
    """39 MB of JSON to /search, no token"""
    return target.post("/search", MB39)


def search_with_token(target: Target) -> str:
    """the same, nested lists, and strings of commas, with a token"""
    deep, commas = b"[" * len(MB39), b'["' + b"," * len(MB39) + b'"]'
    return " ".join(target.post("/search", body, token="yes") for body in (MB39, deep, commas))


def large_bodies(target: Target) -> str:
    """100 MB to /search, /session and /images, sent whole, five times each"""
    kinds = {**dict.fromkeys(("/search", "/session"), "application/json"), "/images": "multipart/form-data; boundary=x"}
    answers = []
    for path, kind in kinds.items():
        for _ in range(5):
            line = http.client.HTTPConnection("127.0.0.1", target.port, timeout=LONGEST)  # reads when all is sent
            try:
                line.request("POST", path, b" " * 100_000_000, {**bearer(WRITE), "Content-Type": kind})
                answers.append(str(line.getresponse().status))
            except OSError as error:
                answers.append(type(error).__name__)
            line.close()
    return counted(answers)


def slow_readers(target: Target) -> str:
    """40 readers of the 60 MB original that do not read"""
    found = httpx2.get(f"{target.address}/search?q=x&where=format=BMP", headers=bearer(READ)).json()["results"]
    head = f"GET /images/{found[0]['id']} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\n\r\n"
    with ExitStack() as stack:
        lines = [stack.enter_context(target.connected(slow=True)) for _ in range(40)]
        for line in lines:
            line.sendall(head.encode())
        answers = counted(map(target.status, lines))
        time.sleep(3)
    return answers


def slow_sockets(target: Target) -> str:
    """200 connections with half a request line, half a header or half a body"""
    post = b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    starts = (b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", post, b"")
    with ExitStack() as stack:
        lines = [stack.enter_context(target.connected()) for _ in range(200)]
        for number, line in enumerate(lines):
            line.sendall(starts[number % len(starts)])
        return counted(map(target.status, lines))


def event_streams(target: Target) -> str:
    """200 event streams at a time"""
    head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\n\r\n".encode()
    with ExitStack() as stack:
        lines = [stack.enter_context(target.connected()) for _ in range(200)]
        for line in lines:
            line.sendall(head)
        answers = list(map(target.status, lines))
    with target.connected() as line:
        time.sleep(1)  # the server notices that they have left
        line.sendall(head)
        return f"{counted(answers)}; after they left {target.status(line)}"


def smuggling(target: Target) -> str:
    """bodies of doubtful length (CL.TE, TE.CL, bad chunks), with a request behind them"""
    answers, smuggled = [], 0
    for case in SMUGGLING:
        with target.connected() as line, suppress(OSError):
            line.sendall(b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\n" + case)
            line.shutdown(socket.SHUT_WR)
            received = b""
            with suppress(OSError):
                while piece := line.recv(65536):
                    received += piece
            answers.append(received.split()[1].decode() if received else "closed")
            smuggled += received.count(b"HTTP/1.1 ") > 1
    return f"{counted(answers)}; {smuggled} of {len(SMUGGLING)} reached a second request"


def hosts(target: Target) -> str:
    """names of other hosts, also in X-Forwarded-Host and Forwarded"""
    answers = []
    for host in WRONG_HOSTS:
        with target.connected() as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n\r\n")
            answers.append(target.status(line))
    return counted(answers)


def forms(target: Target) -> str:
    """forms of 25 MB: borders everywhere, endless headers, a hundred thousand parts"""
    kind = "multipart/form-data; boundary=x"
    answers = [target.post("/search/image", form, token="yes", **{"Content-Type": kind}) for form in FORMS.values()]
    return counted(answers)


def compressed(target: Target) -> str:
    """gzip of 1 GB as a body"""
    bomb = gzip.compress(b" " * 100_000_000, 9) * 10
    return target.post("/session", bomb, **{"Content-Encoding": "gzip"})


def cookies(target: Target) -> str:
    """200 cookies that are none"""
    (name,) = httpx2.post(f"{target.address}/session", json={"token": READ}).cookies
    values = [f"{name}=".encode() + bytes([33 + number % 90]) * (number * 70) for number in range(200)]
    answers = [httpx2.get(f"{target.address}/stats", headers={"Cookie": value}).status_code for value in values]
    return counted(map(str, answers))


def names(target: Target) -> str:
    """pictures with scripts and control characters in name, EXIF and comment"""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = exif[ExifTags.Base.ImageDescription] = "<script>alert(1)</script>"
    unsafe = checked = 0
    for number, name in enumerate(HOSTILE_NAMES):
        picture = encoded(Image.new("RGB", (40 + number, 40), (number, 9, 9)), "JPEG", exif=exif, comment=name.encode())
        sent = {"file": (name, picture)}
        added = httpx2.post(f"{target.address}/images", files=sent, headers=bearer(WRITE), timeout=LONGEST).json()
        paths = ("/search?q=x&k=50", *(f"{kind}{added['id']}{end}" for kind, end in (
            ("/images/", ""), ("/images/", "/details"), ("/thumbnails/", ""))))  # fmt: skip
        for path in paths:
            answer = httpx2.get(f"{target.address}{path}", headers=bearer(READ), timeout=LONGEST)
            text = answer.text if "json" in answer.headers["content-type"] else ""
            values = texts(json.loads(text or "0"))  # a text keeps its line breaks
            raw = any(not letter.isprintable() for value in values for letter in value.replace("\n", ""))
            sniffed = answer.headers.get("x-content-type-options") != "nosniff"
            executed = "html" in answer.headers["content-type"] or "svg" in answer.headers["content-type"]
            unsafe += raw or sniffed or executed
            checked += 1
    return f"{unsafe} of {checked} answers unsafe"


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for each in pair for text in texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in texts(each))


def counted(answers: object) -> str:
    return ", ".join(f"{number} × {answer}" for answer, number in Counter(answers).most_common())


ATTACKS: tuple[Callable[[Target], str], ...] = (
    session_bomb, search_bomb, search_with_token, large_bodies, slow_readers, slow_sockets, event_streams, smuggling,
    hosts, forms, compressed, cookies, names,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.0f}\n\n| attack | answers | took | others waited at most | memory |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_model(Path(folder) / "model")
        album = photo_album(Path(folder) / "album")
        pictures.written(album / "large.bmp", encoded(Image.new("RGB", (SIDE, SIDE), (1, 2, 3)), "BMP"))
        gallery = make_gallery(Path(folder) / "gallery", album, model)
        options = ("--gallery", gallery, "--model", model, "--uploads")
        for attack in (attack for attack in ATTACKS if attack.__name__.startswith(given.only)):
            with process(*options, ARACLIP_TOKEN_READ=READ, ARACLIP_TOKEN_WRITE=WRITE) as (running, address):
                target = Target(running.pid, address)
                began = time.monotonic()
                try:
                    answers = attack(target)
                finally:
                    grown = target.stop()
                took, waited = time.monotonic() - began, target.longest
            print(f"| {attack.__doc__} | {answers} | {took:.1f} s | {waited:.2f} s | {grown:,.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
