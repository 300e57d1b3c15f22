"""The best weights of a stage, by dev R@1, and when it is time to stop."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from araclip import atomic
from araclip.errors import TrainingError
from araclip.training.loop.run import Run


class Best:
    """The weights with the best dev R@1 so far, on disk, and how long ago that was; idle without `patience`.

    Args:
        patience: recalls without a better one after which it is over.
    """

    def __init__(self, run: Run, learning: list[nn.Parameter], patience: int) -> None:
        self.path, self.is_main, self.learning, self.patience = run.folder / "best.pt", run.is_main, learning, patience
        self.recall: dict[str, float] = {}
        self.waited = 0

    @property
    def is_over(self) -> bool:
        """Whether the stage has waited long enough."""
        return bool(self.patience) and self.waited >= self.patience

    def see(self, recall: dict[str, float]) -> None:
        """Take in the recall of the weights of now, and keep these on disk if it is the best."""
        if not self.patience:
            return
        if self.recall and recall["R@1"] <= self.recall["R@1"]:
            self.waited += 1
            return
        self.recall, self.waited = recall, 0
        if self.is_main:
            weights = [p.detach() for p in self.learning]
            try:
                atomic.write(self.path, lambda part: torch.save(weights, part))
            except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
                raise TrainingError(
                    f"{self.path} cannot be written: {error}. Make room, then start the same command again."
                ) from error

    def is_better_than(self, recall: Mapping[str, float]) -> bool:
        """Whether earlier weights did better."""
        return bool(self.recall) and self.recall["R@1"] > recall.get("R@1", -1.0)

    @torch.no_grad()
    def restore(self) -> dict[str, float]:
        """Go back to the best weights; their recall."""
        if self.is_main:  # the only process whose weights are used from here on
            saved_weights = torch.load(self.path, map_location="cpu", weights_only=True)
            for parameter, saved in zip(self.learning, saved_weights, strict=True):
                parameter.copy_(saved)
        return self.recall

    def forget(self) -> None:
        """Remove what an earlier run left."""
        if self.is_main:
            self.path.unlink(missing_ok=True)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; the weights stay in their own file."""
        return {"recall": self.recall, "waited": self.waited}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.recall, self.waited = state["recall"], state["waited"]
