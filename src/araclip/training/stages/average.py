"""The average stage: one model whose weights are the mean of several models' (model soups, Wortsman et al. 2022)."""

import torch
from torch import Tensor

from araclip.errors import RecipeError
from araclip.training.loop.processes import accelerator_for
from araclip.training.model.fingerprint import fingerprint
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import Average
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.stages.stage_run import save_untrained


def average(stage: Average, context: StageContext) -> dict[str, float]:
    """Average the weights of models of one shape that were trained on from one model.

    Of a model and what it became by training on other data the mean keeps most of what either knows (WiSE-FT,
    Wortsman et al. 2022), at the cost of one. Models that were trained apart have no useful mean.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        RecipeError: a member has not been run, or members differ in shape.
        TrainingError: see its children.
    """
    accelerator = accelerator_for()
    members, processor = starting_model.members_of(stage.members, context, "averages")
    shares = stage.shares or (1.0,) * len(members)
    data = {f"member {name}": fingerprint(member) for name, member in members.items()}
    model = members[stage.members[0]]
    model.load_state_dict(_mean(members, [share / sum(shares) for share in shares]))
    return save_untrained(stage, context, data, (model, processor), accelerator)


def _mean(members: dict[str, AraCLIPModel], shares: list[float]) -> dict[str, Tensor]:
    """The weighted mean of each tensor; whole numbers are the first member's."""
    (first_name, first), *others = ((name, model.state_dict()) for name, model in members.items())
    for name, other in others:
        shapes = [{key: tensor.shape for key, tensor in found.items()} for found in (first, other)]
        if differing := [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]:
            raise RecipeError(
                f"'{first_name}' and '{name}' differ in {differing[0]}, so that their weights have no mean. Name "
                "stages that start from one model and change no layers."
            )
    every = [first, *(other for _, other in others)]
    return {
        key: torch.stack([share * found[key] for share, found in zip(shares, every, strict=True)]).sum(dim=0)
        if tensor.is_floating_point()
        else tensor
        for key, tensor in first.items()
    }
