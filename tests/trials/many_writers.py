"""Two indexers, a server that indexes and takes uploads, and a watcher write one gallery at once; nothing may be lost.

    PYTHONPATH=src python tests/trials/many_writers.py --rounds 20
    PYTHONPATH=src python tests/trials/many_writers.py --rounds 5 --busy 8     # with 8 processes that only compute

Each round begins with an empty gallery and four folders of pictures, and starts `araclip index` on two of them,
`araclip serve --index --watch --uploads` on the third and `araclip watch` on the fourth, all on one gallery. While they
work, files appear, move and vanish in the last two folders, and pictures are uploaded and removed. When the gallery has
what it must have, the server gets SIGTERM and the watcher SIGHUP. A round is right when every command ended as it
should, `verify` finds no fault, and the gallery has every file and every upload that was acknowledged, and nothing
else. Prints a Markdown row.
"""

import argparse
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from crash.story import pictures_bytes
from crash.uploads import SOURCE, process

import pictures
from araclip import AraCLIP, Gallery
from araclip.client import Client
from araclip.errors import ServerError
from tiny import write_tiny_model

PATIENCE = 900  # seconds until a round that makes no progress has failed


@dataclass
class Round:
    """What a round did, and what was wrong."""

    faults: list[str] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)  # seconds until each was acknowledged
    refused: int = 0
    seconds: float = 0.0
    longest_silence: float = 0.0  # seconds in which the number of pictures did not change before the end
    pictures: int = 0


def spin() -> None:
    while True:
        pass


def waited(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.2)
    return True


def numbered(folder: Path, numbers: range) -> None:
    for number in numbers:
        pictures.written(folder / f"{number}.png", pictures_bytes(number))


def disturb(folder: Path, rng: random.Random, first: int) -> None:
    """Add, move and remove some files of a folder that is watched."""
    files = sorted(folder.glob("*.png"))
    for number, path in enumerate(rng.sample(files, min(12, len(files)))):
        match number % 3:
            case 0:
                path.unlink()
            case 1:
                path.rename(folder / f"moved {path.name}")
            case _:
                pictures.written(folder / f"{first + number}.png", pictures_bytes(first + number))
        time.sleep(rng.uniform(0, 0.3))


def upload(client: Client, done: Round, first: int, count: int) -> set[int]:
    """Upload pictures, remove every fourth again; returns the numbers of those that must be there."""
    there = set()
    for number in range(first, first + count):
        began, identity = time.monotonic(), ""
        while not identity:
            try:
                identity = client.add(pictures_bytes(number)).id
            except ServerError as error:
                if error.status != 409:
                    raise
                done.refused += 1
                time.sleep(error.retry_after or 1)
        done.uploads.append(time.monotonic() - began)
        there.add(number)
        if number % 4 == 0:
            with suppress(ServerError):
                client.forget(identity)
                there.discard(number)
    return there


def trial(folder: Path, model: Path, rng: random.Random, size: int) -> Round:
    """One round; see the beginning of this file."""
    done, began, place = Round(), time.monotonic(), folder / "gallery"
    roots = [folder / name for name in ("first", "second", "served", "watched")]
    for number, root in enumerate(roots):
        numbered(root, range(1000 * number, 1000 * number + size))
    options = ("-g", str(place), "--model", str(model))
    command = [sys.executable, "-m", "araclip.cli"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "ARACLIP_DATA": str(folder / "data")}

    def started(*arguments: str) -> "subprocess.Popen[str]":
        started_command, quiet = [*command, *arguments, *options], subprocess.DEVNULL
        return stack.enter_context(
            subprocess.Popen(started_command, env=environment, text=True, stdout=quiet, stderr=subprocess.PIPE)
        )

    with ExitStack() as stack:
        Gallery.open(place, model=AraCLIP(model, threads=1), create=True).close()
        watcher = started("watch", str(roots[3]))
        indexers = [started("index", str(root)) for root in roots[:2]]
        server, address = stack.enter_context(
            process("--gallery", place, "--model", model, "--index", roots[2], "--watch", "--uploads")
        )
        client = stack.enter_context(Client(address, timeout=120))
        disturbers = [
            threading.Thread(target=disturb, args=(root, random.Random(rng.random()), 20_000 + 1000 * number))
            for number, root in enumerate(roots[2:])
        ]
        for each in disturbers:
            each.start()
        uploaded = upload(client, done, 50_000, 30)
        for each in disturbers:
            each.join()
        for indexer in indexers:
            _, said = indexer.communicate(timeout=PATIENCE)
            if indexer.returncode:
                done.faults.append(f"index ended with {indexer.returncode}: {said[-300:]}")
        wanted = {str(path) for root in roots for path in root.glob("*.png")}
        last, changed = -1, time.monotonic()

        def complete() -> bool:
            nonlocal last, changed
            count = client.stats()["pictures"]
            if count != last:
                done.longest_silence = max(done.longest_silence, time.monotonic() - changed)
                last, changed = count, time.monotonic()
            return bool(count == len(wanted) + len(uploaded))

        if not waited(complete):
            done.faults.append(f"{last} pictures, {len(wanted) + len(uploaded)} expected")
        server.send_signal(signal.SIGTERM)
        watcher.send_signal(signal.SIGHUP)
        _, said = watcher.communicate(timeout=PATIENCE)
        if watcher.returncode != 128 + signal.SIGHUP or "Traceback" in said:
            done.faults.append(f"watch ended with {watcher.returncode}: {said[-300:]}")
        if server.wait(PATIENCE) != 0:
            done.faults.append(f"serve ended with {server.returncode}")
    with Gallery.open(place, model=AraCLIP(model, threads=1)) as gallery:
        done.faults += map(str, gallery.verify(contents=True))
        found = {path for hit in gallery.search("صورة", 100_000) for path in (hit.path, *hit.copies)}
        stored = {path for path in found if path.startswith("picture:")}
        done.faults += [f"lost: {path}" for path in sorted(wanted - found)]
        done.faults += [f"not removed: {path}" for path in sorted(found - stored - wanted)]
        if len(stored) != len(uploaded):
            done.faults.append(f"{len(stored)} uploads are there, {len(uploaded)} were acknowledged")
        done.pictures = len(gallery)
    done.seconds = time.monotonic() - began
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=300, help="in each of the four folders")
    parser.add_argument("--busy", type=int, default=0, help="processes that only compute")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, rounds = random.Random(given.seed), list[Round]()
    spinners = [multiprocessing.Process(target=spin, daemon=True) for _ in range(given.busy)]
    for spinner in spinners:
        spinner.start()
    try:
        for number in range(given.rounds):
            with tempfile.TemporaryDirectory() as folder:
                model = write_tiny_model(Path(folder) / "model")
                rounds.append(trial(Path(folder), model, rng, given.pictures))
            last = rounds[-1]
            about = f"{last.pictures} pictures in {last.seconds:.0f} s, {len(last.faults)} faults"
            print(f"{number}: {about}", file=sys.stderr)
            for fault in last.faults:
                print(f"   {fault}", file=sys.stderr)
    finally:
        for spinner in spinners:
            spinner.kill()
    uploads = [seconds for each in rounds for seconds in each.uploads]
    print(
        f"| {given.busy} | {given.rounds} | {sum(each.pictures for each in rounds):,} "
        f"| {sum(bool(each.faults) for each in rounds)} | {statistics.median(each.seconds for each in rounds):.0f} "
        f"| {max(each.longest_silence for each in rounds):.1f} "
        f"| {statistics.median(uploads):.2f} / {max(uploads):.2f} | {sum(each.refused for each in rounds)} |"
    )
    raise SystemExit(any(each.faults for each in rounds))


if __name__ == "__main__":
    main()
