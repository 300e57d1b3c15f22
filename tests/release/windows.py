r"""What only Windows can show of `araclip.core`: locks, files in use, limits, long paths, drive letters.

    python tests/release/windows.py FOLDER

FOLDER is made, and removed at the end. Runs on Windows, and under Wine, as which the log of November 2026 describes.
Wine takes the limits of jobs and enforces none, so what they do is left out there.
Exit code 1 where something is not so.
"""

import ctypes
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil
from PIL import Image

from araclip import Gallery
from araclip.core import atomic, files, limits, processes, system
from araclip.errors import GalleryLocked
from araclip.gallery.ingest.scan import checked_root

QUERY = "لون أحمر"


def check(holds: bool, what: str) -> None:
    """Print what holds; end where it does not."""
    print(f"{'yes' if holds else 'NO'}: {what}", flush=True)
    if not holds:
        raise SystemExit(1)


def replaced_and_locked(place: Path) -> None:
    """A file is replaced once its reader has left, and a lock has one owner."""
    target = place / "file"
    target.write_text("old", encoding="utf-8")
    reader = target.open("rb")
    threading.Timer(0.5, reader.close).start()
    atomic.write_text(target, "new")
    check(target.read_text(encoding="utf-8") == "new", "a file that is being read is replaced when its reader leaves")
    for _ in range(2):
        with atomic.single_writer(place / "lock"):
            try:
                with atomic.single_writer(place / "lock"):
                    check(False, "a second writer is refused")
            except GalleryLocked as error:
                check("process" in str(error), "a second writer is refused, and told by whom")


LIMITED = """
import subprocess, sys
from araclip.core import limits
limits.restrict(400_000_000)
limits.allow_processor(1)
"""
ATTEMPTS = {  # what a limited process must not be able to do, and what shows that it was not
    "commits more memory than it may": "try:\n bytearray(1_000_000_000)\nexcept MemoryError:\n sys.exit(7)",
    "starts another one": "try:\n subprocess.run([sys.executable, '-c', ''])\nexcept OSError:\n sys.exit(7)",
}


def limited() -> None:
    """Jobs limit a process that decodes, and a program that is started in one."""
    echo = limits.with_memory_limit([sys.executable, "-c", "import sys; print(sys.stdin.read()); sys.exit(3)"], 500_000)
    done = subprocess.run(echo, input="قطة", capture_output=True, encoding="utf-8", check=False)
    check((done.returncode, done.stdout.strip()) == (3, "قطة"), "a program in a job has its streams and its exit code")
    subprocess.run([sys.executable, "-c", LIMITED], check=True)
    check(True, "a process puts itself into a job with limits")
    if hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):  # type: ignore[attr-defined,unused-ignore]
        print("Wine enforces no limits of jobs: left out")
        return
    for what, attempt in ATTEMPTS.items():
        done = subprocess.run([sys.executable, "-c", LIMITED + attempt], check=False, timeout=60)
        check(done.returncode == 7, f"no limited process {what}")
    done = subprocess.run([sys.executable, "-c", LIMITED + "while True: pass"], check=False, timeout=120)
    check(done.returncode != 0, "a process that takes more time than it may is ended")
    greedy = limits.with_memory_limit([sys.executable, "-c", "bytearray(1_000_000_000)"], 400_000)
    check(subprocess.run(greedy, check=False, capture_output=True).returncode != 0, "a program in a job is limited")
    waits = limits.with_memory_limit(
        [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(99)"], 500_000
    )
    with subprocess.Popen(waits, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        program = psutil.Process(int(started.stdout.readline()))
        started.kill()
        program.wait(30)
    check(not program.is_running(), "a program ends with the process that started it")


def galleries(place: Path) -> None:
    """Pictures below a path of more than 260 letters are indexed, found and filtered by folder."""
    pictures = place / "Photos صور"
    long = str(pictures / ("د" * 100) / ("ك" * 100) / ("ق" * 60))
    Path(files.openable(long)).mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(files.openable(f"{long}\\أحمر.png"))
    Image.new("RGB", (64, 64), "blue").save(pictures / "أزرق.png")
    other_case = str(pictures).upper()
    check(checked_root(other_case) == checked_root(pictures), "a folder in another case is the same folder")
    with Gallery.open(place / "gallery", create=True) as gallery:
        report = gallery.update([other_case])
        check((report.added, report.skipped) == (2, []), f"both pictures are indexed, one below {len(long)} letters")
        slashes = str(pictures).replace("\\", "/")
        for where in (None, f"folder={pictures}", f"folder={slashes}", f"folder={other_case}"):
            found = [hit.path for hit in gallery.search(QUERY, where=where)]
            check(
                len(found) == 2 and found[0].endswith("أحمر.png"), f"{QUERY!r} finds the red one first, where {where}"
            )
        found = [hit.path for hit in gallery.search(f"{pictures}\\أزرق.png", files=True)]
        check(found[0].endswith("أزرق.png"), "a picture's path is a query")
        check(gallery.verify() == [], "verify finds nothing")
        gallery.backup(place / "backup")


def main() -> int:
    """Run all checks."""
    place = Path(sys.argv[1]).absolute()
    if not system.windows():
        raise SystemExit("this is not Windows")
    place.mkdir()
    try:
        replaced_and_locked(place)
        limited()
        galleries(place)
        check(processes.BREAK in processes.stop_signals(), "Ctrl-Break stops a command")
    finally:
        shutil.rmtree(files.openable(str(place)), ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
