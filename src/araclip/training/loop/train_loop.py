"""The loop of every stage that learns: step → log → dev recall → checkpoint. It can be killed and resumed at any point.

A step's batch, augmentation and dropout are functions of (seed, step), and so is its learning rate; a checkpoint holds
`TrainingState`, which is all the rest. So a resumed run gives the same weights, bit for bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from araclip.errors import LossDiverged, RunMismatch
from araclip.training.foreign.failures import failures
from araclip.training.loop.best_weights import BestWeights
from araclip.training.loop.ema import Ema
from araclip.training.loop.gradcache import average_gradients
from araclip.training.loop.optimization import Part, cosine_schedule, parameter_groups, set_lr
from araclip.training.loop.plot import training_plot
from araclip.training.loop.reporter import StepProgress
from araclip.training.loop.run_folder import Pace, Run
from araclip.training.model.freezing import freeze_batchnorm
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import LearningStage

_OTHER_RUN = "delete it to resume from the one before, or begin anew with --fresh"
MAX_LOG_SCALE = 4.6052  # ln 100, CLIP's bound on the inverse temperature


@dataclass
class TrainingJob:
    """A stage's model and how it is trained.

    Attributes:
        parts: what learns, and how fast.
        backward: step → the step's values, "loss" among them; leaves gradients in `.grad`.
        dev_recall: recall of the current weights, or None where there is no dev set.
    """

    model: AraCLIPModel
    stage: LearningStage
    parts: list[Part]
    backward: Callable[[int], dict[str, float]]
    dev_recall: Callable[[], dict[str, float]] | None = None


def train_loop(job: TrainingJob, run: Run, progress: StepProgress | None) -> dict[str, float]:
    """Train from the last checkpoint to the end; the model then has its averaged, its best or its last weights.

    Averaged where the stage has `ema`; the best of these, or else of the last weights, on dev where it has `patience`.

    Returns:
        Dev recall of these weights, empty without a dev set.

    Raises:
        LossDiverged, OutOfMemory, TrainingError (the disk is full), and what `backward` raises; the last checkpoint is
            whole.
    """
    stage, model = job.stage, job.model
    max_log_scale = max(MAX_LOG_SCALE, model.logit_scale.item())  # SigLIP starts above CLIP's bound
    state = TrainingState(job, run)
    state.resume(run)
    pace = Pace()
    pace.tick(state.step, 0, time.monotonic())
    while state.step < stage.steps and not state.best.should_stop:
        values = _optimize(job, run, state)
        with torch.no_grad():
            model.logit_scale.clamp_(max=max_log_scale)
        if state.ema:
            state.ema.update()
        state.step += 1
        state.add(values)
        pace.tick(state.step, stage.batch, time.monotonic())
        if progress:
            progress.update(state.step, stage.steps, pace.rows_per_second, values)
        if _is_due(stage.log_every, state.step) or state.step == stage.steps:
            scale, rate = model.logit_scale.exp().item(), round(pace.rows_per_second, 2)
            run.log(state.step, **state.pop_means(), scale=scale, rows_per_second=rate)
        if job.dev_recall and _is_due(stage.eval_every, state.step) and state.step < stage.steps:
            with state.ema.swapped() if state.ema else nullcontext():
                state.best.update(_logged_recall(job, run, state.step))
        if _is_due(stage.checkpoint_every, state.step) and state.step < stage.steps:
            run.checkpoint(state.step, state.state_dict())
    return _finish(job, run, state)


class TrainingState:
    """All state that changes from step to step and that a checkpoint holds.

    Attributes:
        step: how many steps are done.
        parameters: those that learn, in the optimizer's order.
        ema: their moving average, or None.
        best: the weights with the best dev recall.
    """

    def __init__(self, job: TrainingJob, run: Run) -> None:
        groups = parameter_groups(job.parts, job.stage.weight_decay)
        self.step = 0
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.parameters: list[nn.Parameter] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ema = Ema(self.parameters, job.stage.ema) if job.stage.ema else None
        self.best = BestWeights(run, self.parameters, patience=job.stage.patience)
        self._log_every = job.stage.log_every
        self._sums: dict[str, float] = {}  # of the steps' values since a row was logged
        self._summed = 0  # of how many steps: a run may be resumed with another `log_every`

    def resume(self, run: Run) -> None:
        """Resume from the run's newest whole checkpoint, or begin at step 0."""
        found = run.resume()
        if found is None:
            self.best.remove()
        else:
            self.step, state = found
            self._check(state, run)
            with failures(
                f"the checkpoint of step {self.step} in {run.folder}", _OTHER_RUN, RunMismatch, cannot="be resumed"
            ):
                self.load_state_dict(state)

    def _check(self, state: dict[str, Any], run: Run) -> None:
        """Refuse a checkpoint of other weights; tensors of one number would be spread over a whole matrix."""
        fault, stored = "", state.get("weights")
        if not isinstance(stored, list) or not all(isinstance(weight, Tensor) for weight in stored):
            fault = f"holds {', '.join(map(str, state))}, no list of weights"
        elif (theirs := [tuple(w.shape) for w in stored]) != (ours := [tuple(p.shape) for p in self.parameters]):
            pairs = zip(theirs, ours, strict=False)
            first = next((f"{a} where the model has {b}" for a, b in pairs if a != b), "another number of them")
            fault = f"has {len(theirs)} weights, the model learns {len(ours)} ({first})"
        elif not all(bool(torch.isfinite(weight).all()) for weight in stored):
            fault = "has weights that are NaN or infinite"
        if fault:
            path = run.folder / f"step-{self.step:06}.pt"
            raise RunMismatch(f"{path} {fault}. Remedy: {_OTHER_RUN}.")

    def add(self, values: dict[str, float]) -> None:
        """Add a step's values to the next logged row."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}
        self._summed += 1

    def pop_means(self) -> dict[str, float]:
        """The values' means since the last logged row, which end with this step."""
        means = {name: total / self._summed for name, total in self._sums.items()}
        self._sums, self._summed = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, which is named by the step; the tensors are the live ones."""
        return {
            "weights": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "best": self.best.state_dict(),
            "sums": self._sums,
            "summed": self._summed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore from a checkpoint; raises what `Ema.load_state_dict` does."""
        with torch.no_grad():
            for parameter, stored in zip(self.parameters, state["weights"], strict=True):
                parameter.copy_(stored)
        self.optimizer.load_state_dict(state["optimizer"])
        for learned, moments in self.optimizer.state.items():  # torch does not compare them
            if any(m.dim() and m.shape != learned.shape for m in moments.values() if isinstance(m, Tensor)):
                raise ValueError("the optimizer's averages are those of other weights")
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.best.load_state_dict(state["best"])
        self._sums = {str(name): float(value) for name, value in state["sums"].items()}
        earlier = self.step % self._log_every  # what an earlier release, which did not write it, had summed
        self._summed = max(0, int(state.get("summed", earlier)))


def _optimize(job: TrainingJob, run: Run, state: TrainingState) -> dict[str, float]:
    """One step of the optimizer; the step's values."""
    stage, step = job.stage, state.step
    warmup = min(round(stage.warmup * stage.steps), stage.steps - 1)  # the last step is no longer a part of it
    set_lr(state.optimizer, cosine_schedule(step, stage.steps, warmup))
    job.model.train()
    freeze_batchnorm(job.model)
    with run.guard(batch=stage.batch, chunk=stage.chunk if stage.grad_cache else None):
        values = job.backward(step)
    run.check_finite(values["loss"], step)
    average_gradients(state.parameters)
    _check_finite(nn.utils.clip_grad_norm_(state.parameters, stage.clip), step)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return values


def _finish(job: TrainingJob, run: Run, state: TrainingState) -> dict[str, float]:
    """Give the model its final weights and draw the run's plot; the weights' dev recall."""
    if state.ema:
        state.ema.apply()
    if state.best.should_stop:
        recall = state.best.restore()
    else:
        recall = _logged_recall(job, run, job.stage.steps) if job.dev_recall else {}
        if state.best.is_better_than(recall):
            recall = state.best.restore()
    if run.is_main and (rows := run.metrics()):
        numbers = [{key: value for key, value in row.items() if not isinstance(value, str)} for row in rows]
        training_plot(numbers, run.folder / "plot.png")
    return recall


def _logged_recall(job: TrainingJob, run: Run, step: int) -> dict[str, float]:
    assert job.dev_recall is not None
    job.model.eval()
    recall = job.dev_recall()
    run.log(step, **recall)
    return recall


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _check_finite(gradient_norm: Tensor, step: int) -> None:
    if not math.isfinite(gradient_norm):  # possible with a finite loss, and it would make every weight NaN
        raise LossDiverged(
            f"the gradient's length became {gradient_norm:.3g} in step {step}. Lower the learning rate or set "
            "precision to float32, and begin anew with --fresh."
        )
