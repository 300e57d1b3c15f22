"""Files are replaced whole or not at all, and only one process writes: with real processes and real kills."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from araclip.core import atomic
from araclip.errors import GalleryLocked

HOLD = """
import sys, time
from pathlib import Path
from araclip.core import atomic
with atomic.single_writer(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""
HALF_WRITTEN = """
import sys
from pathlib import Path
from araclip.core import atomic

def fill(temporary):
    temporary.write_bytes(b"half of the new")
    print("ready", flush=True)
    sys.stdin.read()

atomic.write(Path(sys.argv[1]), fill)
"""


@contextmanager
def another_process(code: str, *paths: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has done its work up to "ready", and goes on when its input ends."""
    command = [sys.executable, "-c", code, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_the_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "index.bin"
    target.write_bytes(b"old")
    atomic.write(target, lambda temporary: temporary.write_bytes(b"new") and None)
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "index.bin"

    def fill(temporary: Path) -> None:
        temporary.write_bytes(b"new")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename across file systems would copy

    atomic.write(target, fill)
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_fill_that_fails_leaves_the_old_file_and_no_temporary(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "index.bin"
    target.write_bytes(b"old")

    def fill(temporary: Path) -> None:
        temporary.write_bytes(b"half of the new")
        raise failure

    with pytest.raises(failure):
        atomic.write(target, fill)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_target_that_cannot_be_replaced_leaves_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "index.bin"
    (target / "in the way").mkdir(parents=True)
    with pytest.raises(OSError):
        atomic.write_text(target, "new")
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_written_in_utf8_with_its_line_ends_as_they_are(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "latest", "قطة\r\nكلب\n")
    assert (tmp_path / "latest").read_bytes() == "قطة\r\nكلب\n".encode()


def test_other_users_may_read_the_file_as_they_may_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    atomic.write_text(tmp_path / "ours", "new")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_readers_see_old_file_or_new_one_and_never_part(tmp_path: Path) -> None:
    target, done = tmp_path / "index.bin", threading.Event()
    atomic.write_text(target, "0" * 50_000)
    seen = set()

    def read() -> None:
        while not done.is_set():
            content = target.read_text(encoding="utf-8")
            seen.add((len(content), len(set(content))))

    reader = threading.Thread(target=read)
    reader.start()
    for digit in "123456789":
        atomic.write_text(target, digit * 50_000)
    done.set()
    reader.join()
    assert seen <= {(50_000, 1)}


def test_a_process_killed_while_filling_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "index.bin"
    target.write_bytes(b"old")
    with another_process(HALF_WRITTEN, target) as process:
        process.kill()  # SIGKILL
        process.wait()
    assert target.read_bytes() == b"old"
    atomic.write_text(target, "new")  # leftovers of the dead process do no harm
    assert target.read_bytes() == b"new"


FOLDER_KILLED = """
import os, sys
from pathlib import Path
from araclip.core import atomic

def step(name):
    if name == sys.argv[2]:
        print("ready", flush=True)
        sys.stdin.read()

def fill(temporary):
    with atomic.scratch_folder(temporary) as beside:
        Path(beside, "large").write_text("half")
        step("fill beside")
    (temporary / "new").write_text("half")

atomic.step = step
atomic.write_folder(Path(sys.argv[1]), fill)
"""


@pytest.mark.parametrize("where", ["fill", "fill beside", "rename", "remove the old"])
def test_what_kill_leaves_beside_folder_goes_with_next_write(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, other = tmp_path / "out", tmp_path / ".out.notes.old"
    other.mkdir()
    atomic.write_folder(target, lambda temporary: (temporary / "old").write_text("whole"))
    with subprocess.Popen(
        [sys.executable, "-c", FOLDER_KILLED, target, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert [path for path in tmp_path.iterdir() if path not in (target, other)]
    monkeypatch.setattr(atomic, "LEFT_OVER_S", 0)
    atomic.write_folder(target, lambda temporary: (temporary / "next").write_text("whole"))
    assert sorted(tmp_path.iterdir()) == [other, target]
    assert [path.name for path in target.iterdir()] == ["next"]


def test_a_second_process_is_refused_with_the_name_of_the_writer(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    with another_process(HOLD, lock) as process:
        with (
            pytest.raises(GalleryLocked, match=rf"process {process.pid} on .*try again") as caught,
            atomic.single_writer(lock),
        ):
            pytest.fail("two writers at once")
        assert str(tmp_path) in str(caught.value)


def test_the_lock_is_free_again_when_its_owner_ends(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    with another_process(HOLD, lock) as process:
        process.communicate("")
        assert process.returncode == 0
        with atomic.single_writer(lock):
            pass


def test_the_lock_of_a_killed_owner_is_free_again(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    with another_process(HOLD, lock) as process:
        process.kill()  # SIGKILL
        process.wait()
        with atomic.single_writer(lock), pytest.raises(GalleryLocked), atomic.single_writer(lock):
            pass


HOG = """
import sys, time
from pathlib import Path
from araclip.core import atomic
rounds = 0
while True:
    with atomic.single_writer(Path(sys.argv[1]), patience=60):
        rounds += 1
        atomic.write_text(Path(sys.argv[2]), str(rounds))
        if rounds == 1:
            print("ready", flush=True)
        time.sleep(0.02)
"""


def test_a_waiting_process_comes_before_the_last_owner(tmp_path: Path) -> None:
    lock, rounds = tmp_path / "writer.lock", tmp_path / "rounds"
    with another_process(HOG, lock, rounds):
        for _ in range(3):
            before = int(rounds.read_text())
            with atomic.single_writer(lock, patience=60):
                waited = int(rounds.read_text()) - before
            assert waited < 20  # it is one or two; without a queue it was all of them for a minute


def test_who_is_waited_for_is_said_once_and_a_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "NOTICE_S", 0.0)
    lock, lines = tmp_path / "writer.lock", list[str]()
    with another_process(HOLD, lock) as process:
        with (
            pytest.raises(GalleryLocked, match=f"by process {process.pid} on .*, which was waited for 0 s. Wait"),
            atomic.single_writer(lock, patience=0.3, waiting=lines.append),
        ):
            pytest.fail("two writers at once")
        process.kill()
        process.wait()
        with atomic.single_writer(lock, patience=60, waiting=lines.append):
            pass
    assert len(lines) == 1
    assert f"by process {process.pid} on " in lines[0]


def test_a_process_that_is_killed_in_the_queue_leaves_its_place(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    waiter = HOLD.replace("with atomic", "print('ready', flush=True)\nwith atomic").replace("[1])", "[1]), patience=60")
    with another_process(HOLD, lock) as owner:
        with another_process(waiter, lock) as waiting:
            while not lock.with_name("writer.lock.queue").exists():
                time.sleep(0.01)
            waiting.kill()
            waiting.wait()
        owner.kill()
        owner.wait()
        with atomic.single_writer(lock, patience=60):
            pass


def test_refused_process_does_not_take_name_of_owner_away(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    with another_process(HOLD, lock) as process:
        for _ in range(2):
            with pytest.raises(GalleryLocked, match=f"process {process.pid} "), atomic.single_writer(lock):
                pass


def test_the_lock_is_released_when_the_work_fails(tmp_path: Path) -> None:
    lock = tmp_path / "writer.lock"
    with pytest.raises(RuntimeError, match="work failed"), atomic.single_writer(lock):
        raise RuntimeError("work failed")
    with atomic.single_writer(lock):
        pass
    assert lock.read_bytes() == b""
