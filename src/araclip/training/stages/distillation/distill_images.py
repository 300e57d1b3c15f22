"""Distillation of image towers: one tower learns the image vectors of another, such as those of an ensemble."""

import copy

import torch
from torch import Tensor

from araclip.errors import RecipeError
from araclip.training.data.file_mixture import FileMixture
from araclip.training.inputs.encoded_images import EncodedImages
from araclip.training.inputs.locked_images import LockedImages
from araclip.training.inputs.pictures import training_images
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.texts import LearningTexts
from araclip.training.loop.dev_recall import Dev
from araclip.training.loop.gradcache import cached_backward, gather, grouped
from araclip.training.loop.optimization import Part
from araclip.training.loop.processes import accelerator_for, autocast, share, step_seed
from araclip.training.loop.train_loop import TrainingJob, train_loop
from araclip.training.losses.distillation import weighted_sum
from araclip.training.model.fingerprint import fingerprint
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.saved_models import load_without_query_bank
from araclip.training.recipe.stages import DistillImages, ImageSide
from araclip.training.small_cnn.branches import same_first_blocks
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.stages.distillation.distill_features import distill_features
from araclip.training.stages.stage_run import stage_run


def distill_images(stage: DistillImages, context: StageContext) -> dict[str, float]:
    """Run one stage of feature distillation (CLIP-KD, Yang et al. 2024) between image towers.

    The teacher sees each picture whole, once; the student sees it augmented anew in every step and learns the same
    vector. The text tower stays as it is, so it has to be the teacher's for dev recall to mean anything.

    Returns:
        Dev recall at the end. The model lies in `runs/<name>/model`.

    Raises:
        RecipeError: no teacher, one that is still to be trained, or one of another width.
        TrainingError: see its children; whatever the cause, the same command resumes from the last checkpoint.
    """
    if not stage.teacher:
        return distill_features(stage, context)
    if stage.features_of:
        raise RecipeError(
            f"[{context.name}] has a `teacher`, whose vectors it learns, and `features_of`, for features. Give one."
        )
    accelerator = accelerator_for(stage.batch)
    dev = Dev(stage.dev) if stage.dev else None
    mixture = FileMixture(stage.pictures, stage.seed)
    mixture.batch(0, stage.batch)  # refuses too few pictures before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    with accelerator.main_process_first():  # the others find on disk what it computes
        targets, teacher = _targets(stage, context, mixture, model)
        images = training_images(
            model, Pixels.of(processor), mixture.files, stage.image, stage.seed, context.cache, context.reporter.log,
            pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
    data = {"start": fingerprint(model), "pictures": mixture.fingerprint, "teacher": teacher}
    distance = weighted_sum(stage.losses)
    model.text_model.requires_grad_(False)
    model.text_projection.requires_grad_(False)

    def backward(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)  # of all processes
        pixels = images.inputs(rows[share(accelerator, stage.batch)], step).to(accelerator.device)
        wanted = targets[rows].to(accelerator.device)  # (B, D)

        def encode(chunks: list[Tensor]) -> Tensor:
            with autocast(stage.image_precision or stage.precision, accelerator):
                return torch.cat([_vectors(images.encode(chunk)) for chunk in chunks])

        value = cached_backward(
            [grouped(torch.split(pixels, stage.chunk), stage.grad_cache)], [encode],
            lambda vectors: distance(gather(vectors), wanted, same=None),
            backward=accelerator.backward, seed=step_seed(stage.seed, accelerator, step),
        )  # fmt: skip
        return {"loss": value}

    texts = LearningTexts(model, processor, 0)
    model.text_model.requires_grad_(False)
    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    parts = [
        *(Part(module, stage.lr_image, stage.layer_decay) for module in images.modules),
        Part(model.visual_projection, stage.lr_head),
    ]
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        recall_at_end = train_loop(TrainingJob(model, stage, parts, backward, recall), run, context.step_progress())
        images.close()
    return recall_at_end


def _vectors(found: EncodedImages) -> Tensor:
    return found.vectors[:, 0]  # (B, D): one vector a picture


def _targets(
    stage: DistillImages, context: StageContext, mixture: FileMixture, student: AraCLIPModel
) -> tuple[Tensor, str]:
    """(N, D) unit: the teacher's vectors of all pictures, and its fingerprint."""
    width = student.config.projection_dim
    if stage.image.each_branch:
        raise RecipeError("each_branch is for captions: a target is the vector of all branches. Leave it out.")
    teacher, processor = load_without_query_bank(starting_model.saved_model(context, stage.teacher, "the teacher is"))
    if teacher.config.projection_dim != width or teacher.vision_model is None:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.config.projection_dim}-wide image vectors or none, the student "
            f"has projection_dim {width}. Take a teacher of the same space."
        )
    teacher.to(student.logit_scale.device)
    files, pixels, log = mixture.files, Pixels.of(processor), context.reporter.log
    cached = stage.image.train == "partial" and same_first_blocks(
        student.vision_model, teacher.vision_model, stage.image.frozen_blocks
    )
    side = stage.image if cached else ImageSide()  # the student's cached maps are the teacher's, too
    with torch.inference_mode():
        seen = LockedImages(
            _mirrored(teacher, stage.mirror), pixels, files, stage.image.cache or context.cache, log, side
        )
        return seen.vectors(files).cpu().clone(), fingerprint(teacher)


def _mirrored(teacher: AraCLIPModel, mirror: bool) -> AraCLIPModel:
    teacher.config = copy.copy(teacher.config)
    teacher.config.vision_mirror = mirror
    return teacher
