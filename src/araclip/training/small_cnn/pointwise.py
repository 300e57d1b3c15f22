"""1 × 1 convolutions in bfloat16, all else in float32.

They are a convolutional tower's matrix products, which processors with AVX-512 bfloat16 or AMX do at twice the speed;
its depthwise convolutions are slower in bfloat16 (docs/log/2026-11.md).
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


def narrow_pointwise(module: nn.Module) -> None:
    """Let the 1 × 1 convolutions of a module compute in bfloat16, on weights that stay in float32; in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.forward = partial(_in_bfloat16, layer)  # type: ignore[method-assign]


def widen_pointwise(module: nn.Module) -> None:
    """Undo `narrow_pointwise`."""
    for layer in module.modules():
        vars(layer).pop("forward", None)


def _in_bfloat16(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(torch.bfloat16)
    weight = layer.weight.to(torch.bfloat16)
    return conv2d(maps.to(torch.bfloat16), weight, bias, layer.stride, layer.padding).to(maps.dtype)
