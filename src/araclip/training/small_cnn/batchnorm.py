"""Frozen BatchNorm fused into the convolution before it, for training at four fifths of the time, and back again.

A BatchNorm with fixed statistics is an affine map a channel, so it is a part of the convolution before it (Markuš 2018,
"Fusing batch normalization and convolution in runtime"; PyTorch's `fuse_conv_bn_eval`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# timm's names within a block of the EfficientNet and MobileNet families, and at the end of a network or branch
_PAIRS = {
    "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "InvertedResidual": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    "EdgeResidual": (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    "ConvBnAct": (("conv", "bn1"),),
}
_HEAD = ("conv_head", "bn2")


@dataclass
class Fused:
    """One convolution into which its BatchNorm was fused, and the two layers as they were."""

    parent: nn.Module
    convolution: str
    norm: str
    plain: nn.Conv2d  # as it was, its weight now that of the fused one
    batch_norm: Any  # nn.BatchNorm2d, or timm's with an activation behind it


def fuse(modules: Iterable[nn.Module]) -> list[Fused]:
    """Fuse the BatchNorms of a timm EfficientNet or MobileNet into the convolutions before them.

    The network computes what it did in eval mode. Pass the result to `restore` before saving.

    Args:
        modules: those whose own layers are fused, such as `branches.upper_modules` gives.
    """
    replaced = []
    for parent, convolution, norm in list(_pairs(modules)):
        plain, batch_norm = getattr(parent, convolution), getattr(parent, norm)
        trainable = plain.weight.requires_grad
        fused = fuse_conv_bn_eval(plain.eval(), batch_norm.eval())
        fused.requires_grad_(trainable)
        setattr(parent, convolution, fused)
        setattr(parent, norm, batch_norm.act if hasattr(batch_norm, "act") else nn.Identity())
        replaced.append(Fused(parent, convolution, norm, plain, batch_norm))
    return replaced


@torch.no_grad()
def restore(fused: list[Fused]) -> None:
    """Put BatchNorm back: the same function in the layers and tensor names that timm and transformers expect.

    The convolution keeps the fused weight; the BatchNorm scales by one and only adds the bias.
    """
    for layer in fused:
        convolution, norm = getattr(layer.parent, layer.convolution), layer.batch_norm
        layer.plain.weight.copy_(convolution.weight)
        if layer.plain.bias is not None:  # part of the fused bias, which goes to the BatchNorm
            layer.plain.bias.zero_()
        only_add(norm, convolution.bias)
        setattr(layer.parent, layer.convolution, layer.plain)
        setattr(layer.parent, layer.norm, norm)


@torch.no_grad()
def only_add(norm: Any, bias: torch.Tensor) -> None:
    """Make a BatchNorm scale by one and add a bias (C,), as after `restore`."""
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)


def _pairs(modules: Iterable[nn.Module]) -> Iterator[tuple[nn.Module, str, str]]:
    for parent in modules:
        heads = (_HEAD,) if hasattr(parent, _HEAD[0]) else ()
        for convolution, norm in _PAIRS.get(type(parent).__name__, heads):  # some have no head, or other norms
            plain, batch_norm = getattr(parent, convolution), getattr(parent, norm)
            if isinstance(plain, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d):
                yield parent, convolution, norm
