"""The loop under both stages: step → log → dev recall → checkpoint, to be killed and started again at any point."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from araclip import atomic
from araclip.errors import RecipeError
from araclip.training.gradcache import average_gradients
from araclip.training.model import AraCLIPModel
from araclip.training.optimization import Ema, Part, cosine_schedule, parameter_groups, set_lr
from araclip.training.plot import training_plot
from araclip.training.recipe import Stage
from araclip.training.run import Pace, Progress, Run
from araclip.training.students import quiet_batchnorm

MAX_LOG_SCALE = 4.6052  # ln 100, CLIP's bound on the inverse temperature


@dataclass
class Job:
    """What a stage does in one step.

    Attributes:
        backward: step → the step's values, "loss" among them; leaves gradients in `.grad`.
        recall: dev recall of the weights of now, or None.
        parts: what learns, and how fast.
    """

    model: AraCLIPModel
    stage: Stage
    parts: list[Part]
    backward: Callable[[int], dict[str, float]]
    recall: Callable[[], dict[str, float]] | None = None


def accelerator_for(stage: Stage) -> Accelerator:
    """The processes and devices of this run, as `accelerate launch` or the environment names them."""
    accelerator = Accelerator(mixed_precision="bf16" if stage.precision == "bfloat16" else "no")
    if stage.batch % accelerator.num_processes:
        raise RecipeError(
            f"a batch of {stage.batch} cannot be shared by {accelerator.num_processes} processes. "
            "Make it a multiple of their number."
        )
    return accelerator


def share(accelerator: Accelerator, size: int) -> slice:
    """This process's rows of a batch."""
    each = size // accelerator.num_processes
    return slice(accelerator.process_index * each, (accelerator.process_index + 1) * each)


def step_seed(stage: Stage, accelerator: Accelerator, step: int) -> int:
    """Of dropout in one step and process."""
    return (stage.seed * 1_000_003 + step) * accelerator.num_processes + accelerator.process_index


def heads(model: AraCLIPModel, stage: Stage) -> list[Part]:
    """Projections, temperature and bias, as parts that learn."""
    found = [Part(model.text_projection, stage.lr_head), Part(model.logit_scale, 1e-3)]
    if isinstance(model.visual_projection, nn.Linear):
        found.append(Part(model.visual_projection, stage.lr_head))
    if hasattr(model, "logit_bias"):
        found.append(Part(model.logit_bias, 1e-3))
    return found


def fit(job: Job, run: Run, accelerator: Accelerator, progress: Progress | None) -> dict[str, float]:
    """Take the steps that are left; the model ends with its averaged, or its best, or its last weights.

    The averaged ones where the stage has `ema`; of those, or of the last ones, the best on dev where it has `patience`.

    Returns:
        Dev recall of the weights it ends with, or nothing where there is no dev set.
    """
    stage, model = job.stage, job.model
    optimizer = torch.optim.AdamW(parameter_groups(job.parts, stage.weight_decay), betas=(0.9, 0.98))
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    ema = Ema(learning, stage.ema) if stage.ema else None
    best = _Best(run.folder / "best.pt", learning, patience=stage.patience)
    first, sums = _resume(run, optimizer, learning, ema, best)
    pace = Pace(stage.steps)
    pace.tick(first, 0, time.monotonic())
    for step in range(first, stage.steps):
        if best.is_over:
            break
        set_lr(optimizer, cosine_schedule(step, stage.steps, round(stage.warmup * stage.steps)))
        model.train()
        quiet_batchnorm(model)
        with run.guard(batch=stage.batch, chunk=stage.chunk if stage.grad_cache else None):
            values = job.backward(step)
        run.check_finite(values["loss"], step)
        average_gradients(learning)
        nn.utils.clip_grad_norm_(learning, stage.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_LOG_SCALE)
        if ema:
            ema.update()
        done = step + 1
        pace.tick(done, stage.batch, time.monotonic())
        sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        if progress:
            progress.update(done, stage.steps, pace.rows_per_second, values)
        if done % stage.log_every == 0 or done == stage.steps:
            steps = (done - 1) % stage.log_every + 1
            means = {name: total / steps for name, total in sums.items()}
            run.log(done, **means, scale=model.logit_scale.exp().item(), rows_per_second=round(pace.rows_per_second, 2))
            sums = {}
        if job.recall and stage.eval_every and done % stage.eval_every == 0 and done < stage.steps:
            with _averaged(ema):
                recall = _recall(job, run, done)
                best.see(recall, done)
        if done % stage.checkpoint_every == 0 and done < stage.steps:
            run.checkpoint(done, {**_state(optimizer, learning, ema, best), "sums": sums})
    return _finish(job, run, ema, best)


def _finish(job: Job, run: Run, ema: Ema | None, best: "_Best") -> dict[str, float]:
    if ema:
        ema.keep()
    recall = _recall(job, run, job.stage.steps) if job.recall else {}
    if best.is_better_than(recall):
        recall = best.restore()
    if run.is_main and (rows := run.metrics()):
        training_plot(rows, run.folder / "plot.png")
    return recall


def _recall(job: Job, run: Run, step: int) -> dict[str, float]:
    assert job.recall is not None
    job.model.eval()
    recall = job.recall()
    run.log(step, **recall)
    return recall


@contextmanager
def _averaged(ema: Ema | None) -> Iterator[None]:
    with ema.swapped() if ema else nullcontext():
        yield


def _state(optimizer: Any, learning: list[nn.Parameter], ema: Ema | None, best: "_Best") -> dict[str, Any]:
    return {
        "weights": [p.detach() for p in learning],
        "optimizer": optimizer.state_dict(),
        "ema": ema.state_dict() if ema else {},
        "best": best.state(),
    }


def _resume(
    run: Run, optimizer: Any, learning: list[nn.Parameter], ema: Ema | None, best: "_Best"
) -> tuple[int, dict[str, float]]:
    """Steps done, and the unfinished means of the log's next row."""
    found = run.resume()
    if found is None:
        return 0, {}
    step, state = found
    with torch.no_grad():
        for parameter, saved in zip(learning, state["weights"], strict=True):
            parameter.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    if ema:
        ema.load_state_dict(state["ema"])
    best.load(state["best"])
    return step, state["sums"]


class _Best:
    """The weights with the best dev R@1 so far, on disk, and how long ago that was; idle without `patience`."""

    def __init__(self, path: Path, learning: list[nn.Parameter], patience: int) -> None:
        self.path, self.learning, self.patience = path, learning, patience
        self.recall: dict[str, float] = {}
        self.waited = 0

    @property
    def is_over(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience

    def see(self, recall: dict[str, float], step: int) -> None:
        if not self.patience:
            return
        if self.recall and recall["R@1"] <= self.recall["R@1"]:
            self.waited += 1
            return
        self.recall, self.waited = recall, 0
        weights = [p.detach() for p in self.learning]
        atomic.write(self.path, lambda part: torch.save(weights, part))

    def is_better_than(self, recall: Mapping[str, float]) -> bool:
        return bool(self.recall) and self.recall["R@1"] > recall.get("R@1", -1.0)

    @torch.no_grad()
    def restore(self) -> dict[str, float]:
        for parameter, saved in zip(self.learning, torch.load(self.path, weights_only=True), strict=True):
            parameter.copy_(saved)
        return self.recall

    def state(self) -> dict[str, Any]:
        return {"recall": self.recall, "waited": self.waited}

    def load(self, state: dict[str, Any]) -> None:
        self.recall, self.waited = state["recall"], state["waited"]


def plain(value: Any) -> Any:
    """A recipe's dataclass as JSON-like values, for config.json."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def detached(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Numbers of a step's tensors, for the log."""
    return {name: float(value.detach()) for name, value in values.items()}
