"""Kill a process that writes a gallery at any point, reopen the gallery, and check that nothing is lost.

    python tests/crash/trials.py --trials 1000 --seed 0

Each trial runs a story (update, add, remove, compact, reembed, repair, export, salvage on real files with a real, tiny
model) in a process that is killed with SIGKILL: in three of four trials at one of the numbered points (calls of
`atomic.step`, statements of SQLite), else after a random time. Then

- the catalogue must equal that of the uninterrupted story after the last commit that the dead process reported, or
  after the next one, if the kill came between the commit and the report;
- `verify` must find no fault, and searches must find every committed picture;
- the story is resumed (and killed once more in a third of the trials), and at its end searches, catalogue and export
  must equal those of the uninterrupted story, with bit-identical scores.
"""

import argparse
import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"  # before NumPy starts threads: a process with threads must not be forked
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import faiss  # noqa: F401  (loaded once; the processes are forked from this one)
import onnxruntime  # noqa: F401
from crash.story import QUERIES, Action, Workspace, pictures_bytes, story
from PIL import Image

from araclip.core import atomic
from araclip.gallery.catalog import schema
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.pictures import plugins
from araclip.text.resources import interpreter
from forked import Forked, Send
from tiny import write_tiny_model

TRIALS_A_STORY = 20
PATIENCE = 600  # seconds until a hanging process prints its stack; a busy machine may stop us for minutes
WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE", "ALTER", "VACUUM", "PRAGMA")


@dataclass
class Report:
    """What a process reported before it ended or was killed."""

    action: int = -1
    commits: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    ended: bool = False
    error: str = ""
    seconds: float = 0.0


def run(
    workspace: Workspace, actions: list[Action], first: int, *, kill_at: int = 0, kill_after: float = 0.0
) -> Report:
    """Run the actions from `first` on in a child process, killed at its `kill_at`-th point or after a time."""

    def work(send: Send) -> None:
        count = 0

        def report_commit() -> None:
            if (workspace.gallery_path / FILE_NAME).is_file():  # there is none during a repair
                send(f"committed {workspace.state()}")

        def point(name: str) -> None:
            nonlocal count
            if name in ("committed", "transaction ended"):
                report_commit()
            count += 1
            send(f"point {name}")
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def watched(method: Callable[..., Any]) -> Callable[..., Any]:
            def run(self: Connection, sql: str, *values: Any) -> Any:
                if (word := sql.split(maxsplit=1)[0] if sql.strip() else "") in WRITES:
                    point(word)
                found = method(self, sql, *values)
                if word == "COMMIT":
                    point("transaction ended")
                return found

            return run

        for name in ("execute", "change", "change_each"):
            setattr(Connection, name, watched(getattr(Connection, name)))
        atomic.step = point
        for number in range(first, len(actions)):
            send(f"action {number}")
            workspace.perform(actions[number])
            report_commit()  # salvage does not report its commits

    return in_a_process(work, kill_after)


def in_a_process(work: Callable[[Send], None], kill_after: float = 0.0) -> Report:
    """Run `work` in a forked process, and read its report."""

    def whole(send: Send) -> None:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        work(send)
        send("end")

    start = time.monotonic()
    child = Forked(whole)
    if kill_after:
        while not child.ended and (left := start + kill_after - time.monotonic()) > 0:
            child.read(left)
        child.kill()
    child.wait()
    return _report(child.lines, time.monotonic() - start)


def _report(lines: list[str], seconds: float) -> Report:
    report = Report(seconds=seconds)
    for line in lines:
        what, _, rest = line.partition(" ")
        if what == "action":
            report.action = int(rest)
        elif what == "committed":
            if not report.commits or report.commits[-1] != rest:
                report.commits.append(rest)
        elif what == "point":
            report.points.append(rest)
        elif what == "end":
            report.ended = True
        elif what == "error":
            report.error = rest
    return report


def fault_of(workspace: Workspace, action: Action, allowed: set[str]) -> str:
    """The fault after a kill; empty if there is none."""

    def inspect(send: Send) -> None:
        if (
            not (workspace.gallery_path / FILE_NAME).is_file()
            and (workspace.gallery_path / schema.DAMAGED_NAME).is_file()
        ):
            assert action.name == "salvage", "the catalogue is gone"
            workspace.salvage()
        state = workspace.state()
        assert state in allowed, f"the catalogue holds {state}, which was never committed then"
        if workspace.paths():
            with workspace.gallery() as opened:
                broken = [fault for fault in opened.verify() if fault.repairable and action.name != "repair"]
                assert not broken, f"broken: {broken}"
                assert action.name == "repair" or workspace.found() == workspace.existing(), (
                    "a committed picture is not found"
                )

    return in_a_process(inspect).error


def ending(workspace: Workspace) -> tuple[Any, ...]:
    """The final state of a story: catalogue, search results, export, faults."""
    with tempfile.TemporaryFile() as file:

        def inspect(send: Send) -> None:
            file.write(
                repr((workspace.state(), workspace.answers(), workspace.exported(), workspace.faults())).encode()
            )
            file.flush()

        report = in_a_process(inspect)
        assert report.ended, report.error
        file.seek(0)
        return (file.read().decode(),)


class Scenario:
    """One story and its uninterrupted run, which trials are compared with."""

    def __init__(self, seed: int, folder: Path, models: tuple[Path, Path]) -> None:
        self.actions, self.models, self.folder = story(seed), models, folder
        for number in {number for action in self.actions for number in action.disk.values()}:
            pictures_bytes(number)  # cached before the processes are forked
        self.nothing = Workspace(folder / "nothing", models).state()
        self.empty = run(Workspace(folder / "empty", models), [Action("create", {})], 0).commits[-1]
        self.report = run(workspace := Workspace(folder / "undisturbed", models), self.actions, 0)
        assert self.report.ended, self.report.error
        self.ending = ending(workspace)

    def trial(self, rng: random.Random, tally: Counter[str]) -> str:
        """Run the story with one or two kills; returns the fault, or an empty text."""
        trial_folder = self.folder / "trial"
        shutil.rmtree(trial_folder, ignore_errors=True)
        trial_folder.mkdir()
        workspace, first = Workspace(trial_folder, self.models), 0
        before = workspace.state()
        for kill in range(1 + (rng.random() < 1 / 3)):
            if kill or rng.random() < 3 / 4:
                at = rng.randrange(1, len(self.report.points) + 1)
                report, how = run(workspace, self.actions, first, kill_at=at), f"at point {at}"
            else:
                after = rng.uniform(0.0, self.report.seconds)
                report, how = run(workspace, self.actions, first, kill_after=after), f"after {after:.3f} s"
            if report.error:
                return f"{how}: {report.error}"
            if report.ended:
                tally["ended before the kill"] += 1
                break
            name = self.actions[max(report.action, 0)].name
            tally[f"killed in {name}"] += 1
            tally[
                f"killed before {report.points[-1] if report.points else 'the first point'}" if "at" in how else how[:5]
            ] += 1
            allowed = self._allowed(report, before, kill)
            if fault := fault_of(workspace, self.actions[max(report.action, 0)], allowed):
                return f"{how}, in {name}: {fault}"
            first, before = max(report.action, first), workspace.state()
        if not report.ended:
            report = run(workspace, self.actions, first)
            if report.error:
                return f"resumed after being killed {how}: {report.error}"
        if (now := ending(workspace)) != self.ending:
            return f"killed {how}, the final state differs:\n{now}\n{self.ending}"
        return ""

    def _allowed(self, report: Report, before: str, kill: int) -> set[str]:
        """Allowed states of the catalogue: the last one reported, or the one after it."""
        last = report.commits[-1] if report.commits else before
        if kill:  # always at a point, where all commits are reported; a resumed run groups its commits differently
            return {last, self.empty} if last == self.nothing else {last}  # a gallery's creation is not reported
        known = [self.nothing, self.empty, *self.report.commits]
        if last == self.nothing:
            return set(known[:3])
        return {last, *(after for state, after in pairwise(known) if state == last)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    Image.init()
    plugins.import_libraries()
    for query in QUERIES:  # read once, by this process: otherwise each fork would make the interpreter anew
        interpreter().interpret(query)
    rng, tally, wrong = random.Random(options.seed), Counter[str](), 0
    start, points = time.monotonic(), 0
    memory = Path("/dev/shm")  # a kill is not a power cut: what was written survives on any file system
    with tempfile.TemporaryDirectory(prefix="araclip-crash-", dir=memory if memory.is_dir() else None) as temporary:
        folder = Path(temporary)
        models = (
            write_tiny_model(folder / "models" / "first"),
            write_tiny_model(folder / "models" / "second", width=12, seed=1, name="second"),
        )
        for number in range(options.trials):
            if number % TRIALS_A_STORY == 0:
                shutil.rmtree(folder / "scenario", ignore_errors=True)
                seed = rng.randrange(1 << 30)
                scenario = Scenario(seed, folder / "scenario", models)
                points += len(scenario.report.points)
                print(f"after {number} trials: {wrong} wrong, {time.monotonic() - start:.0f} s", flush=True)
            if fault := scenario.trial(rng, tally):
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
