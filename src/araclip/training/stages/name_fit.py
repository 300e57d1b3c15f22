"""Fits the text side of a names part, and the directions of its classes, to the outputs of a locked text tower."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import normalize as l2_normalize

from araclip.training.model.projection.name_heads import NameTextHead

SHARPNESS = 16.0  # inverse temperature of the cosines between words and directions
GATE = 1.0  # weight of the gate's loss
INPUT_NOISE = 0.3  # of the tower's outputs, in standard deviations: there are as many words as weights in a layer


@dataclass(frozen=True)
class Lesson:
    """What is learned: (N, H) outputs of words with the classes that each names, and (M, H) of texts that name none."""

    words: Tensor
    classes: Sequence[tuple[int, ...]]
    others: Tensor


@torch.enable_grad()
def fit_names(
    head: NameTextHead, directions: Tensor, lesson: Lesson, steps: int, batch: int, lr: float, seed: int
) -> float:  # fmt: skip
    """Teach the head and (C, names) directions, in place: words point to the directions of their classes.

    Directions are learned with the words, so that classes of one kind («كلب») come to share a part of theirs.

    Returns:
        The loss of the last tenth of the steps.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in (head.hidden, head.names, head.gate):
            module.weight.normal_(std=module.in_features**-0.5, generator=random)
            module.bias.zero_()
        directions.normal_(generator=random)
    everything = torch.cat([lesson.words, lesson.others])
    spread = everything.std(dim=0)
    learned = torch.nn.Parameter(l2_normalize(directions, dim=-1))
    parts = [p for module in (head.hidden, head.names, head.gate) for p in module.parameters()]
    groups: list[dict[str, Any]] = [{"params": parts}, {"params": [learned], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    targets = _targets(lesson.classes, len(directions))
    last: list[float] = []
    for step in range(steps):
        rows = torch.randint(len(lesson.words), (batch,), generator=random)
        shut = torch.randint(len(lesson.others), (batch,), generator=random)
        taken = torch.cat([lesson.words[rows], lesson.others[shut]])
        taken = taken + INPUT_NOISE * spread * torch.randn(taken.shape, generator=random)
        named, gate = head.named(taken)
        scores = SHARPNESS * named[:batch] @ l2_normalize(learned, dim=-1).T  # (B, C)
        target = targets[rows]
        wrong = -(target * scores.log_softmax(dim=1)).sum(dim=1).mean()
        is_word = (torch.arange(len(taken)) < batch).float()
        loss = wrong + GATE * cross_entropy(gate.squeeze(1), is_word)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step >= steps - max(1, steps // 10):
            last.append(loss.item())
    with torch.no_grad():
        directions.copy_(l2_normalize(learned, dim=-1))
    return sum(last) / len(last)


def _targets(classes: Sequence[tuple[int, ...]], count: int) -> Tensor:
    """(N, C): each word's probability is spread evenly over its classes."""
    targets = torch.zeros(len(classes), count)
    for row, numbers in enumerate(classes):
        targets[row, list(numbers)] = 1 / len(numbers)
    return targets
