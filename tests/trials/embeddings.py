"""How long small requests wait while others send pictures that are slow to decode to /v1/embeddings.

    python tests/trials/embeddings.py                       # 66 requests of 16 pictures, from the same address
    python tests/trials/embeddings.py --pictures 256        # more than a request may have
    python tests/trials/embeddings.py --texts 2048          # texts in place of pictures
    python tests/trials/embeddings.py --search --other-address    # searches by one such picture each
    python tests/trials/embeddings.py --other-address       # the attackers have an address of their own (Linux)
    python tests/trials/embeddings.py --source ../old/src   # another version of the package

A server of its own (a gallery of a few pictures) gets `--requests` requests at a time, each with
`--pictures` grey PNGs of 49 megapixels; a request that is answered is sent again. Meanwhile one client after the other
asks for a text search, a thumbnail that is not made yet, the vector of one small picture, and /healthz. Then the
attackers close their connections, and the time is taken until nothing is decoded any more. Memory is the sum of the
resident sets of the server and its decoding processes. Prints a Markdown table, a row for each kind of small request.
"""

import argparse
import base64
import http.client
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import psutil
from PIL import Image

import araclip
from serving import photo_album
from tiny import write_tiny_model

SOURCE = Path(araclip.__file__).parent.parent
SIDE = 7_000  # pixels; 49 megapixels, and 50 are allowed
PICTURES = 13  # of the album
LONGEST = 60  # seconds that are waited for an answer, and for the decoding to end


def data_uri(picture: Image.Image) -> str:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


class Attackers:
    """Requests that are sent again as soon as they are answered, until `stop`."""

    def __init__(self, port: int, path: str, body: bytes, requests: int, address: str) -> None:
        self.answers: dict[int, int] = defaultdict(int)
        self._over = threading.Event()
        self._lines: list[socket.socket] = []
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        self._message = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
        self._where = ("127.0.0.1", port), (address, 0)
        self._threads = [threading.Thread(target=self._attack, daemon=True) for _ in range(requests)]
        for thread in self._threads:
            thread.start()

    def _attack(self) -> None:
        there, here = self._where
        while not self._over.is_set():
            with suppress(OSError), socket.create_connection(there, timeout=600, source_address=here) as line:
                self._lines.append(line)
                line.sendall(self._message)
                answer = line.recv(65_536)
                if answer:
                    self.answers[int(answer.split()[1])] += 1

    def stop(self) -> None:
        self._over.set()
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONGEST)


class Memory(threading.Thread):
    """The highest sum of the resident sets of a process and its children."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._process = psutil.Process(pid)
        self.start()

    def run(self) -> None:
        with suppress(psutil.NoSuchProcess):
            while True:
                sizes = []
                for process in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        sizes.append(process.memory_info().rss)
                self.most = max(self.most, sum(sizes))
                time.sleep(0.2)


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes, float]:
    """Status (0: none in time), body and seconds."""
    began = time.monotonic()
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
    try:
        data = None if body is None else json.dumps(body).encode()
        line.request(method, path, data, {"Content-Type": "application/json"})
        response = line.getresponse()
        return response.status, response.read(), time.monotonic() - began
    except OSError:
        return 0, b"", time.monotonic() - began
    finally:
        line.close()


def gauge(port: int, name: str) -> float:
    status, text, _ = ask(port, "GET", "/metrics")
    found = re.search(rf"^araclip_{name} (\S+)$".encode(), text, re.MULTILINE)
    return float(found[1]) if status == 200 and found else -1


def trial(port: int, thumbnails: list[str], seconds: float) -> dict[str, list[tuple[int, float]]]:
    small = data_uri(Image.new("RGB", (60, 60), (200, 0, 0)))
    kinds = {
        "text search": lambda n: ("GET", f"/search?q=cat{n}&k=5"),
        "thumbnail": lambda n: ("GET", thumbnails[n]),
        "vector of a picture": lambda n: ("POST", "/v1/embeddings", {"input": [small]}),
        "/healthz": lambda n: ("GET", "/healthz"),
    }
    waited: dict[str, list[tuple[int, float]]] = defaultdict(list)
    ends, number = time.monotonic() + seconds, 0
    while time.monotonic() < ends and number < len(thumbnails):
        for name, request in kinds.items():
            status, _, took = ask(port, *request(number))
            waited[name].append((status, took))
        number += 1
        time.sleep(0.2)
    return waited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=66)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--texts", type=int, default=0)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--model", type=Path, help="A model folder; by default the tests' tiny model.")
    parser.add_argument("--other-address", action="store_true")
    parser.add_argument("--source", type=Path, default=SOURCE)
    given = parser.parse_args()
    texts = [" ".join(f"word{number * 12 + i}" for i in range(12)) for number in range(given.texts)]
    bombs = [] if texts else [data_uri(Image.new("L", (SIDE, SIDE), 128))] * given.pictures
    body = json.dumps({"pictures": [{"data": bombs[0]}]} if given.search else {"input": texts or bombs}).encode()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or write_tiny_model(Path(folder) / "model")
        album = photo_album(Path(folder) / "album")  # indexed by the version on trial, whose format may be older
        options = ["--port", "0", "--gallery", f"{folder}/gallery", "--index", str(album), "--model", str(model)]
        command = [sys.executable, "-m", "araclip.cli", "serve", *options]
        variables = {**os.environ, "PYTHONPATH": str(given.source.resolve()), "COLUMNS": "300"}
        with subprocess.Popen(
            [*command, "--model", str(model)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            try:
                assert server.stdout is not None
                line = next(line for line in server.stdout if "http://" in line)
                port = int(re.search(r":(\d+)/", line)[1])
                threading.Thread(target=server.stdout.read, daemon=True).start()
                report(server.pid, port, body, given)
            finally:
                server.kill()


def report(pid: int, port: int, body: bytes, given: argparse.Namespace) -> None:
    ask(port, "POST", "/v1/embeddings", {"input": [data_uri(Image.new("RGB", (9, 9)))]})  # a decoding process starts
    while gauge(port, "pictures") < PICTURES:
        time.sleep(0.1)
    found = json.loads(ask(port, "GET", "/search?q=x&k=50")[1])["results"]
    thumbnails = [f"/thumbnails/{result['id']}?size={size}" for result in found for size in (256, 512)]
    memory = Memory(pid)
    path = "/search" if given.search else "/v1/embeddings"
    attackers = Attackers(port, path, body, given.requests, "127.0.0.2" if given.other_address else "127.0.0.1")
    time.sleep(5)
    waited = trial(port, thumbnails, given.seconds)
    attackers.stop()
    left = time.monotonic()
    while gauge(port, "decodes_inside") and time.monotonic() - left < LONGEST:
        time.sleep(0.1)
    took = time.monotonic() - left
    each = f"{given.texts} texts" if given.texts else f"{1 if given.search else given.pictures} pictures"
    print(f"{given.requests} × {each}, {len(body) / 1e6:.1f} MB a request; answers to the attackers "
          f"{dict(attackers.answers)}; decoding ended {f'{took:.1f} s' if took < LONGEST else f'not in {LONGEST} s'} "
          f"after they left; memory at most {memory.most / 1e6:,.0f} MB")  # fmt: skip
    print("| small request | answered | 429 | other | median s | longest s |\n|---|---|---|---|---|---|")
    for name, answers in waited.items():
        good = [seconds for status, seconds in answers if status == 200]
        busy = sum(status == 429 for status, _ in answers)
        median, longest = (f"{statistics.median(good):.2f}", f"{max(good):.2f}") if good else ("–", "–")
        print(f"| {name} | {len(good)} | {busy} | {len(answers) - len(good) - busy} | {median} | {longest} |")


if __name__ == "__main__":
    main()
