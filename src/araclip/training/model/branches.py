"""An image tower whose first blocks are frozen and shared by several branches.

A branch is the rest of a small network; together the branches are an ensemble that costs little more than one network.

The branches come from networks that were fine-tuned separately from one pretrained network with its first blocks
frozen. So they share these blocks, and a picture passes them once. Separately trained networks make different errors,
and the sum of their vectors ranks better than each alone (deep ensembles, Lakshminarayanan et al. 2017). A linear
projection of all branches' concatenated features is such a sum.

A gated branch counts only for pictures like those it was trained on: its features are multiplied by a number between 0
and 1 that is computed from them, like a gate of a mixture of experts (Jacobs et al. 1991).

A gated branch may also be routed: a router reads the features of the branches before it and decides for each picture.
The branch computes only for pictures of its kind; its features of other pictures are 0 and cost no time (conditional
computation, Shazeer et al. 2017).

A branch may read the shared blocks' maps at a smaller scale (`map_scale`); its time falls with their area.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from araclip.errors import InputError, RecipeError
from araclip.training.model.configuration import BranchesConfig
from araclip.training.model.towers import image_width

# Feature maps with a smaller relative difference count as equal; int8 weights of EfficientNet-Lite2 cause .0011.
ROUNDING = 0.005


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor in which two state dictionaries differ; None if they are equal.

    If the dictionaries do not have the same names, return "their layers".
    """
    if one.keys() != other.keys():
        return "their layers"
    return next((name for name, tensor in one.items() if not torch.equal(tensor, other[name])), None)


def differing_weight(first: nn.Module, other: nn.Module) -> str | None:
    """Compare two towers' first blocks: return the name of a tensor that differs; None if both compute the same.

    Usually weights are equal. A tower that was unpacked from an exported model has rounded weights; so if weights
    differ, the blocks' outputs for a picture of noise are compared. The towers may lie on different devices.
    """
    mine, theirs = (copy.deepcopy(blocks).cpu().eval() for blocks in (first, other))
    differing = first_difference(mine.state_dict(), theirs.state_dict())
    if differing is None:
        return None
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, two = mine(noise), theirs(noise)
    return differing if (one - two).norm() > ROUNDING * one.norm() else None


class SharedBlocks(nn.Module):
    """The stem and first `blocks` blocks of a timm EfficientNet or MobileNet: pixels → feature maps (B, C, h, w).

    Its layers are the network's own layers, not copies.
    """

    def __init__(self, cnn: Any, blocks: int) -> None:
        super().__init__()
        if not can_split(cnn) or not 0 <= blocks < len(cnn.blocks):
            raise RecipeError(
                f"{type(cnn).__name__} cannot be cut after block {blocks}. Caching "
                "frozen features works for timm's EfficientNet family; freeze fewer, train the whole tower, or lock it."
            )
        self.first, self.norm, self.blocks = cnn.conv_stem, cnn.bn1, cnn.blocks[:blocks]

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.norm(self.first(pixels))
        for block in self.blocks:
            x = block(x)
        return x


class Branch(nn.Module):
    """The blocks of a network above its first blocks: feature maps (B, channels, h, w) → pooled features (B, width).

    Several branches of one image tower share the first blocks.

    Its layers are the network's own layers, not copies. `gated`: the features are multiplied by a number from 0 to 1,
    computed from the features. `routed_by`: how many branches come before this branch, if a router reads their features
    and decides for which pictures this branch computes; 0 without a router. `map_scale`: the maps are first resized by
    this factor.
    """

    def __init__(
        self, cnn: Any, blocks: int, *, gated: bool = False, routed_by: int = 0, map_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.map_scale = map_scale
        self.blocks, self.conv_head, self.bn2 = cnn.blocks[blocks:], cnn.conv_head, cnn.bn2
        self.gate = nn.Linear(cnn.conv_head.out_channels, 1) if gated else None
        self.router = nn.Linear(routed_by * cnn.conv_head.out_channels, 1) if routed_by else None

    def forward(self, maps: Tensor) -> Tensor:
        x = maps
        if self.map_scale != 1.0:
            h, w = (max(1, round(self.map_scale * side)) for side in maps.shape[2:])
            x = interpolate(maps, (h, w), mode="bilinear")
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.bn2(self.conv_head(x)).mean(dim=(2, 3))
        return pooled if self.gate is None else pooled * torch.sigmoid(self.gate(pooled))


class Branches(nn.ModuleList):
    """Runs K branches on the shared blocks' maps (B, channels, h, w); returns their features, joined (B, K · width)."""

    def forward(self, maps: Tensor) -> Tensor:
        found: list[Tensor] = []
        branch: Any
        for branch in self:
            if branch.router is None:
                found.append(branch(maps))
                continue
            passes = branch.router(torch.cat(found, dim=1)) > 0  # (B, 1)
            if torch.compiler.is_compiling() and not torch.onnx.is_in_onnx_export():
                # torch.compile and torch.export need one graph for all data: here a branch computes for all pictures,
                # also if it usually computes only for those that its router chooses
                found.append(torch.where(passes, branch(maps), 0.0))
            else:
                own = torch.nonzero(passes[:, 0])[:, 0]  # numbers of the rows (pictures) that the router lets pass
                # The exporter cannot trace batch_norm with 0 rows, so it is told that there is a row; the written graph
                # accepts 0 rows, too.
                if torch.compiler.is_exporting():
                    check: Any = torch._check  # typed Any: not all releases of PyTorch type `_check`
                    check(own.shape[0] > 0)
                found.append(torch.zeros_like(found[0]).index_put((own,), branch(maps[own])))
        return torch.cat(found, dim=1)


def can_split(cnn: Any) -> bool:
    """True if a network has the layers that `SharedBlocks` and `Branch` need."""
    return all(hasattr(cnn, part) for part in ("conv_stem", "bn1", "blocks", "conv_head", "bn2"))


class BranchesModel(PreTrainedModel):  # type: ignore[misc]
    """A timm EfficientNet or MobileNet with several branches above its first blocks; weights are random at first."""

    config_class = BranchesConfig
    main_input_name = "pixel_values"
    # This tower is convolutional and computes no attention. It accepts any `attn_implementation` that a caller
    # chooses for the whole model, and ignores it.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: BranchesConfig) -> None:
        super().__init__(config)
        networks = [timm.create_model(config.architecture, num_classes=0) for _ in range(config.branches)]
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
        """Encode normalised pixels (B, 3, S, S); `pooler_output` has the features of all branches, side by side."""
        if output_attentions or self.config.output_attentions:
            raise InputError(
                "output_attentions=True, but this image tower is made of convolutions and has no attention. Leave it "
                "out, or ask get_text_features for it."
            )
        maps = self.shared(pixel_values)  # (B, C, h, w)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states = (maps,) if wanted else None  # only the shared blocks' output: later states belong to one branch each
        return BaseModelOutputWithPooling(
            last_hidden_state=maps, pooler_output=self.branches(maps), hidden_states=states
        )

    def _init_weights(self, module: nn.Module) -> None:
        """Do nothing: timm has initialised its layers already."""


def joined(towers: Sequence[Any], shared_blocks: int) -> BranchesModel:
    """Make one tower of several towers: it has the first blocks once, and each tower's later blocks as a branch.

    Each tower is transformers' wrapper of the same timm architecture, or itself a joined tower. Their `shared_blocks`
    first blocks must be equal, except for the rounding of an exported model, or a RecipeError is raised; those of the
    first tower are used.
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
        kinds[0], len(branches), shared_blocks, hidden_size=sum(map(image_width, towers)), gated=gated, routed=routed,
        map_scales=[scale for tower in towers for scale in map_scales(tower)],
    )  # fmt: skip
    return _assemble(config, shared, branches)


def _assemble(config: BranchesConfig, shared: nn.Module, branches: Iterable[nn.Module]) -> BranchesModel:
    """Make a tower with these shared blocks and branches, whose weights are copied."""
    model = BranchesModel(config)
    model.shared.load_state_dict(shared.state_dict())
    for ours, theirs in zip(model.branches, branches, strict=True):
        ours.load_state_dict(theirs.state_dict())
    model.eval()
    return model


def with_map_scale(tower: Any, shared_blocks: int, scale: float) -> BranchesModel:
    """Return a copy of the tower in which the first blocks' feature maps are reduced to `scale` times their side."""
    if not is_splittable(tower) or (isinstance(tower, BranchesModel) and tower.config.gated):
        raise RecipeError(
            "map_scale is for image towers of timm's EfficientNet or MobileNet family without a gate. Leave it out."
        )
    model = joined([tower], shared_blocks)
    model.config.map_scales = [scale] * len(model.branches)
    set_map_scales(model.branches, model.config.map_scales)
    return model


@torch.no_grad()
def first_branches(tower: BranchesModel, dropped: int) -> BranchesModel:
    """Return a tower without the branches (networks above shared blocks) that make its last `dropped` features."""
    each = tower.config.hidden_size // tower.config.branches
    kept = tower.config.branches - dropped // each
    gated, routed = ([n for n in numbers if n < kept] for numbers in (tower.config.gated, tower.config.routed))
    config = BranchesConfig(
        tower.config.architecture, kept, tower.config.shared_blocks, hidden_size=kept * each, gated=gated,
        routed=routed, map_scales=tower.config.map_scales[:kept],
    )  # fmt: skip
    return _assemble(config, tower.shared, tower.branches[:kept])


def set_map_scales(branches: nn.Module, scales: Sequence[float]) -> None:
    """Set the factor by which a branch resizes the feature maps that it reads, in place.

    `branches` is a single branch or a module of several; `scales` has one factor for each, in order.
    """
    found = [branch for branch in branches.modules() if isinstance(branch, Branch)]
    for branch, scale in zip(found, scales, strict=True):
        branch.map_scale = scale


def is_splittable(tower: Any) -> bool:
    """True if `split` can cut this tower into its first blocks and the rest."""
    return isinstance(tower, BranchesModel) or can_split(getattr(tower, "timm_model", None))


def split(tower: Any, blocks: int) -> tuple[SharedBlocks, nn.Module]:
    """Cut a tower after `blocks` blocks: return both parts, whose layers are the tower's own."""
    if not isinstance(tower, BranchesModel):
        return SharedBlocks(tower.timm_model, blocks), Branch(tower.timm_model, blocks)
    if blocks != tower.config.shared_blocks:
        raise RecipeError(
            f"this image tower has {len(tower.branches)} branches over {tower.config.shared_blocks} blocks and cannot "
            f"be cut after block {blocks}. Set frozen_blocks (of an ensemble, shared_blocks) = "
            f"{tower.config.shared_blocks}."
        )
    return tower.shared, tower.branches


def upper_modules(tower: Any, blocks: int) -> Iterator[nn.Module]:
    """Yield the modules above the first `blocks` blocks of an image tower.

    If several branches share the first blocks, the modules of all branches are yielded. For a network without branches,
    the network itself is yielded first, because the last convolution and BatchNorm are its own layers, and then the
    modules of its blocks from number `blocks` on.
    """
    if isinstance(tower, BranchesModel):
        yield from tower.branches.modules()
    else:
        yield tower.timm_model
        yield from tower.timm_model.blocks[blocks:].modules()


def map_scales(tower: Any) -> list[float]:
    """Return the factor by which each branch resizes the feature maps it reads; [1.0] for a tower without branches."""
    return list(tower.config.map_scales) if isinstance(tower, BranchesModel) else [1.0]
