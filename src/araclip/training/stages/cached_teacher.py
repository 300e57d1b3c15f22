"""The vectors of a stage's teacher, computed once for all stages that read the same texts."""

import torch

from araclip.errors import RecipeError
from araclip.training.recipe.stages import Distill, Finetune, Linear
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.teachers.teacher import TeacherCache, load_teacher, teacher_vectors


def cached_teacher(
    stage: Linear | Distill | Finetune, context: StageContext, texts: list[str], width: int, device: torch.device
) -> TeacherCache:
    """The vectors of a stage's teacher, which may be an earlier stage or an exported model, for all of its texts.

    Args:
        width: D of the student.

    Raises:
        RecipeError: the stage names no teacher, an unknown one, one that is still to be trained, or of another width.
        ModelNotFound: the teacher cannot be loaded.
    """
    spec = stage.teacher
    if not spec:
        raise RecipeError(f"a stage of kind {stage.kind} needs `teacher`, such as open_clip:ViT-B-16-SigLIP-512/webli.")
    if starting_model.is_model(context.recipe, spec):
        spec = f"araclip:{starting_model.saved_model(context, spec, 'the teacher is')}"
    teacher = load_teacher(spec, str(device), bfloat16=stage.precision == "bfloat16")
    if teacher.width != width:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.width}-wide vectors, the student has projection_dim {width}. "
            f"Set [model] projection_dim = {teacher.width}."
        )
    folder = context.cache / f"teacher-{teacher.fingerprint[:12]}"
    return teacher_vectors(teacher, texts, folder, progress=context.reporter.teacher_progress)
