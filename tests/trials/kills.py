"""Kill commands that write a gallery (SIGKILL) at random moments, and see whether anything announced is lost.

    PYTHONPATH=src python tests/trials/kills.py --kills 1000 --seed 0

Each round has a gallery of its own, a folder of small pictures that changes between kills, and 20 kills of one kind:

- `index`: `araclip index`;
- `update`: `Gallery.update` of a program;
- `watch`: `araclip watch`, while the folder changes;
- `serve`: a server with `--uploads` that is sent pictures and queries, while `araclip index` of the same gallery by
  another process is killed three times beside it, then the server itself.

Half of the kills come right after a random step of the command (a commit, a rename, a flush), up to 20 ms late, the
others after a random time. After each kill a new process opens the gallery. Counted as

- `lost`: a picture whose upload was answered 201, or that a commit reported and whose file is unchanged, is missing;
- `not opened`: the gallery cannot be opened, or a search fails;
- `wrong`: a search differs from that of a clean gallery of the same pictures: other pictures or other scores;
- `repaired`: `verify` found a fault that `repair` mended; `faulty`: one that stayed;
- `failed`: a command that was not killed ended with an error.

At the end of a round an undisturbed update must leave exactly the folder and the uploads in the catalogue, else it is
`not finished`. The commands are forked from this process, which saves their imports; the model is the tests' own.
Exit code 1 if any of these but `repaired` was counted.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from crash.story import pictures_bytes
from trials.killed_gallery import FILE_NAME, FILES, QUERIES, UPLOADS, KilledGallery, Scores

from araclip import AraCLIP, Gallery
from forked import Forked, Send
from pictures import written
from tiny import write_tiny_model

KINDS = {"index": 0.3, "update": 0.2, "watch": 0.2, "serve": 0.3}  # shares of the kills
KILLS_A_ROUND = 20
INDEXERS = 3  # killed beside a server, before the server itself
LONGEST_S = 20.0  # of a command that is killed after a time
WATCHED_S = 2.5  # at most
FAULTS = ("lost", "not opened", "wrong", "faulty", "failed", "not finished")


class Killer:
    """Kills commands of one kind, and counts what they left."""

    def __init__(self, kind: str, rng: random.Random, scores: Scores) -> None:
        self.kind, self.rng, self.scores = kind, rng, scores
        self.tally = Counter[str]()
        self.took, self.steps = 0.5, 12  # of the last command that ended

    def round(self, gallery: KilledGallery, kills: int) -> None:
        """Kill `kills` commands, and more by up to four, then let one end."""
        until = self.tally["kills"] + kills
        while self.tally["kills"] < until:
            gallery.change(12 if not gallery.folder.exists() else 5)
            if self.kind == "serve":
                self._serve(gallery)
                continue
            running = getattr(gallery, self.kind)()
            if self.kind == "watch":
                self._change_meanwhile(gallery, running)
            else:
                self._wait_for_moment(running)
            self._kill(running)
            self._inspect(lambda send: gallery.inspect(self.scores, True, send), gallery)
        self._inspect(gallery.finish, gallery)
        self.tally["uploads"] += len(gallery.uploaded)

    def _wait_for_moment(self, running: Forked) -> None:
        """Return right after a random step, up to 20 ms late, or after a random time, or when it has ended."""
        begun = time.monotonic()
        at, late = self.rng.randrange(self.steps + 1), self.rng.uniform(0, 0.02)
        after = self.rng.uniform(0, 1.2 * self.took) if self.rng.random() < 0.5 else LONGEST_S
        while not running.ended and time.monotonic() - begun < after:
            if after == LONGEST_S and running.steps >= at:
                time.sleep(late)
                return
            running.read(0.005)
        if running.ended:
            self.took, self.steps = min(time.monotonic() - begun, LONGEST_S / 2), max(1, running.steps)

    def _change_meanwhile(self, gallery: KilledGallery, running: Forked) -> None:
        until = time.monotonic() + self.rng.uniform(0.05, WATCHED_S)
        while time.monotonic() < until and not running.ended:
            running.read(self.rng.uniform(0, 0.15))
            gallery.change(2)

    def _serve(self, gallery: KilledGallery) -> None:
        """Kill indexing processes beside a server that takes uploads, then the server."""
        if not (gallery.gallery / FILE_NAME).is_file():
            gallery.update().wait()  # a server does not create a gallery
        server = gallery.serve()
        while not server.ended and not (address := server.told("address ")):
            server.read(0.1)
        client = gallery.uploads(address)
        for last in (*[False] * INDEXERS, True):
            gallery.change()
            beside = gallery.index()
            client.read(self.rng.uniform(0, 0.5))
            self._wait_for_moment(beside)
            client.read(0)
            if last:
                self._kill(server)
                client.wait()
            self._kill(beside)
            self._inspect(lambda send, alone=last: gallery.inspect(self.scores, alone, send), gallery)

    def _kill(self, running: Forked) -> None:
        running.read(0)
        self.tally["ended before" if running.ended else "kills"] += 1
        running.kill()
        self.tally["commits"] += running.lines.count("step committed")
        for before, line in pairwise(["", *running.lines]):
            if line.startswith(("exit ", "error ")):
                self._fault("failed", f"{line} {before}")

    def _inspect(self, work: Callable[[Send], None], gallery: KilledGallery) -> None:
        looking = Forked(work, gallery.hear)
        looking.wait()
        if error := looking.told("error "):
            self._fault("not opened", error)
        for line in looking.lines:
            if line.startswith("count "):
                what, _, detail = line.removeprefix("count ").partition(": ")
                self._fault(what, detail)

    def _fault(self, what: str, detail: str) -> None:
        self.tally[what] += 1
        print(f"{self.kind}, after {self.tally['kills']} kills: {what}: {detail[:1500]}", flush=True)


def reference(folder: Path, model: Path) -> Scores:
    """The score of each picture in a clean gallery, for each query."""
    scores: Scores = {number: [] for number in (*FILES, *UPLOADS)}

    def work(send: Send) -> None:
        with Gallery.open(folder / "gallery", model=AraCLIP.load(model, threads=1), create=True) as opened:
            opened.update([folder / "pictures"])
            for query in QUERIES:
                for hit in opened.search(query, len(scores)):
                    send(f"{Path(hit.path).stem} {hit.score!r}")

    def hear(line: str) -> None:
        number, _, score = line.partition(" ")
        scores[int(number)].append(float(score))

    for number in scores:
        written(folder / "pictures" / f"{number}.png", pictures_bytes(number))
    Forked(work, hear).wait()
    assert all(len(known) == len(QUERIES) for known in scores.values()), "the clean gallery does not find all"
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, action="append", help="of these kinds; all by default")
    options = parser.parse_args()
    begun, total = time.monotonic(), Counter[str]()
    columns = ("kills", "ended before", "commits", "uploads", "repaired", *FAULTS)
    lines = []
    with tempfile.TemporaryDirectory(prefix="araclip-kills-") as temporary:
        folder = Path(temporary)
        os.environ["ARACLIP_DATA"] = str(folder / "data")
        model = write_tiny_model(folder / "model")
        scores = reference(folder / "clean", model)
        shares = {kind: KINDS[kind] for kind in options.only or KINDS}
        for kind, share in shares.items():
            count = round(options.kills * share / sum(shares.values()))
            killer = Killer(kind, random.Random(f"{options.seed} {kind}"), scores)
            while killer.tally["kills"] < count:
                root = Path(tempfile.mkdtemp(dir=folder))
                killer.round(KilledGallery(root, model, killer.rng), min(KILLS_A_ROUND, count - killer.tally["kills"]))
                shutil.rmtree(root)
            lines.append(f"| {kind} | {' | '.join(str(killer.tally[column]) for column in columns)} |")
            print(f"{lines[-1]}  {time.monotonic() - begun:.0f} s", flush=True)
            total += killer.tally
    print("", f"| killed | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}", *lines, sep="\n")
    faults = sum(total[fault] for fault in FAULTS)
    print(f"{total['kills']} kills, {faults} faults, seed {options.seed}, {time.monotonic() - begun:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
