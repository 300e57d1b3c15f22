"""The stage `query_bank`: gives a finished model a query bank in its image head, which corrects scores for hubness."""

from dataclasses import field, replace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.training.data.limits import AtLeastOne, Many, Positive
from araclip.training.data.pictures import PictureMixture
from araclip.training.loop.processes import accelerator_for
from araclip.training.model.configuration import QUERY_BANK_AXES
from araclip.training.model.heads import QueryBankImageHead
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.saved_models import rebuilt
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import CONFIG, Pictures, Shares, StartingStage
from araclip.training.stages import starting_model
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.stage_run import save_untrained
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts

SAMPLE = 256  # pictures to measure the mean popularity on (see `heads`), which is then subtracted


@dataclass(frozen=True, config=CONFIG)
class QueryBank(StartingStage):
    """A last stage that corrects scores for pictures near most texts (QB-Norm), see `heads`; nothing is trained."""

    kind: Literal["query_bank"] = "query_bank"
    batch: Many = 2048  # most texts in the query bank; equal texts count once
    pictures: Pictures = ()  # pictures whose captions are the bank's texts: not of sets whose captions are names
    languages: Shares = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    sharpness: AtLeastOne = 20.0  # inverse temperature at which a picture's scores for the bank's texts are averaged
    weight: Positive = 0.6  # how much a picture's nearness to the bank's texts lowers its scores for all queries

    def mixtures(self) -> tuple[PictureMixture]:
        # without groups: the stage draws a single batch, which is to have pictures of all sets
        ungrouped = [replace(source, group="") for source in self.pictures]
        return (PictureMixture(ungrouped, self.seed, languages=self.languages),)


def query_bank(stage: QueryBank, context: StageContext) -> dict[str, float]:
    """Give a model a query bank of texts, the captions of one batch of training pictures; return the dev recall.

    The bank corrects scores for pictures that are near most texts (hubs), see `heads`. Nothing is trained.
    """
    accelerator = accelerator_for()
    (mixture,) = context.told(stage.mixtures())
    batch = mixture.batch(0, min(stage.batch, len(set(mixture.files))))
    texts = list(dict.fromkeys(batch.texts))
    before, processor = starting_model.start_of(stage, context)
    pixels = Pixels.of(processor)
    files = [mixture.pictures[row].path for row in batch.rows[:SAMPLE]]
    with torch.no_grad():
        model = with_query_bank(
            before, LearningTexts(before, processor, 0).vectors(texts), stage.sharpness, stage.weight
        )
    head: QueryBankImageHead = model.visual_projection
    axes = head.bank.shape[1]
    with torch.inference_mode():
        parts = torch.split(pixels.read(files), 32)
        vectors = torch.cat([model.eval().get_image_features(part).pooler_output[:, :axes] for part in parts])
        head.centre.copy_(head.popularity(l2_normalize(vectors, dim=-1)).mean())
    data = {"start": fingerprint(before), "pictures": mixture.fingerprint}
    return save_untrained(stage, context, data, (model, processor), accelerator)


@torch.no_grad()
def with_query_bank(before: AraCLIPModel, texts: Tensor, sharpness: float, weight: float) -> AraCLIPModel:
    """Return a new model with a query bank of these texts' unit vectors (N, D); it shares the towers with `before`.

    The bank corrects scores for hubs, pictures near most texts; two numbers of each vector carry the correction. To
    make room, the two principal axes along which the texts vary least are dropped. The bank's `centre`, the mean
    popularity of pictures, stays 0 until the caller sets it.

    Args:
        sharpness, weight: as for `QueryBankImageHead`.
    """
    model = rebuilt(before, query_bank=len(texts), query_bank_sharpness=sharpness, query_bank_weight=weight)
    _, axes = torch.linalg.eigh(texts.T @ texts)  # principal axes of the texts, that of least variance first
    rotation = axes[:, QUERY_BANK_AXES:].T  # (D − 2, D)
    for head in ("text_projection", "visual_projection"):
        ours, theirs = getattr(model, head).linear, getattr(before, head)
        ours.weight.copy_(rotation @ theirs.weight)
        ours.bias.copy_(rotation @ theirs.bias)
    model.visual_projection.bank.copy_(l2_normalize(texts @ rotation.T, dim=-1))
    return model
