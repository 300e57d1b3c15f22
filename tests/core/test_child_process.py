"""Child processes, as their users ask them: deadlines, deaths, replacements, forks and what is left behind."""

import io
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from araclip.core.child_process import Child, ChildEnded, Pool, own_environment, receive, safe_environment
from araclip.errors import ImageTooLarge, UnreadableImage, image_error

CHILD = """
import os, sys, time
from araclip.core.child_process import Parent
parent = Parent(takes_files="files" in sys.argv)
parent.answer({"ready": True})
print("what a library prints")
def answer(about, blobs):
    if about["job"] == "die":
        os.kill(os.getpid(), 9)
    if about["job"] == "sleep":
        parent.tell({"share": 0.5})
        time.sleep(60)
    if about["job"] == "nonsense":
        os.write(1 if "files" in sys.argv else parent._to.fileno(), b"\\xff" * 9)
        os._exit(0)
    tokens = [name for name in os.environ if name.startswith("ARACLIP_TOKEN")]
    return {"pid": os.getpid(), "tokens": tokens}, blobs[::-1]
if "files" in sys.argv:
    for about, file in parent.questions_with_files():
        parent.answer({"read": file.read().decode()})
while "files" not in sys.argv and (asked := parent.question()):
    parent.answer(*answer(*asked))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "asked_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "asked_child"


@pytest.fixture
def pool(module: str) -> Iterator[Pool]:
    children = Pool(lambda: Child(module, seconds=60), keep=1, most_jobs=3)
    yield children
    children.close()


def pid(pool: Pool) -> int:
    with pool.child() as child:
        return int(child.ask({"job": "tell"}, seconds=60)[0]["pid"])


def test_a_child_is_kept_for_a_few_questions_and_then_replaced(pool: Pool) -> None:
    first = [pid(pool) for _ in range(3)]
    assert len(set(first)) == 1 and pool.replaced == 1
    assert pid(pool) != first[0]
    assert not psutil.pid_exists(first[0])


def test_blobs_come_back_and_no_token_is_given(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARACLIP_TOKEN_READ", "s" * 32)
    with pool.child() as child:
        about, blobs = child.ask({"job": "tell"}, [b"", b"x" * 300_000], seconds=60)
    assert (about["tokens"], blobs) == ([], [b"x" * 300_000, b""])
    assert "ARACLIP_TOKEN_READ" not in own_environment() | safe_environment()


@pytest.mark.parametrize(("job", "how"), [("die", "SIGKILL"), ("nonsense", "0")])
def test_a_child_that_dies_or_talks_nonsense_is_replaced(pool: Pool, job: str, how: str) -> None:
    with pytest.raises(ChildEnded) as caught, pool.child() as child:
        child.ask({"job": job}, seconds=60)
    assert (caught.value.how, pool.replaced, len(pool.idle)) == (how, 1, 0)
    assert pid(pool)


@pytest.mark.parametrize(
    "head",
    [b"[]", b"{}", b'{"blobs": [null]}', b'{"blobs": [Infinity]}', b'{"blobs": 3}', b'{"blobs": [-1]}', b"[" * 90_000,
     b'{"blobs": [5]}', b"\xff"],
    ids=range(9),
)  # fmt: skip
def test_a_malformed_message_is_a_value_error(head: bytes) -> None:
    with pytest.raises(ValueError):
        receive(io.BytesIO(struct.pack(">I", len(head)) + head), most=1_000)


@pytest.mark.parametrize("named", ["first_line", "Exception", "AraCLIPError", "__doc__", None, ["ImageTooLarge"]])
def test_a_child_can_name_no_other_error_than_those_of_pictures(named: object) -> None:
    assert image_error(named) is UnreadableImage
    assert image_error("ImageTooLarge") is ImageTooLarge


def test_a_late_child_is_killed_and_what_it_told_before_is_known(pool: Pool) -> None:
    told: list[float] = []
    began = time.monotonic()
    with pytest.raises(TimeoutError), pool.child() as child:
        child.ask({"job": "sleep"}, seconds=1, progress=lambda said: told.append(said["share"]))
    assert told == [0.5] and time.monotonic() - began < 30
    assert not child.alive and pid(pool)


def test_error_of_one_who_is_told_of_progress_stays_that_error(pool: Pool) -> None:
    def full(said: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"), pool.child() as child:
        child.ask({"job": "sleep"}, seconds=60, progress=full)
    assert not child.alive


def test_what_is_asked_in_another_thread_can_be_stopped(pool: Pool) -> None:
    asked = threading.Event()
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            with pool.child() as child:
                child.ask({"job": "sleep"}, progress=lambda said: asked.set())
        except ChildEnded as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(60)
    pool.stop()
    thread.join(60)
    assert len(failed) == 1 and not thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="no open file is handed over there")
def test_a_child_reads_open_files_from_their_beginning(module: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("صورة", encoding="utf-8")
    with Child(module, "files", seconds=60, takes_files=True) as child, (tmp_path / "file").open("rb") as file:
        for _ in range(2):
            assert child.ask({}, seconds=60, file=file)[0] == {"read": "صورة", "blobs": []}
    assert child._process.returncode is not None


def test_a_module_not_there_is_told_as_an_ended_child() -> None:
    with pytest.raises(ChildEnded) as caught:
        Child("araclip.no_such_module", seconds=60)
    assert caught.value.how == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows forks nothing")
def test_a_forked_process_leaves_its_parents_children_alone(pool: Pool) -> None:
    code = """
import os, sys
from araclip.core.child_process import Child, Pool
pool = Pool(lambda: Child("asked_child", seconds=60), keep=1)
def pid():
    with pool.child() as child:
        return child.ask({"job": "tell"}, seconds=60)[0]["pid"]
first = pid()
if not (forked := os.fork()):
    own = pid()
    pool.close()
    os._exit(0 if own != first else 1)
print(os.waitpid(forked, 0)[1], pid() == first, first)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, same, child = run.stdout.split()
    assert (status, same, run.stderr) == ("0", "True", "")
    assert not psutil.pid_exists(int(child))  # it has ended with its parent
