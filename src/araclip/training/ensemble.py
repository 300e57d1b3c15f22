"""Models whose pictures learned the space of one text tower apart → one model with the sum of their image vectors."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from araclip.errors import RecipeError
from araclip.training import students
from araclip.training.crowns import joined
from araclip.training.fit import accelerator_for, kept
from araclip.training.image_side import Pixels
from araclip.training.model import AraCLIPModel
from araclip.training.picture_data import LANGUAGES, PictureMixture
from araclip.training.recipe import Recipe
from araclip.training.sections import Ensemble
from araclip.training.watch import Watch


def ensemble(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Put the image towers of several stages under the text tower that all of them were trained with.

    Where the stage names pictures, each member's image vectors are first brought to one mean length, so that members
    of different training count the same; a member that is an ensemble itself counts as often as it has crowns.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        RecipeError: a member has not been run, or members differ in their text tower or in what their image towers
            should share.
        TrainingError: see its children.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, Ensemble):
        raise RecipeError(f"stage '{name}' is of kind {stage.kind}, not ensemble.")
    accelerator = accelerator_for(stage)
    folders = [students.saved_model(recipe, member, runs, f"stage '{name}' joins") for member in stage.members]
    members = [students.load_unfinished(folder) for folder in folders]
    processor = members[0][1]
    data = {
        f"member {member}": students.fingerprint(found)
        for member, (found, _) in zip(stage.members, members, strict=True)
    }
    lengths = [1.0] * len(members)
    if stage.pictures:
        mixture = PictureMixture(stage.pictures, stage.seed, languages=dict.fromkeys(LANGUAGES, 1.0))
        files = [mixture.pictures[row].path for row in mixture.batch(0, stage.batch).rows]
        lengths = [_mean_length(member, files) for member in members]
        data["pictures"] = mixture.fingerprint
    models = [model for model, _ in members]
    model = _joined(dict(zip(stage.members, models, strict=True)), stage.trunk_blocks, lengths)
    return kept(stage, runs / name, data, (model, processor), accelerator, watch, fresh)


def _mean_length(member: students.Student, files: Sequence[Path]) -> float:
    """Of a member's image vectors."""
    model, processor = member
    pixels = Pixels(students.image_size(processor), *students.norm(processor)).read(files)
    with torch.inference_mode():
        return model.eval().get_image_features(pixels).norm(dim=-1).mean().item()  # type: ignore[no-any-return]


def _joined(members: dict[str, AraCLIPModel], trunk_blocks: int, lengths: list[float]) -> AraCLIPModel:
    (first_name, first), *others = members.items()
    for name, other in others:
        if differing := _difference(_text_side(first), _text_side(other)):
            raise RecipeError(
                f"the text towers of '{first_name}' and '{name}' differ in {differing}. Train both with "
                'train_text = "locked" from one start.'
            )
    projections = [model.visual_projection for model in members.values()]
    if not all(isinstance(projection, nn.Linear) for projection in projections):
        raise RecipeError("only towers under linear projections have a sum. Leave vision_projection at linear.")
    tower = joined([model.vision_model for model in members.values()], trunk_blocks)
    options = {key: value for key, value in first.config.to_dict().items() if key in _KEPT}
    model = AraCLIPModel.from_towers(first.text_model, tower, **options)
    with torch.no_grad():
        model.text_projection.load_state_dict(first.text_projection.state_dict())
        votes = [getattr(member.vision_model.config, "crowns", 1) for member in members.values()]
        shares = [vote / (sum(votes) * length) for vote, length in zip(votes, lengths, strict=True)]
        weights, biases = zip(
            *((p.weight * s, p.bias * s) for p, s in zip(projections, shares, strict=True)), strict=True
        )
        model.visual_projection.weight.copy_(torch.cat(weights, dim=1))
        model.visual_projection.bias.copy_(torch.stack(biases).sum(dim=0))
        for learned in ("logit_scale", "logit_bias"):  # the bias is there with the sigmoid loss alone
            if hasattr(model, learned):
                found = [getattr(member, learned) for member in members.values() if hasattr(member, learned)]
                getattr(model, learned).copy_(torch.stack(found).mean())
    return model


_KEPT = (
    "projection_dim", "text_pooling", "vision_pooling", "vision_projection", "vision_mirror", "matryoshka_dims",
    "logit_scale_init_value", "logit_bias_init", "max_tokens",
)  # fmt: skip


def _text_side(model: AraCLIPModel) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith("text_")}


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> str | None:
    if one.keys() != other.keys():
        return "their layers"
    return next((name for name, tensor in one.items() if not torch.equal(tensor, other[name])), None)
