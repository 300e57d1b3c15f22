"""Stage 1: teach the Arabic text tower the space of an English CLIP, with parallel text and no picture."""

from pathlib import Path

import torch
from torch import Tensor

from araclip.errors import RecipeError
from araclip.training import students
from araclip.training.dev import Dev
from araclip.training.fit import Job, accelerator_for, fit, heads, plain, share, step_seed
from araclip.training.gradcache import cached_backward, gather
from araclip.training.image_side import image_side
from araclip.training.losses import matryoshka, same_pairs, weighted_sum
from araclip.training.optimization import Part
from araclip.training.recipe import Distill, ImageSide, Recipe, Stage
from araclip.training.run import Run
from araclip.training.teacher import TeacherCache, load_teacher, teacher_vectors
from araclip.training.text_data import Mixture
from araclip.training.text_side import LearningTexts
from araclip.training.watch import Watch


def distill(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Run one distillation stage of a recipe.

    The student's vector of an Arabic text moves to the teacher's vector of its English original (Multilingual-CLIP,
    Carlsson et al. 2022; AraCLIP, 2024), by the weighted losses of the recipe.

    Returns:
        Dev recall at the end. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children; whatever the cause, the same command goes on from the last checkpoint.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, Distill):
        raise RecipeError(f"stage '{name}' is of kind {stage.kind}, not distill.")
    accelerator = accelerator_for(stage)
    model, processor = students.start_of(recipe, name, runs)
    model.to(accelerator.device)
    mixture = Mixture(stage.sources, stage.seed)
    teacher = cached_teacher(recipe, stage, mixture.teacher_texts(stage.steps * stage.batch), runs, watch)
    if teacher.width != model.config.projection_dim:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.width}-wide vectors, the student has projection_dim "
            f"{model.config.projection_dim}. Set [model] projection_dim = {teacher.width}."
        )
    texts = LearningTexts(model, processor, stage.frozen_layers)
    if stage.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    model.logit_scale.requires_grad_(False)
    loss = weighted_sum(stage.losses)
    if stage.matryoshka:
        loss = matryoshka(loss, [*model.config.matryoshka_dims, model.config.projection_dim])

    def backward(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)
        mine = rows[share(accelerator, stage.batch)]
        chunks, places = texts.inputs([row.text for row in mine], stage.chunk)
        wanted = torch.from_numpy(teacher.lookup([row.english for row in rows])).to(accelerator.device)  # (B, D)
        same = same_pairs([row.english for row in rows]).to(accelerator.device)

        def encode(group: list[dict[str, Tensor]]) -> Tensor:
            with accelerator.autocast():
                return torch.cat([texts.features(chunk) for chunk in group]).float()

        value = cached_backward(
            [[[chunk] for chunk in chunks] if stage.grad_cache else [chunks]], [encode],
            lambda got: loss(gather(got[places]), wanted, same=same),
            backward=accelerator.backward, seed=step_seed(stage, accelerator, step),
        )  # fmt: skip
        return {"loss": value}

    recall = None
    if stage.dev and model.vision_model is not None:
        dev = Dev(stage.dev)
        images = image_side(
            model, students.image_size(processor), students.norm(processor), dev.paths, ImageSide(), stage.seed,
            runs / "cache", watch.say,
        )  # fmt: skip
        recall = lambda: dev.recall(texts.vectors, images.vectors)  # noqa: E731
    parts = [*(Part(m, stage.lr_text, stage.layer_decay) for m in texts.modules), *heads(model, stage)[:1]]
    data = {"pairs": mixture.fingerprint, "teacher": teacher.fingerprint}
    with Run.open(
        runs / name, plain(stage), data, say=watch.say, fresh=fresh, sinks=stage.sinks,
        is_main=accelerator.is_main_process,
    ) as run:  # fmt: skip
        found = fit(Job(model, stage, parts, backward, recall), run, accelerator, watch.progress(name))
        if run.is_main:
            students.save(students.result_of(runs, name), model, processor)
    return found


def cached_teacher(recipe: Recipe, stage: Stage, texts: list[str], runs: Path, watch: Watch) -> TeacherCache:
    """The vectors of a stage's teacher for all of its texts; a teacher may be an earlier stage of the recipe.

    Raises:
        RecipeError: the stage names no teacher, or an unknown one.
    """
    spec = getattr(stage, "teacher", "")
    if not spec:
        raise RecipeError(f"a stage of kind {stage.kind} needs `teacher`, such as open_clip:ViT-B-16-SigLIP-512/webli.")
    if spec in recipe.stages:
        spec = f"araclip:{students.result_of(runs, spec)}"
    teacher = load_teacher(spec)
    folder = runs / "cache" / f"teacher-{teacher.fingerprint[:12]}"
    return teacher_vectors(teacher, texts, folder, progress=watch.teacher)
