"""A run folder: its recipe and data (config.json), its measurements (metrics.jsonl), its checkpoints (step-*.pt)."""

import contextlib
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import torch
import torch.distributed as dist
from torch import Tensor

from araclip import atomic, bounded_json
from araclip.errors import GalleryLocked, LossDiverged, OutOfMemory, RunMismatch, TrainingError, first_line
from araclip.training.loop import checkpoint
from araclip.training.loop.gradcache import is_distributed
from araclip.training.loop.metric_sinks import Sink, open_sink
from araclip.training.loop.provenance import begin

TIME_FIELDS = frozenset({"time", "rows_per_second"})  # fields that differ between two runs of one recipe
_MEMORY = ("not enough memory", "DefaultCPUAllocator", "out of memory", "Cannot allocate memory")

Metrics = list[dict[str, Any]]


class Run:
    """A run folder, open for one run at a time; made by `Run.open`.

    A step s is the number of optimizer steps done. Log everything of step s, then `checkpoint(s, …)`: rows up to the
    checkpoint stay when `resume` is called, later ones are dropped and written again.
    """

    def __init__(self, folder: Path, is_main: bool, log: Callable[[str], None], sinks: Sequence[Sink]) -> None:
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
        log: Callable[[str], None],
        fresh: bool = False,
        sinks: Sequence[str] = (),
        is_main: bool = True,
    ) -> Iterator["Run"]:
        """Begin or resume the run in `folder`; for a `with` block.

        Args:
            recipe: as resolved, every value filled in; JSON's types, paths and tuples.
            data: a fingerprint for each source of data.
            log: called with lines of text to show.
            fresh: delete the run that is there.
            sinks: names from `metric_sinks.SINKS`.
            is_main: whether this process is the one that writes; others wait for it here, and share its folder.

        Raises:
            RunMismatch: the folder's run had another recipe or other data; the keys are named with both values.
            TrainingError: another process trains in this folder.
            RecipeError: a sink is unknown or not installed.
        """
        with contextlib.ExitStack() as stack:
            opened: list[Sink] = []
            if is_main:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(atomic.single_writer(folder / "run.lock"))
                except GalleryLocked as error:
                    raise TrainingError(f"{error} Or train into another folder.") from error
                config = begin(folder, recipe, data, fresh=fresh, log=log)
                for name in sinks:
                    opened.append(open_sink(name, folder, config))
                    stack.callback(opened[-1].close)
            if is_distributed():
                dist.barrier()
            run = cls(folder, is_main, log, opened)
            stack.callback(run._close)
            yield run

    def resume(self) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the newest whole checkpoint, or None; before the first `log`.

        Rows of metrics.jsonl after that step are dropped: the steps are run again and log them again.
        """
        found = checkpoint.newest(self.folder, self._log if self.is_main else lambda line: None)
        if self.is_main and (self.folder / "metrics.jsonl").exists():
            done = found[0] if found else -1  # without a checkpoint every row goes, even one of step 0
            lines = [json.dumps(row, ensure_ascii=False) for row in self.metrics() if row["step"] <= done]
            self._close()
            atomic.write_text(self.folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
        return found

    def log(self, step: int, **values: Any) -> None:
        """Append one row to metrics.jsonl and to the sinks, with the `time` in Unix seconds.

        Scalars of torch and NumPy become numbers; what is not finite becomes null.

        Raises:
            TrainingError: the disk is full.
        """
        if not self.is_main:
            return
        row = {"step": step, **{name: _plain(value) for name, value in values.items()}}
        row["time"] = round(datetime.now(UTC).timestamp(), 3)
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
        if self._file is None:
            # Unbuffered: the system has a row before the next step begins, and a failed write is not repeated on close.
            self._file = (self.folder / "metrics.jsonl").open("ab", buffering=0)
        try:
            written = self._file.write(line)
        except OSError as error:
            raise TrainingError(f"{self.folder / 'metrics.jsonl'} cannot be written: {error}. Make room.") from error
        if written != len(line):
            raise TrainingError(f"the disk of {self.folder} is full. Make room, then start the same command again.")
        for sink in self._sinks:
            sink.log(step, {name: value for name, value in row.items() if name not in {"step", "time"}})

    def metrics(self) -> Metrics:
        """The rows of metrics.jsonl, oldest first; a last row that a kill cut short is left out.

        Raises:
            RunMismatch: a row is damaged; its line is named.
        """
        path = self.folder / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # a whole row ends in a line end
        return [_row(line, f"{path} line {number}") for number, line in enumerate(lines, 1)]

    def checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Save all that the next step needs; see `checkpoint.save`, whose errors it raises."""
        if self.is_main:
            if self._file is not None:
                os.fsync(self._file.fileno())  # the rows up to a checkpoint are never younger on disk than it is
            checkpoint.save(self.folder, step, state)

    @contextlib.contextmanager
    def guard(self, *, batch: int, chunk: int | None = None) -> Iterator[None]:
        """Around a step: running out of memory, the GPU's or the machine's, becomes an error that names the remedy.

        Args:
            batch: rows a step. chunk: rows held at a time (GradCache), None when the batch is done at once.

        Raises:
            OutOfMemory: instead of what torch, Python or the system raise.
        """
        try:
            yield
        except (RuntimeError, MemoryError, OSError) as error:
            if not _is_memory(error):
                raise
            size = f"a batch of {batch}" + (f" in chunks of {chunk}" if chunk else "")
            smaller = (
                f"Lower chunk below {chunk} and start the same command again, which resumes"
                if chunk and chunk > 1
                else f"Set chunk to {max(1, (batch + 1) // 2)} or less, or lower batch below {batch} (with --fresh)"
            )
            raise OutOfMemory(
                f"a step with {size} did not fit into memory ({first_line(error)}). "
                f"{smaller}; gradient checkpointing and shorter texts help too. {self._last_checkpoint()}"
            ) from error

    def check_finite(self, loss: float | Tensor, step: int) -> None:
        """Before the optimizer's step: a loss that is NaN or infinite ends the run before it spoils the weights.

        Raises:
            LossDiverged: names the step and the last checkpoint.
        """
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
    """Throughput, from the last steps; the clock is the caller's."""

    def __init__(self, window: int = 50) -> None:
        self._ticks: deque[tuple[int, int, float]] = deque(maxlen=window + 1)  # steps done, rows done, seconds

    def tick(self, step: int, rows: int, now: float) -> None:
        """`step` steps are done, the last of them with `rows` rows, at `now` in seconds; also once before the first."""
        before = self._ticks[-1][1] if self._ticks else 0
        self._ticks.append((step, before + rows, now))

    @property
    def rows_per_second(self) -> float:
        """Over the window; 0 until two ticks have come."""
        (_, first, began), (_, last, now) = (self._ticks[0], self._ticks[-1]) if self._ticks else [(0, 0, 0.0)] * 2
        return (last - first) / (now - began) if now > began else 0.0


def _row(line: bytes, where: str) -> dict[str, Any]:
    """One row of metrics.jsonl: a step, numbers and texts."""
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


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # scalars of torch and NumPy
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in _MEMORY)
