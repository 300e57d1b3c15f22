"""The stage `distill_images`: an image tower learns another tower's vectors or features.

With features, the aim is a faster tower: its upper blocks read smaller maps from the first blocks (`image.map_scale`)
and learn to give the same features as before, or the features of another tower with the same first blocks. So a
classifier of these features still works.
"""

import copy
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from araclip.errors import RecipeError
from araclip.training.data.limits import NotNegative
from araclip.training.data.pictures import FileMixture
from araclip.training.loop.gradcache import gather
from araclip.training.loop.processes import accelerator_for, autocast, share
from araclip.training.loop.train_loop import Part, TrainingJob, train_loop
from araclip.training.losses import weighted_sum
from araclip.training.model.branches import differing_weight, is_splittable, split
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.saved_models import load_plain
from araclip.training.model.towers import fingerprint, image_width
from araclip.training.recipe.stages import CONFIG, ImageSide, LearningStage, Pictures, Shares, Tower
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import Dev
from araclip.training.stages.frozen_features import BranchImages, FeatureMaps
from araclip.training.stages.pictures import LockedImages, training_images
from araclip.training.stages.pixels import Pixels, eval_batches
from araclip.training.stages.stage_run import backward, stage_run
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts

MEASURED = 256  # pictures on which the spread of the learned features, and the variance explained, are measured


@dataclass(frozen=True, config=CONFIG)
class DistillImages(LearningStage):
    """Trains an image tower to reproduce a teacher's image vectors.

    Without a teacher, the tower reads smaller feature maps; it learns the features that it made before the stage, or
    the features of another tower.
    """

    MODELS = ("teacher", "features_of")
    kind: Literal["distill_images"] = "distill_images"
    teacher: str = ""  # a stage or model with the student's text tower; "": none, which needs `image.map_scale`
    features_of: Tower = ""  # without a teacher: the tower, stage or model whose features are learned; "": `start`
    mirror: bool = True  # true: targets average the vectors of a picture and its mirror image
    lr_image: NotNegative = 3e-4
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None
    pictures: Pictures = ()
    image: ImageSide = ImageSide(train="full")
    losses: Shares = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})

    def mixtures(self) -> tuple[FileMixture]:
        return (FileMixture(self.pictures, self.seed),)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.eval_every and not self.teacher:
            raise ValueError("eval_every and patience need a `teacher`: features have no dev recall. Leave them out.")
        return self


class FeatureImages(BranchImages):
    """Pictures for a tower that learns features: its own from before the stage, or those of another tower."""

    def learn_from(self, tower: Any) -> None:
        """Let `initial_features` return the features of `tower` from now on, for a stage that learns these features.

        Raises:
            RecipeError: the first blocks or the width of `tower` differ from those of the tower that learns.
        """
        shared, branch = split(tower, self._frozen_blocks)
        theirs, ours = image_width(tower), image_width(self.model.vision_model)
        if theirs != ours:
            raise RecipeError(
                f"the tower whose features are learned makes {theirs} numbers, the one that learns them {ours}. Name "
                "towers of one size."
            )
        if differing := differing_weight(self._shared, shared):
            raise RecipeError(
                f"the first {self._frozen_blocks} blocks of the tower whose features are learned are not those of the "
                f"tower that learns them ({differing} differs). Name two that were trained from one start."
            )
        self._keep_frozen_copy(branch)

    @torch.inference_mode()
    def explained(self, pictures: Sequence[Path]) -> float:
        """Return the share (at most 1) of the variance of `initial_features` that the present features explain.

        Both kinds of features are computed for whole `pictures`, not for windows cut out of them.
        """
        maps, device = FeatureMaps(self._frozen, pictures, 1, self.cache, self.log), self.model.logit_scale.device
        self.model.eval()
        batches = [maps.whole(rows).to(device) for rows in eval_batches(len(pictures))]
        before = torch.cat([self.initial_features(batch) for batch in batches])
        now = torch.cat([self.features(batch) for batch in batches])
        return 1 - ((now - before).square().sum() / (before - before.mean(dim=0)).square().sum()).item()


def distill_features(stage: DistillImages, context: StageContext) -> dict[str, float]:
    """Run a stage without a teacher: a tower learns the features of another tower, or its own earlier features.

    The loss is that of a regression of features (FitNets, Romero et al. 2015), each divided by its standard deviation.

    Both towers read the same parts of the cached maps, the learning tower at a smaller scale (`image.map_scale`).

    Returns:
        {}: there is no dev recall, because no text tower is involved. The share of the features' variance that the new
        features explain is logged, measured on the dev set's pictures or else on training pictures.
    """
    if stage.image.map_scale is None:
        raise RecipeError(
            f"[{context.name}] needs `teacher`: an earlier stage, or the folder or name of a model. Without one, a "
            "tower of timm's EfficientNet or MobileNet family learns its own features from smaller maps: "
            'image.map_scale, train = "partial".'
        )
    accelerator = accelerator_for(stage.batch)
    (mixture,) = context.told(stage.mixtures())
    mixture.batch(0, stage.batch)  # refuses too few pictures now, before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    with accelerator.main_process_first():  # the main process computes the caches, the others read them
        images = FeatureImages(
            model, Pixels.of(processor), mixture.files, stage.image, stage.seed, stage.image.cache or context.cache,
            context.reporter.log, pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
    data = {"start": fingerprint(model), "pictures": mixture.fingerprint, "features": stage.features_of}
    if stage.features_of:
        learned = starting_model.image_tower_of(stage.features_of, context)
        images.learn_from(learned)
        data["tower of the features"] = fingerprint(learned)
    for side in (model.text_model, model.text_projection, model.visual_projection):
        side.requires_grad_(False)
    sample = list(range(0, len(mixture.files), max(len(mixture.files) // MEASURED, 1)))[:MEASURED]
    spread = images.initial_features(images.maps.whole(sample).to(accelerator.device)).std(dim=0) + 1e-3  # (W,)

    def learn(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)[share(accelerator, stage.batch)]  # this process's part of the batch
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
        train_loop(TrainingJob(model, stage, parts, learn), run, context.step_progress())
        context.reporter.log(f"{images.explained(pictures):.3f} of the features' variance is explained")
        images.close()
    return {}


def distill_images(stage: DistillImages, context: StageContext) -> dict[str, float]:
    """Run one stage: the student learns the teacher's image vectors (CLIP-KD, Yang et al. 2024); return the dev recall.

    The teacher sees each picture whole, once; the student sees it augmented anew in every step. The text tower does not
    change, so it must be the teacher's text tower, or the dev recall means nothing. Without a teacher, run
    `distill_features`.
    """
    if not stage.teacher:
        return distill_features(stage, context)
    if stage.features_of:
        raise RecipeError(
            f"[{context.name}] has a `teacher`, whose vectors it learns, and `features_of`, for features. Give one."
        )
    accelerator = accelerator_for(stage.batch)
    dev = Dev(stage.dev) if stage.dev else None
    (mixture,) = context.told(stage.mixtures())
    mixture.batch(0, stage.batch)  # refuses too few pictures now, before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    with accelerator.main_process_first():  # the main process computes the caches, the others read them
        targets, teacher = _teacher_targets(stage, context, mixture, model)
        images = training_images(
            model, Pixels.of(processor), mixture.files, stage.image, stage.seed, context.cache, context.reporter.log,
            pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
    data = {"start": fingerprint(model), "pictures": mixture.fingerprint, "teacher": teacher}
    distance = weighted_sum(stage.losses)
    model.text_model.requires_grad_(False)
    model.text_projection.requires_grad_(False)
    precision = stage.image_precision or stage.precision

    def learn(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)  # the batch of all processes together
        pixels = images.inputs(rows[share(accelerator, stage.batch)], step).to(accelerator.device)
        wanted = targets[rows].to(accelerator.device)  # (B, D)

        def loss(vectors: Tensor) -> Tensor:
            return distance(gather(vectors), wanted, same=None)

        towers = torch.split(pixels, stage.chunk), lambda chunk: images.encode(chunk).vectors, precision
        return {"loss": backward(stage, accelerator, step, loss, towers)}

    texts = LearningTexts(model, processor, 0)
    model.text_model.requires_grad_(False)
    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    parts = [
        *(Part(module, stage.lr_image, stage.layer_decay) for module in images.modules),
        Part(model.visual_projection, stage.lr_head),
    ]
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        recall_at_end = train_loop(TrainingJob(model, stage, parts, learn, recall), run, context.step_progress())
        images.close()
    return recall_at_end


def _teacher_targets(
    stage: DistillImages, context: StageContext, mixture: FileMixture, student: AraCLIPModel
) -> tuple[Tensor, str]:
    """Return the teacher's unit vectors (N, D) of all pictures, and the teacher's fingerprint."""
    width = student.config.projection_dim
    teacher, processor = load_plain(starting_model.saved_model(context, stage.teacher, "the teacher is"))
    if teacher.config.projection_dim != width or teacher.vision_model is None:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.config.projection_dim}-wide image vectors or none, the student "
            f"has projection_dim {width}. Take a teacher of the same space."
        )
    teacher.to(student.logit_scale.device)
    teacher.config = copy.copy(teacher.config)
    teacher.config.vision_mirror = stage.mirror
    files, pixels, log = mixture.files, Pixels.of(processor), context.reporter.log
    cached = stage.image.train == "partial" and same_first_blocks(
        student.vision_model, teacher.vision_model, stage.image.frozen_blocks
    )
    # if the first blocks are equal, the student's cached maps also fit the teacher
    side = stage.image if cached else ImageSide()
    with torch.inference_mode():
        seen = LockedImages(teacher, pixels, files, stage.image.cache or context.cache, log, side)
        return seen.vectors(files).cpu().clone(), fingerprint(teacher)


def same_first_blocks(tower: Any, other: Any, blocks: int) -> bool:
    """True if `split` can cut both towers after `blocks` blocks, and these blocks compute the same."""
    for one in (tower, other):
        if not blocks or not is_splittable(one) or getattr(one.config, "shared_blocks", blocks) != blocks:
            return False
    return not differing_weight(split(tower, blocks)[0], split(other, blocks)[0])
