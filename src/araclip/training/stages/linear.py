"""The stage of the linear map: the text head alone, in closed form, on a frozen text tower.

It is the baseline of every distillation, and can be its start.
"""

import torch

from araclip.training.data.text_data import Mixture
from araclip.training.inputs.texts import LearningTexts, text_features
from araclip.training.loop.dev_recall import locked_recall
from araclip.training.loop.processes import accelerator_for
from araclip.training.model.fingerprint import fingerprint
from araclip.training.recipe.stages import Linear
from araclip.training.stages import starting_model
from araclip.training.stages.cached_teacher import cached_teacher
from araclip.training.stages.context import StageContext
from araclip.training.stages.ridge import fit_linear_map
from araclip.training.stages.stage_run import stage_run


def linear(stage: Linear, context: StageContext) -> dict[str, float]:
    """Fit the text projection to the teacher's vectors by ridge regression, over the first `rows` of the mixture.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children.
    """
    accelerator = accelerator_for()
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    mixture = Mixture(stage.sources, stage.seed)
    rows = list({(r.text, r.english): r for r in mixture.batch(0, stage.rows)}.values())
    data = {"start": fingerprint(model), "pairs": mixture.fingerprint}
    texts = LearningTexts(model, processor, 0)
    with accelerator.main_process_first():  # it computes what is cached, the others read that
        english, width = [row.english for row in rows], model.config.projection_dim
        teacher = cached_teacher(stage, context, english, width, accelerator.device)
        recall = None
        if stage.dev:
            recall = locked_recall(stage.dev, (model, processor), texts.vectors, context.cache, context.reporter.log)
    context.reporter.log(f"text features of {len(rows):,} rows")
    features = text_features(model, processor, [row.text for row in rows]).numpy()  # (N, H)
    targets = teacher.lookup(english)  # (N, D)
    fitted = fit_linear_map(features, targets, None if stage.penalty is None else [stage.penalty], seed=stage.seed)
    with torch.no_grad():
        model.text_projection.weight.copy_(torch.from_numpy(fitted.weight))
        model.text_projection.bias.copy_(torch.from_numpy(fitted.bias))
    measured = recall() if recall else {}
    data["teacher"] = teacher.fingerprint
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        run.resume()
        run.log(1, held_out_cosine=fitted.held_out_cosine, penalty=fitted.penalty, **measured)
    return measured
