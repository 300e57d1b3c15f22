"""One step of a finetune stage: a batch, its vectors, the loss, its gradients. The optimizer steps in `train_loop`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from araclip.training.data.concepts import Concepts
from araclip.training.data.picture_data import PictureMixture
from araclip.training.inputs.encoded_images import EncodedImages
from araclip.training.inputs.pictures import BranchImages, TrainingImages
from araclip.training.inputs.texts import LearningTexts, LockedTexts
from araclip.training.loop.gradcache import Encoded, cached_backward, gather, grouped, joined
from araclip.training.loop.processes import autocast, share, step_seed
from araclip.training.recipe.stages import Finetune
from araclip.training.stages.finetuning.losses import FinetuneLosses


@dataclass(frozen=True)
class FinetuneStep:
    """A function of the step's number and the current weights: all that is drawn is drawn from (seed, step).

    Attributes:
        concepts: the classes of `losses.concepts`, whose names are drawn in each step.
    """

    stage: Finetune
    accelerator: Accelerator
    mixture: PictureMixture
    concepts: Concepts | None
    texts: LearningTexts | LockedTexts
    images: TrainingImages
    losses: FinetuneLosses

    def __call__(self, step: int) -> dict[str, float]:
        """Leave the step's gradients in `.grad`; its loss, and the terms of it where there are several."""
        stage, losses = self.stage, self.losses

        # The batch of all processes, and this process's part of it.
        batch = self.mixture.batch(step, stage.batch)
        names, classes = self._class_names(step)
        own = share(self.accelerator, stage.batch)
        own_captions = batch.texts[own.start * stage.captions : own.stop * stage.captions]
        own_names = names[share(self.accelerator, len(names))]

        # The towers' inputs.
        tokens, inverse = self.texts.inputs(own_captions + own_names, stage.chunk)
        pixels = self.images.inputs(batch.rows[own], step).to(self.accelerator.device)
        anchors = slice(None, None, max(1, stage.batch // stage.anchor_pictures))  # evenly spread over the batch
        before = self._initial_features(pixels[anchors])  # (a, W)

        # The vectors of this process → the loss over those of all processes.
        terms: dict[str, Tensor] = {}

        def loss(text: Tensor, image: EncodedImages) -> Tensor:
            text = text[inverse]  # (t + k, D)
            captions, named = gather(text[: len(own_captions)]), text[len(own_captions) :]  # (T, D), (k, D)
            vectors = gather(image.vectors)  # (I, K, D)
            terms["contrast"] = losses.contrast(batch, captions, vectors)
            if losses.teacher:
                terms["teacher"] = stage.distillation * losses.teacher(batch.english, captions)
            if losses.concepts:
                terms["concepts"] = stage.concept_weight * losses.concepts(classes, gather(named))
            if losses.forgetting:
                terms["anchor"] = stage.anchor * losses.forgetting(gather(image.features[anchors]), gather(before))
            return torch.stack(list(terms.values())).sum()

        # Backward, through the towers chunk by chunk where the stage asks for GradCache.
        total = cached_backward(
            [grouped(tokens, stage.grad_cache), grouped(torch.split(pixels, stage.chunk), stage.grad_cache)],
            [self._encode_texts, self._encode_images],
            loss,
            backward=self.accelerator.backward,
            seed=step_seed(stage.seed, self.accelerator, step),
        )
        values = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
        return {"loss": total, **values}

    def _class_names(self, step: int) -> tuple[list[str], list[int]]:
        """Names for `losses.concepts` and their classes, of all processes."""
        if self.concepts is None:
            return [], []
        return self.concepts.draw(self.stage.concept_batch, self.stage.seed, step)

    def _initial_features(self, anchors: Tensor) -> Tensor:
        """(a, W) of these pictures before the stage, for `losses.forgetting`; (a, 0) where there is none."""
        if self.losses.forgetting is None or not isinstance(self.images, BranchImages):
            return anchors.new_empty(len(anchors), 0)
        return self.images.initial_features(anchors)

    def _encode_texts(self, chunks: Sequence[Any]) -> Encoded:
        with autocast(self.stage.precision, self.accelerator):
            return joined([self.texts.encode(chunk) for chunk in chunks])

    def _encode_images(self, chunks: Sequence[Tensor]) -> Encoded:
        with autocast(self.stage.image_precision or self.stage.precision, self.accelerator):
            return joined([self.images.encode(chunk) for chunk in chunks])
