"""The stage `captions`: trains the text tower with InfoNCE between captions of one picture, in one or two languages.

Captions of one picture have in common what the picture shows. For many pictures only the captions are available and not
the files, so this stage needs no picture files.
"""

import torch
from torch import Tensor

from araclip.training.loop.gradcache import gather
from araclip.training.loop.processes import accelerator_for, share
from araclip.training.loop.train_loop import Part, TrainingJob, train_loop
from araclip.training.losses import contrastive_loss
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import Captions
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import CaptionDev
from araclip.training.stages.stage_run import backward, checkpoint_activations, stage_run
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts


def captions(stage: Captions, context: StageContext) -> dict[str, float]:
    """Train the text tower alone, with InfoNCE between two captions of each picture; return the dev recall at the end.

    This is supervised SimCSE (Gao et al. 2021) with a second caption of the picture in place of an entailed sentence.
    """
    accelerator = accelerator_for(stage.batch)
    dev = CaptionDev(stage.dev) if stage.dev else None
    (mixture,) = context.told(stage.mixtures())
    mixture.batch(0, stage.batch)  # refuses too few pictures now, before the model is loaded
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    data = {"start": fingerprint(model), "captions": mixture.fingerprint}
    texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
    checkpoint_activations(stage, model)

    def learn(step: int) -> dict[str, float]:
        batch = mixture.batch(step, stage.batch)
        mine = share(accelerator, stage.batch)
        chunks, inverse = texts.inputs(batch.texts[2 * mine.start : 2 * mine.stop], stage.chunk)
        same = torch.from_numpy(batch.same[0::2] | batch.same[1::2].T).to(accelerator.device)  # (B, B)

        def loss(vectors: Tensor) -> Tensor:
            vectors = gather(vectors[inverse])  # (2B, D): rows 2i and 2i + 1 are the captions of picture i
            return contrastive_loss(vectors[0::2], vectors[1::2], model.logit_scale, same=same)

        return {"loss": backward(stage, accelerator, step, loss, (chunks, texts.encode, stage.precision))}

    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        Part(model.text_projection, stage.lr_head),
        Part(model.logit_scale, 1e-3),
    ]
    recall = (lambda: dev.recall(texts.vectors)) if dev else None
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        return train_loop(TrainingJob(model, stage, parts, learn, recall), run, context.step_progress())
