"""A server under load: throughput, latency, processor time and memory.

    python benchmarks/serving.py [--pictures 10000] [--clients 16] [--seconds 20] [--reindex]

The gallery is of araclip-mini, with random vectors around those of everyday queries, and an empty file for each picture
(a search checks that it exists). One `araclip serve` process; clients in another process on the same machine, each
sending its next query when the last is answered; queries do not repeat, so no vector is cached. `--reindex`: meanwhile
the server indexes a folder of 300 pictures. Wall time is meaningful on an idle machine only; processor time a request
on any.

In the same run, with one thread and without a server: the processor time of a search, over that of encoding the same
texts (all that the query's plan asks the encoder for), and the cores' queries a second if they did nothing but encode.
"""

import argparse
import http.client
import json
import os
import platform
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image

from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import File
from araclip.gallery.plan import Planner
from araclip.gallery.query import parse
from araclip.gallery.ranking import Page
from araclip.gallery.reference_queries import EVERYDAY
from araclip.models.encoder_base import usable_cores
from araclip.pictures.images import Facts

SAMPLES = 20  # of the memory, during the load
WORDS = sorted({word for text in EVERYDAY for word in text.split()})


def make_gallery(folder: Path, pictures: int) -> Path:
    """A catalogue of so many pictures with existing files."""
    model, rng = AraCLIP.load(), np.random.default_rng(0)
    assert isinstance(model, AraCLIP)
    centres = model.encode_text(EVERYDAY)
    catalog = Catalog.create(folder / "gallery", model)
    files = folder / "files"
    files.mkdir()
    with catalog.writing():
        for i in range(pictures):
            vector = centres[i % len(centres)] + rng.normal(0, 0.04, model.width).astype(np.float32)
            content = catalog.add_content(secrets.token_bytes(32), vector / np.linalg.norm(vector))
            catalog.put_facts(content, Facts("JPEG", 640, 480, None), i)
            path = files / f"{i:06}.jpg"
            path.touch()
            catalog.put_file(File(str(path), 0, 0), content)
    catalog.close()
    return folder / "gallery"


def photographs(folder: Path) -> Path:
    """Pictures to index during the load."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(300):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize((800, 600), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return folder


def client(address: str, number: int, ends: float, out: "list[tuple[float, int, str]]") -> None:
    """Send queries until `ends`; records (seconds, status, reason of a failure) of each."""
    rng = random.Random(number)
    parts = urlsplit(address)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    while time.monotonic() < ends:
        query = " ".join(rng.sample(WORDS, rng.randint(1, 5))) + f" {rng.randint(0, 10**6)}"
        began = time.monotonic()
        try:
            line.request("GET", f"/search?q={quote(query)}&k=24")
            response = line.getresponse()
            response.read()
            status, reason = response.status, ""
        except (OSError, http.client.HTTPException) as error:
            line.close()
            status, reason = 0, type(error).__name__
        out.append((time.monotonic() - began, status, reason))


def load(address: str, clients: int, seconds: float, pipe: object) -> None:
    """Run all clients for so long; sends their records through the pipe."""
    ends = time.monotonic() + seconds
    out: list[tuple[float, int, str]] = []
    threads = [threading.Thread(target=client, args=(address, i, ends, out)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(out)  # type: ignore[attr-defined]


def cost(pid: int) -> tuple[float, float]:
    """Processor seconds so far, and resident megabytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / ticks, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def beside_the_encoder(gallery: Path, queries: int = 200) -> dict[str, float]:
    """Milliseconds of the processor for a search and for encoding its texts, their ratio, and the encoder's queries a
    second on all cores."""
    rng, spent = random.Random(0), {"encode": 0.0, "search": 0.0}
    with Gallery.open(gallery, model=AraCLIP.load(threads=1)) as opened:
        for number in range(queries + 20):  # the first to warm up
            query = " ".join(rng.sample(WORDS, rng.randint(1, 5))) + f" {rng.randint(0, 10**6)}"
            page = Page(24, 0, Filters())
            planner = Planner(parse(query), opened.interpreter, page, lambda explicit: (), dict, literal=False)
            texts = planner.plan().texts
            for name, work in (
                ("encode", partial(opened.model.encode_text, texts)),
                ("search", partial(opened.search, query, 24)),
            ):
                began = time.process_time()
                work()
                spent[name] += (time.process_time() - began) * (number >= 20)
    encode, search = (1e3 * spent[name] / queries for name in ("encode", "search"))
    per_second = 1e3 / encode * usable_cores()
    return {
        "encode_ms": round(encode, 2), "search_ms": round(search, 2), "ratio": round(search / encode, 2),
        "encoder_alone_per_second": round(per_second, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--reindex", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        gallery = make_gallery(folder, arguments.pictures)
        options = ["--index", str(photographs(folder / "new"))] if arguments.reindex else []
        command = [sys.executable, "-m", "araclip.cli", "serve", "--gallery", str(gallery), "--port", "0", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            line = server.stdout.readline()
            address = "http://" + line.split("http://")[1].split("/")[0]
            context = get_context("spawn")
            numbers, resident = [], [cost(server.pid)[1]]
            for seconds in (2.0, arguments.seconds):  # the first to warm up
                ours, theirs = context.Pipe()
                before = cost(server.pid)
                loader = context.Process(target=load, args=(address, arguments.clients, seconds, theirs))
                loader.start()
                while not ours.poll(seconds / SAMPLES):
                    resident.append(cost(server.pid)[1])
                numbers = ours.recv()
                loader.join()
                after = cost(server.pid)
            server.terminate()
        alone = beside_the_encoder(gallery)
    took = sorted(seconds for seconds, status, _ in numbers if status == 200)
    print(
        json.dumps(
            {
                "pictures": arguments.pictures,
                "clients": arguments.clients,
                "reindex": arguments.reindex,
                "requests": len(numbers),
                "answers": Counter(str(status or reason) for *_, status, reason in numbers),
                "requests_per_second": round(len(took) / arguments.seconds, 1),
                "p50_ms": round(statistics.median(took) * 1e3, 1),
                "p99_ms": round(took[int(0.99 * len(took))] * 1e3, 1),
                "max_ms": round(took[-1] * 1e3, 1),
                **alone,
                "server_cpu_ms_per_request": round((after[0] - before[0]) / len(numbers) * 1e3, 2),
                "resident_mb": [round(megabytes) for megabytes in resident],
                "cores": usable_cores(),
                "machine": platform.processor() or platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
