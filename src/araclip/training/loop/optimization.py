"""What the optimizer is given: groups of parameters, the learning rate of a step, averaged weights, frozen layers."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from araclip.errors import RecipeError, RunMismatch
from araclip.training.model.freezing import parameters_by_layer


@dataclass(frozen=True)
class Part:
    """A tower, a head or a single parameter that learns at a rate of its own.

    Attributes:
        lr: the highest learning rate, that of the last layer.
        layer_decay: what each layer's rate is multiplied by for the layer before it; 1 is one rate for all.
    """

    module: nn.Module | nn.Parameter
    lr: float
    layer_decay: float = 1.0


def parameter_groups(parts: Sequence[Part], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, in a fixed order; parameters that need no gradient are left out.

    Layer-wise decay (ULMFiT, Howard and Ruder 2018; BEiT, Bao et al. 2021): of L layers, layer i from 0 learns at
    lr × layer_decay^(L − 1 − i), what comes before them (embeddings, patches) at lr × layer_decay^L, and what comes
    after (final norm, pooler, projection) at lr. Weight decay falls on matrices and filters only: biases, norms,
    class tokens, scales and whatever else is one row long have none.

    Returns:
        Groups with `params`, `lr`, `weight_decay`, and `peak_lr`, which `set_lr` multiplies.

    Raises:
        RecipeError: nothing to train, a parameter in two parts, or layer decay for a module without a list of layers.
    """
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for part in parts:
        rows: dict[tuple[float, float], dict[str, Any]] = {}  # by learning rate and weight decay
        for name, parameter, distance in _distances(part):
            if not parameter.requires_grad:
                continue
            if id(parameter) in seen:
                raise RecipeError(f"the parameter {name} belongs to two parts. Take it out of one of them.")
            seen.add(id(parameter))
            lr = part.lr * part.layer_decay**distance
            decay = weight_decay if _is_matrix(name, parameter) else 0.0
            group = {"params": [], "lr": lr, "peak_lr": lr, "weight_decay": decay}
            rows.setdefault((lr, decay), group)["params"].append(parameter)
        groups += rows.values()
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
    """What the peak learning rate is multiplied by in a step: a straight rise, then half a cosine down to `floor`.

    It depends on nothing but its arguments, so a run that goes on has nothing to restore. SGDR, Loshchilov and Hutter
    2017, without restarts; after the last step it stays at `floor`.

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


class Ema:
    """A running mean of the weights, which often retrieves better than the last weights do (Polyak and Juditsky 1992).

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that the random start is soon forgotten.
    Means are float32 whatever the weights are: bfloat16 would swallow the small steps.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise RecipeError(f"a decay of {decay} for averaged weights. Take one in [0, 1), such as 0.999.")
        self.decay = decay
        self.updates = 0
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._means = [p.detach().to(torch.float32, copy=True) for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in; once after every optimizer step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter.to(torch.float32), 1.0 - decay)

    def keep(self) -> None:
        """From now on the model holds the averaged weights; for the end of a run."""
        _copy(self._means, self._parameters)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """The model holds the averaged weights inside of the `with` block, and its own, bit for bit, after it."""
        with torch.no_grad():
            own = [parameter.clone() for parameter in self._parameters]
            _copy(self._means, self._parameters)
        try:
            yield
        finally:
            _copy(own, self._parameters)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint; the tensors are the live ones."""
        return {"updates": self.updates, "means": list(self._means)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            RunMismatch: it holds the means of other parameters.
        """
        theirs, ours = [tuple(m.shape) for m in state["means"]], [tuple(m.shape) for m in self._means]
        if theirs != ours:
            raise RunMismatch(
                f"the checkpoint averages {len(theirs)} parameters, the model learns {len(ours)} "
                f"(first difference: {_first_difference(theirs, ours)}). Resume with the recipe that began the run."
            )
        self.updates = state["updates"]
        _copy(state["means"], self._means)


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


def _first_difference(theirs: Sequence[tuple[int, ...]], ours: Sequence[tuple[int, ...]]) -> str:
    differing = ((a, b) for a, b in zip(theirs, ours, strict=False) if a != b)
    return next((f"shape {a} against {b}" for a, b in differing), "their number")
