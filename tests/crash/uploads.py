"""Kill a server during uploads, restart it, and check that nothing it acknowledged is lost.

    python tests/crash/uploads.py --trials 100 --seed 0

In each trial several clients upload pictures and remove every third one again, until the server is killed (SIGKILL) at
a random moment. The next server over the same gallery must have every picture whose upload was acknowledged and whose
removal was not requested, and none whose removal was acknowledged. Pictures of earlier trials stay; at the end all are
requested, and `verify` must find no fault.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

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
            threading.Thread(target=running.stdout.read, daemon=True).start()  # so that its pipe does not fill
            yield running, "http://" + line.split("http://")[1].split("/")[0]
        finally:
            running.kill()


@dataclass
class Acknowledged:
    """Ids that the server acknowledged as added or removed, and `unsure` ones, whose removal it did not confirm."""

    added: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)

    def join(self, other: "Acknowledged") -> None:
        """Add the ids of a later server."""
        self.added |= other.added
        self.forgotten |= other.forgotten
        self.unsure |= other.unsure


def trial(gallery: Path, model: Path, rng: random.Random, before: Acknowledged) -> Acknowledged:
    """Start a server, check the earlier one's ids, upload, kill it; returns the ids that it acknowledged.

    Raises:
        AssertionError: an acknowledged picture is missing, or a removed one exists.
    """
    colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(400)]
    served = process("--gallery", gallery, "--model", model, "--uploads")
    with served as (running, address), Client(address) as client, ThreadPoolExecutor(CLIENTS) as pool:
        check(client, before)
        acknowledged = Acknowledged()

        def send(number: int) -> None:
            with suppress(ServerError):
                identity = client.add(encoded(Image.new("RGB", (20 + number % 90, 30), colours[number]))).id
                acknowledged.added.add(identity)
                if number % 3 == 0:
                    acknowledged.added.discard(identity)
                    acknowledged.unsure.add(identity)
                    client.forget(identity)
                    acknowledged.unsure.discard(identity)
                    acknowledged.forgotten.add(identity)

        waiting = [pool.submit(send, number) for number in range(len(colours))]
        while not acknowledged.added:
            time.sleep(0.005)  # the first picture waits for a decoding process to start
            assert running.poll() is None, "the server ended by itself"
        time.sleep(rng.uniform(0, LONGEST))
        running.kill()
        for each in waiting:
            each.result()
    return acknowledged


def check(client: Client, acknowledged: Acknowledged) -> None:
    """Check that a server has all added pictures, and none that was removed."""
    for identity in acknowledged.added:
        assert client.details(identity)["id"] == identity
        assert client.picture(identity)
    for identity in acknowledged.forgotten:
        with suppress(ServerError):
            client.details(identity)
            raise AssertionError(f"{identity} was removed and exists again")


def sound(gallery: Path, model: Path, acknowledged: Acknowledged, kills: int) -> None:
    """Check the gallery itself; each kill may leave pictures that were not acknowledged."""
    with Gallery.open(gallery, model=AraCLIP(model, threads=1)) as opened:
        assert opened.verify() == []
        assert (
            len(acknowledged.added)
            <= len(opened)
            <= len(acknowledged.added) + len(acknowledged.unsure) + CLIENTS * kills
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, acknowledged, last, began = random.Random(arguments.seed), Acknowledged(), Acknowledged(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        gallery, model = Path(folder) / "gallery", write_tiny_model(Path(folder) / "model")
        with Gallery.open(gallery, model=AraCLIP(model, threads=1), create=True):
            pass
        for number in range(arguments.trials):
            last = trial(gallery, model, rng, last)
            acknowledged.join(last)
            print(f"{number}: {len(last.added)} added, {len(last.forgotten)} forgotten, then killed", flush=True)
        with process("--gallery", gallery, "--model", model) as (_, address), Client(address) as client:
            check(client, acknowledged)
        sound(gallery, model, acknowledged, arguments.trials)
    print(
        f"{arguments.trials} kills, {len(acknowledged.added)} pictures kept, {len(acknowledged.forgotten)} forgotten, "
        f"{len(acknowledged.unsure)} in between, 0 lost, {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
