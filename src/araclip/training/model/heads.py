"""Heads that take from a picture's score what it would have for any question: query-bank normalisation in the vectors.

Some pictures lie near most texts and stand before the right one again and again (hubs). What a picture is near to
anyway is measured against a bank of texts, and subtracted (inverted softmax, Smith et al. 2017; query-bank
normalisation, Bogolin et al. 2022). Two axes of the vectors themselves do that, so that any index of cosines does it:

    text     t → [A t, S, 0]
    picture  v → [B v, y, r],   y = −(A B / S) · weight · popularity(v),   r fills up to unit length

The cosine of the two is A B (t·v − weight · popularity(v)).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.training.model.configuration import BANK_AXES

S = 0.3
A = math.sqrt(1 - S**2)
B = 0.95  # leaves ±.31 for y, some five deviations of what was seen


class QueryBankTextHead(nn.Module):
    """(N, H) pooled outputs → (N, D) of unit length."""

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - BANK_AXES)

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        constant = torch.full_like(vectors[:, :1], S)
        return torch.cat([A * vectors, constant, torch.zeros_like(constant)], dim=1)


class QueryBankImageHead(nn.Module):
    """(M, W) pooled outputs → (M, D) of unit length.

    Args:
        texts: how many the bank holds.
        sharpness: inverse temperature at which their similarities are averaged: at 0 all count the same, above 30 only
            the nearest.
        weight: of what is subtracted.
    """

    bank: Tensor
    centre: Tensor

    def __init__(self, width: int, projection_dim: int, texts: int, sharpness: float, weight: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - BANK_AXES)
        self.sharpness, self.weight = sharpness, weight
        self.register_buffer("bank", torch.zeros(texts, projection_dim - BANK_AXES))
        self.register_buffer("centre", torch.zeros(()))

    def popularity(self, vectors: Tensor) -> Tensor:
        """(M, D − 2) of unit length → (M,): how near they are to the bank, less an average picture's."""
        similar = self.sharpness * (vectors @ self.bank.float().T)  # (M, N)
        return (torch.logsumexp(similar, dim=1) - math.log(len(self.bank))) / self.sharpness - self.centre.float()

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        most = math.sqrt(1 - B**2)
        less = -(A * B / S) * self.weight * self.popularity(vectors)[:, None]
        less = less.clamp(-most, most)
        return torch.cat([B * vectors, less, (most**2 - less**2).clamp_min(0).sqrt()], dim=1)
