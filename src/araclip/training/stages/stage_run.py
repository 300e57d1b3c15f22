"""Steps that stages share: opening the run folder, saving the model at the end, listing the parameters that learn."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from accelerate import Accelerator
from pydantic_core import to_jsonable_python
from torch import Tensor, nn

from araclip.training.data import noise
from araclip.training.loop.gradcache import Chunks, Encode, cached_backward, joined
from araclip.training.loop.processes import autocast
from araclip.training.loop.run_folder import Run
from araclip.training.loop.train_loop import Part
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.saved_models import ModelAndProcessor, save_model
from araclip.training.recipe.stages import Finetune, LearningStage, Stage, with_defaults
from araclip.training.stages.dev_recall import dev_fingerprint, locked_recall
from araclip.training.stages.starting_model import StageContext, beginning, result_of
from araclip.training.stages.texts import LearningTexts


def checkpoint_activations(stage: LearningStage, model: AraCLIPModel) -> None:
    """Turn on gradient checkpointing if the stage asks for it (Chen et al. 2016).

    The backward pass then computes activations again, which would otherwise be stored.
    """
    if stage.gradient_checkpointing:
        # transformers 5.24 renamed the method
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)()


def projection_parts(model: AraCLIPModel, stage: Finetune) -> list[Part]:
    """Return projections, temperature and bias as parts to train; freeze the text projection if the stage says so."""
    model.text_projection.requires_grad_(stage.train_text_head)
    parts = [Part(model.text_projection, stage.lr_head), Part(model.logit_scale, 1e-3)]
    if isinstance(model.visual_projection, nn.Linear):
        parts.append(Part(model.visual_projection, stage.lr_head))
    if hasattr(model, "logit_bias"):
        parts.append(Part(model.logit_bias, 1e-3))
    return parts


def backward(
    stage: LearningStage, accelerator: Accelerator, step: int, loss: Callable[..., Tensor],
    *towers: tuple[Chunks, Callable[[Any], Any], str],
) -> float:  # fmt: skip
    """Leave the gradients of a step's loss in `.grad`; chunk by chunk (`cached_backward`) if the stage wants GradCache.

    Args:
        step: the number of the step, from which random numbers (dropout) are drawn anew.
        loss: takes the output of each tower for all its chunks, and returns a scalar.
        towers: for each tower its chunks, the function that encodes one chunk, and the precision of that function.

    Returns:
        The loss.
    """

    def of_group(encode: Callable[[Any], Any], precision: str) -> Encode:
        def encoded(group: Chunks) -> Any:
            with autocast(precision, accelerator):
                return joined([encode(chunk) for chunk in group])

        return encoded

    # `cached_backward` treats each group of chunks as one. With GradCache a group has a single chunk; without it there
    # is one group of all chunks, which the tower still encodes one by one.
    groups = [[[chunk] for chunk in chunks] if stage.grad_cache else [chunks] for chunks, _, _ in towers]
    seed = (stage.seed * 1_000_003 + step) * accelerator.num_processes + accelerator.process_index
    encode = [of_group(encode, precision) for _, encode, precision in towers]
    return cached_backward(groups, encode, loss, backward=accelerator.backward, seed=seed)


@contextmanager
def stage_run(
    stage: Stage, context: StageContext, data: Mapping[str, str], student: ModelAndProcessor, accelerator: Accelerator
) -> Iterator[Run]:
    """Open the run of a stage for a `with` block; at the end of the block, save the student in the run's folder.

    `data` has a fingerprint for each source of data; a run that was begun with other data is not resumed. With
    `patience` the dev set decides the result, so it counts as data, too.
    """
    if isinstance(stage, LearningStage) and stage.patience:
        data = {**data, "dev": dev_fingerprint(stage)}
    if _draws_noise(to_jsonable_python(stage)):
        data = {**data, "noise": noise.fingerprint()}
    with Run.open(
        context.folder,
        to_jsonable_python(stage),
        {**data, **beginning(context.recipe, context.name)},
        log=context.reporter.log,
        upgraded=lambda recipe: with_defaults(recipe, stage),
        fresh=context.fresh,
        sinks=stage.sinks,
        is_main=accelerator.is_main_process,
    ) as run:
        yield run
        if run.is_main:
            save_model(result_of(context.runs, context.name), *student)
    accelerator.wait_for_everyone()


def _draws_noise(options: object) -> bool:
    """True if a stage's options, or those of one of its sources, ask for typing mistakes, dialects or English words."""
    if isinstance(options, dict):
        drawn = any(options.get(name) for name in ("noise", "dialects", "mixed"))
        return drawn or any(map(_draws_noise, options.values()))
    return isinstance(options, list) and any(map(_draws_noise, options))


def save_untrained(
    stage: Stage, context: StageContext, data: Mapping[str, str], student: ModelAndProcessor, accelerator: Accelerator
) -> dict[str, float]:
    """Measure and save the model of a stage that trains nothing; return dev recall. Arguments as for `stage_run`."""
    model, processor = student
    model.to(accelerator.device).eval()
    with accelerator.main_process_first():  # the main process computes the cached vectors, the others read them
        recall: dict[str, float] = {}
        if stage.dev:
            measure = locked_recall(stage, context, student, LearningTexts(model, processor, 0).vectors)
            recall = measure() if measure else {}
    with stage_run(stage, context, data, student, accelerator) as run:
        run.resume()
        run.log(1, **recall)
    return recall
