"""Whether image towers have the same first blocks."""

import copy

import torch
from torch import nn

ROUNDING = 0.005  # relative distance of maps; int8 weights of an exported model make .0011 in EfficientNet-Lite2


def differing_weight(first: nn.Module, other: nn.Module) -> str | None:
    """The name of a tensor in which two towers' first blocks differ, if they do not compute the same.

    Equal weights are the rule. Where one was unpacked from an exported model, its weights are rounded: then the maps
    of one noise picture are compared.
    """
    weights = first.state_dict()
    different = [name for name, tensor in other.state_dict().items() if not torch.equal(tensor, weights[name])]
    if not different:
        return None
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, two = (copy.deepcopy(blocks).eval()(noise) for blocks in (first, other))
    return different[0] if (one - two).norm() > ROUNDING * one.norm() else None
