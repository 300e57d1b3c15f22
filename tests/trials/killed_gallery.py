"""A gallery whose writers are killed, its changing folder, the commands that write it, and what must be in it.

The commands are forked from the process that imports this module, which saves their imports; no process with threads
may be forked, so it must open no gallery itself.
"""

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"  # before NumPy starts threads
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import faiss  # noqa: F401  (loaded once)
import onnxruntime  # noqa: F401
import watchfiles  # noqa: F401
from crash.story import QUERIES as ALL_QUERIES
from crash.story import pictures_bytes

import araclip.cli.commands
import araclip.server.run
from araclip import AraCLIP, Client, Gallery
from araclip.cli import main as command_line
from araclip.core import atomic
from araclip.errors import AraCLIPError
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.ingest import intake, watch
from araclip.server.settings import Settings
from catalog_file import edited
from forked import Forked, Send

FILES, UPLOADS = range(200), range(200, 500)  # numbers of the pictures
MOST_FILES = 40
# A minus of weight 1 leaves out what is outstanding in each gallery, a smaller one only pushes away.
QUERIES = tuple(query.replace(" - ", " - 0.5:") for query in ALL_QUERIES)

Scores = dict[int, list[float]]  # of each picture in a clean gallery, for each of QUERIES


def hash_of(number: int) -> str:
    """The SHA-256 of a picture."""
    return hashlib.sha256(pictures_bytes(number)).hexdigest()


NUMBERS = {hash_of(number): number for number in (*FILES, *UPLOADS)}


def rows_of(gallery: Path) -> dict[str, str]:
    """Path → hash of each row of a catalogue."""
    with closing(edited(gallery)) as database:
        rows = database.execute("SELECT path, hash FROM files JOIN contents ON id = content").fetchall()
    return {os.fsdecode(path): digest.hex() for path, digest in rows}


def on_disk(path: str) -> str:
    """The hash of a file, empty if there is none."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


@dataclass
class KilledGallery:
    """A gallery, its folder, and what must be in it."""

    root: Path
    model: Path
    rng: random.Random
    announced: dict[str, str] = field(default_factory=dict)  # path → hash, as the last commit reported it
    uploaded: set[str] = field(default_factory=set)  # hashes

    @property
    def gallery(self) -> Path:
        return self.root / "gallery"

    @property
    def folder(self) -> Path:
        return self.root / "صور"

    def change(self, count: int = 5) -> None:
        """Add, edit, rename, copy or delete some pictures of the folder."""
        self.folder.mkdir(exist_ok=True)
        for _ in range(self.rng.randrange(1, count + 1)):
            here = sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
            name = self.folder / f"{self.rng.randrange(10**6)} 🏖️.png"
            how = self.rng.choice(
                ("add", "add", "edit", "rename", "copy", "delete") if 8 < len(here) < MOST_FILES else ("add",)
            )
            some = self.rng.choice(here) if here else name
            if how in ("add", "edit"):
                target = name if how == "add" else some
                hidden = self.folder / f".{target.name}"
                hidden.write_bytes(pictures_bytes(self.rng.choice(FILES)))
                hidden.replace(target)
            elif how == "rename":
                some.rename(name)
            elif how == "copy":
                shutil.copyfile(some, name)
            else:
                some.unlink()
        here = sorted(self.folder.iterdir())
        for path in self.rng.sample(here, len(here) - 12) if len(here) >= MOST_FILES else ():
            path.unlink()

    def hear(self, line: str) -> None:
        """Take note of a line of a command's report."""
        word, _, rest = line.partition(" ")
        if word == "state":
            self.announced = json.loads(rest)
        elif word == "added":
            self.uploaded.add(rest)

    # ------------------------------------------------------------------ the commands, each in a process of its own

    def hooked(self, work: Callable[[Send], None]) -> Callable[[Send], None]:
        """`work`, which then reports its steps and what its commits made visible."""

        def hooked(send: Send) -> None:
            intake.COMMIT_EVERY = 4
            watch.QUIET_MS, watch.GATHER_MS, watch.WAKE_MS = 20, 60, 60

            def step(name: str) -> None:
                if name == "committed":
                    send(f"state {json.dumps(rows_of(self.gallery))}")
                send(f"step {name}")

            atomic.step = step
            work(send)

        return hooked

    def index(self) -> Forked:
        return Forked(self.hooked(lambda send: self._command("index")), self.hear)

    def watch(self) -> Forked:
        return Forked(self.hooked(lambda send: self._command("watch")), self.hear)

    def update(self) -> Forked:
        def work(send: Send) -> None:
            with Gallery.open(self.gallery, model=AraCLIP.load(self.model, threads=1), create=True) as opened:
                opened.update([self.folder])

        return Forked(self.hooked(work), self.hear)

    def serve(self) -> Forked:
        settings = {"gallery": self.gallery, "model": str(self.model), "port": 0, "uploads": True, "decoders": 1}

        def work(send: Send) -> None:
            araclip.server.run.serve(Settings.read(**settings), ready=lambda address: send(f"address {address}"))

        return Forked(work, self.hear)

    def uploads(self, address: str) -> Forked:
        """Uploads pictures, and searches after every second one, until the server is gone."""
        left = [number for number in UPLOADS if hash_of(number) not in self.uploaded]
        self.rng.shuffle(left)

        def work(send: Send) -> None:
            with Client(address) as client:
                for count, number in enumerate(left):
                    try:
                        client.add(pictures_bytes(number))
                        send(f"added {hash_of(number)}")
                        if count % 2:
                            client.search(QUERIES[count // 2 % len(QUERIES)])
                    except AraCLIPError as error:
                        send(f"refused {error}")
                        return

        return Forked(work, self.hear)

    def _command(self, name: str) -> None:
        options = ["--gallery", str(self.gallery), "--model", str(self.model), "--json"]
        sys.argv = ["araclip", name, str(self.folder), *options]
        command_line()

    # ------------------------------------------------------------------ what is left

    def inspect(self, scores: Scores, alone: bool, send: Send) -> None:
        """Report what is lost or wrong; without `alone` a server writes meanwhile, and searches are not compared."""
        if not (self.gallery / FILE_NAME).is_file():
            send("count lost: the catalogue" if self.announced or self.uploaded else "not created yet")
            return
        created = bool(self.announced or self.uploaded)  # else it may have been killed before its tables were there
        with Gallery.open(self.gallery, model=AraCLIP.load(self.model, threads=1), create=not created) as opened:
            rows = rows_of(self.gallery)
            unchanged = {path: digest for path, digest in self.announced.items() if on_disk(path) == digest}
            gone = [path for path, digest in unchanged.items() if rows.get(path) != digest]
            gone += sorted(self.uploaded - set(rows.values()))
            if gone:
                send(f"count lost: {gone}")
            if not alone:
                opened.search(QUERIES[0], 10)
                send(f"state {json.dumps(rows)}")
                return
            if faults := [fault for fault in opened.verify() if fault.repairable]:
                opened.repair()
                left = [fault for fault in opened.verify() if fault.repairable]
                send(f"count {'faulty' if left else 'repaired'}: {left or faults}")
                rows = rows_of(self.gallery)
            visible = {
                path: NUMBERS[digest]
                for path, digest in rows.items()
                if path.startswith(STORED_PREFIX) or on_disk(path)
            }
            for place, query in enumerate(QUERIES):
                found = {path: hit.score for hit in opened.search(query, 1000) for path in (hit.path, *hit.copies)}
                if set(found) != set(visible) or any(
                    abs(score - scores[visible[path]][place]) > 1e-6 for path, score in found.items()
                ):
                    send(f"count wrong: {query}: {set(found) ^ set(visible) or found}")
                    break
            send(f"state {json.dumps(rows)}")  # what a commit left that could not report any more

    def finish(self, send: Send) -> None:
        """Synchronise undisturbed: the catalogue then holds the folder and the uploads, nothing else."""
        with Gallery.open(self.gallery, model=AraCLIP.load(self.model, threads=1), create=True) as opened:
            opened.update([self.folder])
            faults = opened.verify()
        rows = rows_of(self.gallery)
        files = {path: digest for path, digest in rows.items() if not path.startswith(STORED_PREFIX)}
        folder = {str(path): on_disk(str(path)) for path in self.folder.iterdir() if not path.name.startswith(".")}
        if files != folder or faults or not self.uploaded <= set(rows.values()):
            send(f"count not finished: {faults} {set(files.items()) ^ set(folder.items())}")
