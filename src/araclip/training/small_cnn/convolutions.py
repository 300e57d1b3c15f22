"""How the convolutions of a small network compute while they learn on a CPU; the weights stay as they are.

1 × 1 convolutions are such a network's matrix products, which processors with AVX-512 bfloat16 or AMX do at twice the
speed in bfloat16. Its depthwise convolutions are slower in it; of these PyTorch takes five to twenty times as long for
the weights' gradient as for the forward pass, which another convolution gives as well (docs/log/2026-11.md).
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

CACHED = 700_000  # numbers of a part whose gradient is taken at once: two such parts of float32 stay in the CPU's cache


def narrow_pointwise(module: nn.Module) -> None:
    """Let the 1 × 1 convolutions of a module compute in bfloat16, on weights that stay in float32; in place."""
    for layer in _convolutions(module):
        if layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.forward = partial(_in_bfloat16, layer)  # type: ignore[method-assign]


def quicken_depthwise(module: nn.Module) -> None:
    """Let the depthwise convolutions of a module take the weights' gradient from a convolution; in place.

    The gradient is the same but for rounding. It is for float32 on a CPU, without strides and dilation; others stay.
    """
    for layer in _convolutions(module):
        depthwise = layer.groups == layer.in_channels == layer.out_channels > 1
        plain = type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
        if depthwise and plain and layer.stride == layer.dilation == (1, 1):  # timm's own pad in their `forward`
            layer.forward = partial(_depthwise, layer)  # type: ignore[method-assign]


def restore_convolutions(module: nn.Module) -> None:
    """Undo `narrow_pointwise` and `quicken_depthwise`."""
    for layer in _convolutions(module):
        vars(layer).pop("forward", None)


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def _in_bfloat16(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(torch.bfloat16)
    weight = layer.weight.to(torch.bfloat16)
    return conv2d(maps.to(torch.bfloat16), weight, bias, layer.stride, layer.padding).to(maps.dtype)


def _depthwise(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    kind = maps.device.type
    if (
        kind != "cpu"
        or not len(maps)  # a routed branch whose kind of picture is not among these
        or maps.dtype != torch.float32
        or not layer.weight.requires_grad
        or torch.is_autocast_enabled(kind)
    ):
        return nn.Conv2d.forward(layer, maps)
    function: Any = _Depthwise  # whose `apply` has types in some releases of PyTorch alone
    found: Tensor = function.apply(maps, layer.weight, layer.bias, layer.padding)
    return found


class _Depthwise(torch.autograd.Function):
    """(B, C, h, w), (C, 1, k, l) → (B, C, h', w')."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.padding = padding
        return conv2d(maps, weight, bias, 1, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        maps, weight = ctx.saved_tensors
        needs_maps, needs_weight, needs_bias, _ = ctx.needs_input_grad
        input_gradient: Any = conv2d_input  # which has no types
        of_maps = of_weight = None
        if needs_maps:
            of_maps = input_gradient(maps.shape, weight, gradient, 1, ctx.padding, 1, len(weight))
        if needs_weight:
            of_weight = _weight_gradient(maps, gradient, ctx.padding)
        return of_maps, of_weight, gradient.sum((0, 2, 3)) if needs_bias else None, None


def _weight_gradient(maps: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Tensor:
    """(B, C, h, w), (B, C, h', w') → (C, 1, k, l): each channel's maps, convolved with its gradient, summed over rows.

    All channels of some rows are the channels of one picture, whose convolution has kernels as large as the gradient.
    """
    rows = max(1, CACHED // max(1, maps[0].numel()))
    total: Any = 0
    for some, theirs in zip(torch.split(maps, rows), torch.split(gradient, rows), strict=True):
        channels = some.shape[0] * some.shape[1]
        kernels = theirs.reshape(channels, 1, *theirs.shape[2:])
        found = conv2d(some.reshape(1, channels, *some.shape[2:]), kernels, None, 1, padding, 1, channels)
        total = total + found.view(*some.shape[:2], *found.shape[2:]).sum(dim=0)
    whole: Tensor = total
    return whole[:, None]
