"""Checkpoints survive kills, torn files, flipped bits and full disks."""

import ctypes
import errno
import os
import random
import shutil
import signal
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from araclip.errors import TrainingError
from araclip.training.loop import checkpoint
from warm import Warm

SAVE_FOR_EVER = """
import sys, torch
from pathlib import Path
from araclip.training.loop import checkpoint
for step in range(1, 100000):
    state = {"step": step, "weights": torch.full((50_000,), float(step))}
    checkpoint.save(Path(sys.argv[1]), step, state)
    if step == 3:
        print("ready", flush=True)
"""
TORN_IN_THE_MIDDLE = """
import os, signal, sys, torch
from pathlib import Path
from araclip.training.loop import checkpoint
state = {"weights": torch.ones(50_000)}
checkpoint.save(Path(sys.argv[1]), 1, state)
def half(state, file):
    file.write(b"PK" + bytes(50_000))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
checkpoint.save(Path(sys.argv[1]), 2, state)
"""


def state(value: float = 1.0) -> dict[str, Any]:
    return {"weights": torch.full((1000,), value), "best": 0.25, "name": "قطة", "nested": [{"step": 3}, (None, True)]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unheard(line: str) -> None:
    pytest.fail(f"said: {line}")


def test_what_is_saved_comes_back_equal(tmp_path: Path) -> None:
    head = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(head.parameters())
    head(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {"model": head.state_dict(), "optimizer": optimizer.state_dict(), **state()}
    path = checkpoint.save(tmp_path, 123, saved)
    assert path.name == "step-000123.pt"
    found = checkpoint.newest(tmp_path, unheard)
    assert found is not None
    step, loaded = found
    assert step == 123
    assert torch.equal(loaded["model"]["weight"], head.weight)
    assert loaded["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert (loaded["name"], loaded["nested"]) == ("قطة", [{"step": 3}, (None, True)])


def test_a_checkpoint_is_an_archive_that_torch_loads_alone(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, state())
    assert torch.equal(torch.load(path, weights_only=True)["weights"], torch.ones(1000))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path, unheard) is None
    assert checkpoint.latest(tmp_path) is None


def test_last_two_are_kept_in_order_of_steps_not_of_names(tmp_path: Path) -> None:
    for step in (999_998, 999_999, 1_000_000, 1_000_001):
        checkpoint.save(tmp_path, step, state())
    assert names(tmp_path) == ["step-1000000.pt", "step-1000001.pt"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-1000001.pt"


def test_files_that_are_no_checkpoints_are_left_alone(tmp_path: Path) -> None:
    for name in ("step-best.pt", "step-000001.pt.bak", "model.safetensors", ".step-notes.tmp"):
        (tmp_path / name).touch()
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, state())
    checkpoint.remove_all(tmp_path)
    assert names(tmp_path) == [".step-notes.tmp", "model.safetensors", "step-000001.pt.bak", "step-best.pt"]


def test_folders_and_pipes_with_checkpoints_name_are_passed_over(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state())
    (tmp_path / "step-000002.pt").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "step-000003.pt")
    found = checkpoint.newest(tmp_path, unheard)
    assert found is not None
    assert found[0] == 1
    checkpoint.save(tmp_path, 4, state())
    assert (tmp_path / "step-000002.pt").is_dir()


# ------------------------------------------------------------------ damage


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def lengthen(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randrange(1, 200)))


def zero_the_end(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(path, size - rng.randrange(1, size))
    os.truncate(path, size)


@pytest.mark.parametrize("damage", [cut, flip, lengthen, zero_the_end])
def test_a_damaged_checkpoint_is_skipped_and_named(tmp_path: Path, damage: Any) -> None:
    path = checkpoint.save(tmp_path, 1, state(1.0))
    path = checkpoint.save(tmp_path, 2, state(2.0))
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(40):
        path.write_bytes(whole)
        damage(path, rng)
        said: list[str] = []
        found = checkpoint.newest(tmp_path, said.append)
        assert found is not None
        assert found[0] == 1
        assert torch.equal(found[1]["weights"], torch.ones(1000))
        assert len(said) == 1
        assert str(path) in said[0]
        assert "resuming from step-000001.pt" in said[0]


def test_when_all_are_damaged_the_run_starts_over(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, state()).write_bytes(b"")
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) is None
    assert len(said) == 2
    assert all("starting from the beginning" in line for line in said)


def test_a_skipped_later_checkpoint_takes_no_place(tmp_path: Path) -> None:
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state())
    (tmp_path / "step-000020.pt").write_bytes(b"torn")
    checkpoint.save(tmp_path, 15, state())
    assert names(tmp_path) == ["step-000010.pt", "step-000015.pt"]


# ------------------------------------------------------------------ kills


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_while_writing_the_checkpoint_before_is_used(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, interpreter: Warm
) -> None:
    printed = tmp_path_factory.mktemp("said") / "said.txt"
    assert interpreter.start(TORN_IN_THE_MIDDLE, str(tmp_path), printed=printed).wait() == -9
    assert len(list(tmp_path.glob(".step-000002.pt.*.tmp"))) == 1
    found = checkpoint.newest(tmp_path, unheard)
    assert found is not None
    assert found[0] == 1
    checkpoint.save(tmp_path, 2, state())
    assert names(tmp_path) == ["step-000001.pt", "step-000002.pt"]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_at_any_moment_a_whole_checkpoint_is_left(tmp_path: Path, interpreter: Warm) -> None:
    rng = random.Random(0)
    for i in range(3):
        folder, printed = tmp_path / str(i), tmp_path / f"{i}.txt"
        folder.mkdir()
        saving = interpreter.start(SAVE_FOR_EVER, str(folder), printed=printed)
        saving.until("ready\n")
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(saving.pid, signal.SIGKILL)
        assert saving.wait() == -9
        found = checkpoint.newest(folder, unheard)
        assert found is not None
        step, loaded = found
        assert step >= 3
        assert loaded["step"] == step
        assert torch.equal(loaded["weights"], torch.full((50_000,), float(step)))


# ------------------------------------------------------------------ full disk and bad states


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where the system lets us mount one."""
    folder, libc = tmp_path / "small", ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if not hasattr(libc, "mount") or libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=1m") != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_on_a_full_disk_earlier_checkpoints_stay(small_disk: Path) -> None:
    checkpoint.save(small_disk, 1, state())
    with pytest.raises(
        TrainingError, match=r"disk of .*small is full: .*step 2 needs about 4,000,\d+ bytes, 1,0\d\d,\d+"
    ):
        checkpoint.save(small_disk, 2, {"weights": torch.zeros(1_000_000)})
    assert names(small_disk) == ["step-000001.pt"]
    assert checkpoint.newest(small_disk, unheard) is not None
    checkpoint.save(small_disk, 2, state())  # once there is room


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_only_when_flushed_is_reported_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    checkpoint.save(tmp_path, 1, state())

    def fsync(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(TrainingError, match=rf"{tmp_path} is full.*needs about [45],\d+ bytes.*again without --fresh"):
        checkpoint.save(tmp_path, 2, state())
    assert names(tmp_path) == ["step-000001.pt"]


def test_a_limit_of_file_sizes_keeps_earlier_checkpoints(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # of Unix
    checkpoint.save(tmp_path, 1, state(1.0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):  # which the command line explains; torch's own is none
            checkpoint.save(tmp_path, 2, {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001.pt"]


def test_another_error_of_the_disk_is_not_called_a_full_one(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.save(tmp_path, 1, state())


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"best": np.float64(0.5)}, r"float64 at state\['best'\]"),
        ({"a": [1, {"b": np.zeros(2)}]}, r"ndarray at state\['a'\]\[1\]\['b'\]"),
        ({Path("x"): 1}, r"Path at a key of state"),
        ({"a": random.Random(0)}, r"Random at state\['a'\]"),
    ],
)
def test_an_unreadable_state_is_refused_when_saving(tmp_path: Path, bad: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        checkpoint.save(tmp_path, 1, bad)
    assert names(tmp_path) == []


def test_every_type_that_may_be_saved_can_be_read(tmp_path: Path) -> None:
    every = {0: 1, "f": 0.1, "b": True, "s": "ق", "y": b"\0", "n": None, "l": [1], "t": (1, "x"), "o": OrderedDict(a=1)}
    checkpoint.save(tmp_path, 1, every)
    found = checkpoint.newest(tmp_path, unheard)
    assert found is not None
    assert found[1] == every
