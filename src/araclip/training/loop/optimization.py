"""Parameter groups for the optimizer, and the learning rate of a step."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from araclip.errors import RecipeError
from araclip.training.model.freezing import parameters_by_layer


@dataclass(frozen=True)
class Part:
    """A tower, a head or a single parameter that learns at a rate of its own.

    Attributes:
        lr: peak learning rate of the last layer.
        layer_decay: factor from each layer's rate to that of the layer before it; 1 is one rate for all.
    """

    module: nn.Module | nn.Parameter
    lr: float
    layer_decay: float = 1.0


def parameter_groups(parts: Sequence[Part], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, in a fixed order; parameters that need no gradient are left out.

    Layer-wise decay (ULMFiT, Howard and Ruder 2018; BEiT, Bao et al. 2021): of L layers, layer i from 0 learns at
    lr × layer_decay^(L − 1 − i), what comes before them (embeddings, patches) at lr × layer_decay^L, and what comes
    after (final norm, pooler, projection) at lr. Weight decay applies to matrices and filters only: biases, norms,
    class tokens, scales and whatever else is one row long have none.

    Returns:
        Groups with `params`, `lr`, `weight_decay`, and `peak_lr`, which `set_lr` multiplies.

    Raises:
        RecipeError: nothing to train, a parameter in two parts, or layer decay for a module without a list of layers.
    """
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for part in parts:
        by_rate: dict[tuple[float, float], dict[str, Any]] = {}  # by learning rate and weight decay
        for name, parameter, distance in _distances(part):
            if not parameter.requires_grad:
                continue
            if id(parameter) in seen:
                raise RecipeError(f"the parameter {name} belongs to two parts. Take it out of one of them.")
            seen.add(id(parameter))
            lr = part.lr * part.layer_decay**distance
            decay = weight_decay if _is_matrix(name, parameter) else 0.0
            group = {"params": [], "lr": lr, "peak_lr": lr, "weight_decay": decay}
            by_rate.setdefault((lr, decay), group)["params"].append(parameter)
        groups += by_rate.values()
    if not groups:
        raise RecipeError("every parameter is frozen, there is nothing to train. Unfreeze a tower or a projection.")
    return groups


def _distances(part: Part) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Name, parameter and distance from the last layer, which counts only where rates differ by layer."""
    if part.layer_decay == 1.0 and isinstance(part.module, nn.Module):
        return ((name, parameter, 0) for name, parameter in part.module.named_parameters())
    return parameters_by_layer(part.module)


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) >= 2 and not name.endswith("bias")


def cosine_schedule(step: int, total: int, warmup: int, floor: float = 0.02) -> float:
    """Factor of the peak learning rate in a step: linear warm-up, then half a cosine down to `floor`.

    SGDR, Loshchilov and Hutter 2017, without restarts; after the last step it stays at `floor`. These are the numbers
    of transformers' `get_cosine_with_min_lr_schedule_with_warmup` one step ahead: there the first step's rate is 0, and
    the cosine rises again after the last one. A pure function needs no state in checkpoints.

    Args:
        step: from 0 to total − 1.
        warmup: steps before the peak, which is at step `warmup`; fewer than `total`.

    Raises:
        RecipeError: no steps, a negative step, a warm-up that outlasts the run, or a floor outside of [0, 1].
    """
    if not (0 <= warmup < total and step >= 0 and 0.0 <= floor <= 1.0):
        raise RecipeError(
            f"step {step} of {total} with {warmup} steps of warm-up and floor {floor} is no schedule. "
            "Ask for 0 ≤ warm-up < total steps and a floor between 0 and 1."
        )
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - 1 - warmup))
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * progress)) / 2.0


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Give every group its peak learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
