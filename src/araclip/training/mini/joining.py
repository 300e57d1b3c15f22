"""The stages `ensemble` (joins image towers) and `average` (averages weights), which make one model of several."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from araclip.errors import RecipeError
from araclip.training.loop.processes import accelerator_for
from araclip.training.mini.branches import first_difference, joined, logistic, route_last, router, with_gate
from araclip.training.mini.heads import rebuilt
from araclip.training.mini.recipe import Average, Ensemble
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.towers import fingerprint
from araclip.training.stages import starting_model
from araclip.training.stages.pictures import Pixels, pooled_features
from araclip.training.stages.stage_run import save_untrained
from araclip.training.stages.starting_model import StageContext


def ensemble(stage: Ensemble, context: StageContext) -> dict[str, float]:
    """Join the image towers of several stages and the text tower that all were trained with; return the dev recall.

    If the stage names pictures, the members' image vectors are first scaled to one mean length, so that each branch has
    the same weight however it was trained. (A member that is an ensemble has the weight of all its branches.) A member
    for one kind of pictures, an expert, gets a gate, by which it counts only for such pictures; see `with_gate_for`.
    """
    accelerator = accelerator_for()
    names = [*stage.members, *([stage.expert] if stage.expert else [])]
    named, processor = starting_model.members_of(names, context, "joins")
    _check_text_towers(named)
    data = {f"member {member}": fingerprint(model) for member, model in named.items()}
    models = [*named.values()]
    pixels = Pixels.of(processor)
    branches = [float(getattr(model.vision_model.config, "branches", 1)) for model in models]
    lengths = [1.0] * len(models)
    members = slice(len(stage.members))
    mixtures = context.told(stage.mixtures())
    if stage.pictures:
        files, data["pictures"] = mixtures[0].draw(stage.batch), mixtures[0].fingerprint
        seen = [pooled_features(model, pixels, files) for model in models[members]]
        lengths[members] = [_mean_length(model, found) for model, found in zip(models[members], seen, strict=True)]
    # all members' vectors are scaled to this, their common mean, so that the joint head's weights keep their size
    mean_length = sum(lengths[members]) / len(stage.members)
    total = sum(branches[members])
    scales = [count / total * mean_length / length for count, length in zip(branches, lengths, strict=True)]
    if stage.expert:
        own, data["expert pictures"] = mixtures[1].draw(stage.batch), mixtures[1].fingerprint
        features = pooled_features(models[-1], pixels, own)
        scales[-1] = stage.expert_weight * mean_length / _mean_length(models[-1], features)
        others = pooled_features(models[-1], pixels, files)
        if stage.expert_routed:
            own_seen = [pooled_features(model, pixels, own) for model in models[members]]
            route = router(torch.cat(own_seen, dim=1), torch.cat(seen, dim=1))
        models[-1] = with_gate_for(models[-1], stage.shared_blocks, features, others)
    model = _join_towers(models, stage.shared_blocks, scales)
    if stage.expert_routed:
        route_last(model.vision_model, *route)
        model.config.vision_config = model.vision_model.config
    return save_untrained(stage, context, data, (model, processor), accelerator)


def _mean_length(model: AraCLIPModel, features: Tensor) -> float:
    """Return the mean length of the image vectors that the projection makes of N pictures' features (N, width)."""
    with torch.inference_mode():
        return model.visual_projection(features).norm(dim=-1).mean().item()  # type: ignore[no-any-return]


def _check_text_towers(members: dict[str, AraCLIPModel]) -> None:
    (first_name, first), *others = members.items()
    for name, other in others:
        if differing := first_difference(_text_weights(first), _text_weights(other)):
            raise RecipeError(
                f"the text towers of '{first_name}' and '{name}' differ in {differing}. Train both with "
                'train_text = "locked" from one start.'
            )
    if not all(isinstance(model.visual_projection, nn.Linear) for model in members.values()):
        raise RecipeError("only towers under linear projections have a sum. Leave vision_projection at linear.")


def _join_towers(members: Sequence[AraCLIPModel], shared_blocks: int, scales: Sequence[float]) -> AraCLIPModel:
    first = members[0]
    projections = [model.visual_projection for model in members]
    tower = joined([model.vision_model for model in members], shared_blocks)
    options = {key: value for key, value in first.config.to_dict().items() if key in _COPIED_OPTIONS}
    model = AraCLIPModel.from_towers(first.text_model, tower, **options)
    with torch.no_grad():
        model.text_projection.load_state_dict(first.text_projection.state_dict())
        weights, biases = zip(
            *((p.weight * s, p.bias * s) for p, s in zip(projections, scales, strict=True)), strict=True
        )
        model.visual_projection.weight.copy_(torch.cat(weights, dim=1))
        model.visual_projection.bias.copy_(torch.stack(biases).sum(dim=0))
        for learned in ("logit_scale", "logit_bias"):  # only models with the sigmoid loss have a bias
            if hasattr(model, learned):
                found = [getattr(member, learned) for member in members if hasattr(member, learned)]
                getattr(model, learned).copy_(torch.stack(found).mean())
    return model


_COPIED_OPTIONS = (
    "projection_dim", "text_pooling", "vision_pooling", "vision_projection", "vision_mirror", "matryoshka_dims",
    "logit_scale_init_value", "logit_bias_init", "max_tokens",
)  # fmt: skip


def _text_weights(model: AraCLIPModel) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith("text_")}


def with_gate_for(model: AraCLIPModel, shared_blocks: int, own: Tensor, others: Tensor) -> AraCLIPModel:
    """Return the model with a gate, a factor of its image features: about 1 for pictures like `own`, 0 for `others`.

    `own` (N, width) and `others` (M, width) are `pooled_features` of pictures. The image projection's bias becomes 0,
    because the gate would not multiply it.
    """
    tower = with_gate(model.vision_model, shared_blocks, *logistic(own, others))
    gated = rebuilt(model, tower)
    for part in ("text_projection", "visual_projection"):
        getattr(gated, part).load_state_dict(getattr(model, part).state_dict())
    gated.visual_projection.bias.data.zero_()
    return gated


def average(stage: Average, context: StageContext) -> dict[str, float]:
    """Average the weights of models of equal shapes that were trained from one start; return the dev recall.

    The mean of a model before and after training on other data keeps most of what both know (WiSE-FT, Wortsman et al.
    2022), and costs no more than one model. Models that were trained from different starts have no useful mean.
    """
    accelerator = accelerator_for()
    members, processor = starting_model.members_of(stage.members, context, "averages")
    shares = stage.shares or (1.0,) * len(members)
    data = {f"member {name}": fingerprint(member) for name, member in members.items()}
    (first_name, first), *others = ((name, model.state_dict()) for name, model in members.items())
    for name, other in others:
        shapes = [{key: tensor.shape for key, tensor in found.items()} for found in (first, other)]
        if differing := [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]:
            raise RecipeError(
                f"'{first_name}' and '{name}' differ in {differing[0]}, so that their weights have no mean. Name "
                "stages that start from one model and change no layers."
            )
    every = [
        (share / sum(shares), found) for share, found in zip(shares, (first, *(o for _, o in others)), strict=True)
    ]
    mean = {
        key: torch.stack([share * found[key] for share, found in every]).sum(dim=0)
        for key, tensor in first.items()
        if tensor.is_floating_point()
    }
    model = members[first_name]
    model.load_state_dict({**first, **mean})  # tensors of whole numbers are taken from the first member
    return save_untrained(stage, context, data, (model, processor), accelerator)
