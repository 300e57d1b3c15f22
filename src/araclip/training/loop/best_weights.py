"""The best weights of a stage, by dev R@1, and early stopping."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from araclip import atomic
from araclip.errors import RunMismatch, TrainingError
from araclip.training.foreign.failures import failures
from araclip.training.loop.run_folder import Run


class BestWeights:
    """The weights with the best dev R@1 so far, on disk, and how many recalls ago that was.

    Args:
        parameters: those that learn.
        patience: recalls without a better one after which training stops; with 0 no weights are stored.
    """

    def __init__(self, run: Run, parameters: list[nn.Parameter], patience: int) -> None:
        self.path, self.is_main = run.folder / "best.pt", run.is_main
        self.parameters, self.patience = parameters, patience
        self.recall: dict[str, float] = {}
        self.waited = 0

    @property
    def should_stop(self) -> bool:
        """Whether there were as many recalls without a better one as `patience` allows."""
        return bool(self.patience) and self.waited >= self.patience

    def update(self, recall: dict[str, float]) -> None:
        """Compare the recall of the current weights with the best, and write the weights to disk where it is higher.

        Raises:
            TrainingError: the disk is full.
        """
        if not self.patience:
            return
        if self.recall and recall["R@1"] <= self.recall["R@1"]:
            self.waited += 1
            return
        self.recall, self.waited = recall, 0
        if self.is_main:
            weights = [p.detach() for p in self.parameters]
            try:
                atomic.write(self.path, lambda part: torch.save(weights, part))
            except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
                raise TrainingError(
                    f"{self.path} cannot be written: {error}. Make room, then start the same command again."
                ) from error

    def is_better_than(self, recall: Mapping[str, float]) -> bool:
        """Whether the stored weights had a higher R@1."""
        return bool(self.recall) and self.recall["R@1"] > recall.get("R@1", -1.0)

    @torch.no_grad()
    def restore(self) -> dict[str, float]:
        """Load the best weights into the model; returns their recall."""
        if self.is_main:  # the only process whose weights are used from here on
            with failures(self.path, "begin the stage anew with --fresh", RunMismatch, cannot="be used"):
                stored = torch.load(self.path, map_location="cpu", weights_only=True)
                if [weight.shape for weight in stored] != [parameter.shape for parameter in self.parameters]:
                    raise ValueError("its weights have other shapes than the model's")
                for parameter, weight in zip(self.parameters, stored, strict=True):
                    parameter.copy_(weight)
        return self.recall

    def remove(self) -> None:
        """Delete what an earlier run left on disk."""
        if self.is_main:
            self.path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint; the weights stay in their own file."""
        return {"recall": self.recall, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore from a checkpoint."""
        self.recall = {str(name): float(value) for name, value in state["recall"].items()}
        self.waited = int(state["waited"])
