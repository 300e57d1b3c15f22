"""Stage 1: a student's text vectors with those of a teacher for the same texts."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import RecipeError
from araclip.training.losses.contrastive import Loss, mask_pairs


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean cosine distance between rows of unit length, (B, D) twice → scalar.

    CLIP-KD, Yang et al. 2024, eq. 5.
    """
    return (1.0 - (student * teacher).sum(dim=-1)).mean()


def mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of all numbers, (B, D) twice → scalar; rows are not normalised, so lengths count.

    Multilingual-CLIP, Carlsson et al. 2022, and AraCLIP as released.
    """
    return (student - teacher).square().mean()


def unit_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance between rows, each brought to unit length here, (B, D) twice → scalar.

    CLIP-KD's feature distillation, Yang et al. 2024; equals twice the cosine loss, in value and in gradient.
    """
    return (l2_normalize(student, dim=-1) - l2_normalize(teacher, dim=-1)).square().sum(dim=-1).mean()


def affinity_loss(student: Tensor, teacher: Tensor, temperature: float = 0.05) -> Tensor:
    """KL divergence between the rows of in-batch similarities, teacher to student; (B, D) unit twice → scalar.

    The student's queries should rank the teacher's vectors as the teacher's own do: softmax of `student @ teacher.T`
    is compared with that of `teacher @ teacher.T`.
    """
    target = softmax(teacher @ teacher.T / temperature, dim=-1)
    log_probabilities = log_softmax(student @ teacher.T / temperature, dim=-1)
    return (target * (target.clamp_min(1e-12).log() - log_probabilities)).sum(dim=-1).mean()


def distillation_contrastive_loss(
    student: Tensor, teacher: Tensor, temperature: float = 0.05, same: Tensor | None = None
) -> Tensor:
    """InfoNCE from student to teacher: row i of the student is classified as row i among the batch's teacher vectors.

    Contrastive representation distillation, Tian et al. 2020, with the batch as the negatives (CLIP-KD's interactive
    contrastive learning, Yang et al. 2024).

    Args:
        student, teacher: (B, D) unit.
        same: (B, B) bool, true where the teacher saw the same text; see `same_pairs`. The diagonal is ignored.
    """
    own = torch.arange(len(student), device=student.device)
    logits = student @ teacher.T / temperature  # (B, B)
    return cross_entropy(mask_pairs(logits, same, own), own)


def _of_units(loss: Loss) -> Loss:
    return lambda student, teacher, same: loss(l2_normalize(student, dim=-1), l2_normalize(teacher, dim=-1))


DISTILLATION_LOSSES: Mapping[str, Loss] = {
    "cosine": _of_units(cosine_loss),
    "mse": lambda student, teacher, same: mse_loss(student, teacher),
    "unit_mse": _of_units(unit_mse_loss),
    "affinity": _of_units(affinity_loss),
    "contrastive": lambda student, teacher, same: distillation_contrastive_loss(
        l2_normalize(student, dim=-1), l2_normalize(teacher, dim=-1), same=same
    ),
}


def weighted_sum(weights: Mapping[str, float]) -> Loss:
    """`{"cosine": 1.0, "affinity": 0.5}` → a function of (student, teacher, same=None), the weighted sum of its losses.

    `student` and `teacher` are (B, D), not normalised: "mse" compares them as they are, all others normalise the rows.
    `same` is used by "contrastive".

    Raises:
        RecipeError: no loss, an unknown name, or a weight that is not a positive number.
    """
    known = ", ".join(DISTILLATION_LOSSES)
    if not weights:
        raise RecipeError(f"no loss is named. Give at least one of {known} a weight.")
    for name, weight in weights.items():
        if name not in DISTILLATION_LOSSES:
            raise RecipeError(f"loss '{name}' is unknown, known are {known}. Correct the name.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise RecipeError(f"loss '{name}' has weight {weight!r}, expected a positive number. Or leave it out.")
    chosen = tuple((DISTILLATION_LOSSES[name], float(weight)) for name, weight in weights.items())

    def total(student: Tensor, teacher: Tensor, same: Tensor | None = None) -> Tensor:
        return torch.stack([weight * loss(student, teacher, same) for loss, weight in chosen]).sum()

    return total
