"""Fuzzing of `open_image` with damaged files, in child processes with limited time and memory.

    python tests/fuzz/pictures_fuzz.py --files 2000

Each file must end as the model's square or as one `ImageError` of one line. A child that dies, a file that takes longer
than SECONDS and any other error is a failure, named by format and number: `damaged(kind, number)` recreates it.
"""

import argparse
import io
import json
import resource
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
from picture_damage import FORMATS, damaged  # noqa: E402

SECONDS = 10.0  # of processor time, which does not depend on other load
PATIENCE = 180.0  # seconds of wall time until a child counts as hanging
MEMORY = 2_500_000_000  # bytes of address space a child may have; libraries and their threads take 600 MB of it
SIZE = 224


@dataclass(frozen=True)
class Outcome:
    """One file: kind of damage, result, time and memory. `peak` is resident memory above an idle child's."""

    kind: str
    number: int
    damage: str
    end: str
    seconds: float
    peak: int

    @property
    def failed(self) -> bool:
        """Whether the result is not allowed."""
        return self.end.startswith("FAILED")


def child(kind: str, first: int, last: int) -> None:
    """Open the files `first` … `last` - 1 of a format; one line of JSON each, written before the next begins."""
    from araclip.errors import ImageError
    from araclip.pictures.images import open_image, open_with_facts, square

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    idle = _peak()
    for number in range(first, last):
        what, content = damaged(kind, number)
        _forget_peak()
        start = time.process_time()
        try:
            pixels = square(open_image(io.BytesIO(content), SIZE), SIZE)
            end = "opened" if pixels.shape == (SIZE, SIZE, 3) else f"FAILED: shape {pixels.shape}"
            with open_with_facts(io.BytesIO(content), 1):
                pass
        except ImageError as error:
            whole = "\n" not in str(error) and len(str(error)) < 500
            end = type(error).__name__ if whole else f"FAILED: not one line: {error}"
        except BaseException as error:
            end = f"FAILED: {type(error).__name__}: {error}"
        taken = time.process_time() - start
        print(json.dumps(asdict(Outcome(kind, number, what, end, taken, max(0, _peak() - idle)))), flush=True)  # noqa: T201


def _peak() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def run(kind: str, files: int) -> Iterator[Outcome]:
    """The outcome of each of the first `files` files of a format."""
    number = 0
    while number < files:
        command = [sys.executable, __file__, "--child", kind, str(number), str(files)]
        with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            while number < files:
                ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
                line = process.stdout.readline() if ready else b""
                if not line:
                    process.kill()
                    how = f"exit code {process.wait()}" if ready else f"no answer in {PATIENCE:.0f} s"
                    yield Outcome(kind, number, damaged(kind, number)[0], f"FAILED: {how}", 0.0, 0)
                    number += 1
                    break
                outcome = Outcome(**json.loads(line))
                if outcome.seconds > SECONDS:
                    outcome = Outcome(**{**asdict(outcome), "end": f"FAILED: {outcome.seconds:.1f} s"})
                yield outcome
                number += 1


def main() -> int:
    """Run all formats and print a table; exit code 1 when a file failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="files of each format")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS, metavar="FORMAT")
    parser.add_argument("--child", nargs=3, metavar=("FORMAT", "FIRST", "LAST"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child[0], int(asked.child[1]), int(asked.child[2]))
        return 0
    failures = []
    print("| format | files | opened | refused | failed | peak MB | slowest s |\n|---|---|---|---|---|---|---|")  # noqa: T201
    for kind in asked.formats:
        outcomes = list(run(kind, asked.files))
        ends = Counter(
            "failed" if each.failed else "opened" if each.end == "opened" else "refused" for each in outcomes
        )
        large, slow = max(outcomes, key=lambda each: each.peak), max(outcomes, key=lambda each: each.seconds)
        print(  # noqa: T201
            f"| {kind} | {len(outcomes)} | {ends['opened']} | {ends['refused']} | {ends['failed']} "
            f"| {large.peak / 1e6:.0f} ({large.damage}, {large.number}) "
            f"| {slow.seconds:.2f} ({slow.damage}, {slow.number}) |",
            flush=True,
        )
        failures += [each for each in outcomes if each.failed]
    for each in failures:
        print(f"{each.kind} {each.number} ({each.damage}): {each.end}")  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
