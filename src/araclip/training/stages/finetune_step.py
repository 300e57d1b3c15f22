"""One step of a finetune stage: a batch, its vectors, the loss, its gradients. The optimizer steps in `train_loop`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.functional import normalize as l2_normalize

from araclip.training.data.concepts import Concepts, Floats
from araclip.training.data.pictures import Batch, PictureMixture
from araclip.training.loop.gradcache import gather
from araclip.training.loop.processes import share
from araclip.training.losses import all_captions_loss, concept_loss, cosine_loss, forgetting_loss
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import Finetune
from araclip.training.stages.pictures import EncodedImages, RememberingImages, TrainingImages
from araclip.training.stages.stage_run import backward
from araclip.training.stages.texts import LearningTexts, LockedTexts
from araclip.training.teachers.teacher import TeacherCache


class AllCaptionsLoss:
    """Pictures against the captions of all training pictures, whose locked text tower has encoded them once."""

    def __init__(self, model: AraCLIPModel, texts: LockedTexts, mixture: PictureMixture) -> None:
        self.model = model
        self.features = texts.all_features().to(model.logit_scale.device)  # (N, H)
        captions: dict[Path, list[int]] = {}  # of a file, which several sets may list
        for row, file in enumerate(mixture.files):
            captions.setdefault(file, []).extend(texts.rows[text] for text in mixture.texts_of(row))
        self.captions_of = [captions[file] for file in mixture.files]

    def __call__(self, pictures: Sequence[int], image: Tensor) -> Tensor:
        """Vectors (I, D) of these rows of the mixture's pictures → scalar, see `all_captions_loss`."""
        captions = l2_normalize(self.model.text_projection(self.features), dim=-1)  # (N, D)
        belongs = torch.zeros(len(image), len(captions), dtype=torch.bool, device=image.device)
        for i, row in enumerate(pictures):
            belongs[i, self.captions_of[row]] = True
        return all_captions_loss(image, captions, self.model.logit_scale, belongs)


@dataclass
class ContrastLoss:
    """Texts with pictures: the mean over branches, and over the batch's and all captions where there are both."""

    objective: Callable[..., Tensor]
    all_captions: AllCaptionsLoss | None = None

    def __call__(self, batch: Batch, text: Tensor, image: Tensor) -> Tensor:
        """(T, D) vectors of captions and (I, K, D) of pictures, K for each picture → scalar."""
        same = torch.from_numpy(batch.same).to(text.device)
        owner = torch.tensor(batch.owner, device=text.device)
        values = []
        for of_branch in image.unbind(dim=1):  # (I, D)
            value = self.objective(text, of_branch, same=same, owner=owner)
            if self.all_captions is not None:
                value = (value + self.all_captions(batch.rows, of_branch)) / 2
            values.append(value)
        return torch.stack(values).mean()


@dataclass(frozen=True)
class TeacherLoss:
    """The distance of captions to the teacher's vectors of the same pictures' English captions."""

    teacher: TeacherCache

    def __call__(self, english: Sequence[str | None], text: Tensor) -> Tensor:
        """(T, D) vectors of captions, with an English caption of each one's picture or None → scalar."""
        known = [(i, caption) for i, caption in enumerate(english) if caption]
        if not known:
            return text.sum() * 0.0  # no picture of this batch has an English caption
        targets = torch.from_numpy(self.teacher.lookup([caption for _, caption in known])).to(text.device)
        return cosine_loss(text[[i for i, _ in known]], targets)


class ConceptLoss:
    """Names of classes with the projections of the classes' features, which lie in the image tower's feature space."""

    def __init__(self, model: AraCLIPModel, concepts: Concepts) -> None:
        self.model = model
        self.features = torch.from_numpy(concepts.features).to(model.logit_scale.device)  # (C, W)

    def __call__(self, classes: Sequence[int], names: Tensor) -> Tensor:
        """(K, D) vectors of the names of these classes → scalar."""
        prototypes = l2_normalize(self.model.visual_projection(self.features), dim=-1)  # (C, D)
        targets = torch.tensor(classes, device=names.device)
        return concept_loss(names, prototypes, targets, self.model.logit_scale)


class ForgettingLoss:
    """How far the probabilities of a classifier (weight, bias) moved with the features, see `forgetting_loss`."""

    def __init__(self, classifier: tuple[Floats, Floats], device: torch.device) -> None:
        self.classifier = [torch.from_numpy(part).to(device) for part in classifier]

    def __call__(self, features: Tensor, before: Tensor) -> Tensor:
        """(B, W) features of the same pictures, with the current weights and with the stage's first ones → scalar."""
        return forgetting_loss(linear(features, *self.classifier), linear(before, *self.classifier))


@dataclass
class FinetuneLosses:
    """The terms that a stage asks for; the others are None."""

    contrast: ContrastLoss
    teacher: TeacherLoss | None = None
    concepts: ConceptLoss | None = None
    forgetting: ForgettingLoss | None = None


@dataclass(frozen=True)
class FinetuneStep:
    """A function of the step's number and the current weights: all that is drawn is drawn from (seed, step)."""

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
        total = backward(
            stage, self.accelerator, step, loss, (tokens, self.texts.encode, stage.precision),
            (torch.split(pixels, stage.chunk), self.images.encode, stage.image_precision or stage.precision),
        )  # fmt: skip
        values = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
        return {"loss": total, **values}

    def _class_names(self, step: int) -> tuple[list[str], list[int]]:
        """Names for `losses.concepts` and their classes, of all processes."""
        if self.concepts is None:
            return [], []
        return self.concepts.draw(self.stage.concept_batch, self.stage.seed, step)

    def _initial_features(self, anchors: Tensor) -> Tensor:
        """(a, W) of these pictures before the stage, for `losses.forgetting`; (a, 0) where there is none."""
        if self.losses.forgetting is None or not isinstance(self.images, RememberingImages):
            return anchors.new_empty(len(anchors), 0)
        return self.images.initial_features(anchors)
