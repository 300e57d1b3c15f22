"""Trains the stages that learn: a loop of steps, logs, dev recalls and checkpoints that can be killed and resumed.

The batch, augmentation, dropout and learning rate of a step depend on (seed, step) alone. A checkpoint holds all other
state, `TrainingState`. So a resumed run ends with the same weights, bit for bit.
"""

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from araclip.core import atomic
from araclip.errors import LossDiverged, RecipeError, RunMismatch, TrainingError
from araclip.training.failures import failures
from araclip.training.loop import checkpoint
from araclip.training.loop.gradcache import average_gradients
from araclip.training.loop.plot import training_plot
from araclip.training.loop.run_folder import Pace, Run, StepProgress
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.towers import freeze_batchnorm, parameters_by_layer
from araclip.training.recipe.stages import LearningStage


@dataclass(frozen=True)
class Part:
    """A tower, a head or a single parameter, and the rate at which it learns."""

    module: nn.Module | nn.Parameter
    lr: float  # peak learning rate: of the last layer, or of all layers if `layer_decay` is 1
    layer_decay: float = 1.0  # a layer's learning rate is that of the layer above times this; 1: one rate for all


def parameter_groups(parts: Sequence[Part], weight_decay: float) -> list[dict[str, Any]]:
    """Group the parameters for a torch optimizer, in a fixed order; parameters that need no gradient are left out.

    Layer-wise decay (ULMFiT, Howard and Ruder 2018; BEiT, Bao et al. 2021): of L layers, layer i from 0 learns at
    lr × layer_decay^(L − 1 − i), what comes before them (embeddings, patches) at lr × layer_decay^L, and what comes
    after (final norm, pooler, projection) at lr. Weight decay applies to matrices and filters only: biases, norms,
    class tokens, scales and whatever else is one row long have none.

    Returns:
        Groups with `params`, `lr`, `weight_decay`, and `peak_lr`, which `set_lr` multiplies.

    Raises:
        RecipeError: a parameter belongs to two parts, or none needs a gradient.
    """
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for part in parts:
        # (learning rate, weight decay) → group of parameters with both
        by_rate: dict[tuple[float, float], dict[str, Any]] = {}
        layers: Iterator[tuple[str, nn.Parameter, int]]
        if part.layer_decay == 1.0 and isinstance(part.module, nn.Module):  # one rate for all layers
            layers = ((name, parameter, 0) for name, parameter in part.module.named_parameters())
        else:
            layers = parameters_by_layer(part.module)
        for name, parameter, distance in layers:
            if not parameter.requires_grad:
                continue
            if id(parameter) in seen:
                raise RecipeError(f"the parameter {name} belongs to two parts. Take it out of one of them.")
            seen.add(id(parameter))
            lr = part.lr * part.layer_decay**distance
            is_matrix = sum(size > 1 for size in parameter.shape) >= 2 and not name.endswith("bias")
            decay = weight_decay if is_matrix else 0.0
            group = {"params": [], "lr": lr, "peak_lr": lr, "weight_decay": decay}
            by_rate.setdefault((lr, decay), group)["params"].append(parameter)
        groups += by_rate.values()
    if not groups:
        raise RecipeError("every parameter is frozen, there is nothing to train. Unfreeze a tower or a projection.")
    return groups


def cosine_schedule(step: int, total: int, warmup: int, floor: float = 0.02) -> float:
    """Return the factor of the peak learning rate in a step: linear warm-up, then half a cosine down to `floor`.

    This is SGDR (Loshchilov and Hutter 2017) without restarts; after the last step the factor stays at `floor`. It
    equals transformers' `get_cosine_with_min_lr_schedule_with_warmup` one step ahead: there the first step's rate is 0,
    and the cosine rises again after the last step. As a pure function it needs no state in checkpoints.
    """
    if not (0 <= warmup < total and step >= 0 and 0.0 <= floor <= 1.0):
        raise RecipeError(
            f"step {step} of {total} with {warmup} steps of warm-up and floor {floor} is no schedule. "
            "Ask for 0 ≤ warm-up < total steps and a floor between 0 and 1."
        )
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - 1 - warmup))
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * progress)) / 2.0


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its peak rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


class Ema:
    """An exponential moving average of the weights, which often retrieves better than the last weights do.

    (Polyak and Juditsky 1992.) After n updates the decay is min(decay, (1 + n) / (10 + n)), so that the start is soon
    forgotten. The average is in float32 even for bfloat16 weights, where small steps would be rounded away. torch's
    `AveragedModel` has neither this decay nor float32 averages, and also copies parameters that do not learn.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise RecipeError(f"a decay of {decay} for averaged weights. Take one in [0, 1), such as 0.999.")
        self.decay = decay
        self.updates = 0
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._means = [p.detach().to(torch.float32, copy=True) for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights; call this once after every optimizer step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter.to(torch.float32), 1.0 - decay)

    def apply(self) -> None:
        """Copy the averaged weights into the model, at the end of a run."""
        _copy(self._means, self._parameters)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Give the model the averaged weights inside a `with` block; restore its own weights, bit for bit, after it."""
        with torch.no_grad():
            own = [parameter.clone() for parameter in self._parameters]
            _copy(self._means, self._parameters)
        try:
            yield
        finally:
            _copy(own, self._parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint. Its tensors are not copies, so later updates change them."""
        return {"updates": self.updates, "means": list(self._means)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average from a checkpoint."""
        self.updates = state["updates"]
        _copy(state["means"], self._means)


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """Copy each tensor of `sources` into the tensor of `targets` at the same place.

    Raises:
        ValueError: the two lists differ in length, or two tensors differ in shape.
    """
    theirs, ours = ([tuple(tensor.shape) for tensor in side] for side in (sources, targets))
    if theirs != ours:  # checked, because `copy_` would spread a single number over a whole matrix
        differing = (f"{a} where the model has {b}" for a, b in zip(theirs, ours, strict=False) if a != b)
        first = next(differing, "another number of them")
        raise ValueError(f"it has {len(theirs)} weights, the model learns {len(ours)}: {first}")
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


class BestWeights:
    """Keeps the weights with the best dev R@1 on disk, and counts the later recalls; idle if `patience` is 0.

    The file is named by the step, `best-000123.pt`, and stays as long as a checkpoint that is kept refers to it: a run
    that resumes from this checkpoint must not end with weights that the killed run found later.
    """

    def __init__(self, run: Run, parameters: list[nn.Parameter], patience: int) -> None:
        self.folder, self.is_main = run.folder, run.is_main
        self.parameters, self.patience = parameters, patience
        self.recall: dict[str, float] = {}
        self.waited = 0
        # file of the best weights: `update` replaces this name, which earlier releases used, by a name with the step
        self.path = self.folder / "best.pt"
        self._of_checkpoints: list[Path] = []  # the files to which the kept checkpoints refer

    @property
    def should_stop(self) -> bool:
        """True if the last `patience` recalls were no better than the best."""
        return bool(self.patience) and self.waited >= self.patience

    def update(self, recall: dict[str, float], step: int) -> None:
        """Compare the R@1 of a step's weights with the best so far; if it is higher, write the weights to disk."""
        if not self.patience:
            return
        if self.recall and recall["R@1"] <= self.recall["R@1"]:
            self.waited += 1
            return
        self.recall, self.waited, self.path = recall, 0, self.folder / f"best-{step:06}.pt"
        if self.is_main:
            weights = [p.detach() for p in self.parameters]
            try:
                atomic.write(self.path, lambda part: torch.save(weights, part))
            except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
                raise TrainingError(
                    f"{self.path} cannot be written: {error}. Make room, then start it again without --fresh."
                ) from error

    def restore(self) -> dict[str, float]:
        """Copy the best weights into the model and return their recall."""
        if self.is_main:  # after the last step, other processes' weights are not used
            with failures(self.path, "begin the stage anew with --fresh", RunMismatch, cannot="be used"):
                stored = torch.load(self.path, map_location="cpu", weights_only=True)
                _copy(stored, self.parameters)
        return self.recall

    def delete_older(self) -> None:
        """Delete the files of weights that no kept checkpoint refers to; called after each checkpoint."""
        self._of_checkpoints = [*self._of_checkpoints, self.path][-checkpoint.STORED :]
        self._delete_but(self._of_checkpoints)

    def delete_all(self) -> None:
        """Delete the files of all best weights, such as those of an earlier run."""
        self._delete_but([])

    def _delete_but(self, kept: Sequence[Path]) -> None:
        for path in self.folder.glob("best*.pt") if self.is_main else ():
            if path not in kept and re.fullmatch(r"best(-\d{6,})?\.pt", path.name):
                path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint; the weights stay in their own file."""
        return {"recall": self.recall, "waited": self.waited, "file": self.path.name}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best recall, and the number of recalls since, from a checkpoint."""
        self.recall = {str(name): float(value) for name, value in state["recall"].items()}
        self.waited = int(state["waited"])
        self.path = self.folder / Path(str(state.get("file", self.path.name))).name
        self._of_checkpoints = [self.path]


MAX_LOG_SCALE = 4.6052  # ln 100, CLIP's bound on the inverse temperature


@dataclass
class TrainingJob:
    """The model of a stage, and how it is trained; `backward` adds the gradients of one step to `.grad`."""

    model: AraCLIPModel
    stage: LearningStage
    parts: list[Part]  # the parts of the model that learn, each with its learning rate
    # runs a step's backward pass: takes the step's number, returns the values to log, "loss" among them
    backward: Callable[[int], dict[str, float]]
    dev_recall: Callable[[], dict[str, float]] | None = None  # measures the current weights; None without a dev set


def train_loop(job: TrainingJob, run: Run, progress: StepProgress | None) -> dict[str, float]:
    """Train from the last checkpoint to the end; return the final weights' dev recall, empty without a dev set.

    The final weights are the last weights or, with `ema`, their running average. With `patience`, the weights (or
    averages) with the best R@1 of all dev recalls are taken instead.
    """
    stage, model = job.stage, job.model
    # The bound of the inverse temperature is CLIP's, or the starting model's value if that is higher, as in SigLIP.
    max_log_scale = max(MAX_LOG_SCALE, model.logit_scale.item())
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
                state.best.update(_logged_recall(job, run, state.step), state.step)
        if _is_due(stage.checkpoint_every, state.step) and state.step < stage.steps:
            run.checkpoint(state.step, state.state_dict())
            state.best.delete_older()
    return _finish_model(job, run, state)


class TrainingState:
    """All state that changes from step to step; a checkpoint holds it."""

    def __init__(self, job: TrainingJob, run: Run) -> None:
        groups = parameter_groups(job.parts, job.stage.weight_decay)
        self.step = 0
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.parameters: list[nn.Parameter] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ema = Ema(self.parameters, job.stage.ema) if job.stage.ema else None
        self.best = BestWeights(run, self.parameters, patience=job.stage.patience)
        self._sums: dict[str, float] = {}  # sums of the steps' values since the last logged row
        self._summed = 0  # number of steps in the sums: not always `log_every`, which may change if a run is resumed

    def resume(self, run: Run) -> None:
        """Load the state of the run's newest undamaged checkpoint; without a checkpoint, stay at step 0."""
        found = run.resume()
        if found is None:
            self.best.delete_all()  # files that an earlier run may have left
        else:
            self.step, state = found
            what = f"the checkpoint of step {self.step} in {run.folder}"
            remedy = "delete it to resume from the one before, or begin anew with --fresh"
            with failures(what, remedy, RunMismatch, cannot="be resumed"):
                self.load_state_dict(state)

    def add(self, values: dict[str, float]) -> None:
        """Add a step's values to the next logged row."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}
        self._summed += 1

    def pop_means(self) -> dict[str, float]:
        """Return the means of the steps' values since the last logged row, and start the sums anew from 0."""
        means = {name: total / self._summed for name, total in self._sums.items()}
        self._sums, self._summed = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint. Its tensors are not copies; the step is in the checkpoint's name."""
        return {
            "weights": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "best": self.best.state_dict(),
            "sums": self._sums,
            "summed": self._summed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state; raise ValueError if a weight is not finite or the state is another model's."""
        if not all(bool(torch.isfinite(weight).all()) for weight in state["weights"]):
            raise ValueError("a weight is NaN or infinite")
        _copy(state["weights"], self.parameters)
        self.optimizer.load_state_dict(state["optimizer"])
        for learned, moments in self.optimizer.state.items():  # checks the shapes, which torch does not compare
            if any(m.dim() and m.shape != learned.shape for m in moments.values() if isinstance(m, Tensor)):
                raise ValueError("the optimizer's averages are those of other weights")
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.best.load_state_dict(state["best"])
        self._sums = {str(name): float(value) for name, value in state["sums"].items()}
        self._summed = int(state["summed"])


def _optimize(job: TrainingJob, run: Run, state: TrainingState) -> dict[str, float]:
    """Run one step: gradients, then the optimizer. Return the step's values."""
    stage, step = job.stage, state.step
    warmup = min(round(stage.warmup * stage.steps), stage.steps - 1)  # the last step is never a warm-up step
    set_lr(state.optimizer, cosine_schedule(step, stage.steps, warmup))
    job.model.train()
    freeze_batchnorm(job.model)
    with run.guard(batch=stage.batch, chunk=stage.chunk if stage.grad_cache else None):
        values = job.backward(step)
    run.check_finite(values["loss"], step)
    average_gradients(state.parameters)
    length = nn.utils.clip_grad_norm_(state.parameters, stage.clip)
    if not math.isfinite(length):  # the loss may be finite and a gradient not: a step would make every weight NaN
        raise LossDiverged(
            f"the gradient's length became {length:.3g} in step {step}. Lower the learning rate or set precision to "
            "float32, and begin anew with --fresh."
        )
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return values


def _finish_model(job: TrainingJob, run: Run, state: TrainingState) -> dict[str, float]:
    """Give the model its final weights, draw the run's plot, and return the final weights' dev recall."""
    if state.ema:
        state.ema.apply()
    if state.best.should_stop:
        recall = state.best.restore()
    else:
        recall = _logged_recall(job, run, job.stage.steps) if job.dev_recall else {}
        if state.best.recall and state.best.recall["R@1"] > recall.get("R@1", -1.0):
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
