"""Computes losses: contrastive, between a student's and a teacher's vectors, and for class names."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid, softmax
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError, RecipeError

Loss = Callable[..., Tensor]


def contrastive_loss(
    text: Tensor, image: Tensor, log_scale: Tensor, same: Tensor | None = None, owner: Tensor | None = None
) -> Tensor:
    """Return the symmetric InfoNCE loss over a batch (CLIP, Radford et al. 2021), a scalar.

    A picture may have any number of captions.

    Each caption makes one term in either direction: the caption's picture is classified among all pictures, and the
    caption among all captions. In the second softmax, other captions of the picture are masked, so that they are
    neither negatives nor counted twice. The mean is over captions; a picture without a caption is only a negative.

    Args:
        text, image: vectors (T, D) and (I, D) of unit length.
        log_scale: log of the inverse temperature, a scalar.
        same: (T, I) bool, true if a text must not be a negative of a picture, because the picture is the text's own
            picture once more, or has the same text. A text's own picture is never masked.
        owner: (T,) int, the row in `image` of each text's picture; by default text i belongs to picture i.

    Raises:
        DataError: there is no `owner`, and the numbers of texts and pictures differ.
    """
    owner = _picture_of_text(text, image, owner)
    logits = mask_pairs(log_scale.exp() * text @ image.T, same, owner)  # (T, I)
    from_picture = logits.T[owner]  # (T, T): row t has the logits of text t's picture with each text
    siblings = owner[:, None] == owner[None, :]
    own = torch.arange(len(text), device=text.device)
    return (cross_entropy(logits, owner) + cross_entropy(mask_pairs(from_picture, siblings, own), own)) / 2


def all_captions_loss(image: Tensor, captions: Tensor, log_scale: Tensor, belongs: Tensor) -> Tensor:
    """Return InfoNCE from pictures to all captions of the training data, for a locked text tower (LiT, sides swapped).

    Each caption of a picture is a positive; the softmax runs over the captions of all pictures, in the batch or not.
    log(N / I) is subtracted, so that a random guess has the loss log I, as in `contrastive_loss`, for any N.

    Args:
        image, captions: vectors (I, D) and (N, D) of unit length.
        log_scale: log of the inverse temperature, a scalar.
        belongs: (I, N) bool, true if the caption belongs to the picture; at least one in each row.
    """
    logits = log_scale.exp() * image @ captions.T  # (I, N)
    positive = (logits * belongs).sum(dim=1) / belongs.sum(dim=1)
    return (torch.logsumexp(logits, dim=1) - positive).mean() - math.log(len(captions) / len(image))


def sigmoid_loss(
    text: Tensor,
    image: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    same: Tensor | None = None,
    owner: Tensor | None = None,
) -> Tensor:
    """Return SigLIP's loss (Zhai et al. 2023): binary cross-entropy of all pairs, sum over pictures, mean over texts.

    Args:
        text, image, log_scale, same, owner: as for `contrastive_loss`; pairs marked in `same` are left out of the sum.
        bias: added to every scaled cosine; SigLIP starts it at −10 with log_scale at log 10.
    """
    owner = _picture_of_text(text, image, owner)
    logits = log_scale.exp() * text @ image.T + bias  # (T, I)
    belongs = owner[:, None] == torch.arange(len(image), device=image.device)  # (T, I)
    terms = -logsigmoid(torch.where(belongs, logits, -logits))
    if same is not None:
        terms = terms.masked_fill(same & ~belongs, 0.0)
    return terms.sum() / len(text)


def same_pairs(rows: Sequence[Hashable], columns: Sequence[Hashable] | None = None) -> Tensor:
    """Make a loss's mask `same`, (rows, columns) bool: true where a row and a column have equal keys.

    Such pairs are no negatives. `columns` defaults to `rows`.
    """
    numbers: dict[Hashable, int] = {}
    left, right = (
        torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys], dtype=torch.long)
        for keys in (rows, rows if columns is None else columns)
    )
    return left[:, None] == right[None, :]


def matryoshka(loss: Loss, dims: Sequence[int]) -> Loss:
    """Return a loss that averages `loss` over prefixes: both vectors cut to d numbers and scaled to unit length again.

    Matryoshka representation learning, Kusupati et al. 2022, with equal weights. The full width counts only if `dims`
    has it. To distil with this loss, the teacher's prefixes must be useful, too: trained with the loss, or rotated to
    principal components. With other teachers, average contrastive losses only.

    Args:
        loss: takes two (·, D) matrices first; further arguments are passed on.
        dims: the widths d, in rising order.

    Raises:
        RecipeError: the widths do not rise, or (when the loss is called) exceed the vectors' width.
    """
    widths = tuple(dims)
    if not widths or widths[0] < 1 or any(low >= high for low, high in pairwise(widths)):
        raise RecipeError(f"Matryoshka widths are {list(widths)}, expected rising positive numbers, such as [64, 384].")

    def nested(left: Tensor, right: Tensor, *rest: Any, **options: Any) -> Tensor:
        width = min(left.shape[-1], right.shape[-1])
        if widths[-1] > width:
            raise RecipeError(f"Matryoshka width {widths[-1]} exceeds the vectors' {width}. Leave it out.")
        parts = [
            loss(l2_normalize(left[:, :d], dim=-1), l2_normalize(right[:, :d], dim=-1), *rest, **options)
            for d in widths
        ]
        return torch.stack(parts).mean()

    return nested


def _picture_of_text(text: Tensor, image: Tensor, owner: Tensor | None) -> Tensor:
    if owner is not None:
        return owner
    if len(text) != len(image):
        raise DataError(f"{len(text)} texts and {len(image)} pictures, and no owner. Say which picture each text has.")
    return torch.arange(len(text), device=text.device)


def mask_pairs(logits: Tensor, same: Tensor | None, own: Tensor) -> Tensor:
    """Return the logits with −∞ for pairs (row, column) marked in `same`, except column own[r] of each row r."""
    if same is None:
        return logits
    keep = own[:, None] == torch.arange(logits.shape[1], device=logits.device)
    return logits.masked_fill(same & ~keep, float("-inf"))


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cosine distance between rows of unit length, (B, D) twice → scalar.

    CLIP-KD, Yang et al. 2024, eq. 5.
    """
    return (1.0 - (student * teacher).sum(dim=-1)).mean()


def mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of all numbers, (B, D) twice → scalar.

    Rows are not scaled to unit length, so a difference in length counts, too. Multilingual-CLIP (Carlsson et al. 2022)
    and the published AraCLIP model (2024) were trained with this loss.
    """
    return (student - teacher).square().mean()


def unit_mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared distance between each student row and its teacher row, (B, D) twice → scalar.

    Rows are scaled to unit length first, so callers need not do it.

    CLIP-KD's feature distillation, Yang et al. 2024; equals twice the cosine loss, in value and in gradient.
    """
    return (l2_normalize(student, dim=-1) - l2_normalize(teacher, dim=-1)).square().sum(dim=-1).mean()


def affinity_loss(student: Tensor, teacher: Tensor, temperature: float = 0.05) -> Tensor:
    """Return the KL divergence of similarities within a batch, teacher to student; unit vectors (B, D) twice → scalar.

    The student's vectors should rank the teacher's vectors as the teacher itself ranks them: the softmax of each row of
    `student @ teacher.T` is compared with the softmax of the row of `teacher @ teacher.T`.
    """
    target = softmax(teacher @ teacher.T / temperature, dim=-1)
    log_probabilities = log_softmax(student @ teacher.T / temperature, dim=-1)
    return (target * (target.clamp_min(1e-12).log() - log_probabilities)).sum(dim=-1).mean()


def distillation_contrastive_loss(
    student: Tensor, teacher: Tensor, temperature: float = 0.05, same: Tensor | None = None
) -> Tensor:
    """Return InfoNCE from student to teacher: each student row should find the same row among the batch's teacher rows.

    Contrastive representation distillation, Tian et al. 2020, with the batch as the negatives (CLIP-KD's interactive
    contrastive learning, Yang et al. 2024).

    Args:
        student, teacher: vectors (B, D) of unit length.
        same: (B, B) bool, true at [i, j] if the teacher read the same text for rows i and j (see `same_pairs`). Such
            pairs are no negatives. The diagonal is ignored.
    """
    own = torch.arange(len(student), device=student.device)
    logits = student @ teacher.T / temperature  # (B, B)
    return cross_entropy(mask_pairs(logits, same, own), own)


def _on_unit_vectors(loss: Loss) -> Loss:
    return lambda student, teacher, same: loss(l2_normalize(student, dim=-1), l2_normalize(teacher, dim=-1))


DISTILLATION_LOSSES: Mapping[str, Loss] = {
    "cosine": _on_unit_vectors(cosine_loss),
    "mse": lambda student, teacher, same: mse_loss(student, teacher),
    "unit_mse": _on_unit_vectors(unit_mse_loss),
    "affinity": _on_unit_vectors(affinity_loss),
    "contrastive": lambda student, teacher, same: distillation_contrastive_loss(
        l2_normalize(student, dim=-1), l2_normalize(teacher, dim=-1), same=same
    ),
}


def weighted_sum(weights: Mapping[str, float]) -> Loss:
    """Turn weights such as `{"cosine": 1.0, "affinity": 0.5}` into one loss: a function (student, teacher, same=None).

    `student` and `teacher` are (B, D), not normalised: "mse" compares them unchanged, the other losses normalise rows.
    Only "contrastive" uses `same`. An unknown name, a weight that is not positive, or no loss is a RecipeError.
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


def concept_loss(names: Tensor, prototypes: Tensor, classes: Tensor, log_scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss between class names and class prototypes, such as a classifier's weights.

    The loss, a scalar, is the mean of two cross-entropies: that of finding each name's class among all C classes, and
    that of finding each class's name among the K names of the batch.

    Args:
        names: (K, D), unit vectors of the names.
        prototypes: (C, D), unit vectors of all classes.
        classes: (K,) int, the class of each name; no class twice.
        log_scale: log of the inverse temperature, a scalar.
    """
    logits = log_scale.exp() * names @ prototypes.T  # (K names, C classes)
    back = logits[:, classes].T  # (K names' classes, K names)
    return (cross_entropy(logits, classes) + cross_entropy(back, torch.arange(len(names), device=names.device))) / 2


def forgetting_loss(logits: Tensor, before: Tensor) -> Tensor:
    """Return the KL divergence from the class probabilities before training to the present ones, a scalar.

    `logits` are the present logits (pictures, classes), `before` those before training.

    Learning without forgetting, Li and Hoiem 2016, at temperature 1. `before` needs no gradient.
    """
    known = log_softmax(before, dim=-1)
    return (known.exp() * (known - log_softmax(logits, dim=-1))).sum(dim=-1).mean()
