"""A run folder: begun once, resumed exactly, written by one process, with clear errors."""

import json
import os
import signal
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from araclip.errors import LossDiverged, OutOfMemory, RecipeError, RunMismatch, TrainingError
from araclip.training.loop.run_folder import TIME_FIELDS, Pace, Run
from warm import Warm

RECIPE = {"batch_size": 8, "optimizer": {"lr": 1e-3, "betas": (0.9, 0.98)}, "pairs": Path("pairs.tsv")}
DATA = {"pairs": "3f2a"}
HOLD = """
import signal, sys
from pathlib import Path
from araclip.training.loop.run_folder import Run
with Run.open(Path(sys.argv[1]), {}, {}, log=print):
    print("ready", flush=True)
    signal.pause()
"""
# Trains `weight` to step 12 with a checkpoint every 5 steps; dies in step argv[2] without a word.
TRAIN = """
import os, signal, sys
from pathlib import Path
import torch
from araclip.training.loop.run_folder import Run
with Run.open(Path(sys.argv[1]), {"lr": 0.1}, {}, log=print) as run:
    found = run.resume()
    step, weight = (found[0], found[1]["weight"]) if found else (0, torch.zeros(3))
    if not found:
        run.log(step=0, note="قبل")
    while step < 12:
        noise = torch.randn(3, generator=torch.Generator().manual_seed(step))
        weight = weight * 0.9 + noise
        step += 1
        run.log(step=step, loss=weight.square().sum())
        if step == int(sys.argv[2]):
            run._file.write(b'{"step": 99, "lo')
            os.kill(os.getpid(), signal.SIGKILL)
        if step % 5 == 0 or step == 12:
            run.checkpoint(step, {"weight": weight})
"""


def ignored(line: str) -> None:
    pytest.fail(f"said: {line}")


def opened(folder: Path, recipe: dict[str, Any] = RECIPE, data: dict[str, str] = DATA, **options: Any) -> Any:
    return Run.open(folder, recipe, data, **{"log": ignored, **options})


def timeless(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name not in TIME_FIELDS} for row in rows]


# ------------------------------------------------------------------ config.json


def test_the_folder_says_what_was_started_on_what_and_with_what(tmp_path: Path) -> None:
    with opened(tmp_path / "deep" / "run"):
        config = json.loads((tmp_path / "deep" / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["recipe"] == {"batch_size": 8, "optimizer": {"lr": 1e-3, "betas": [0.9, 0.98]}, "pairs": "pairs.tsv"}
    assert config["data"] == DATA
    assert config["versions"]["torch"] == version("torch")
    assert set(config["versions"]) == {"araclip", "python", "torch", "transformers"}
    assert config["threads"] == torch.get_num_threads()
    assert config["date"].endswith("+00:00")


def git(*words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_and_uncommitted_changes_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with opened(tmp_path / "outside"):
        assert json.loads(Path("outside/config.json").read_text())["git"] is None
    git("init", "-q")
    Path("code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-q", "-m", "first")
    first = git("rev-parse", "HEAD")
    with opened(tmp_path / "clean"):
        assert json.loads(Path("clean/config.json").read_text())["git"] == {"commit": first, "dirty": False}
    Path("code.py").write_text("2")
    with opened(tmp_path / "dirty"):
        assert json.loads(Path("dirty/config.json").read_text())["git"] == {"commit": first, "dirty": True}
    git("commit", "-q", "-a", "-m", "second")
    said: list[str] = []
    with opened(tmp_path / "clean", log=said.append):
        assert len(said) == 1
        assert first in said[0]
        assert git("rev-parse", "HEAD") in said[0]


def test_without_git_a_run_starts_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with opened(tmp_path):
        assert json.loads((tmp_path / "config.json").read_text())["git"] is None


def test_the_same_recipe_goes_on_from_a_file_with_lists(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    before = (tmp_path / "config.json").read_bytes()
    with opened(tmp_path, json.loads(json.dumps(RECIPE, default=str))):
        assert (tmp_path / "config.json").read_bytes() == before


def test_other_data_is_refused_naming_each_key_and_both_values(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    changed = {**RECIPE, "optimizer": {"lr": 5e-4, "betas": (0.9, 0.98)}, "ema": 0.999}
    del changed["batch_size"]
    with pytest.raises(RunMismatch) as caught, opened(tmp_path, changed, {"pairs": "77c1"}):
        pass
    message = str(caught.value)
    for named in (
        "recipe.optimizer.lr was 0.001, now 0.0005",
        "recipe.ema was absent, now 0.999",
        "recipe.batch_size was 8, now absent",
        'data.pairs was "3f2a", now "77c1"',
        "--fresh",
        "another folder",
    ):
        assert named in message
    assert "betas" not in message


def test_many_differences_are_counted_instead_of_listed(tmp_path: Path) -> None:
    with opened(tmp_path, {str(i): 0 for i in range(30)}):
        pass
    with (
        pytest.raises(RunMismatch, match=r"recipe.0 was 0, now 1.* and 22 more"),
        opened(tmp_path, {str(i): 1 for i in range(30)}),
    ):
        pass


def test_a_fresh_run_forgets_the_one_that_was_there(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=1, loss=1.0)
        run.checkpoint(1, {"weight": torch.ones(2)})
    with opened(tmp_path, {"batch_size": 9}, fresh=True) as run:
        assert run.resume() is None
        assert run.metrics() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "run.lock"]
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] == {"batch_size": 9}


def test_damaged_or_missing_config_is_not_taken_for_new_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.checkpoint(1, {"weight": torch.ones(2)})
    for content in ("{", "[]", "{}", '{"recipe": 1}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(RunMismatch, match=r"config.json is damaged .*--fresh"), opened(tmp_path):
            pass
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunMismatch, match=r"step-000001.pt is a checkpoint without a config.json"), opened(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_second_process_is_refused_and_told_who_trains_there(interpreter: Warm, tmp_path: Path) -> None:
    place = tmp_path / "run"
    holder = interpreter.start(HOLD, str(place), printed=tmp_path / "printed")
    holder.until("ready\n")
    with pytest.raises(TrainingError, match=rf"process {holder.pid} on .*another folder"), opened(place, {}, {}):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    assert holder.wait() == -9
    with opened(place, {}, {}):
        pass


# ------------------------------------------------------------------ metrics and resuming


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_run_ends_with_the_same_metrics_and_weights(interpreter: Warm, tmp_path: Path) -> None:
    def train(folder: str, die_at: int) -> int:
        return interpreter.start(TRAIN, str(tmp_path / folder), str(die_at), printed=tmp_path / "printed").wait()

    assert train("whole", -1) == 0
    assert [train("killed", die_at) for die_at in (3, 8, 10)] == [-9, -9, -9]  # before, between, at a checkpoint
    assert train("killed", -1) == 0
    assert timeless(tmp_path / "killed") == timeless(tmp_path / "whole")
    assert [row["step"] for row in timeless(tmp_path / "whole")] == list(range(13))
    with opened(tmp_path / "killed", {"lr": 0.1}, {}) as killed, opened(tmp_path / "whole", {"lr": 0.1}, {}) as whole:
        (step, ours), (_, theirs) = killed.resume(), whole.resume()
    assert step == 12
    assert torch.equal(ours["weight"], theirs["weight"])


def test_a_row_is_readable_by_others_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=1, loss=torch.tensor(0.5), recall=np.float32(0.25), lr=1e-3, split="تجربة", bad=float("nan"))
        assert timeless(tmp_path) == [
            {"step": 1, "loss": 0.5, "recall": 0.25, "lr": 1e-3, "split": "تجربة", "bad": None}
        ]
        assert run.metrics()[0]["time"] > 1.7e9


def test_rows_before_the_first_checkpoint_are_dropped(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=0, loss=1.0)
        run.log(step=1, loss=1.0)
    with opened(tmp_path) as run:
        assert len(run.metrics()) == 2
        assert run.resume() is None
        assert run.metrics() == []


def test_torn_checkpoint_takes_rows_after_one_before_it_along(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        for step in (1, 2):
            run.log(step=step, loss=1.0)
            run.checkpoint(step, {"step": step})
    (tmp_path / "step-000002.pt").write_bytes(b"torn")
    said: list[str] = []
    with opened(tmp_path, log=said.append) as run:
        assert run.resume() == (1, {"step": 1})
        assert [row["step"] for row in run.metrics()] == [1]
    assert ["step-000002.pt is damaged" in line for line in said] == [True]


def test_only_the_main_process_writes_checkpoints(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=1, loss=1.0)
        run.checkpoint(1, {"step": 1})
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with opened(tmp_path, is_main=False, sinks=["tensorboard"]) as other:
            assert other.resume() == (1, {"step": 1})
            other.log(step=2, loss=1.0)
            other.checkpoint(2, {"step": 2})
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_while_logging_says_so(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(TrainingError, match=r"metrics.jsonl cannot be written: .*No space.*Make room"),
        opened(tmp_path) as run,
    ):
        run.log(step=1, loss=1.0)


# ------------------------------------------------------------------ sinks


def test_tensorboard_gets_the_numbers_of_each_row(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with opened(tmp_path, sinks=["tensorboard"]) as run:
        for step in (1, 2, 3):
            run.log(step=step, loss=step / 2, note="text")
    with opened(tmp_path, sinks=["tensorboard"]) as run:
        run.log(step=2, loss=7.0)  # resumed from step 1: the old steps 2 and 3 are hidden
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 7.0)]


def test_trackio_gets_each_row_and_is_closed_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    fake = types.ModuleType("trackio")
    fake.init = lambda **options: calls.append(("init", options))  # type: ignore[attr-defined]
    fake.log = lambda values, step: calls.append(("log", (step, values)))  # type: ignore[attr-defined]
    fake.finish = lambda: calls.append(("finish", None))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", fake)
    with opened(tmp_path / "project" / "first", sinks=["trackio"]) as run:
        run.log(step=4, loss=0.5)
    (_, options), row, end = calls
    assert (options["project"], options["name"], options["resume"]) == ("project", "first", "allow")
    assert options["config"]["recipe"]["batch_size"] == 8
    assert (row, end) == (("log", (4, {"loss": 0.5})), ("finish", None))


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_missing_sink_is_named_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(RecipeError, match=rf"to {name}, .*pip install .*{name}"), opened(tmp_path, sinks=[name]):
        pass
    with opened(tmp_path):  # the lock was given back
        pass


def test_an_unknown_sink_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.checkpoint(1, {"weight": torch.ones(2)})
    with (
        pytest.raises(RecipeError, match=r"no sink 'wandb'.*tensorboard, trackio"),
        opened(tmp_path, sinks=["wandb"], fresh=True),
    ):
        pass
    assert (tmp_path / "step-000001.pt").exists()  # nothing is deleted by a run that cannot begin


# ------------------------------------------------------------------ guards


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(1 << 50, dtype=torch.uint8),  # really asks the system
        lambda: bytearray(1 << 60),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")),
        lambda: (_ for _ in ()).throw(OSError(12, "Cannot allocate memory")),
    ],
)
def test_out_of_memory_says_what_to_lower(tmp_path: Path, allocate: Any) -> None:
    with opened(tmp_path) as run:
        with (
            pytest.raises(OutOfMemory, match=r"batch of 64 did not.*chunk to 32 or less.*No checkpoint"),
            run.guard(batch=64),
        ):
            allocate()
        run.checkpoint(7, {"step": 7})
        with (
            pytest.raises(OutOfMemory, match=r"chunks of 16 did.*chunk below 16.*step-000007.pt"),
            run.guard(batch=64, chunk=16),
        ):
            allocate()
        with pytest.raises(OutOfMemory, match=r"lower batch below 64"), run.guard(batch=64, chunk=1):
            allocate()


def test_other_errors_pass_the_guard_as_they_are(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        for error in (RuntimeError("shapes cannot be multiplied"), OSError(2, "No such file"), ValueError("x")):
            with pytest.raises(type(error)) as caught, run.guard(batch=1):
                raise error
            assert caught.value is error


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), torch.tensor(-float("inf")), torch.tensor(float("nan"))])
def test_a_loss_that_is_no_number_ends_the_run_with_remedies(tmp_path: Path, loss: Any) -> None:
    with opened(tmp_path) as run:
        run.checkpoint(40, {"step": 40})
        with pytest.raises(LossDiverged, match=r"step 42.*learning rate.*float32.*step-000040.pt"):
            run.check_finite(loss, 42)
        run.check_finite(torch.tensor(3.0), 42)
        run.check_finite(3.0, 42)


# ------------------------------------------------------------------ pace


@given(st.integers(1, 40), st.integers(1, 500), st.floats(0.01, 60.0), st.integers(1, 20))
def test_an_even_pace_is_measured_exactly(steps: int, rows: int, seconds: float, window: int) -> None:
    pace = Pace(window=window)
    pace.tick(10, 0, now=1000.0)
    assert pace.rows_per_second == 0.0
    for i in range(1, steps + 1):
        pace.tick(10 + i, rows, now=1000.0 + i * seconds)
    assert pace.rows_per_second == pytest.approx(rows / seconds)


def test_the_pace_follows_the_last_steps() -> None:
    pace, now = Pace(window=5), 0.0
    pace.tick(0, 0, now)
    for step in range(1, 41):
        now += 10.0 if step <= 20 else 1.0
        pace.tick(step, 8, now)
    assert pace.rows_per_second == 8.0


def test_before_the_first_step_there_is_no_pace() -> None:
    pace = Pace()
    assert pace.rows_per_second == 0.0
    pace.tick(0, 0, 5.0)
    pace.tick(1, 8, 5.0)
    assert pace.rows_per_second == 0.0
