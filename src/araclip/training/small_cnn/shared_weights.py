"""Whether two models have the same weights, all of them or but for the rounding of an exported model."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

ROUNDING = 0.005  # relative distance of maps; int8 weights of an exported model make .0011 in EfficientNet-Lite2


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor in which two state dictionaries differ, "their layers" if they have others."""
    if one.keys() != other.keys():
        return "their layers"
    return next((name for name, tensor in one.items() if not torch.equal(tensor, other[name])), None)


def differing_weight(first: nn.Module, other: nn.Module) -> str | None:
    """The name of a tensor in which two towers' first blocks differ, if they do not compute the same.

    Equal weights are the rule. Where one was unpacked from an exported model, its weights are rounded: then the maps
    of one noise picture are compared. The towers may lie on different devices.
    """
    mine, theirs = (copy.deepcopy(blocks).cpu().eval() for blocks in (first, other))
    differing = first_difference(mine.state_dict(), theirs.state_dict())
    if differing is None:
        return None
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, two = mine(noise), theirs(noise)
    return differing if (one - two).norm() > ROUNDING * one.norm() else None
