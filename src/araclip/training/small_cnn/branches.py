"""An image tower of several branches over shared frozen blocks, as a model of transformers; how towers become one."""

from collections.abc import Iterator, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from araclip.errors import InputError, RecipeError
from araclip.training.small_cnn.branch_layers import Branch, Branches, SharedBlocks, can_split
from araclip.training.small_cnn.branches_configuration import BranchesConfig
from araclip.training.small_cnn.shared_weights import differing_weight


class BranchesModel(PreTrainedModel):  # type: ignore[misc]
    """A timm EfficientNet or MobileNet with several branches, with random weights."""

    config_class = BranchesConfig
    main_input_name = "pixel_values"

    def __init__(self, config: BranchesConfig) -> None:
        super().__init__(config)
        networks = [_network(config.architecture) for _ in range(config.branches)]
        self.shared = SharedBlocks(networks[0], config.shared_blocks)
        self.branches = Branches(
            [
                Branch(
                    network,
                    config.shared_blocks,
                    gated=number in config.gated,
                    routed_by=number if number in config.routed else 0,
                    map_scale=scale,
                )
                for number, (network, scale) in enumerate(zip(networks, config.map_scales, strict=True))
            ]
        )
        self.post_init()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, output_attentions: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:  # fmt: skip
        """(B, 3, S, S) normalised pixels → `pooler_output` (B, K · W), the branches' features concatenated.

        Raises:
            InputError: attentions are asked for, and convolutions have none.
        """
        if output_attentions or self.config.output_attentions:
            raise InputError(
                "output_attentions=True, but this image tower is made of convolutions and has no attention. Leave it "
                "out, or ask get_text_features for it."
            )
        maps = self.shared(pixel_values)  # (B, C, h, w)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states = (maps,) if wanted else None  # the one state that is not a single branch's
        return BaseModelOutputWithPooling(
            last_hidden_state=maps, pooler_output=self.branches(maps), hidden_states=states
        )

    def _init_weights(self, module: nn.Module) -> None:
        """timm initialises its layers itself."""


def joined(towers: Sequence[Any], shared_blocks: int) -> BranchesModel:
    """One tower of all towers' branches.

    Args:
        towers: transformers' wrappers of one timm architecture, without classifier, or towers that this function made.
        shared_blocks: the first blocks, the same but for the rounding of an exported model; the first's are kept.

    Raises:
        RecipeError: they are not of one such architecture, or their first blocks differ.
    """
    kinds = [getattr(tower.config, "architecture", tower.config.model_type) for tower in towers]
    if len(set(kinds)) > 1 or not all(map(is_splittable, towers)):
        raise RecipeError(
            f"image towers of the kinds {', '.join(kinds)} cannot share blocks: that takes networks of one "
            "architecture of timm's EfficientNet or MobileNet family."
        )
    (shared, *others), uppers = zip(*(split(tower, shared_blocks) for tower in towers), strict=True)
    for number, other in enumerate(others, 2):
        if differing := differing_weight(shared, other):
            raise RecipeError(
                f"the first {shared_blocks} blocks of image tower {number} are not those of the first one "
                f"({differing} differs). Train them with frozen_blocks of {shared_blocks} or more, from one start."
            )
    branches = [branch for upper in uppers for branch in (upper if isinstance(upper, Branches) else [upper])]
    gated = [number for number, branch in enumerate(branches) if branch.gate is not None]
    routed = [number for number, branch in enumerate(branches) if branch.router is not None]
    if any(getattr(tower.config, "routed", ()) for tower in towers[1:]):
        raise RecipeError(
            "a tower with a routed branch can only come first: its router reads the branches before. Name it first."
        )
    config = BranchesConfig(
        kinds[0], len(branches), shared_blocks, hidden_size=sum(map(_width, towers)), gated=gated, routed=routed,
        map_scales=[scale for tower in towers for scale in _map_scales(tower)],
    )  # fmt: skip
    model = BranchesModel(config)
    model.shared.load_state_dict(shared.state_dict())
    for ours, theirs in zip(model.branches, branches, strict=True):
        ours.load_state_dict(theirs.state_dict())
    model.eval()
    return model


def with_gate(tower: Any, shared_blocks: int, weight: Tensor, bias: Tensor) -> BranchesModel:
    """A tower of one branch → the same with a gate, sigmoid(weight · features + bias), weight (W,).

    Raises:
        RecipeError: it has more branches than one, a gate already, or cannot be split.
    """
    if not _is_single(tower):
        raise RecipeError("an expert is an image tower of timm's EfficientNet or MobileNet family by itself.")
    model = joined([tower], shared_blocks)
    gate = nn.Linear(len(weight), 1)
    gate.load_state_dict({"weight": weight[None], "bias": bias.view(1)})
    model.branches[0].gate, model.config.gated = gate, [0]
    return model


def route_last(tower: BranchesModel, weight: Tensor, bias: Tensor) -> None:
    """Let the last branch compute only where weight · (features of all branches before it) + bias is above 0."""
    router = nn.Linear(len(weight), 1)
    router.load_state_dict({"weight": weight[None], "bias": bias.view(1)})
    tower.branches[-1].router, tower.config.routed = router, [len(tower.branches) - 1]


def with_map_scale(tower: Any, shared_blocks: int, scale: float) -> BranchesModel:
    """A tower → the same, whose branches see the shared blocks' maps at `scale` of their side.

    Raises:
        RecipeError: it cannot be split, or has a gate.
    """
    if not is_splittable(tower) or (isinstance(tower, BranchesModel) and tower.config.gated):
        raise RecipeError(
            "map_scale is for image towers of timm's EfficientNet or MobileNet family without a gate. Leave it out."
        )
    model = joined([tower], shared_blocks)
    set_map_scale(model.branches, scale)
    model.config.map_scales = [scale] * len(model.branches)
    return model


@torch.no_grad()
def first_branches(tower: BranchesModel, dropped: int) -> BranchesModel:
    """A tower without its last branches, which make the last `dropped` numbers of a picture."""
    each = tower.config.hidden_size // tower.config.branches
    kept = tower.config.branches - dropped // each
    gated, routed = ([n for n in numbers if n < kept] for numbers in (tower.config.gated, tower.config.routed))
    config = BranchesConfig(
        tower.config.architecture, kept, tower.config.shared_blocks, hidden_size=kept * each, gated=gated,
        routed=routed, map_scales=tower.config.map_scales[:kept],
    )  # fmt: skip
    model = BranchesModel(config)
    model.shared.load_state_dict(tower.shared.state_dict())
    for ours, theirs in zip(model.branches, tower.branches, strict=False):
        ours.load_state_dict(theirs.state_dict())
    model.eval()
    return model


def branches_of(tower: Any) -> int:
    """How many branches a tower has, each of which makes vectors of its own.

    Raises:
        RecipeError: it is a single network, or one of its branches is gated.
    """
    if not isinstance(tower, BranchesModel) or tower.config.gated:
        raise RecipeError("each_branch is for an image tower that an ensemble without expert made. Leave it out.")
    return len(tower.branches)


def map_scale_of(tower: Any) -> float:
    """The map scale of a tower's first branch; 1 for a plain network."""
    return _map_scales(tower)[0]


def set_map_scale(branches: nn.Module, scale: float) -> None:
    """Let a branch, or all of several, see maps of another size from now on."""
    for branch in branches.modules():
        if isinstance(branch, Branch):
            branch.map_scale = scale


def is_splittable(tower: Any) -> bool:
    """Whether `split` can cut a tower."""
    return isinstance(tower, BranchesModel) or can_split(getattr(tower, "timm_model", None))


def _is_single(tower: Any) -> bool:
    several = isinstance(tower, BranchesModel) and (len(tower.branches) > 1 or bool(tower.config.gated))
    return is_splittable(tower) and not several


def split(tower: Any, blocks: int) -> tuple[SharedBlocks, nn.Module]:
    """A tower's first blocks and the rest of it, which share their layers with the tower.

    Raises:
        RecipeError: it cannot be cut there.
    """
    if not isinstance(tower, BranchesModel):
        return SharedBlocks(tower.timm_model, blocks), Branch(tower.timm_model, blocks)
    if blocks != tower.config.shared_blocks:
        raise RecipeError(
            f"this image tower has {len(tower.branches)} branches over {tower.config.shared_blocks} blocks and cannot "
            f"be cut after block {blocks}. Set frozen_blocks (of an ensemble, shared_blocks) = "
            f"{tower.config.shared_blocks}."
        )
    return tower.shared, tower.branches


def same_first_blocks(tower: Any, other: Any, blocks: int) -> bool:
    """Whether `split` can cut two towers after some blocks, which are the same."""
    for one in (tower, other):
        if not blocks or not is_splittable(one) or getattr(one.config, "shared_blocks", blocks) != blocks:
            return False
    return not differing_weight(split(tower, blocks)[0], split(other, blocks)[0])


def upper_modules(tower: Any, blocks: int) -> Iterator[nn.Module]:
    """Every module of a tower that `split` would put into its branches, and the module that holds them."""
    if isinstance(tower, BranchesModel):
        yield from tower.branches.modules()
    else:
        yield tower.timm_model
        yield from tower.timm_model.blocks[blocks:].modules()


def _map_scales(tower: Any) -> list[float]:
    return list(tower.config.map_scales) if isinstance(tower, BranchesModel) else [1.0]


def _network(architecture: str) -> Any:
    return timm.create_model(architecture, num_classes=0)


def _width(tower: Any) -> int:
    return int(tower.config.hidden_size if isinstance(tower, BranchesModel) else tower.timm_model.head_hidden_size)


AutoModel.register(BranchesConfig, BranchesModel, exist_ok=True)
