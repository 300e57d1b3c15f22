"""Layers of an image tower of several branches over shared frozen blocks: an ensemble of small networks at little more
than the cost of one.

The members were fine-tuned separately from one pretrained network whose first blocks were frozen, so they share
these, and a picture passes them once. Errors of separately trained members differ, and the sum of their vectors ranks
better than any one of them (deep ensembles, Lakshminarayanan et al. 2017); a linear projection of all branches'
features, concatenated, is that sum.

A gated branch contributes only on pictures like those it was trained on: its features are multiplied by a number
between 0 and 1 that is computed from them, one gate of a mixture of experts (Jacobs et al. 1991).

A branch may see the shared blocks' maps made smaller: its time falls with their area, as on a smaller picture.

A gated branch may be routed, too: it computes only for pictures that the features of the branches before it tell to be
of its kind, and is 0 for all others (conditional computation, Shazeer et al. 2017), so that they do not pay for it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from araclip.errors import RecipeError


class SharedBlocks(nn.Module):
    """The first `blocks` blocks of a timm EfficientNet or MobileNet: normalised pixels → (B, C, h, w).

    Its layers are those of the network, not copies.

    Args:
        cnn: has conv_stem, bn1 and blocks, as timm's EfficientNet and MobileNet families do.
        blocks: how many stages of `cnn.blocks` belong to it.

    Raises:
        RecipeError: the network is of another kind, or has no more than `blocks` of them.
    """

    def __init__(self, cnn: Any, blocks: int) -> None:
        super().__init__()
        if not can_split(cnn) or not 0 <= blocks < len(cnn.blocks):
            raise RecipeError(
                f"{type(cnn).__name__} cannot be cut after block {blocks}. Caching "
                "frozen features works for timm's EfficientNet family; freeze fewer, train the whole tower, or lock it."
            )
        self.first, self.norm, self.blocks = cnn.conv_stem, cnn.bn1, cnn.blocks[:blocks]

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.norm(self.first(pixels))
        for block in self.blocks:
            x = block(x)
        return x


class Branch(nn.Module):
    """The blocks after the shared ones, and the pooling: (B, C, h, w) → (B, W); layers of the network, not copies."""

    def __init__(
        self, cnn: Any, blocks: int, *, gated: bool = False, routed_by: int = 0, map_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.map_scale = map_scale
        self.blocks, self.conv_head, self.bn2 = cnn.blocks[blocks:], cnn.conv_head, cnn.bn2
        self.gate = nn.Linear(cnn.conv_head.out_channels, 1) if gated else None
        self.router = nn.Linear(routed_by * cnn.conv_head.out_channels, 1) if routed_by else None

    def forward(self, maps: Tensor) -> Tensor:
        x = maps
        if self.map_scale != 1.0:
            h, w = (max(1, round(self.map_scale * side)) for side in maps.shape[2:])
            x = interpolate(maps, (h, w), mode="bilinear")
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.bn2(self.conv_head(x)).mean(dim=(2, 3))
        return pooled if self.gate is None else pooled * torch.sigmoid(self.gate(pooled))


class Branches(nn.ModuleList):
    """Several branches over the same shared blocks: (B, C, h, w) → (B, K · W), their features concatenated."""

    def forward(self, maps: Tensor) -> Tensor:
        found: list[Tensor] = []
        branch: Any
        for branch in self:
            if branch.router is None:
                found.append(branch(maps))
            else:
                own = torch.nonzero(branch.router(torch.cat(found, dim=1))[:, 0] > 0)[:, 0]  # rows
                if torch.compiler.is_exporting():  # batch_norm asks while it is traced; the graph takes no rows, too
                    check: Any = torch._check  # which has types in some releases of PyTorch alone
                    check(own.shape[0] > 0)
                found.append(torch.zeros_like(found[0]).index_put((own,), branch(maps[own])))
        return torch.cat(found, dim=1)


def can_split(cnn: Any) -> bool:
    """Whether a network is laid out as `SharedBlocks` and `Branch` need it."""
    return all(hasattr(cnn, part) for part in ("conv_stem", "bn1", "blocks", "conv_head", "bn2"))
