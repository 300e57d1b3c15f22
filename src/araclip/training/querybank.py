"""A finished model → the same with a bank of texts in its image head, so that hubs stand back; see `hubness`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from araclip.errors import RecipeError
from araclip.training import students
from araclip.training.configuration import BANK_AXES
from araclip.training.fit import accelerator_for, kept
from araclip.training.hubness import BankedImageHead
from araclip.training.image_side import Pixels
from araclip.training.model import AraCLIPModel
from araclip.training.picture_data import PictureMixture
from araclip.training.recipe import Recipe
from araclip.training.sections import QueryBank
from araclip.training.text_side import LearningTexts
from araclip.training.watch import Watch

SAMPLE = 256  # pictures whose mean popularity is the bank's centre


def querybank(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Give a model a bank of the texts that its pictures' captions and names are. Nothing is trained.

    Two axes of the vectors are needed for it: those along which the bank's texts differ least are given up.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`; no stage can start from it.

    Raises:
        RecipeError: the model it starts from has not been made, has no image tower, or no linear projection.
        TrainingError: see its children.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, QueryBank):
        raise RecipeError(f"stage '{name}' is of kind {stage.kind}, not querybank.")
    accelerator = accelerator_for(stage)
    mixture = PictureMixture(stage.pictures, stage.seed, languages=stage.languages)
    batch = mixture.batch(0, stage.batch)
    texts = list(dict.fromkeys(batch.texts))
    before, processor = students.start_of(recipe, name, runs)
    pixels = Pixels(students.image_size(processor), *students.norm(processor))
    files = [mixture.pictures[row].path for row in batch.rows[:SAMPLE]]
    with torch.no_grad():
        model = _banked(before, LearningTexts(before, processor, 0).vectors(texts), stage)
    with torch.inference_mode():
        model.visual_projection.centre.copy_(_mean_popularity(model.eval(), pixels.read(files)))
    data = {"start": students.fingerprint(before), "pictures": mixture.fingerprint}
    return kept(stage, runs / name, data, (model, processor), accelerator, watch, fresh)


def _banked(before: AraCLIPModel, texts: Tensor, stage: QueryBank) -> AraCLIPModel:
    """The model with its heads turned to the axes on which texts (N, D) lie, and the bank of them."""
    bank = {
        "query_bank": len(texts), "query_bank_sharpness": stage.sharpness, "query_bank_weight": stage.weight,
    }  # fmt: skip
    config = type(before.config).from_dict({**before.config.to_dict(), **bank})
    model = AraCLIPModel(config, before.text_model, before.vision_model)
    _, axes = torch.linalg.eigh(texts.T @ texts)  # their energy rises
    turn = axes[:, BANK_AXES:].T  # (D − 2, D)
    for head in ("text_projection", "visual_projection"):
        ours, theirs = getattr(model, head).linear, getattr(before, head)
        ours.weight.copy_(turn @ theirs.weight)
        ours.bias.copy_(turn @ theirs.bias)
    model.visual_projection.bank.copy_(unit(texts @ turn.T, dim=-1))
    model.logit_scale.copy_(before.logit_scale)
    if hasattr(model, "logit_bias"):
        model.logit_bias.copy_(before.logit_bias)
    return model


def _mean_popularity(model: AraCLIPModel, pixels: Tensor) -> Tensor:
    head: BankedImageHead = model.visual_projection
    axes = head.bank.shape[1]
    vectors = torch.cat([model.get_image_features(part)[:, :axes] for part in torch.split(pixels, 32)])
    return head.popularity(unit(vectors, dim=-1)).mean()
