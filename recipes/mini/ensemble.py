"""The stages `ensemble` (joins image towers) and `average` (averages weights), which make one model of several."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from araclip.errors import RecipeError
from araclip.training.data.limits import AtLeastOne, Many, OrNone, Positive
from araclip.training.data.pictures import FileMixture
from araclip.training.loop.processes import accelerator_for
from araclip.training.model.branches import BranchesModel, first_difference, is_splittable, joined
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.saved_models import load_plain, rebuilt
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import CONFIG, Pictures, Stage
from araclip.training.stages import starting_model
from araclip.training.stages.pictures import pooled_features
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.stage_run import save_untrained
from araclip.training.stages.starting_model import StageContext


@dataclass(frozen=True, config=CONFIG)
class Ensemble(Stage):
    """Joins image towers (`members`) that were trained with the same locked text tower into one tower.

    The joined towers are not trained here. With an `expert`, a further tower for one kind of pictures, the stage fits a
    gate, which decides how much the expert counts for a picture, and a router, which decides whether it is computed.
    """

    MODELS = ("members", "expert")
    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...] = ()  # the models whose image towers are joined: stages, or folders of models
    shared_blocks: OrNone = 0  # first blocks that all members' image towers share, because training froze them
    batch: Many = 128  # most of `pictures`, and of `expert_pictures`, on which vector lengths and gate are computed
    pictures: Pictures = ()  # if given, all members' vectors are scaled to one mean length on these pictures
    expert: str = ""  # one more member, which counts only for pictures like its own: a gate tells them from others
    expert_pictures: Pictures = ()  # the expert's own pictures; the gate learns to tell them from `pictures`
    # mean length of the expert's vectors of `expert_pictures`, as a multiple of the mean length of the members' vectors
    expert_weight: AtLeastOne = 2.0
    # true: the expert computes only for pictures like its own, as judged by the members' features
    expert_routed: bool = False

    def mixtures(self) -> tuple[FileMixture, ...]:
        return tuple(FileMixture(sets, self.seed) for sets in (self.pictures, self.expert_pictures) if sets)

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if len(self.members) + bool(self.expert) < 2:
            raise ValueError("an ensemble has two members or more. Name their stages in `members`.")
        if len({*self.members, self.expert}) <= len(self.members):
            raise ValueError("the ensemble names a member twice. Each counts once.")
        asked = self.expert or self.expert_pictures or self.expert_routed
        if asked and not (self.expert and self.expert_pictures and self.pictures):
            raise ValueError("an expert needs `expert_pictures`, its own, and `pictures` of others. Give both.")
        return self


def ensemble(stage: Ensemble, context: StageContext) -> dict[str, float]:
    """Join the image towers of several stages and the text tower that all were trained with; return the dev recall.

    If the stage names pictures, the members' image vectors are first scaled to one mean length, so that each branch has
    the same weight however it was trained. (A member that is an ensemble has the weight of all its branches.) A member
    for one kind of pictures, an expert, gets a gate, by which it counts only for such pictures; see `with_gate_for`.
    """
    accelerator = accelerator_for()
    names = [*stage.members, *([stage.expert] if stage.expert else [])]
    named, processor = members_of(names, context, "joins")
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


def members_of(
    names: Sequence[str], context: StageContext, why: str
) -> tuple[dict[str, AraCLIPModel], AraCLIPProcessor]:
    """Load the models that a stage puts together; return them by name.

    A model's query bank (against hubness) and its names part (the numbers of a vector that stand for class names) are
    left out. The first model's processor is returned, too, set to squash pictures to squares.

    Args:
        names: stages, folders or bundled models, each once. why: what the stage does with them, such as "joins".

    Raises:
        RecipeError: there is no such model, or two of them read texts or pictures in different ways.
    """
    found = [load_plain(starting_model.saved_model(context, name, f"stage '{context.name}' {why}")) for name in names]
    processors = [processor.squashing() for _, processor in found]
    read = []  # of each model, the settings besides weights on which the vectors of texts and pictures depend
    for (model, _), processor in zip(found, processors, strict=True):
        settings = {key: getattr(model.config, key) for key in ("text_pooling", "vision_pooling", "vision_mirror")}
        if processor.image_processor is not None:
            settings |= asdict(processor.preprocessing)
        read.append({**settings, "max_tokens": processor.max_tokens})
    for name, theirs in zip(names[1:], read[1:], strict=True):
        if differing := [f"{key} ({read[0][key]} and {theirs[key]})" for key in theirs if theirs[key] != read[0][key]]:
            raise RecipeError(
                f"stage '{context.name}' {why} '{names[0]}' and '{name}', which differ in {', '.join(differing)}, so "
                "that no one model can do what each of them does. Train both with one [model]."
            )
    return dict(zip(names, (model for model, _ in found), strict=True)), processors[0]


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


# ------------------------------------------------------------------ the gate and the router of an expert

# The gate is a logistic regression. It is written here because the extra `train` does not install scikit-learn, whose
# LogisticRegression gives nearly the same numbers for the same sample weights and penalty.
# An expert (a branch for one kind of pictures) has a gate, a factor near 0 for pictures of other kinds. In the gate's
# loss, the weight of all other pictures relative to all of the expert's own: a gate that is open by mistake does more
# harm than one that is shut by mistake.
OTHERS = 8.0
PENALTY = 1e-3  # factor of the squared weights in the loss of `logistic`, for features of unit spread
STEPS = 100  # limit of the steps of L-BFGS in `logistic`
MISSED = 1e-3  # share of an expert's own pictures that its router, which lets the expert compute, may leave out
PASSED = 1e-2  # share of other pictures that the router may let pass; more if they are too like the expert's own
LOGIT_ROUNDING = 1e-3  # most by which a logit differs in an ONNX graph or in another batch, by rounding


@torch.enable_grad()
def logistic(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a logistic regression that tells pictures' features `own` (N, W) from features `others` (M, W).

    All `others` together count `OTHERS` times as much as all of `own` together. Return weight (W,) and bias ().
    """
    rows = torch.cat([own, others]).double()
    targets = torch.cat([torch.ones(len(own)), torch.zeros(len(others))]).double()
    sample_weights = torch.where(targets > 0, 1 / len(own), OTHERS / len(others)) * len(rows) / (1 + OTHERS)
    centre, spread = rows.mean(dim=0), rows.std(dim=0) + 1e-3
    scaled = (rows - centre) / spread
    weight = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(scaled @ weight + bias, targets, weight=sample_weights) + PENALTY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    unscaled = (weight / spread).detach()
    return unscaled.float(), (bias.detach() - unscaled @ centre).float()


def router(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a router, which lets a branch compute only for pictures like `own`: return weight (W,), bias () of a logit.

    The logit is above 0 for nearly all features `own` (N, W) and for few of `others` (M, W). At most a share MISSED of
    `own` is below 0. If the logits of the two kinds do not overlap, 0 lies midway between them, to suit unseen pictures
    of both kinds.
    """
    weight, bias = logistic(own, others)
    lowest = torch.quantile(own @ weight + bias, MISSED, interpolation="lower")
    highest = torch.quantile(others @ weight + bias, 1 - PASSED)
    return weight, bias - torch.minimum(lowest - LOGIT_ROUNDING, (lowest + highest) / 2)


def _logit_layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Make a linear layer that computes one logit from features of width W: weight (W,) · features + bias."""
    layer = nn.Linear(len(weight), 1)
    layer.load_state_dict({"weight": weight[None], "bias": bias.view(1)})
    return layer


def with_gate(tower: Any, shared_blocks: int, weight: Tensor, bias: Tensor) -> BranchesModel:
    """Add a gate to a tower of one branch; it multiplies the features by sigmoid(weight · features + bias)."""
    if not is_splittable(tower) or (
        isinstance(tower, BranchesModel) and (len(tower.branches) > 1 or tower.config.gated)
    ):
        raise RecipeError("an expert is an image tower of timm's EfficientNet or MobileNet family by itself.")
    model = joined([tower], shared_blocks)
    model.branches[0].gate, model.config.gated = _logit_layer(weight, bias), [0]
    return model


def route_last(tower: BranchesModel, weight: Tensor, bias: Tensor) -> None:
    """Let a tower's last branch compute only if weight · (earlier branches' features) + bias is above 0; in place."""
    tower.branches[-1].router, tower.config.routed = _logit_layer(weight, bias), [len(tower.branches) - 1]


# ------------------------------------------------------------------ averaged weights


@dataclass(frozen=True, config=CONFIG)
class Average(Stage):
    """Averages the weights of models that were all trained from one start (model soups); nothing is trained."""

    MODELS = ("members",)
    kind: Literal["average"] = "average"
    members: tuple[str, ...] = ()  # the models to average: stages, or folders of models; with layers of equal shapes
    shares: tuple[Positive, ...] = ()  # the share of each member in the mean; empty: all count alike

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if len(set(self.members)) < max(2, len(self.members)):
            raise ValueError("an average has two members or more, each once. Name their stages in `members`.")
        if self.shares and len(self.shares) != len(self.members):
            raise ValueError("`shares` needs a number for each of `members`. Give as many, or leave it out.")
        return self


def average(stage: Average, context: StageContext) -> dict[str, float]:
    """Average the weights of models of equal shapes that were trained from one start; return the dev recall.

    The mean of a model before and after training on other data keeps most of what both know (WiSE-FT, Wortsman et al.
    2022), and costs no more than one model. Models that were trained from different starts have no useful mean.
    """
    accelerator = accelerator_for()
    members, processor = members_of(stage.members, context, "averages")
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
