"""Projection heads with a names part: beside the captions' vector stands one of class names, for queries by name.

A classifier's knowledge is lost when its network learns captions, so the class probabilities go into the vector
themselves: a picture's names part is the mean of its classes' directions, weighted by their probabilities (ConSE,
Norouzi et al. 2013), and short where the classifier is unsure. A text's names part points to the directions of the
classes that it names, and a gate, which the text tower's output opens, says how much it counts:

    text     t → [v_t, g n_t, 0] / √(1 + g²),   g = weight · sigmoid(gate(h)),   |n_t| = 1
    picture  p → [v_p, n_p, r] / √2,            n_p = s Σ probability · direction, at most of length 1;  r fills up

s, from 0 to 1, says whether the picture is of a kind that the classifier knows: it is sure of drawings, too, and wrong.

The cosine of the two is (v_t·v_p + g n_t·n_p) / √(2 (1 + g²)), so a query ranks pictures by the sum of both cosines,
and any index of cosines searches such vectors. For captions the gate is nearly shut.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.functional import normalize as l2_normalize


class NameTextHead(nn.Module):
    """(N, H) pooled outputs → (N, D) of unit length.

    Args:
        captions: the head of the captions' part, (N, H) → (N, D − names − 1).
        width, hidden, names: H, of the layer between, and of the names part.
        weight: of the names part where the gate is open.
    """

    def __init__(self, captions: nn.Module, width: int, hidden: int, names: int, weight: float) -> None:
        super().__init__()
        self.captions = captions
        self.hidden = nn.Linear(width, hidden)
        self.names = nn.Linear(hidden, names)
        self.gate = nn.Linear(hidden, 1)
        self.weight = weight

    def named(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, names) of unit length, and the gate before the sigmoid (N, 1)."""
        between = gelu(self.hidden(pooled).float())
        return l2_normalize(self.names(between), dim=-1), self.gate(between)

    def forward(self, pooled: Tensor) -> Tensor:
        captions = l2_normalize(self.captions(pooled).float(), dim=-1)
        names, gate = self.named(pooled)
        weight = self.weight * torch.sigmoid(gate)
        return l2_normalize(torch.cat([captions, weight * names, torch.zeros_like(weight)], dim=1), dim=-1)


class NameImageHead(nn.Module):
    """(M, W) pooled outputs → (M, D) of unit length.

    Args:
        captions: the head of the captions' part; it reads the first W − alone numbers.
        features: how many numbers, the last ones, the classifier reads; 0: all.
        alone: how many of these captions do not read: all or none.
        classes: of the classifier; the first `exclusive` of them exclude each other (softmax), the others do not.
    """

    directions: Tensor

    def __init__(
        self, captions: nn.Module, width: int, features: int, alone: int, classes: int, exclusive: int, names: int
    ) -> None:
        super().__init__()
        self.captions = captions
        self.classifier = nn.Linear(features or width, classes)
        self.familiar = nn.Linear(features or width, 1)
        self.features, self.alone, self.exclusive = features, alone, exclusive
        self.register_buffer("directions", torch.zeros(classes, names))

    def probabilities(self, own: Tensor) -> Tensor:
        """(M, F), the numbers that the classifier reads → (M, classes)."""
        logits = self.classifier(own).float()
        parts = []
        if self.exclusive:
            parts.append(logits[:, : self.exclusive].softmax(dim=1))
        if self.exclusive < logits.shape[1]:
            parts.append(logits[:, self.exclusive :].sigmoid())
        return torch.cat(parts, dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        rest = pooled[:, : -self.alone] if self.alone else pooled
        captions = l2_normalize(self.captions(rest).float(), dim=-1)
        own = pooled[:, -self.features :] if self.features else pooled
        names = torch.sigmoid(self.familiar(own).float()) * (self.probabilities(own) @ self.directions.float())
        names = names / names.norm(dim=-1, keepdim=True).clamp_min(1.0)
        fill = (1 - names.square().sum(dim=-1, keepdim=True)).clamp_min(0).sqrt()
        return math.sqrt(0.5) * torch.cat([captions, names, fill], dim=1)
