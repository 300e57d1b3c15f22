"""One step of a finetune stage: draws a batch, encodes it, computes the loss and the gradients.

`train_loop` then applies the gradients with the optimizer.
"""

import math
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
from araclip.training.stages.pictures import RememberingImages, TrainingImages
from araclip.training.stages.pixels import EncodedImages
from araclip.training.stages.stage_run import backward
from araclip.training.stages.texts import LearningTexts, LockedTexts
from araclip.training.teachers.teacher import TeacherCache


class AllCaptionsLoss:
    """InfoNCE from pictures to the captions of all training pictures, which the locked text tower encoded once."""

    def __init__(self, model: AraCLIPModel, texts: LockedTexts, mixture: PictureMixture) -> None:
        self.model = model
        rows = {text: row for row, text in enumerate(dict.fromkeys(mixture.texts))}  # text → row in `features`
        (features,), _ = texts.inputs(list(rows), len(rows))
        self.features = features.to(model.logit_scale.device)  # (N, H)
        captions: dict[Path, list[int]] = {}  # picture file → rows of all its captions; several sets may list a file
        for row, file in enumerate(mixture.files):
            captions.setdefault(file, []).extend(rows[text] for text in mixture.texts_of(row))
        self.captions_of = [captions[file] for file in mixture.files]

    def __call__(self, pictures: Sequence[int], image: Tensor) -> Tensor:
        """Return `all_captions_loss`, a scalar; `image` (I, D) has the vectors of these `pictures` (row numbers)."""
        captions = l2_normalize(self.model.text_projection(self.features), dim=-1)  # (N, D)
        belongs = torch.zeros(len(image), len(captions), dtype=torch.bool, device=image.device)
        for i, row in enumerate(pictures):
            belongs[i, self.captions_of[row]] = True
        return all_captions_loss(image, captions, self.model.logit_scale, belongs)


@dataclass
class ContrastLoss:
    """The loss between texts and pictures; with `all_captions`, its mean with the loss against all captions."""

    objective: Callable[..., Tensor]
    all_captions: AllCaptionsLoss | None = None

    def __call__(self, batch: Batch, text: Tensor, image: Tensor) -> Tensor:
        """Return the loss, a scalar, of captions' vectors (T, D) and pictures' (I, D)."""
        same = torch.from_numpy(batch.same).to(text.device)
        owner = torch.tensor(batch.owner, device=text.device)
        value = self.objective(text, image, same=same, owner=owner)
        return value if self.all_captions is None else (value + self.all_captions(batch.rows, image)) / 2


@dataclass(frozen=True)
class TeacherLoss:
    """The cosine distance from captions to English captions of the same pictures, as the teacher encodes these."""

    teacher: TeacherCache

    def __call__(self, english: Sequence[str | None], text: Tensor) -> Tensor:
        """Return the mean cosine distance of captions from the teacher's vectors of English captions, a scalar.

        `text` (T, D) has the captions' vectors; `english` has an English caption of the same picture for each of them,
        or None. If `english` has no caption, the distance is 0.
        """
        known = [(i, caption) for i, caption in enumerate(english) if caption]
        if not known:
            return text.sum() * 0.0  # 0, with a gradient: no picture of this batch has an English caption
        targets = torch.from_numpy(self.teacher.lookup([caption for _, caption in known])).to(text.device)
        return cosine_loss(text[[i for i, _ in known]], targets)


class ConceptLoss:
    """The contrastive loss (InfoNCE) between the names of an image classifier's classes and the classes' features.

    `concepts` has a feature vector for each class in the space of the image tower's output. These vectors pass the
    model's image projection, as the features of a picture do.
    """

    def __init__(self, model: AraCLIPModel, concepts: Concepts) -> None:
        self.model = model
        self.features = torch.from_numpy(concepts.features).to(model.logit_scale.device)  # (C, W)

    def __call__(self, classes: Sequence[int], names: Tensor) -> Tensor:
        """Return the contrastive loss, a scalar; `names` (K, D) has the vector of one name for each of `classes`."""
        prototypes = l2_normalize(self.model.visual_projection(self.features), dim=-1)  # (C, D)
        targets = torch.tensor(classes, device=names.device)
        return concept_loss(names, prototypes, targets, self.model.logit_scale)


class ForgettingLoss:
    """Computes how far a classifier's probabilities moved because the features changed, see `forgetting_loss`.

    `classifier` is the pair (weight, bias) of a linear classifier of the features.
    """

    def __init__(self, classifier: tuple[Floats, Floats], device: torch.device) -> None:
        self.classifier = [torch.from_numpy(part).to(device) for part in classifier]

    def __call__(self, features: Tensor, before: Tensor) -> Tensor:
        """Return how far the class probabilities moved, as the KL divergence, a scalar.

        `features` and `before` (B, width) are the tower's outputs for B pictures now and before the stage.
        """
        return forgetting_loss(linear(features, *self.classifier), linear(before, *self.classifier))


@dataclass(frozen=True)
class FinetuneStep:
    """One training step. It depends on the step's number and the weights alone: random draws use (seed, step).

    The last four fields are the terms of the loss; a term that the stage does not ask for is None.
    """

    stage: Finetune
    accelerator: Accelerator
    mixture: PictureMixture
    concepts: Concepts | None
    texts: LearningTexts | LockedTexts
    images: TrainingImages
    contrast: ContrastLoss
    teacher: TeacherLoss | None
    concept_loss: ConceptLoss | None
    forgetting: ForgettingLoss | None

    def __call__(self, step: int) -> dict[str, float]:
        """Leave the step's gradients in `.grad`; return {"loss": …}, and each term by name if there are several."""
        stage = self.stage
        batch = self.mixture.batch(step, stage.batch)
        names, classes = self.concepts.draw(stage.concept_batch, stage.seed, step) if self.concepts else ([], [])
        own = share(self.accelerator, stage.batch)  # this process's part of the batch of all processes
        own_captions = batch.texts[own.start * stage.captions : own.stop * stage.captions]
        own_names = names[share(self.accelerator, len(names))]

        tokens, inverse = self.texts.inputs(own_captions + own_names, stage.chunk)
        pixels = self.images.inputs(batch.rows[own], step).to(self.accelerator.device)
        # of the batch, every n-th picture takes part in the loss against forgetting
        anchors = slice(None, None, math.ceil(stage.batch / stage.anchor_pictures))
        before = pixels.new_empty(0)  # with `forgetting`, the features (a, W) of `anchors` before the stage
        if self.forgetting and isinstance(self.images, RememberingImages):
            before = self.images.initial_features(pixels[anchors])

        # the loss is taken over the vectors of all processes, gathered from each
        terms: dict[str, Tensor] = {}

        def loss(text: Tensor, image: EncodedImages) -> Tensor:
            text = text[inverse]  # (captions + class names, D)
            captions, named = gather(text[: len(own_captions)]), text[len(own_captions) :]  # (T, D), (k, D)
            vectors = gather(image.vectors)  # (I, D)
            terms["contrast"] = self.contrast(batch, captions, vectors)
            if self.teacher:
                terms["teacher"] = stage.distillation * self.teacher(batch.english, captions)
            if self.concept_loss:
                terms["concepts"] = stage.concept_weight * self.concept_loss(classes, gather(named))
            if self.forgetting:
                terms["anchor"] = stage.anchor * self.forgetting(gather(image.features[anchors]), gather(before))
            return torch.stack(list(terms.values())).sum()

        # The backward pass goes chunk by chunk through the towers if the stage asks for GradCache.
        total = backward(
            stage, self.accelerator, step, loss, (tokens, self.texts.encode, stage.precision),
            (torch.split(pixels, stage.chunk), self.images.encode, stage.image_precision or stage.precision),
        )  # fmt: skip
        values = {name: float(term.detach()) for name, term in terms.items()} if len(terms) > 1 else {}
        return {"loss": total, **values}
