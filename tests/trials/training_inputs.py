"""Trials: every field of what strangers hand to training and evaluation, damaged; only errors of ours may come of it.

    python tests/trials/training_inputs.py [--kind NAME …] [--trials 2000] [--seed 0]

Each trial runs in a process of its own, with at most 5 s of processor time and 1 GB above what was in use before.
A table of all inputs ends the run. Exit code 1 where a trial found a fault.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from araclip.errors import AraCLIPError
from hostile_inputs import KINDS, Kind
from input_damage import Damage, byte_damages, json_damages
from tiny_peers import small_open_clip

SECONDS = 5  # of the processor
MEGABYTES = 1000
WALL = 60  # seconds after which a trial is ended


def damages(folder: Path, kind: Kind) -> list[tuple[Path, str, Damage]]:
    """All damages to an input, by file (relative to its folder)."""
    found = []
    for path in sorted({path for pattern in kind.damaged for path in folder.glob(pattern) if path.is_file()}):
        of_file = byte_damages(path)
        if path.suffix in (".json", ".jsonl") and path.name != "tokenizer.json":
            of_file += json_damages(path)
        found += [(path.relative_to(folder), name, damage) for name, damage in of_file]
    return found


def trial(whole: Path, kind: Kind, path: Path, damage: Damage) -> tuple[str, float, float]:
    """What came of one damage ("used", "refused" or a fault), processor seconds and MB above those before."""
    with tempfile.TemporaryDirectory() as place:
        copied = shutil.copytree(whole, Path(place) / "input", symlinks=True)
        damage(copied / path)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            Path("/proc/self/clear_refs").write_text("5")  # the highest memory counts from here
            before, said = _memory("VmRSS"), _outcome(kind, copied)
            os.write(write_end, f"{_memory('VmHWM') - before} {said}".encode("utf-8", "replace")[:4000])
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            said = pipe.read().decode()
        _, status, usage = os.wait4(child, 0)
    used, _, said = said.partition(" ")
    seconds, megabytes = usage.ru_utime + usage.ru_stime, float(used or 0)
    if not said:
        said = f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {status}"
    elif seconds > SECONDS or megabytes > MEGABYTES:
        said = f"{seconds:.1f} s, {megabytes:,.0f} MB; {said}"
    return said, seconds, megabytes


def _memory(what: str) -> int:
    """MB of this process, by the name that /proc/self/status gives it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith(what))


def _outcome(kind: Kind, folder: Path) -> str:
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    signal.alarm(WALL)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 4 * 10**9,) * 2)
    warnings.simplefilter("ignore")
    try:
        kind.read(folder)
    except AraCLIPError as error:
        return "refused" if "\n" not in str(error) else f"more than a line: {error}"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/araclip/" in frame.filename][-1:] or frames[-1:]
        return f"{type(error).__name__}: {str(error)[:150]!r} at {ours[0].filename.rpartition('/')[2]}:{ours[0].lineno}"
    return "used"


def main() -> None:
    """Parse the command line, run the trials, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=KINDS, help="by default all")
    parser.add_argument("--trials", type=int, default=0, help="of each kind, drawn at random; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="damages whose name holds this text")
    options = parser.parse_args()
    faults = 0
    table = []
    with tempfile.TemporaryDirectory() as place, small_open_clip(Path(place)):
        for name in options.kind or KINDS:
            kind = KINDS[name]
            whole = Path(place) / name / "input"
            whole.mkdir(parents=True)
            kind.write(whole)
            kind.read(shutil.copytree(whole, Path(place) / name / "copy"))  # undamaged it is used
            found = [row for row in damages(whole, kind) if options.only in row[1]]
            if options.trials:
                found = random.Random(options.seed).sample(found, min(options.trials, len(found)))
            outcomes: Counter[str] = Counter()
            slowest = largest = 0.0
            started = time.monotonic()
            for path, what, damage in found:
                said, seconds, megabytes = trial(whole, kind, path, damage)
                slowest, largest = max(slowest, seconds), max(largest, megabytes)
                outcomes[said if said in ("used", "refused") else "fault"] += 1
                if said not in ("used", "refused"):
                    faults += 1
                    print(json.dumps({"kind": name, "damage": what, "fault": said}, ensure_ascii=False), flush=True)
            table.append((name, len(found), outcomes["refused"], outcomes["used"], outcomes["fault"], slowest, largest))
            print(f"{name}: {len(found)} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print("| input | damages | refused in one line | used | faults | slowest, s | largest, MB |\n" + "|---" * 7 + "|")
    for name, count, refused, used, fault, slowest, largest in table:
        print(f"| {name} | {count:,} | {refused:,} | {used:,} | {fault:,} | {slowest:.1f} | {max(0, largest):,.0f} |")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
