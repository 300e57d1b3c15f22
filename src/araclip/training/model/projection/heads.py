"""Projection heads whose scores are hubness-corrected: query-bank normalisation inside the vectors.

In a space of many dimensions some pictures, the hubs, lie near to most texts and outrank the right picture again and
again (Radovanović et al. 2010). Query-bank normalisation (QB-Norm, Bogolin et al. 2022) measures with a bank of texts
how near a picture is to texts in general, its popularity, and subtracts that from its score for every query. The
popularity is the logarithm of the inverted softmax's denominator (Smith et al. 2017), less that of an average picture:

    popularity(v) = log(mean over the bank's texts q of exp(sharpness · v·q)) / sharpness − centre

The correction is part of the vectors, in two numbers of their own, so that any index of cosines ranks by it:

    text     t → [a t, c, 0]
    picture  v → [b v, y, r],   y = −(a b / c) · weight · popularity(v),   r fills up to unit length

The cosine of the two is a b (t·v − weight · popularity(v)).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.training.model.configuration import QUERY_BANK_AXES

CONSTANT = 0.3  # c
TEXT_SCALE = math.sqrt(1 - CONSTANT**2)  # a
IMAGE_SCALE = 0.95  # b; leaves ±.31 for y, about five standard deviations of what pictures have


class QueryBankTextHead(nn.Module):
    """(N, H) pooled outputs → (N, D) of unit length."""

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - QUERY_BANK_AXES)

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        constant = torch.full_like(vectors[:, :1], CONSTANT)
        return torch.cat([TEXT_SCALE * vectors, constant, torch.zeros_like(constant)], dim=1)


class QueryBankImageHead(nn.Module):
    """(M, W) pooled outputs → (M, D) of unit length.

    Args:
        texts: number of texts in the bank.
        sharpness: inverse temperature at which cosines with the bank are averaged: at 0 all texts count the same,
            above 30 only the nearest.
        weight: of the popularity that is subtracted.
    """

    bank: Tensor
    centre: Tensor

    def __init__(self, width: int, projection_dim: int, texts: int, sharpness: float, weight: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - QUERY_BANK_AXES)
        self.sharpness, self.weight = sharpness, weight
        self.register_buffer("bank", torch.zeros(texts, projection_dim - QUERY_BANK_AXES))
        self.register_buffer("centre", torch.zeros(()))

    def popularity(self, vectors: Tensor) -> Tensor:
        """(M, D − 2) of unit length → (M,): how near they are to the bank's texts, less an average picture's."""
        similar = self.sharpness * (vectors @ self.bank.float().T)  # (M, N)
        return (torch.logsumexp(similar, dim=1) - math.log(len(self.bank))) / self.sharpness - self.centre.float()

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        most = math.sqrt(1 - IMAGE_SCALE**2)
        shift = -(TEXT_SCALE * IMAGE_SCALE / CONSTANT) * self.weight * self.popularity(vectors)[:, None]
        shift = shift.clamp(-most, most)
        return torch.cat([IMAGE_SCALE * vectors, shift, (most**2 - shift**2).clamp_min(0).sqrt()], dim=1)
