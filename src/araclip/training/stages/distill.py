"""Stage 1: the Arabic text tower learns the space of an English CLIP from parallel text, without pictures."""

import torch
from torch import Tensor

from araclip.training.loop.gradcache import gather
from araclip.training.loop.processes import accelerator_for, share
from araclip.training.loop.train_loop import Part, TrainingJob, train_loop
from araclip.training.losses import matryoshka, same_pairs, weighted_sum
from araclip.training.model.model import matryoshka_widths
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import Distill
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import locked_recall
from araclip.training.stages.stage_run import backward, checkpoint_activations, stage_run
from araclip.training.stages.starting_model import StageContext, cached_teacher
from araclip.training.stages.texts import LearningTexts


def distill(stage: Distill, context: StageContext) -> dict[str, float]:
    """Run one distillation stage of a recipe; return the dev recall at its end.

    Each Arabic text learns the teacher's vector of its English original (Multilingual-CLIP, Carlsson et al. 2022;
    AraCLIP, 2024). The loss is the weighted sum of the recipe's `losses`.
    """
    accelerator = accelerator_for(stage.batch)
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    (mixture,) = context.told(stage.mixtures())
    data = {"start": fingerprint(model), "pairs": mixture.fingerprint, "templates": mixture.templates_fingerprint}
    distance = weighted_sum(stage.losses)
    if stage.matryoshka:
        distance = matryoshka(distance, matryoshka_widths(model))
    texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
    with accelerator.main_process_first():  # the main process computes the cached vectors, the others read them
        english = mixture.teacher_texts(stage.steps * stage.batch)
        teacher = cached_teacher(stage, context, english, model.config.projection_dim, accelerator.device)
        recall = locked_recall(stage, context, (model, processor), texts.vectors)
    checkpoint_activations(stage, model)

    def learn(step: int) -> dict[str, float]:
        rows = mixture.batch(step, stage.batch)  # the rows of all processes; this process takes `own`
        own = rows[share(accelerator, stage.batch)]
        tokens, inverse = texts.inputs([row.text for row in own], stage.chunk)
        targets = torch.from_numpy(teacher.lookup([row.english for row in rows])).to(accelerator.device)  # (B, D)
        same = same_pairs([row.english for row in rows]).to(accelerator.device)

        def loss(vectors: Tensor) -> Tensor:
            return distance(gather(vectors[inverse].float()), targets, same=same)  # vectors of all processes, (B, D)

        return {"loss": backward(stage, accelerator, step, loss, (tokens, texts.features, stage.precision))}

    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        Part(model.text_projection, stage.lr_head),
    ]
    data["teacher"] = teacher.fingerprint
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        return train_loop(TrainingJob(model, stage, parts, learn, recall), run, context.step_progress())
