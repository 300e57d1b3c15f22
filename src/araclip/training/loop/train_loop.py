"""The loop under both stages: step → log → dev recall → checkpoint, to be killed and started again at any point."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from araclip.errors import LossDiverged
from araclip.training.loop.best import Best
from araclip.training.loop.gradcache import average_gradients
from araclip.training.loop.optimization import Ema, Part, cosine_schedule, parameter_groups, set_lr
from araclip.training.loop.plot import training_plot
from araclip.training.loop.reporter import StepProgress
from araclip.training.loop.run import Pace, Run
from araclip.training.model.freezing import freeze_batchnorm
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import Stage

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


def train_loop(job: Job, run: Run, progress: StepProgress | None) -> dict[str, float]:
    """Take the steps that are left; the model ends with its averaged, or its best, or its last weights.

    The averaged ones where the stage has `ema`; of those, or of the last ones, the best on dev where it has `patience`.

    Returns:
        Dev recall of the weights it ends with, or nothing where there is no dev set.

    Raises:
        LossDiverged, OutOfMemory, TrainingError (the disk is full), and what `backward` raises; the last checkpoint is
            whole.
    """
    stage, model = job.stage, job.model
    limit = max(MAX_LOG_SCALE, model.logit_scale.item())  # SigLIP starts above CLIP's bound
    optimizer = torch.optim.AdamW(parameter_groups(job.parts, stage.weight_decay), betas=(0.9, 0.98))
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    ema = Ema(learning, stage.ema) if stage.ema else None
    best = Best(run, learning, patience=stage.patience)
    done, sums = _resume(run, optimizer, learning, ema, best)
    pace = Pace(stage.steps)
    pace.tick(done, 0, time.monotonic())
    while done < stage.steps and not best.is_over:
        values = _step(job, run, optimizer, learning, done)
        with torch.no_grad():
            model.logit_scale.clamp_(max=limit)
        if ema:
            ema.update()
        done += 1
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
            with ema.swapped() if ema else nullcontext():
                best.see(_recall(job, run, done))
        if done % stage.checkpoint_every == 0 and done < stage.steps:
            run.checkpoint(done, {**_state(optimizer, learning, ema, best), "sums": sums})
    return _finish(job, run, ema, best)


def _step(
    job: Job, run: Run, optimizer: torch.optim.Optimizer, learning: list[nn.Parameter], step: int
) -> dict[str, float]:
    stage = job.stage
    set_lr(optimizer, cosine_schedule(step, stage.steps, round(stage.warmup * stage.steps)))
    job.model.train()
    freeze_batchnorm(job.model)
    with run.guard(batch=stage.batch, chunk=stage.chunk if stage.grad_cache else None):
        values = job.backward(step)
    run.check_finite(values["loss"], step)
    average_gradients(learning)
    _check_finite(nn.utils.clip_grad_norm_(learning, stage.clip), step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return values


def _finish(job: Job, run: Run, ema: Ema | None, best: Best) -> dict[str, float]:
    if ema:
        ema.keep()
    if best.is_over:
        recall = best.restore()
    else:
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


def _check_finite(gradient: Tensor, step: int) -> None:
    if not math.isfinite(gradient):  # of a finite loss, and yet it would make every weight NaN
        raise LossDiverged(
            f"the gradient's length became {gradient:.3g} in step {step}. Lower the learning rate or turn bf16 off, "
            "then start the same command again: it goes on from the last checkpoint."
        )


def _state(optimizer: Any, learning: list[nn.Parameter], ema: Ema | None, best: Best) -> dict[str, Any]:
    return {
        "weights": [p.detach() for p in learning],
        "optimizer": optimizer.state_dict(),
        "ema": ema.state_dict() if ema else {},
        "best": best.state(),
    }


def _resume(
    run: Run, optimizer: Any, learning: list[nn.Parameter], ema: Ema | None, best: Best
) -> tuple[int, dict[str, float]]:
    """Steps done, and the unfinished means of the log's next row."""
    found = run.resume()
    if found is None:
        best.forget()
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
