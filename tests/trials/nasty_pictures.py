"""Three hundred pictures made to harm, through `araclip index`, an upload and a search by picture.

    python tests/trials/nasty_pictures.py
    python tests/trials/nasty_pictures.py --kind "jpeg tricks" --say

Each must be read, or be skipped or refused with one line. Anything else is a failure, and exit code 1: a traceback, a
process that dies, two lines, a line of another program, or more than SECONDS of processor time. Seconds and peak of
indexing are those of a folder with all pictures of the kind, above a folder of one ordinary picture; those of the
server are of the slowest picture, and of its processes together, above the idle ones.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from PIL import Image

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(TESTS / "crash"), str(TESTS / "support")]
from nasty_corpus import KINDS, corpus
from uploads import process

from araclip.pictures.limits import DECODE_SECONDS, PARSE_SECONDS, PEAK
from tiny import write_tiny_model

SECONDS = PARSE_SECONDS + DECODE_SECONDS  # of processor time: the limit of one picture, here of a whole kind
MEMORY = 6_000_000_000  # bytes of address space
LINE = 700  # characters of a message, with its path
COMMAND = [sys.executable, "-c", "from araclip.cli import main; main()"]
WAYS = ("/images", "/search/image")
READ, REFUSED = (200, 201), (400, 413, 422)


@dataclass
class Row:
    """What became of the pictures of a kind on one way."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0

    def cells(self) -> str:
        """Read, refused, failed, seconds, MB."""
        ends = " | ".join(str(self.outcomes[end]) for end in ("read", "refused"))
        return f"{ends} | {len(self.failures)} | {self.seconds:.1f} | {max(0, self.peak) / 1e6:.0f}"


def indexed(folder: Path, gallery: Path, model: Path) -> Row:
    """The pictures of a folder, indexed by a real command in a process of its own."""
    command = [*COMMAND, "index", str(folder), "--gallery", str(gallery), "--model", str(model), "--json"]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with subprocess.Popen(command, stdout=out, stderr=err) as running:
            resource.prlimit(running.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            peak = 0
            while not (ended := os.wait4(running.pid, os.WNOHANG))[0]:
                peak = max(peak, _high_water(running.pid))
                time.sleep(0.02)
            _, status, used = ended
            running.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, lines = out.read(), err.read().splitlines()
    row = Row(seconds=used.ru_utime + used.ru_stime, peak=peak)
    if running.returncode:
        row.failures.append(f"exit code {running.returncode}: {' / '.join(lines[-3:])}")
        return row
    skipped = row.lines = json.loads(printed)["skipped"]
    row.failures += [
        f"a line of another program: {line}" for line in lines if str(folder) not in line and "Indexing" not in line
    ]
    row.failures += [f"not one line: {line}" for line in skipped if "\n" in line or len(line) > LINE]
    row.outcomes["refused"] = len(skipped)
    row.outcomes["read"] = len(list(folder.iterdir())) - len(skipped)
    return row


def sent(client: httpx2.Client, way: str, pictures: list[tuple[str, bytes]], server: psutil.Process) -> Row:
    """The pictures, sent to a server one after another."""
    row = Row()
    idle = _resident(server)
    with _watched(server) as peaks:
        for name, content in pictures:
            begin = time.monotonic()
            answer = client.post(way, files={"file": (f"{name}.jpg", content)})
            taken = time.monotonic() - begin
            row.seconds = max(row.seconds, taken)
            if answer.status_code in READ:
                row.outcomes["read"] += 1
            elif answer.status_code in REFUSED and "\n" not in answer.json().get("detail", "\n"):
                row.outcomes["refused"] += 1
            else:
                row.failures.append(f"{way}, {name}: {answer.status_code} {answer.text[:200]}")
    row.peak = max(peaks) - idle
    return row


def _high_water(process: int) -> int:
    # Not the peak of wait4: Linux counts in what its parent had when it was started.
    with suppress(OSError), open(f"/proc/{process}/status", encoding="ascii") as status:  # noqa: PTH123
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), 0)
    return 0


@contextmanager
def _watched(server: psutil.Process) -> Iterator[list[int]]:
    """Resident bytes of a server and its children, twenty times a second."""
    peaks, ended = [_resident(server)], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            peaks.append(_resident(server))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def _resident(server: psutil.Process) -> int:
    total = 0
    for one in (server, *server.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # a decoder that was replaced
            continue
    return total


def main() -> int:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="", help="only kinds whose name has this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help="of the server")
    parser.add_argument("--say", action="store_true", help="print the line about each picture that is skipped")
    asked = parser.parse_args()
    ways = asked.ways
    failures, totals, worst = list[str](), Counter[str](), 0
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        model = write_tiny_model(home / "model")
        plain = home / "plain"
        plain.mkdir()
        Image.effect_noise((400, 300), 90).convert("RGB").save(plain / "plain.jpg")
        base = indexed(plain, home / "served", model)
        served = process("--gallery", home / "served", "--model", model, "--uploads")
        print("| kind | pictures |", *(f"{way}: read | refused | failed | s | MB |" for way in ("index", *ways)))
        print("|---" * (7 + 5 * len(ways)) + "|")
        with served as (running, address), httpx2.Client(base_url=address, timeout=120) as client:
            server = psutil.Process(running.pid)
            sent(client, WAYS[1], [("plain", (plain / "plain.jpg").read_bytes())], server)  # starts a decoder
            for kind in KINDS:
                if asked.kind not in kind:
                    continue
                pictures = corpus(kind, asked.seed)
                folder = home / kind
                folder.mkdir()
                for number, (name, content) in enumerate(pictures):
                    (folder / f"{number:03} {name.replace('/', ' ')}.jpg").write_bytes(content)
                rows = [indexed(folder, home / f"{kind} gallery", model)]
                rows[0].peak -= base.peak
                rows[0].seconds -= base.seconds
                if rows[0].seconds > SECONDS:
                    rows[0].failures.append(f"{rows[0].seconds:.0f} s of processor time")
                rows += [sent(client, way, pictures, server) for way in ways]
                if asked.say:
                    print(*rows[0].lines, sep="\n")
                print(f"| {kind} | {len(pictures)} |" + "".join(f" {row.cells()} |" for row in rows), flush=True)
                for row in rows:
                    failures += [f"{kind}: {failure}" for failure in row.failures]
                    worst = max(worst, row.peak)
                totals.update(pictures=len(pictures), read=rows[0].outcomes["read"])
    print(f"\n{totals['pictures']} pictures, {totals['read']} read by index; {len(failures)} failures;", end=" ")
    print(f"{worst / 1e6:.0f} MB at most")
    print(*failures, sep="\n")
    return int(bool(failures) or worst > PEAK)


if __name__ == "__main__":
    raise SystemExit(main())
