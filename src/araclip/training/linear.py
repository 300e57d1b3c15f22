"""The linear map as a stage: only the text head, in closed form, over a text tower as it is.

The baseline every distillation has to beat, and where it starts from (M2M, Bastan et al. 2024 and others).
"""

from pathlib import Path

import torch

from araclip.errors import RecipeError
from araclip.training import students
from araclip.training.dev import Dev
from araclip.training.distill import cached_teacher
from araclip.training.fit import plain
from araclip.training.image_side import image_side
from araclip.training.linear_map import fit_linear_map
from araclip.training.recipe import ImageSide, Linear, Recipe
from araclip.training.run import Run
from araclip.training.text_data import Mixture
from araclip.training.text_side import LearningTexts, text_features
from araclip.training.watch import Watch


def linear(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Fit the text projection to the teacher's vectors by ridge regression, over the first `rows` of the mixture.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, Linear):
        raise RecipeError(f"stage '{name}' is of kind {stage.kind}, not linear.")
    model, processor = students.start_of(recipe, name, runs)
    mixture = Mixture(stage.sources, stage.seed)
    rows = list({(r.text, r.english): r for r in mixture.batch(0, stage.rows)}.values())
    teacher = cached_teacher(recipe, stage, [row.english for row in rows], runs, watch)
    if teacher.width != model.config.projection_dim:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.width}-wide vectors, the student has projection_dim "
            f"{model.config.projection_dim}. Set [model] projection_dim = {teacher.width}."
        )
    watch.say(f"text features of {len(rows):,} rows")
    features = text_features(model, processor, [row.text for row in rows]).numpy()  # (N, H)
    targets = teacher.lookup([row.english for row in rows])  # (N, D)
    found = fit_linear_map(features, targets, None if stage.penalty is None else [stage.penalty], seed=stage.seed)
    with torch.no_grad():
        model.text_projection.weight.copy_(torch.from_numpy(found.weight))
        model.text_projection.bias.copy_(torch.from_numpy(found.bias))
    recall: dict[str, float] = {}
    if stage.dev and model.vision_model is not None:
        dev = Dev(stage.dev)
        images = image_side(
            model, students.image_size(processor), students.norm(processor), dev.paths, ImageSide(), stage.seed,
            runs / "cache", watch.say,
        )  # fmt: skip
        recall = dev.recall(LearningTexts(model, processor, 0).vectors, images.vectors)
    data = {"pairs": mixture.fingerprint, "teacher": teacher.fingerprint}
    with Run.open(runs / name, plain(stage), data, say=watch.say, fresh=fresh, sinks=stage.sinks) as run:
        run.resume()
        run.log(1, held_out_cosine=found.held_out_cosine, penalty=found.penalty, **recall)
        students.save(students.result_of(runs, name), model, processor)
    return recall
