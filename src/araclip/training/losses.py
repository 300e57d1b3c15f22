"""Losses of both stages: pure functions of unit vectors."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean cosine distance between rows of unit length, (B, D) twice → scalar.

    CLIP-KD, Yang et al. 2024, eq. 5.
    """
    return (1.0 - (student * teacher).sum(dim=-1)).mean()


def affinity_loss(student: Tensor, teacher: Tensor, temperature: float = 0.05) -> Tensor:
    """KL divergence between the rows of in-batch similarities, teacher to student.

    The student answers the teacher's own gallery: `student @ teacher.T` should rank like `teacher @ teacher.T`.
    """
    wanted = softmax(teacher @ teacher.T / temperature, dim=-1)
    got = log_softmax(student @ teacher.T / temperature, dim=-1)
    return (wanted * (wanted.clamp_min(1e-12).log() - got)).sum(dim=-1).mean()


def contrastive_loss(text: Tensor, image: Tensor, log_scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE over a batch (CLIP, Radford et al. 2021).

    Args:
        text, image: (B, D), rows of unit length, row i of both belonging together.
        log_scale: log of the inverse temperature.
        same: (B, B) bool, true where row and column are the same picture or the same text. Such pairs are no
            negatives; the diagonal is ignored.
    """
    logits = log_scale.exp() * text @ image.T  # (B, B)
    if same is not None:
        keep = torch.eye(len(text), dtype=torch.bool, device=text.device)
        logits = logits.masked_fill(same & ~keep, float("-inf"))
    target = torch.arange(len(text), device=text.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
