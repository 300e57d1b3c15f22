"""A classifier of the labelled sets' classes over the features that the published ImageNet classifier reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mini_features import Floats
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

ELSEWHERE = 0.1  # weight of "no" for pictures of other sets: a street may be in any of them
STEPS, BATCH, RATE = 400, 512, 3e-3
DECAY = 1e-2


@dataclass(frozen=True)
class Labelled:
    """Pictures of one set: (N, W) features, and the class of each among all sets' classes; -1: of none of them."""

    features: Floats
    classes: Sequence[int]


def fit_probe(sets: Mapping[str, Labelled], classes: Mapping[str, range], seed: int = 0) -> tuple[Floats, Floats]:
    """One logistic regression a class, all at once: weight (C, W) and bias (C,).

    A picture tells for certain which of its own set's classes it shows; of other sets' classes it probably shows none.

    Args:
        sets: name → its pictures. classes: name → its classes; a set without is one of other things.
    """
    count = sum(map(len, classes.values()))
    inputs = torch.from_numpy(np.concatenate([found.features for found in sets.values()]))
    targets, weights = torch.zeros(len(inputs), count), torch.full((len(inputs), count), ELSEWHERE)
    start = 0
    for name, found in sets.items():
        stop, own = start + len(found.features), classes.get(name)
        if own:
            weights[start:stop, own.start : own.stop] = 1.0
        for row, number in enumerate(found.classes, start):
            if number >= 0:
                targets[row, number] = 1.0
        start = stop
    balance = targets.mean(dim=0).clamp_min(1e-6)
    return _logistic(inputs, targets, weights, torch.log(balance / (1 - balance)), seed)


@torch.enable_grad()
def _logistic(inputs: Tensor, targets: Tensor, weights: Tensor, prior: Tensor, seed: int) -> tuple[Floats, Floats]:
    random = torch.Generator().manual_seed(seed)
    centre, spread = inputs.mean(dim=0), inputs.std(dim=0) + 1e-3
    scaled = (inputs - centre) / spread
    weight = torch.zeros(targets.shape[1], inputs.shape[1], requires_grad=True)
    bias = prior.clone().requires_grad_(True)
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": DECAY}, {"params": [bias]}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(scaled), (BATCH,), generator=random)
        loss = (
            cross_entropy(scaled[rows] @ weight.T + bias, targets[rows], weight=weights[rows], reduction="sum") / BATCH
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    unscaled = (weight / spread).detach()
    return unscaled.numpy(), (bias.detach() - unscaled @ centre).numpy()
