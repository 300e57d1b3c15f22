"""Which way to store a tower's weights is the fastest here, among those that keep its vectors: tried and measured."""

import math
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.errors import ExportRejected, InputError
from araclip.model_folder import WEIGHTS
from araclip.training.export.int8.calibration import errors_of_products, largest_by_channel
from araclip.training.export.quantize import SMOOTH, store
from araclip.training.export.weights.graph_files import megabytes, read_graph, write_graph
from araclip.training.export.weights.sessions import Feed, opened

FAMILIES: dict[str, tuple[str, ...]] = {  # what --weights may ask for → what is tried
    "auto": ("smooth-int8", "static-int8", "int8-blocks", "int8", "float16", "float32"),
    "int8": ("smooth-int8", "static-int8", "int8-blocks", "int8"),
    "int4": ("int4-blocks",),
}
TOWERS = ("text", "image")
Ways = Mapping[str, tuple[str, ...]]  # by tower: of WEIGHTS, those that are likely the fastest first
LEAST_COSINE = 0.995  # of each probe, to float32
LEAST_COSINE_4_BITS = 0.95  # of int4, which nobody gets without asking
KEPT = (0.0, 0.15, 0.3)  # shares of the products that smooth-int8 leaves in float32, tried one after the other
_ALIKE = 1.1  # of two that differ less in speed, the smaller one is taken
_CALIBRATED_ON = 24  # probes of smooth-int8's, whose ranges are those of the weights' inputs alone
_SECONDS, _RUNS = 0.5, (2, 30)  # a speed is measured for this long, in so many runs at least and at most


@dataclass(frozen=True)
class Probes:
    """Inputs of one tower. `feeds`: one item each; `batch`: several at once, `count` of them."""

    feeds: Sequence[Feed]
    batch: Feed
    count: int


@dataclass(frozen=True)
class Trial:
    """One way to store the weights, measured.

    Milliseconds an item alone and in a batch, on all cores; cosines to float32, the least and the mean, None where
    another way was faster already; `kept`: products that were left in float32.
    """

    weights: str
    megabytes: float
    milliseconds: float
    milliseconds_batched: float
    cosine: float | None = None
    cosine_mean: float | None = None
    kept: int = 0

    @property
    def time(self) -> float:
        """Geometric mean of both times."""
        return math.sqrt(self.milliseconds * self.milliseconds_batched)


@dataclass(frozen=True)
class Choice:
    """The weights that were taken, and what was tried."""

    weights: str
    trials: tuple[Trial, ...]

    def report(self) -> dict[str, Any]:
        """For config.json: one object a trial, by name, numbers rounded."""
        rows = {}
        for trial in self.trials:
            fields = {k: v if not isinstance(v, float) else float(f"{v:.6g}") for k, v in asdict(trial).items()}
            name = str(fields.pop("weights"))
            rows[name] = {k: v for k, v in fields.items() if v is not None}
        return {"taken": self.weights, "tried": rows}


def candidates(weights: str) -> Ways:
    """What is tried for a value of --weights: a family, one of `model_folder.WEIGHTS` alone, or "TEXT + IMAGE" of both.

    `int8` is the name of both: the family alone, the one way in a pair.

    Raises:
        InputError: none of these.
    """
    parts = [part.strip() for part in weights.split("+")]
    if unknown := [part for part in parts if part not in FAMILIES and part not in WEIGHTS]:
        raise InputError(
            f"weights are stored as {', '.join(dict.fromkeys((*FAMILIES, *WEIGHTS)))}, or as two of them, "
            f"'TEXT + IMAGE', not as '{unknown[0]}'."
        )
    if len(parts) > len(TOWERS):
        raise InputError(f"weights are those of two towers, 'TEXT + IMAGE', but '{weights}' names {len(parts)} ways.")
    if len(parts) == 1:
        return dict.fromkeys(TOWERS, FAMILIES.get(parts[0], (parts[0],)))
    return {tower: (part,) if part in WEIGHTS else FAMILIES[part] for tower, part in zip(TOWERS, parts, strict=True)}


def choose_weights(
    graph: Path, target: Path, names: Sequence[str], probes: Probes, *, threads: int | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Choice:  # fmt: skip
    """Write `target` from a float32 graph with the fastest of several ways to store its weights that keeps its vectors.

    One graph is in memory at a time. What is slower than one that passed is not compared any further.

    Args:
        names: of WEIGHTS, those that are likely the fastest first.
        threads: of ONNX Runtime; None takes every usable core.

    Raises:
        ExportRejected: none keeps them; the best cosine is named.
        InputError: none can be tried with these probes.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
        bench = _Bench(graph, Path(beside), probes, threads)
        trials: list[Trial] = []
        for name in names:
            passed = [trial for trial in trials if _passes(trial)]
            if passed and name in ("float16", "float32"):
                break  # as fast as int8, and larger
            try:
                trial = bench.measure(name, min((t.time for t in passed), default=math.inf))
            except InputError as error:  # the probes do not reach every branch, which static-int8 needs
                log(f"{name}: {error}")
                if not trials and name == names[-1]:
                    raise
                continue
            trials.append(trial)
            log(_line(trial))
        passed = [trial for trial in trials if _passes(trial)]
        if not passed:
            best = max(trials, key=lambda trial: trial.cosine or 0)
            raise ExportRejected(
                f"{graph.name}: no weights among {', '.join(names)} keep its vectors: the best, {best.weights}, has "
                f"cosine {best.cosine or 0:.4f} to float32 on the worst probe, {_least(best.weights)} is the least. "
                "Take --weights float16 or float32."
            )
        fastest = min(trial.time for trial in passed)
        taken = min((t for t in passed if t.time <= fastest * _ALIKE), key=lambda trial: trial.megabytes)
        bench.take(taken.weights, target)
        return Choice(taken.weights, tuple(trials))


class _Bench:
    """Stores a graph in several ways and measures them."""

    def __init__(self, graph: Path, folder: Path, probes: Probes, threads: int | None) -> None:
        self._folder, self._probes, self._threads = folder, probes, threads
        self._graph = folder / "exact.onnx"  # float32.onnx is that of a trial
        write_graph(read_graph(graph), graph.parent, self._graph, outside=True)  # mapped, by all that measures
        self._exact: NDArray[np.float32] | None = None
        self._calibration = probes.feeds[:: max(1, len(probes.feeds) // _CALIBRATED_ON)]
        self._largest: Mapping[str, NDArray[np.float32]] = {}

    def measure(self, name: str, limit: float) -> Trial:
        """A trial; smooth-int8 with more and more products in float32 until it passes or is slower than `limit`."""
        shares = KEPT if name in SMOOTH else KEPT[:1]
        errors: dict[str, float] = {}
        for share in shares:
            if share and not errors:
                errors = errors_of_products(self._graph, self._calibration[:4], self._largest)
            worst = sorted(errors, key=lambda product: -errors[product])[: round(share * len(errors))]
            trial = self._trial(name, worst, limit)
            if _passes(trial) or trial.time > limit:
                break
        return trial

    def take(self, name: str, target: Path) -> None:
        """Write the stored graph of a trial to its place."""
        write_graph(read_graph(self._path(name)), self._folder, target)

    def _trial(self, name: str, keep: Collection[str], limit: float) -> Trial:
        path = self._path(name)
        if name in SMOOTH and not self._largest:
            self._largest = largest_by_channel(self._graph, self._calibration)
        feeds = self._probes.feeds if name == "static-int8" else self._calibration
        store(self._graph, path, name, feeds=feeds, largest=self._largest or None, keep=keep)
        session = opened(path, self._threads)
        alone = _milliseconds(session, self._probes.feeds[len(self._probes.feeds) // 2])
        count = self._probes.count
        batched = _milliseconds(session, self._probes.batch) / count if count > 1 else alone
        trial = Trial(name, megabytes(path), alone, batched, kept=len(keep))
        if trial.time > limit:
            return trial
        cosines = (self._vectors(session) * self._exact_vectors(session if name == "float32" else None)).sum(axis=1)
        return Trial(
            name, trial.megabytes, alone, batched, float(cosines.min()), float(cosines.mean()), len(keep)
        )  # fmt: skip

    def _exact_vectors(self, session: Any) -> NDArray[np.float32]:
        if self._exact is None:
            self._exact = self._vectors(session or opened(self._graph, self._threads))
        return self._exact

    def _vectors(self, session: Any) -> NDArray[np.float32]:
        return np.concatenate([session.run(None, feed)[0] for feed in self._probes.feeds])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.onnx"


def _passes(trial: Trial) -> bool:
    return trial.cosine is not None and trial.cosine >= _least(trial.weights)


def _least(weights: str) -> float:
    return LEAST_COSINE_4_BITS if weights == "int4-blocks" else LEAST_COSINE


def _milliseconds(session: Any, feed: Feed) -> float:
    times: list[float] = []  # the first run also warms up; where it takes long, that is little of it
    while len(times) < _RUNS[0] or (sum(times) < _SECONDS and len(times) < _RUNS[1]):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def _line(trial: Trial) -> str:
    cosine = "slower than another" if trial.cosine is None else f"cosine {trial.cosine:.4f} at least"
    kept = f", {trial.kept} products in float32" if trial.kept else ""
    return (
        f"{trial.weights}: {trial.megabytes:.0f} MB, {trial.milliseconds:.1f} ms alone, "
        f"{trial.milliseconds_batched:.1f} ms in a batch, {cosine}{kept}"
    )
