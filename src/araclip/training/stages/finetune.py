"""Stage 2: contrastive learning of texts with pictures; with English captions it trains a teacher."""

import torch

from araclip.errors import DataError, RecipeError
from araclip.training.data.concepts import read_concepts
from araclip.training.data.pictures import mined
from araclip.training.loop.processes import accelerator_for, check_even
from araclip.training.loop.train_loop import Part, TrainingJob, train_loop
from araclip.training.model import towers
from araclip.training.model.model import objective
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import Finetune
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import Dev
from araclip.training.stages.finetune_step import (
    AllCaptionsLoss,
    ConceptLoss,
    ContrastLoss,
    FinetuneStep,
    ForgettingLoss,
    TeacherLoss,
)
from araclip.training.stages.pictures import RememberingImages, training_images
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.stage_run import checkpoint_activations, projection_parts, stage_run
from araclip.training.stages.starting_model import StageContext, cached_teacher
from araclip.training.stages.texts import LearningTexts, LockedTexts

NEIGHBOURS = 20  # number of a picture's most similar pictures, from which the picture's hard negatives are drawn


def finetune(stage: Finetune, context: StageContext) -> dict[str, float]:
    """Run one contrastive stage of a recipe; return the dev recall at its end.

    The loss is InfoNCE (CLIP, Radford et al. 2021) or the sigmoid loss (SigLIP, Zhai et al. 2023) between texts and
    pictures, plus the further terms to which the recipe gives a weight, see `FinetuneStep`.
    """
    accelerator = accelerator_for(stage.batch)
    dev = Dev(stage.dev) if stage.dev else None
    (mixture,) = context.told(stage.mixtures())
    mixture.batch(0, stage.batch)  # refuses too few pictures now, before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    contrast = objective(model, stage.loss, stage.matryoshka)
    concepts = None
    if stage.concepts:
        concepts = read_concepts(stage.concepts, tuple(stage.languages), towers.image_width(model.vision_model))
        check_even(min(stage.concept_batch, len(concepts.names)), "class names", accelerator)
    data = {
        "start": fingerprint(model), "pictures": mixture.fingerprint,
        "concepts": concepts.fingerprint if concepts else "",
    }  # fmt: skip
    teacher = None
    with accelerator.main_process_first():  # the main process computes the cached vectors, the others read them
        images = training_images(
            model, Pixels.of(processor), mixture.files, stage.image, stage.seed, context.cache, context.reporter.log,
            pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
        if stage.hard_negatives:
            with torch.inference_mode():  # hard negatives are found with the starting model's vectors
                vectors = images.vectors(mixture.files).float().cpu().numpy()
            mixture.use_hard_negatives(mined(vectors, mixture.pictures, NEIGHBOURS), stage.hard_negatives)
        if stage.distillation:
            english = list(dict.fromkeys(text for picture in mixture.pictures for text in picture.english))
            if not english:
                raise DataError("distillation needs English captions, and no picture has one. Set distillation to 0.")
            teacher = cached_teacher(stage, context, english, model.config.projection_dim, accelerator.device)
        all_texts = [*mixture.texts, *(name for names in (concepts.names if concepts else ()) for name in names)]
        texts = (
            LockedTexts(model, processor, all_texts, context.cache, bfloat16=stage.precision == "bfloat16")
            if stage.train_text == "locked"
            else LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
        )
    data["teacher"] = teacher.fingerprint if teacher else ""
    checkpoint_activations(stage, model)
    all_captions = None
    if stage.all_captions and isinstance(texts, LockedTexts):
        all_captions = AllCaptionsLoss(model, texts, mixture)
    forgetting = None
    if stage.anchor:
        if concepts is None or concepts.classifier is None or not isinstance(images, RememberingImages):
            raise RecipeError(
                "anchor needs concepts with a classifier, and an image tower whose first blocks can be cached. "
                "Leave it out, or give both."
            )
        forgetting = ForgettingLoss(concepts.classifier, accelerator.device)
    step = FinetuneStep(
        stage, accelerator, mixture, concepts, texts, images,
        contrast=ContrastLoss(contrast, all_captions),
        teacher=TeacherLoss(teacher) if teacher else None,
        concept_loss=ConceptLoss(model, concepts) if concepts and stage.concept_batch else None,
        forgetting=forgetting,
    )  # fmt: skip
    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        *(Part(module, stage.lr_image, stage.layer_decay) for module in images.modules),
        *projection_parts(model, stage),
    ]
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        recall_at_end = train_loop(TrainingJob(model, stage, parts, step, recall), run, context.step_progress())
        images.close()
    return recall_at_end
