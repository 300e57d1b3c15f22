"""The stage `query_bank`: gives a finished model a query bank in its image head, which corrects scores for hubness."""

import torch
from torch.nn.functional import normalize as l2_normalize

from araclip.training.loop.processes import accelerator_for
from araclip.training.mini.heads import QueryBankImageHead, with_query_bank
from araclip.training.mini.recipe import QueryBank
from araclip.training.model.towers import fingerprint
from araclip.training.stages import starting_model
from araclip.training.stages.pictures import Pixels
from araclip.training.stages.stage_run import save_untrained
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts

SAMPLE = 256  # pictures to measure the mean popularity on (see `heads`), which is then subtracted


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
