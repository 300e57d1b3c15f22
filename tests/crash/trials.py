"""Kill a gallery's owner anywhere, open the gallery again, and see that nothing is lost.

    python tests/crash/trials.py --trials 1000 --seed 0

Each trial plays a story (update, add, remove, compact, reembed, repair, export, salvage on real files with a real, tiny
model) in a process that is killed with SIGKILL: three times of four before one of the numbered points of `atomic.step`
and of SQLite's statements, else after a random time. Then

- the catalogue must hold exactly what the undisturbed story held after the last commit that the dead process spoke of,
  or after the next one, if the kill fell between the commit and the word;
- `verify` must find nothing broken, and searches every picture that is committed;
- the story goes on (killed once more in a third of the trials), and at its end searches, catalogue and export must
  be those of the undisturbed story, scores to the last bit.
"""

import argparse
import contextlib
import faulthandler
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"  # before NumPy starts any: a process with threads must not be forked
sys.path.insert(0, str(Path(__file__).parent.parent))

import faiss  # noqa: F401  (all that a trial needs, loaded once; the processes are forked from this one)
import onnxruntime  # noqa: F401
from PIL import Image

from araclip import atomic
from araclip.gallery.catalog import schema
from araclip.gallery.catalog.schema import FILE_NAME
from crash.story import Act, Stage, pictures_bytes, story
from tiny import write_tiny_model

TRIALS_A_STORY = 20
PATIENCE = 600  # seconds: whoever hangs so long says where; a busy machine may stop us for minutes
WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE", "ALTER", "VACUUM", "PRAGMA")


@dataclass
class Told:
    """What a process said before it ended, by itself or not."""

    act: int = -1
    commits: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    ended: bool = False
    error: str = ""
    seconds: float = 0.0


def played(stage: Stage, acts: list[Act], first: int, *, kill_at: int = 0, kill_after: float = 0.0) -> Told:
    """Play the acts from `first` on in a process of its own, killed before its `kill_at`-th point or after a time."""

    def play(say: Callable[[str], None]) -> None:
        count = 0

        def tell() -> None:
            if (stage.place / FILE_NAME).is_file():  # while a repair is under way, there is none
                say(f"committed {stage.state()}")

        def point(name: str) -> None:
            nonlocal count
            if name in ("committed", "transaction ended"):
                tell()
            count += 1
            say(f"point {name}")
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        class Watched(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if (word := sql.split(maxsplit=1)[0] if sql.strip() else "") in WRITES:
                    point(word)
                return super().execute(sql, *values)

            def __exit__(self, *error: Any) -> Any:
                point("end of transaction")
                ended = super().__exit__(*error)
                point("transaction ended")
                return ended

        # Not a trace callback: it would wait for the GIL inside SQLite's mutex, and other threads the other way round.
        sqlite3.connect = partial(sqlite3.connect, factory=Watched)
        atomic.step = point
        for number in range(first, len(acts)):
            say(f"act {number}")
            stage.perform(acts[number])
            tell()  # salvage commits without a word

    return in_a_process(play, kill_after)


def in_a_process(work: Callable[[Callable[[str], None]], None], kill_after: float = 0.0) -> Told:
    """Run `work` in a forked process, and read what it says."""
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            work(lambda line: os.write(writer, f"{line}\n".encode()) and None)
            os.write(writer, b"end\n")
        except BaseException:
            os.write(writer, f"error {traceback.format_exc()!r}\n".encode())
        os._exit(0)
    os.close(writer)
    raw = b""
    with contextlib.closing(os.fdopen(reader, "rb", buffering=0)) as stream:
        while True:
            left = start + kill_after - time.monotonic() if kill_after else None
            if left is not None and (left <= 0 or not select.select([stream], [], [], left)[0]):
                os.kill(child, signal.SIGKILL)
                kill_after = 0.0
                continue
            more = stream.read(1 << 16)
            if not more:
                break
            raw += more
    os.waitpid(child, 0)
    return _told(raw.decode(), time.monotonic() - start)


def _told(text: str, seconds: float) -> Told:
    told = Told(seconds=seconds)
    for line in text.splitlines():
        what, _, rest = line.partition(" ")
        if what == "act":
            told.act = int(rest)
        elif what == "committed":
            if not told.commits or told.commits[-1] != rest:
                told.commits.append(rest)
        elif what == "point":
            told.points.append(rest)
        elif what == "end":
            told.ended = True
        elif what == "error":
            told.error = rest
    return told


def fault_of(stage: Stage, act: Act, allowed: set[str]) -> str:
    """What is wrong after a kill; empty when all is well."""

    def look(say: Callable[[str], None]) -> None:
        if not (stage.place / FILE_NAME).is_file() and (stage.place / schema.DAMAGED_NAME).is_file():
            assert act.name == "salvage", "the catalogue is gone"
            stage.salvage()
        state = stage.state()
        assert state in allowed, f"the catalogue holds {state}, which was never committed then"
        if stage.paths():
            with stage.gallery() as opened:
                broken = [fault for fault in opened.verify() if fault.repairable and act.name != "repair"]
                assert not broken, f"broken: {broken}"
                assert act.name == "repair" or stage.found() == stage.there(), "a committed picture is not found"

    return in_a_process(look).error


def ending(stage: Stage) -> tuple[Any, ...]:
    """What a story comes to: catalogue, answers, export."""
    with tempfile.TemporaryFile() as kept:

        def look(say: Callable[[str], None]) -> None:
            kept.write(repr((stage.state(), stage.answers(), stage.exported(), stage.faults())).encode())
            kept.flush()

        told = in_a_process(look)
        assert told.ended, told.error
        kept.seek(0)
        return (kept.read().decode(),)


class Life:
    """One story played undisturbed: what its trials are measured against."""

    def __init__(self, seed: int, room: Path, models: tuple[Path, Path]) -> None:
        self.acts, self.models, self.room = story(seed), models, room
        for number in {number for act in self.acts for number in act.disk.values()}:
            pictures_bytes(number)  # drawn once, for all the processes to come
        self.nothing = Stage(room / "nothing", models).state()
        self.empty = played(Stage(room / "empty", models), [Act("create", {})], 0).commits[-1]
        self.told = played(stage := Stage(room / "undisturbed", models), self.acts, 0)
        assert self.told.ended, self.told.error
        self.ending = ending(stage)

    def trial(self, drawn: random.Random, tally: Counter[str]) -> str:
        """One kill, or two, and what was wrong afterwards."""
        root = self.room / "trial"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        stage, first = Stage(root, self.models), 0
        before = stage.state()
        for kill in range(1 + (drawn.random() < 1 / 3)):
            if kill or drawn.random() < 3 / 4:
                at = drawn.randrange(1, len(self.told.points) + 1)
                told, how = played(stage, self.acts, first, kill_at=at), f"at point {at}"
            else:
                after = drawn.uniform(0.0, self.told.seconds)
                told, how = played(stage, self.acts, first, kill_after=after), f"after {after:.3f} s"
            if told.error:
                return f"{how}: {told.error}"
            if told.ended:
                tally["over before the kill"] += 1
                break
            name = self.acts[max(told.act, 0)].name
            tally[f"killed in {name}"] += 1
            tally[
                f"killed before {told.points[-1] if told.points else 'the first point'}" if "at" in how else how[:5]
            ] += 1
            allowed = self._allowed(told, before, kill)
            if fault := fault_of(stage, self.acts[max(told.act, 0)], allowed):
                return f"{how}, in {name}: {fault}"
            first, before = max(told.act, first), stage.state()
        if not told.ended:
            told = played(stage, self.acts, first)
            if told.error:
                return f"going on after {how}: {told.error}"
        if (now := ending(stage)) != self.ending:
            return f"after {how} the end differs:\n{now}\n{self.ending}"
        return ""

    def _allowed(self, told: Told, before: str, kill: int) -> set[str]:
        """States the catalogue may be in: the last that was told of, or what comes after it."""
        last = told.commits[-1] if told.commits else before
        if kill:  # at a point, where all commits were told; a resumed run's groups are not the undisturbed one's
            return {last}
        known = [self.nothing, self.empty, *self.told.commits]
        if last == self.nothing:  # a gallery is made without a word
            return set(known[:3])
        return {last, *(after for state, after in pairwise(known) if state == last)}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--trials", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    Image.init()
    drawn, tally, wrong = random.Random(options.seed), Counter[str](), 0
    start, points = time.monotonic(), 0
    memory = Path("/dev/shm")  # a kill is not a power cut: what was written is there, on any file system
    with tempfile.TemporaryDirectory(prefix="araclip-crash-", dir=memory if memory.is_dir() else None) as folder:
        room = Path(folder)
        models = (
            write_tiny_model(room / "models" / "first"),
            write_tiny_model(room / "models" / "second", width=12, seed=1, name="second"),
        )
        for number in range(options.trials):
            if number % TRIALS_A_STORY == 0:
                shutil.rmtree(room / "life", ignore_errors=True)
                seed = drawn.randrange(1 << 30)
                life = Life(seed, room / "life", models)
                points += len(life.told.points)
                print(f"after {number} trials: {wrong} wrong, {time.monotonic() - start:.0f} s", flush=True)
            if fault := life.trial(drawn, tally):
                wrong += 1
                print(f"trial {number}, story {seed}: {fault}", flush=True)
    for what, count in sorted(tally.items()):
        print(f"{count:6} {what}")
    print(
        f"{options.trials} trials of {-(-options.trials // TRIALS_A_STORY)} stories with {points} points, "
        f"{wrong} of them wrong, in {time.monotonic() - start:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
