"""A finished model → the same with a bank of texts in its image head, so that hubs stand back; see `hubness`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from araclip.errors import RecipeError
from araclip.training import students
from araclip.training.bank import banked
from araclip.training.fit import accelerator_for, kept
from araclip.training.hubness import BankedImageHead
from araclip.training.image_side import Pixels
from araclip.training.model import AraCLIPModel
from araclip.training.picture_data import PictureMixture
from araclip.training.provenance import fingerprint
from araclip.training.recipe import Recipe
from araclip.training.sections import QueryBank
from araclip.training.text_side import LearningTexts
from araclip.training.watch import Watch

SAMPLE = 256  # pictures whose mean popularity is the bank's centre


def querybank(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Give a model a bank of the texts that its pictures' captions and names are. Nothing is trained; see `bank`.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

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
        model = banked(before, LearningTexts(before, processor, 0).vectors(texts), stage.sharpness, stage.weight)
    with torch.inference_mode():
        model.visual_projection.centre.copy_(_mean_popularity(model.eval(), pixels.read(files)))
    data = {"start": fingerprint(before), "pictures": mixture.fingerprint}
    return kept(stage, runs / name, data, (model, processor), accelerator, watch, fresh)


def _mean_popularity(model: AraCLIPModel, pixels: Tensor) -> Tensor:
    head: BankedImageHead = model.visual_projection
    axes = head.bank.shape[1]
    vectors = torch.cat([model.get_image_features(part)[:, :axes] for part in torch.split(pixels, 32)])
    return head.popularity(unit(vectors, dim=-1)).mean()
