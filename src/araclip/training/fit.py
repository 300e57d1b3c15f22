"""The loop under both stages: step → log → dev recall → checkpoint, to be killed and started again at any point."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor, nn

from araclip.errors import LossDiverged, RecipeError
from araclip.training import students
from araclip.training.best import Best
from araclip.training.dev import locked_recall
from araclip.training.gradcache import average_gradients
from araclip.training.memory import keep_freed_memory
from araclip.training.model import AraCLIPModel
from araclip.training.optimization import Ema, Part, cosine_schedule, parameter_groups, set_lr
from araclip.training.plot import training_plot
from araclip.training.run import Pace, Progress, Run
from araclip.training.sections import Stage
from araclip.training.text_side import LearningTexts
from araclip.training.watch import Watch

MAX_LOG_SCALE = 4.6052  # ln 100, CLIP's bound on the inverse temperature
PATIENCE = timedelta(days=2)  # of processes that wait for the first one, which computes what is kept on disk


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
    """The processes and devices of this run, as `accelerate launch` or the environment names them.

    Raises:
        RecipeError: the batch cannot be shared evenly.
    """
    keep_freed_memory()
    # Precision is the stage's, see `autocast`: accelerate knows one a process, and a recipe's stages may differ.
    # And a group of processes on a machine without GPU is one only where accelerate is told of the CPU.
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    check_even(stage.batch, "rows", accelerator)
    return accelerator


def check_even(count: int, what: str, accelerator: Accelerator) -> None:
    """Each process takes the same part of a batch, or the loss would not be that of one process.

    Raises:
        RecipeError: `count` cannot be shared evenly.
    """
    if count % accelerator.num_processes:
        raise RecipeError(
            f"a batch of {count} {what} cannot be shared by {accelerator.num_processes} processes. "
            "Make it a multiple of their number."
        )


def autocast(stage: Stage, accelerator: Accelerator, *, image: bool = False) -> AbstractContextManager[Any]:
    """For a tower of a step: bfloat16 where the stage asks for it."""
    precision = (stage.image_precision if image else None) or stage.precision
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def save_memory(model: AraCLIPModel) -> None:
    """Gradient checkpointing (Chen et al. 2016): activations are computed a second time instead of being kept."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since transformers 5.24
    (enable or model.gradient_checkpointing_enable)()


def share(accelerator: Accelerator, size: int) -> slice:
    """This process's rows of a batch of `size`, a multiple of the number of processes."""
    each, place = size // accelerator.num_processes, accelerator.process_index
    return slice(place * each, (place + 1) * each)


def step_seed(stage: Stage, accelerator: Accelerator, step: int) -> int:
    """The seed of dropout in one step and process."""
    processes: int = accelerator.num_processes
    place: int = accelerator.process_index
    return (stage.seed * 1_000_003 + step) * processes + place


def heads(model: AraCLIPModel, stage: Stage) -> list[Part]:
    """Projections, temperature and bias, as parts that learn."""
    model.text_projection.requires_grad_(stage.train_text_head)
    found = [Part(model.text_projection, stage.lr_head), Part(model.logit_scale, 1e-3)]
    if isinstance(model.visual_projection, nn.Linear):
        found.append(Part(model.visual_projection, stage.lr_head))
    if hasattr(model, "logit_bias"):
        found.append(Part(model.logit_bias, 1e-3))
    return found


def matryoshka_widths(model: AraCLIPModel) -> list[int]:
    """The prefixes of a vector that shall be vectors of their own, and its full width, rising.

    Raises:
        RecipeError: the model names none.
    """
    if not model.config.matryoshka_dims:
        raise RecipeError("matryoshka = true, but the model has no widths for it. Set [model] matryoshka_dims.")
    return sorted({*model.config.matryoshka_dims, model.config.projection_dim})


@contextmanager
def stage_run(
    stage: Stage, folder: Path, data: Mapping[str, str], student: students.Student, accelerator: Accelerator,
    watch: Watch, fresh: bool,
) -> Iterator[Run]:  # fmt: skip
    """The run of one stage in its folder; after the `with` block the student is saved there, where a next stage starts.

    Args:
        folder: of the runs, and in it the stage's. data: fingerprints of what the stage learns from.
        fresh: forget what an earlier run left.
    """
    with Run.open(
        folder, plain(stage), data, say=watch.say, fresh=fresh, sinks=stage.sinks, is_main=accelerator.is_main_process
    ) as run:
        yield run
        if run.is_main:
            students.save(students.result_of(folder.parent, folder.name), *student)
    accelerator.wait_for_everyone()


def kept(
    stage: Stage, folder: Path, data: Mapping[str, str], student: students.Student, accelerator: Accelerator,
    watch: Watch, fresh: bool,
) -> dict[str, float]:  # fmt: skip
    """Measure and keep what a stage made that trains nothing; the arguments are those of `stage_run`.

    Returns:
        Dev recall, empty without a dev set.
    """
    model, processor = student
    model.to(accelerator.device).eval()
    reached: dict[str, float] = {}
    with accelerator.main_process_first():  # the others find the pictures' vectors on disk
        if stage.dev:
            texts = LearningTexts(model, processor, 0)
            reached = locked_recall(stage.dev, student, texts.vectors, folder.parent / "cache", watch.say)()
    with stage_run(stage, folder, data, student, accelerator, watch, fresh) as run:
        run.resume()
        run.log(1, **reached)
    return reached


def fit(job: Job, run: Run, progress: Progress | None) -> dict[str, float]:
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
    students.quiet_batchnorm(job.model)
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


def plain(value: Any) -> Any:
    """A recipe's dataclass as JSON-like values, for config.json."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
