"""The configuration of an image tower of several branches; importing it imports no torch."""

from collections.abc import Iterable
from typing import Any

from transformers.configuration_utils import PreTrainedConfig


class BranchesConfig(PreTrainedConfig):  # type: ignore[misc]
    """An image tower of several branches over shared first blocks, see `branches`.

    Args:
        architecture: timm's name of the network.
        branches: how many there are.
        shared_blocks: the network's first blocks, which they share.
        hidden_size: numbers a picture, of all branches together.
        gated: the branches, by their number from 0, that have a gate.
        routed: those of them that compute only for pictures of their kind, as the branches before them tell.
        map_scales: for each branch, the side of the maps it sees as a part of the shared blocks' own; () is 1 for all.
    """

    model_type = "araclip_branches"

    def __init__(
        self, architecture: str = "tf_efficientnet_lite2", branches: int = 2, shared_blocks: int = 3,
        hidden_size: int = 2560, gated: Iterable[int] = (), routed: Iterable[int] = (),
        map_scales: Iterable[float] = (), **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.architecture = architecture
        self.branches, self.shared_blocks = branches, shared_blocks
        self.hidden_size, self.gated, self.routed = hidden_size, sorted(gated), sorted(routed)
        self.map_scales = list(map_scales) or [1.0] * self.branches
        self.num_attention_heads = 1  # none; CLIPModel, which is to refuse a saved folder, first divides by its own 12
