"""Two small towers with dropout, and the loss between them."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.training.losses import contrastive_loss

WIDTH = 6


class Tower(nn.Module):
    """Rows → unit vectors, with dropout."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, WIDTH))

    def forward(self, rows: Tensor) -> Tensor:
        return l2_normalize(self.layers(rows), dim=-1)


class Pair(nn.Module):
    """Two towers and the temperature of their loss."""

    def __init__(self, dtype: torch.dtype = torch.float64, dropout: float = 0.3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.text, self.image = Tower(dropout), Tower(dropout)
        self.log_scale = nn.Parameter(torch.tensor(1.5))
        self.to(dtype)

    def loss(self, text: Tensor, image: Tensor) -> Tensor:
        return contrastive_loss(text, image, self.log_scale)

    def gradients(self) -> dict[str, Tensor]:
        found = {name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None}
        self.zero_grad()
        return found


def rows(count: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)
