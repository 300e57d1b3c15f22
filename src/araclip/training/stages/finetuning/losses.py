"""The terms of a finetune step's loss. Each takes vectors of all processes and gives a scalar; none of them encodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.functional import normalize as l2_normalize

from araclip.training.data.class_files import Floats
from araclip.training.data.concepts import Concepts
from araclip.training.data.picture_data import Batch, PictureMixture
from araclip.training.inputs.texts import LockedTexts
from araclip.training.losses.concepts import concept_loss, forgetting_loss
from araclip.training.losses.contrastive import all_captions_loss
from araclip.training.losses.distillation import cosine_loss
from araclip.training.model.model import AraCLIPModel
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
    """Texts with pictures: the mean over branches, and over the batch's and all captions where there are both.

    Attributes:
        objective: the model's contrastive loss, see `contrastive_objective`.
    """

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
    """How far a classifier's probabilities moved with the image tower's features (learning without forgetting).

    Args:
        classifier: weight (classes, W) and bias (classes,).
    """

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
