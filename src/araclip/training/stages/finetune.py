"""Stage 2: contrastive learning of texts with pictures; with English captions, the making of a teacher."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError, RecipeError
from araclip.training.data.concepts import Concepts, read_concepts
from araclip.training.data.hard_negatives import gallery_vectors, mined
from araclip.training.data.picture_data import Batch, PictureMixture
from araclip.training.inputs.pictures import BranchImages, Images, image_side
from araclip.training.inputs.texts import LearningTexts, LockedTexts
from araclip.training.loop.dev import Dev
from araclip.training.loop.gradcache import cached_backward, gather
from araclip.training.loop.optimization import Part
from araclip.training.loop.processes import accelerator_for, autocast, check_even, share, step_seed
from araclip.training.loop.train_loop import Job, train_loop
from araclip.training.losses import (
    all_captions_loss,
    cosine_loss,
    forgetting_loss,
)
from araclip.training.model import towers
from araclip.training.model.fingerprint import fingerprint
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.objective import objective
from araclip.training.model.processing import image_size, pixel_mean_and_std
from araclip.training.recipe.stages import Finetune
from araclip.training.stages import starting_model
from araclip.training.stages.cached_teacher import cached_teacher
from araclip.training.stages.context import StageContext
from araclip.training.stages.stage_run import checkpoint_activations, projection_parts, stage_run
from araclip.training.teachers.teacher import TeacherCache

NEIGHBOURS = 20  # most alike pictures a picture draws its hard negatives from


def finetune(stage: Finetune, context: StageContext) -> dict[str, float]:
    """Run one contrastive stage of a recipe.

    InfoNCE (CLIP, Radford et al. 2021) or the sigmoid loss (SigLIP, Zhai et al. 2023) between texts and pictures, with
    the distance to a teacher's text vectors as a regulariser where the recipe gives it weight.

    Returns:
        Dev recall at the end. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children; whatever the cause, the same command goes on from the last checkpoint.
    """
    accelerator = accelerator_for(stage)
    dev = Dev(stage.dev) if stage.dev else None
    mixture = PictureMixture(
        stage.pictures, stage.seed, languages=stage.languages, captions=stage.captions, noise=stage.noise
    )
    mixture.batch(0, stage.batch)  # too few pictures: known before the long part
    model, processor = starting_model.start_of(context)
    model.to(accelerator.device)
    size, norm = image_size(processor), pixel_mean_and_std(processor)
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
    with accelerator.main_process_first():  # the others find on disk what it computes
        pictures = [picture.path for picture in mixture.pictures]
        images = image_side(
            model, size, norm, pictures, stage.image, stage.seed, context.cache, context.reporter.log,
            pointwise=stage.image_precision == "pointwise",
        )  # fmt: skip
        if stage.hard_negatives:
            vectors = _vectors(stage, images, pictures)
            mixture.use_hard_negatives(mined(vectors, mixture.pictures, NEIGHBOURS), stage.hard_negatives)
            if stage.negatives_from:
                data["negatives"] = hashlib.sha256(vectors.tobytes()).hexdigest()[:12]
        if stage.distillation:
            english, width = _english(mixture), model.config.projection_dim
            teacher = cached_teacher(stage, context, english, width, accelerator.device)
    asked = [*mixture.texts, *(concepts.all_names if concepts else ())]
    texts = (
        LockedTexts(model, processor, asked, context.cache, bfloat16=stage.precision == "bfloat16")
        if stage.train_text == "locked"
        else LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
    )
    if stage.gradient_checkpointing:
        checkpoint_activations(model)
    losses = _Losses(model, stage, contrast, texts, images, mixture, concepts, teacher)
    backward = _Step(stage, accelerator, mixture, texts, images, losses, concepts)
    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        *(Part(module, stage.lr_image, stage.layer_decay) for module in images.modules),
        *projection_parts(model, stage),
    ]
    data["teacher"] = teacher.fingerprint if teacher else ""
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        found = train_loop(Job(model, stage, parts, backward, recall), run, context.step_progress())
        images.close()
    return found


@dataclass
class _Step:
    """Batch → vectors of this process → loss over those of all → gradients."""

    stage: Finetune
    accelerator: Accelerator
    mixture: PictureMixture
    texts: LearningTexts | LockedTexts
    images: Images
    losses: "_Losses"
    concepts: Concepts | None

    def __call__(self, step: int) -> dict[str, float]:
        stage, losses = self.stage, self.losses
        batch = self.mixture.batch(step, stage.batch)
        names, classes = self._names(step)
        mine = share(self.accelerator, stage.batch)
        captions = batch.texts[mine.start * stage.captions : mine.stop * stage.captions]
        chunks, places = self.texts.inputs(captions + names, stage.chunk)
        pixels = self.images.inputs(batch.rows[mine], step).to(self.accelerator.device)
        every = max(1, stage.batch // stage.anchor_pictures)  # one picture in so many is an anchor
        before = losses.first_features(pixels[::every])  # (A, W), or (A, 0) without an anchor
        values: dict[str, float] = {}

        def loss(text: Tensor, image: Tensor) -> Tensor:
            text = text[places]  # (t + k, D): captions, then names
            image, now = image.tensor_split([losses.width], dim=1)  # (b, D) or (b, K · D), and (b, W) or (b, 0)
            terms = losses(batch, classes, gather(text[: len(captions)]), gather(text[len(captions) :]), gather(image))
            if stage.anchor:
                terms["anchor"] = stage.anchor * losses.forgetting(gather(now[::every]), gather(before))
            if len(terms) > 1:
                values.update({key: float(term.detach()) for key, term in terms.items()})
            return torch.stack(list(terms.values())).sum()

        both = [chunks, list(torch.split(pixels, stage.chunk))]
        total = cached_backward(
            [[[chunk] for chunk in tower] if stage.grad_cache else [tower] for tower in both],
            [self._encode_texts, self._encode_images], loss, backward=self.accelerator.backward,
            seed=step_seed(stage, self.accelerator, step),
        )  # fmt: skip
        return {"loss": total, **values}

    def _names(self, step: int) -> tuple[list[str], list[int]]:
        """This process's class names, and the classes of all."""
        if self.concepts is None:
            return [], []
        names, classes = self.concepts.draw(self.stage.concept_batch, self.stage.seed, step)
        return names[share(self.accelerator, len(names))], classes

    def _encode_texts(self, group: list[Any]) -> Tensor:
        with autocast(self.stage, self.accelerator):
            return torch.cat([self.texts.encode(chunk) for chunk in group])

    def _encode_images(self, group: list[Tensor]) -> Tensor:
        with autocast(self.stage, self.accelerator, image=True):
            return torch.cat([self.losses.encode(chunk) for chunk in group])


class _Losses:
    """The terms of a step's loss, from the gathered vectors of all processes."""

    def __init__(
        self, model: AraCLIPModel, stage: Finetune, contrast: Callable[..., Tensor], texts: LearningTexts | LockedTexts,
        images: Images, mixture: PictureMixture, concepts: Concepts | None, teacher: TeacherCache | None,
    ) -> None:  # fmt: skip
        self.model, self.stage, self.contrast, self.images, self.teacher = model, stage, contrast, images, teacher
        self.width = model.config.projection_dim * images.vectors_each
        device = model.logit_scale.device
        self.prototypes = torch.from_numpy(concepts.features).to(device) if concepts else None  # (C, W)
        self.bank: Tensor | None = None
        if stage.all_captions and isinstance(texts, LockedTexts):
            self.bank = texts.everything().to(device)  # (N, H)
            rows = range(len(mixture.pictures))
            self.bank_rows = [[texts.rows[text] for text in mixture.texts_of(row)] for row in rows]
        self.anchored: BranchImages | None = None
        if stage.anchor:
            if concepts is None or concepts.classifier is None or not isinstance(images, BranchImages):
                raise RecipeError(
                    "anchor needs concepts with a classifier, and an image tower whose first blocks can be cached. "
                    "Leave it out, or give both."
                )
            self.anchored = images
            self.classifier = [torch.from_numpy(part).to(device) for part in concepts.classifier]

    def __call__(
        self, batch: Batch, classes: list[int], text: Tensor, names: Tensor, image: Tensor
    ) -> dict[str, Tensor]:
        """(T, D) captions, (N, D) class names, (I, D) or (I, K · D) pictures → named terms, each with its weight."""
        pairs = {
            "same": torch.from_numpy(batch.same).to(text.device), "owner": torch.tensor(batch.owner, device=text.device)
        }  # fmt: skip
        found = [self._of_pictures(batch, text, vectors, pairs) for vectors in torch.split(image, text.shape[1], dim=1)]
        terms = {"contrast": torch.stack(found).mean()}
        if self.teacher is not None:
            terms["teacher"] = self.stage.distillation * self._from_teacher(self.teacher, batch, text)
        if self.prototypes is not None and classes:
            terms["concepts"] = self.stage.concept_weight * self._of_concepts(self.prototypes, classes, names)
        return terms

    def _of_pictures(self, batch: Batch, text: Tensor, image: Tensor, pairs: dict[str, Tensor]) -> Tensor:
        value = self.contrast(text, image, **pairs)
        return value if self.bank is None else (value + self._against_all(self.bank, batch, image)) / 2

    def encode(self, inputs: Tensor) -> Tensor:
        """What `Images.encode` gives; with an anchor (B, D + W), the features they were projected from beside."""
        if self.anchored is None:
            return self.images.encode(inputs)
        features = self.anchored.features(inputs).float()
        return torch.cat([self.anchored.project(features), features], dim=1)

    def first_features(self, inputs: Tensor) -> Tensor:
        """(B, W) features as they were when the stage began, (B, 0) without an anchor."""
        return inputs.new_empty(len(inputs), 0) if self.anchored is None else self.anchored.first_features(inputs)

    def forgetting(self, features: Tensor, before: Tensor) -> Tensor:
        """How far the classes of pictures moved since the stage began; (B, W) features of now and then."""
        return forgetting_loss(linear(features, *self.classifier), linear(before, *self.classifier))

    def _against_all(self, bank: Tensor, batch: Batch, image: Tensor) -> Tensor:
        texts = l2_normalize(self.model.text_projection(bank), dim=-1)  # (N, D)
        belongs = torch.zeros(len(image), len(bank), dtype=torch.bool, device=image.device)
        for place, row in enumerate(batch.rows):
            belongs[place, self.bank_rows[row]] = True
        return all_captions_loss(image, texts, self.model.logit_scale, belongs)

    def _from_teacher(self, teacher: TeacherCache, batch: Batch, text: Tensor) -> Tensor:
        known = [(i, english) for i, english in enumerate(batch.english) if english]
        if not known:
            return text.sum() * 0.0  # no picture of this batch has an English caption
        wanted = torch.from_numpy(teacher.lookup([english for _, english in known])).to(text.device)
        return cosine_loss(text[[i for i, _ in known]], wanted)

    def _of_concepts(self, features: Tensor, classes: list[int], names: Tensor) -> Tensor:
        prototypes = l2_normalize(self.model.visual_projection(features), dim=-1)  # (C, D)
        wanted = torch.tensor(classes, device=names.device)
        logits = self.model.logit_scale.exp() * names @ prototypes.T  # (K, C)
        back = logits[:, wanted].T  # (K, K): each class of the batch picks its name
        return (cross_entropy(logits, wanted) + cross_entropy(back, torch.arange(len(wanted), device=names.device))) / 2


def _vectors(stage: Finetune, images: Images, pictures: list[Path]) -> NDArray[np.float32]:
    """(N, D) what is alike is told by: a gallery's vectors where the stage names one, or the model's own of now."""
    if stage.negatives_from:
        return gallery_vectors(stage.negatives_from, pictures)
    with torch.inference_mode():
        vectors: NDArray[np.float32] = images.vectors(pictures).float().cpu().numpy()
    return vectors


def _english(mixture: PictureMixture) -> list[str]:
    found = list(dict.fromkeys(text for picture in mixture.pictures for text in picture.english))
    if not found:
        raise DataError("distillation needs English captions, and no picture has one. Set distillation to 0.")
    return found
