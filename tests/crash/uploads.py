"""Kill a server while pictures are sent to it, start it again, and see that nothing it acknowledged is lost.

    python tests/crash/uploads.py --trials 100 --seed 0

In each trial several clients send pictures and have every third forgotten again, until the server is killed (SIGKILL)
at a random moment. The next server over the same gallery must have every picture that was acknowledged and not asked to
be forgotten, whole, and none whose forgetting was acknowledged. Pictures of earlier trials stay; at the end all are
asked for, and `verify` must find nothing broken.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image

import araclip
from araclip import AraCLIP, Gallery
from araclip.client import Client
from araclip.errors import ServerError
from serving import encoded
from tiny import write_tiny_model

SOURCE = Path(araclip.__file__).parent.parent
CLIENTS = 4
LONGEST = 1.5  # seconds from the first upload to the kill, at most


@contextmanager
def process(*options: object, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`araclip serve` with options, and its address."""
    command = [sys.executable, "-m", "araclip.cli", "serve", "--port", "0", *map(str, options)]
    variables = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "300", **environment}
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            assert running.stdout is not None
            line = next((line for line in running.stdout if "http://" in line), "")
            assert line, "the server did not start"
            threading.Thread(target=running.stdout.read, daemon=True).start()  # or its pipe would fill
            yield running, "http://" + line.split("http://")[1].split("/")[0]
        finally:
            running.kill()


@dataclass
class Told:
    """What the server acknowledged: ids that it has, that it forgot, and that it may or may not have forgotten."""

    added: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)

    def join(self, other: "Told") -> None:
        """Take in what another server acknowledged later."""
        self.added |= other.added
        self.forgotten |= other.forgotten
        self.unsure |= other.unsure


def trial(gallery: Path, model: Path, rng: random.Random, before: Told) -> Told:
    """One server: asked for what the one before acknowledged, fed, killed. Returns what this one acknowledged.

    Raises:
        AssertionError: something that was acknowledged is not there, or something forgotten is.
    """
    colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(400)]
    served = process("--gallery", gallery, "--model", model, "--uploads")
    with served as (running, address), Client(address) as client, ThreadPoolExecutor(CLIENTS) as pool:
        check(client, before)
        told = Told()

        def send(number: int) -> None:
            with suppress(ServerError):
                identity = client.add(encoded(Image.new("RGB", (20 + number % 90, 30), colours[number]))).id
                told.added.add(identity)
                if number % 3 == 0:
                    told.added.discard(identity)
                    told.unsure.add(identity)
                    client.forget(identity)
                    told.unsure.discard(identity)
                    told.forgotten.add(identity)

        waiting = [pool.submit(send, number) for number in range(len(colours))]
        while not told.added:
            time.sleep(0.005)  # the first picture waits for a decoding process to start
            assert running.poll() is None, "the server ended by itself"
        time.sleep(rng.uniform(0, LONGEST))
        running.kill()
        for each in waiting:
            each.result()
    return told


def check(client: Client, told: Told) -> None:
    """Ask a server for all that was acknowledged."""
    for identity in told.added:
        assert client.details(identity)["id"] == identity
        assert client.picture(identity)
    for identity in told.forgotten:
        with suppress(ServerError):
            client.details(identity)
            raise AssertionError(f"{identity} was forgotten and is there again")


def sound(gallery: Path, model: Path, told: Told, kills: int) -> None:
    """The gallery itself, opened without a server, is whole; each kill may leave what nobody was told of any more."""
    with Gallery.open(gallery, model=AraCLIP(model, threads=1)) as opened:
        assert opened.verify() == []
        assert len(told.added) <= len(opened) <= len(told.added) + len(told.unsure) + CLIENTS * kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, told, last, began = random.Random(arguments.seed), Told(), Told(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        gallery, model = Path(folder) / "gallery", write_tiny_model(Path(folder) / "model")
        with Gallery.open(gallery, model=AraCLIP(model, threads=1), create=True):
            pass
        for number in range(arguments.trials):
            last = trial(gallery, model, rng, last)
            told.join(last)
            print(f"{number}: {len(last.added)} added, {len(last.forgotten)} forgotten, then killed", flush=True)
        with process("--gallery", gallery, "--model", model) as (_, address), Client(address) as client:
            check(client, told)
        sound(gallery, model, told, arguments.trials)
    print(
        f"{arguments.trials} kills, {len(told.added)} pictures kept, {len(told.forgotten)} forgotten, "
        f"{len(told.unsure)} in between, 0 lost, {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
