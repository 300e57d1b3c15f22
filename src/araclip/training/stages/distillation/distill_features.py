"""Distillation of features: an image tower learns, from smaller maps of its first blocks, the features it had before,
or those of another tower over the same first blocks.

So a classifier, or whatever else reads its pooled features, reads those of the smaller and faster tower, too.
"""

import torch

from araclip.errors import RecipeError
from araclip.training.data.file_mixture import FileMixture
from araclip.training.inputs.pictures import BranchImages, training_images
from araclip.training.inputs.pixels import Pixels
from araclip.training.loop.dev_recall import Dev
from araclip.training.loop.optimization import Part
from araclip.training.loop.processes import accelerator_for, autocast, share
from araclip.training.loop.train_loop import TrainingJob, train_loop
from araclip.training.model.fingerprint import fingerprint
from araclip.training.recipe.stages import DistillImages
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.stages.stage_run import stage_run

MEASURED = 256  # pictures over which the features' spread is measured, and how much of it is explained


def distill_features(stage: DistillImages, context: StageContext) -> dict[str, float]:
    """Run one stage: FitNets' regression of features (Romero et al. 2015), each divided by its spread.

    Student and teacher see the same window of a picture, the teacher at its own size.

    Returns:
        {}: the text side has no part in it. What share of the features' variance the new ones explain is logged; with
        a dev set, over its pictures.

    Raises:
        RecipeError: no `image.map_scale`, or a tower that it does not fit.
        TrainingError: see its children; whatever the cause, the same command resumes from the last checkpoint.
    """
    if stage.image.map_scale is None:
        raise RecipeError(
            f"[{context.name}] needs `teacher`: an earlier stage, or the folder or name of a model. Without one, a "
            "tower of timm's EfficientNet or MobileNet family learns its own features from smaller maps: "
            'image.map_scale, train = "partial".'
        )
    accelerator = accelerator_for(stage.batch)
    mixture = FileMixture(stage.pictures, stage.seed)
    mixture.batch(0, stage.batch)  # refuses too few pictures before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    with accelerator.main_process_first():  # the others find on disk what it computes
        images = training_images(
            model, Pixels.of(processor), mixture.files, stage.image, stage.seed, context.cache, context.reporter.log,
            pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
    assert isinstance(images, BranchImages)  # which map_scale asks for
    data = {"start": fingerprint(model), "pictures": mixture.fingerprint, "features": stage.features_of}
    if stage.features_of:
        learned = starting_model.image_tower_of(stage.features_of, context)
        images.learn_from(learned)
        data["tower of the features"] = fingerprint(learned)
    for side in (model.text_model, model.text_projection, model.visual_projection):
        side.requires_grad_(False)
    sample = list(range(0, len(mixture.files), max(len(mixture.files) // MEASURED, 1)))[:MEASURED]
    spread = images.initial_features(images.maps.whole(sample).to(accelerator.device)).std(dim=0) + 1e-3  # (W,)

    def backward(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)[share(accelerator, stage.batch)]  # of this process
        pixels, loss = images.inputs(rows, step).to(accelerator.device), 0.0
        for chunk in torch.split(pixels, stage.chunk):
            with autocast(stage.image_precision or stage.precision, accelerator):
                found = images.features(chunk)
            apart = (found.float() - images.initial_features(chunk).float()) / spread
            part = apart.square().mean() * (len(chunk) / len(pixels))
            accelerator.backward(part)
            loss += part.item()
        return {"loss": loss}

    parts = [Part(module, stage.lr_image, stage.layer_decay) for module in images.modules]
    pictures = Dev(stage.dev).paths[:MEASURED] if stage.dev else [mixture.files[row] for row in sample]
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        train_loop(TrainingJob(model, stage, parts, backward), run, context.step_progress())
        context.reporter.log(f"{images.explained(pictures):.3f} of the features' variance is explained")
        images.close()
    return {}
