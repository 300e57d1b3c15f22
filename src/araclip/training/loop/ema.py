"""An exponential moving average of the weights that learn."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from araclip.errors import RecipeError, RunMismatch


class Ema:
    """The moving average often retrieves better than the last weights do (Polyak and Juditsky 1992).

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that the random start is soon forgotten.
    Means are float32 whatever the weights are: in bfloat16 small steps would be rounded away. torch's `AveragedModel`
    does neither, and copies the parameters that do not learn, too.

    Args:
        parameters: those that need no gradient are left out.
        decay: from 0 to below 1.

    Raises:
        RecipeError: another decay.
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
        """Average the current weights in; call it once after every optimizer step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter.to(torch.float32), 1.0 - decay)

    def apply(self) -> None:
        """Load the averaged weights into the model, at the end of a run."""
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
        """Restore from a checkpoint.

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
