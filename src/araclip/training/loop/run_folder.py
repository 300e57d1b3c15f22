"""Keeps the folder of a run: recipe and data (config.json), measurements (metrics.jsonl), checkpoints (step-*.pt)."""

import contextlib
import json
import math
import os
import platform
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from araclip import __version__
from araclip.core import atomic, bounded_json
from araclip.core.display import Log
from araclip.errors import GalleryLocked, LossDiverged, OutOfMemory, RecipeError, RunMismatch, TrainingError, first_line
from araclip.training.loop import checkpoint
from araclip.training.loop.gradcache import is_distributed


class StepProgress(Protocol):
    """Displays the steps of one stage."""

    def update(self, step: int, total: int, rows_per_second: float, values: dict[str, float]) -> None:
        """Show that `step` of `total` steps are done; `values` has numbers of the last step, such as "loss"."""


class Reporter(Protocol):
    """Receives the progress of a stage; the command line displays it."""

    def log(self, line: str) -> None:
        """Show one line of text."""

    def step_progress(self, stage: str) -> StepProgress | None:
        """Return a display for the steps of a stage that begins; None for no display."""
        return None

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """Show that `done` of `total` texts have a teacher vector; called while the vectors are computed."""


class SilentReporter(Reporter):
    """A reporter that shows nothing."""


# trackio is installed without its dependencies, because it asks for Pillow < 13, but runs with 13.
TRACKIO = "--no-deps trackio gradio-client orjson brotli websockets"


class Sink(Protocol):
    """A further place for the rows of metrics that `Run.log` writes, such as TensorBoard."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Take one row of metrics; values that are not numbers may be dropped."""

    def close(self) -> None:
        """Write out the rows that are still buffered."""


class TensorBoard:
    """Writes event files to RUN/tensorboard, for `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._open: Callable[..., Any] = import_sink("tensorboard").SummaryWriter
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the row's numbers as scalars; rows that a killed run wrote from this step on are hidden."""
        if self._writer is None:
            self._writer = self._open(log_dir=str(self._folder), purge_step=step)
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        if self._writer is not None:
            self._writer.close()


class Trackio:
    """Sends rows to trackio, for `trackio show`.

    The run gets the name of its folder, and the project the name of the folder above.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._trackio = import_sink("trackio")
        folder = folder.resolve()
        self._trackio.init(project=folder.parent.name, name=folder.name, config=dict(config), resume="allow")

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Send all values of the row."""
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        """Wait until everything is stored."""
        self._trackio.finish()


SINKS: dict[str, Callable[[Path, Mapping[str, Any]], Sink]] = {"tensorboard": TensorBoard, "trackio": Trackio}


def import_sink(name: str) -> Any:
    """Import the module of a sink; raise RecipeError if there is no such sink, or if it is not installed."""
    if name not in SINKS:
        raise RecipeError(f"there is no sink {name!r} for metrics. Choose from {', '.join(sorted(SINKS))}, or none.")
    module, packages = {"tensorboard": ("torch.utils.tensorboard", name), "trackio": (name, TRACKIO)}[name]
    try:
        return import_module(module)
    except ImportError as error:
        raise RecipeError(
            f"the recipe sends its metrics to {name}, which is not installed. "
            f"Run `pip install {packages}`, or take it out of the recipe's sinks."
        ) from error


SHOWN = 8  # limit: differing keys that a message names
# Keys of a stage that a resumed run may change: they change how it computes and reports, not what it learns, except for
# rounding and (`chunk`) for the units that dropout leaves out.
HOW = ("chunk", "gradient_checkpointing", "log_every", "checkpoint_every", "sinks")


def begin(
    folder: Path, recipe: Mapping[str, Any], data: Mapping[str, str], *, fresh: bool, log: Log,
    upgraded: Callable[[Any], Any],
) -> dict[str, Any]:  # fmt: skip
    """Write config.json for a new run, or compare an old run's config.json with the arguments; return its contents.

    If the code, the packages or the number of threads changed since the run began, `log` gets a line.

    Args:
        data: each source of data → its fingerprint; and under "begins with" the stage or model the run starts from.
        fresh: first delete the run that is there, and its model.
        upgraded: takes the recipe of an old run and returns it with the keys that later releases have added.

    Raises:
        RunMismatch: the folder was begun with another recipe or other data; or its config.json is damaged, or missing
            though there is a checkpoint.
    """
    path = folder / "config.json"
    if fresh:
        delete_run(folder)
        shutil.rmtree(folder / "model", ignore_errors=True)  # a later stage must not start from the old model
    config = _run_config(recipe, data)
    if not path.exists():
        if left := checkpoint.latest(folder):
            raise RunMismatch(
                f"{left} is a checkpoint without a config.json that says what made it. "
                "Begin anew with --fresh, or train into another folder."
            )
        atomic.write_text(path, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
        return config
    try:
        begun: dict[str, Any] = bounded_json.read(path, kind=dict, error=RunMismatch)
        # A source of data whose hash an earlier release did not record is not compared. The recipe, which names the
        # sources, is always compared.
        recorded = {**config["data"], **begun["data"]}
        before = without_nulls({"recipe": upgraded(begun["recipe"]), "data": recorded})
    except (RunMismatch, LookupError, TypeError) as error:
        raise RunMismatch(
            f"{path} is damaged ({error}). Begin anew with --fresh, or train into another folder."
        ) from error
    differing = differences(before, without_nulls({"recipe": config["recipe"], "data": config["data"]}))
    if how := [differing.pop(key) for key in [*differing] if key.removeprefix("recipe.").split(".")[0] in HOW]:
        log(f"{folder} was begun with other settings, which change rounding and dropout alone: {'; '.join(how)}.")
    if differing:
        raise RunMismatch(
            f"{folder} was begun with another recipe or other data: {join_first(differing)}. "
            "Resume with what began it, forget it with --fresh, or train into another folder."
        )
    for name in ("git", "versions", "threads"):
        if begun.get(name) != config[name]:
            log(f"{folder} was begun with {name} {begun.get(name)}, now {config[name]}: results may differ.")
    return begun


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a run's folder, and hold its lock in a `with` block; raise TrainingError if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(atomic.single_writer(folder / "run.lock"))
        except GalleryLocked as error:
            raise TrainingError(f"{error} Or train into another folder.") from error
        yield


def delete_run(folder: Path) -> None:
    """Delete checkpoints, metrics.jsonl, result.json and config.json of a run; its model stays."""
    # Checkpoints are deleted first: if this process is killed, a run of another recipe must not resume from one.
    checkpoint.remove_all(folder)
    for name in ("metrics.jsonl", "result.json", "config.json"):
        (folder / name).unlink(missing_ok=True)


def without_nulls(value: Any) -> Any:
    """Return a recipe (as JSON) without the keys whose value is null.

    So a recipe in which a new key is null equals a recipe that was written before this key existed.
    """
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _run_config(recipe: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    # Through JSON and back, so that tuples and paths compare equal to what config.json holds.
    inputs = json.loads(json.dumps({"recipe": recipe, "data": data}, ensure_ascii=False, default=str))
    packages = {name: version(name) for name in ("torch", "transformers")}
    return {
        **inputs,
        "git": _git_state(),
        "versions": {"araclip": __version__, "python": platform.python_version(), **packages},
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git_state() -> dict[str, Any] | None:
    """Return the working directory's commit, and whether tracked files differ from it; None outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def differences(before: Any, now: Any) -> dict[str, str]:
    """Compare two recipes (as JSON); return, for each key that differs (`pictures.3.share`), a line that says how."""
    old, new = _flatten(before), _flatten(now)

    def shown(values: Mapping[str, Any], key: str) -> str:
        return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"

    return {
        key: f"{key} was {shown(old, key)}, now {shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if (key in old, old.get(key)) != (key in new, new.get(key))
    }


def join_first(differing: Mapping[str, str]) -> str:
    """Join the first `SHOWN` of the lines that `differences` returned; say how many more lines there are."""
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join([*differing.values()][:SHOWN]) + more


def _flatten(value: Any, key: str = "") -> dict[str, Any]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner:
        return {key: value}
    return {name: leaf for k, v in inner for name, leaf in _flatten(v, f"{key}.{k}" if key else str(k)).items()}


# fields that depend on the time, so that they differ between two runs of one recipe
TIME_FIELDS = frozenset({"time", "rows_per_second"})
_MEMORY = ("not enough memory", "DefaultCPUAllocator", "out of memory", "Cannot allocate memory")

Metrics = list[dict[str, Any]]


class Run:
    """A run folder that one run at a time has open; use `Run.open`.

    Step s means that s optimizer steps are done. Log all values of step s before `checkpoint(s, …)`: `resume` keeps the
    rows up to the checkpoint and drops later rows, whose steps are run again.
    """

    def __init__(self, folder: Path, is_main: bool, log: Log, sinks: Sequence[Sink]) -> None:
        self.folder = folder
        self.is_main = is_main
        self._log = log
        self._sinks = sinks
        self._file: BinaryIO | None = None

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        folder: Path,
        recipe: Mapping[str, Any],
        data: Mapping[str, str],
        *,
        log: Log,
        upgraded: Callable[[Any], Any] = lambda recipe: recipe,
        fresh: bool = False,
        sinks: Sequence[str] = (),
        is_main: bool = True,
    ) -> Iterator["Run"]:
        """Begin or resume the run in `folder`; a context manager for a `with` block.

        Args:
            recipe: the stage with every default filled in; values are of JSON's types, paths or tuples.
            data: a fingerprint for each source of data.
            log: called with lines of text to show.
            upgraded: turns the recipe that an earlier version of araclip recorded into today's form.
            fresh: first delete the run that is there.
            sinks: where metrics also go: names from SINKS, such as "tensorboard".
            is_main: true in the one process that writes; the others wait here until the folder is ready.

        Raises:
            TrainingError: another process has the folder open.
            RecipeError: a sink is unknown or not installed.
            RunMismatch: `fresh` is false, and the folder's run has another recipe, other data or a bad config.json.
        """
        with contextlib.ExitStack() as stack:
            opened: list[Sink] = []
            if is_main:
                stack.enter_context(writing(folder))
                for name in sinks:
                    import_sink(name)  # raises RecipeError now, before `fresh` deletes anything
                config = begin(folder, recipe, data, fresh=fresh, log=log, upgraded=upgraded)
                for name in sinks:
                    opened.append(SINKS[name](folder, config))
                    stack.callback(opened[-1].close)
            if is_distributed():
                dist.barrier()
            run = cls(folder, is_main, log, opened)
            stack.callback(run._close)
            yield run

    def resume(self) -> tuple[int, dict[str, Any]] | None:
        """Return step and state of the newest undamaged checkpoint, None without one; call this before the first `log`.

        Rows of metrics.jsonl after that step are dropped, because their steps will run and log again.
        """
        found = checkpoint.newest(self.folder, self._log if self.is_main else lambda line: None)
        if self.is_main and (self.folder / "metrics.jsonl").exists():
            done = found[0] if found else -1  # without a checkpoint every row is dropped, even one of step 0
            lines = [json.dumps(row, ensure_ascii=False) for row in self.metrics() if row["step"] <= done]
            self._close()
            atomic.write_text(self.folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
        return found

    def log(self, step: int, **values: Any) -> None:
        """Append a row with these values and the `time` (Unix seconds) to metrics.jsonl; send the values to the sinks.

        Scalars of torch and NumPy become numbers; NaN and infinity become null.
        """
        if not self.is_main:
            return
        row = {"step": step, **{name: _json_number(value) for name, value in values.items()}}
        row["time"] = round(datetime.now(UTC).timestamp(), 3)
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
        if self._file is None:
            # Unbuffered: a row is written before the next step begins, and `close` does not repeat a failed write.
            self._file = (self.folder / "metrics.jsonl").open("ab", buffering=0)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise TrainingError(f"{self.folder / 'metrics.jsonl'} cannot be written: {error}. Make room.") from error
        if written != len(line):
            raise TrainingError(f"the disk of {self.folder} is full. Make room, then start it again without --fresh.")
        for sink in self._sinks:
            sink.log(step, {name: value for name, value in row.items() if name not in {"step", "time"}})

    def metrics(self) -> Metrics:
        """Return the rows of metrics.jsonl, oldest first, without a last row that a kill cut short."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # a row without line feed was cut short
        return [_parse_row(line, f"{path} line {number}") for number, line in enumerate(lines, 1)]

    def checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Save a checkpoint with all that the next step needs; raises the errors of `checkpoint.save`."""
        if self.is_main:
            if self._file is not None:
                os.fsync(self._file.fileno())  # the rows must be on disk before their checkpoint is
            checkpoint.save(self.folder, step, state)

    @contextlib.contextmanager
    def guard(self, *, batch: int, chunk: int | None = None) -> Iterator[None]:
        """Put this around a step: running out of memory (GPU or machine) becomes an OutOfMemory with the remedy."""
        try:
            yield
        except (RuntimeError, MemoryError, OSError) as error:
            ours = isinstance(error, MemoryError | torch.OutOfMemoryError)
            if not ours and not any(words in str(error) for words in _MEMORY):
                raise
            size = f"a batch of {batch}" + (f" in chunks of {chunk}" if chunk else "")
            smaller = (
                f"Lower chunk below {chunk} and start it again without --fresh, which resumes"
                if chunk and chunk > 1
                else f"Set chunk to {max(1, (batch + 1) // 2)} or less, or lower batch below {batch} (with --fresh)"
            )
            raise OutOfMemory(
                f"a step with {size} did not fit into memory ({first_line(error)}). "
                f"{smaller}; gradient checkpointing and shorter texts help too. {self._last_checkpoint()}"
            ) from error

    def check_finite(self, loss: float | Tensor, step: int) -> None:
        """Raise LossDiverged if the loss is NaN or infinite; called before the optimizer's step spoils the weights."""
        if not math.isfinite(value := float(loss)):
            raise LossDiverged(
                f"the loss became {value} in step {step}. Lower the learning rate, lengthen the warm-up, or set "
                f"precision to float32, and begin anew with --fresh; {self.folder / 'metrics.jsonl'} has the steps "
                f"before. {self._last_checkpoint()}"
            )

    def _last_checkpoint(self) -> str:
        path = checkpoint.latest(self.folder)
        return f"The last checkpoint is {path}." if path else "No checkpoint had been written yet."

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Pace:
    """Measures rows per second over the last steps, from the times that the caller passes to `tick`."""

    def __init__(self, window: int = 50) -> None:
        # (steps done, rows done, seconds) for each recorded step
        self._ticks: deque[tuple[int, int, float]] = deque(maxlen=window + 1)

    def tick(self, step: int, rows: int, now: float) -> None:
        """Record that step `step` ended at `now` (seconds) and had `rows` rows; call it at step 0, too."""
        before = self._ticks[-1][1] if self._ticks else 0
        self._ticks.append((step, before + rows, now))

    @property
    def rows_per_second(self) -> float:
        """Rows per second over the last recorded steps; 0 before the second `tick`."""
        (_, first, began), (_, last, now) = (self._ticks[0], self._ticks[-1]) if self._ticks else [(0, 0, 0.0)] * 2
        return (last - first) / (now - began) if now > began else 0.0


def _parse_row(line: bytes, where: str) -> dict[str, Any]:
    """Parse one row of metrics.jsonl: a step, numbers and texts; anything else is a RunMismatch."""
    try:
        row: dict[str, Any] = bounded_json.parse(line, where, kind=dict, error=RunMismatch)
        if isinstance(row.get("step"), int) and all(
            isinstance(value, int | float | str | None) for value in row.values()
        ):
            return row
        fault = f"{where}: {row!r:.80} is no step with its numbers."
    except RunMismatch as error:
        fault = str(error)
    raise RunMismatch(f"{fault} Take the line out, or begin anew with --fresh.")


def _json_number(value: Any) -> Any:
    if hasattr(value, "item"):  # a scalar of torch or NumPy
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
