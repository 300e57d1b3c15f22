"""Terms that use a classifier of pictures: names of its classes with their prototypes; keeping its answers."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax


def concept_loss(names: Tensor, prototypes: Tensor, classes: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE between class names and the prototypes of classes, such as the weights of a classifier.

    A name is classified among all C classes; each class of the batch is classified among the batch's names.

    Args:
        names: (K, D) unit.
        prototypes: (C, D) unit.
        classes: (K,) int, the class of each name, none of them twice.
        log_scale: log of the inverse temperature, a scalar.
    """
    logits = log_scale.exp() * names @ prototypes.T  # (K, C)
    back = logits[:, classes].T  # (K, K)
    return (cross_entropy(logits, classes) + cross_entropy(back, torch.arange(len(names), device=names.device))) / 2


def forgetting_loss(logits: Tensor, before: Tensor) -> Tensor:
    """KL divergence from the class probabilities before training to those of now, logits (B, C) twice → scalar.

    Learning without forgetting, Li and Hoiem 2016, at temperature 1. `before` needs no gradient.
    """
    known = log_softmax(before, dim=-1)
    return (known.exp() * (known - log_softmax(logits, dim=-1))).sum(dim=-1).mean()
