"""Recipes that no stage can run are refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from toy_stages import refused, section, student
from toy_training import recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        ("captions", {"pictures": "[]"}, "no source"),
        ("linear", {"model": '{text = "no/where"}'}, r"\[model\] text = no/where cannot be loaded"),
        ("linear", {"model": '{vision = "no/where", text = "WORLD/bert"}'}, r"\[model\] vision = no/where cannot be"),
        ("linear", {"model": '{vision = "distill", text = "WORLD/bert"}'}, r"takes its image tower from .*Run `"),
        ("distill", {"start": "nothing"}, "stage 'distill' starts from nothing, which holds no model. Give a stage"),
        ("distill", {}, "stage 'distill' starts from .*linear/model, which holds no model. Run `araclip train linear`"),
        ("distill", {"start": "teacher", "teacher": "magic:wand"}, "teacher 'magic:wand' is of no known kind"),
        ("distill", {"start": "teacher", "teacher": ""}, "a stage of kind distill needs `teacher`"),
        ("distill", {"start": "teacher", "teacher": "finetune"}, "the teacher is .*Run `araclip train finetune` first"),
        ("distill", {"start": "teacher", "sources": "[]"}, "the mixture has no source"),
        ("distill", {"start": "teacher", "losses": "{magic = 1}"}, "loss 'magic' is unknown"),
        ("finetune", {"start": "teacher", "loss": "sigmoid"}, r"Set \[model\] logit_bias"),
        ("finetune", {"start": "teacher", "pictures": "[]"}, "no source"),
        ("finetune", {"start": "teacher", "languages": "{klingon = 1}"}, "known are arabic, english"),
        ("finetune", {"start": "teacher", "languages": "{arabic = 0}"}, "arabic has share 0.0"),
        ("finetune", {"start": "teacher", "image": '{train = "partial", frozen_blocks = 9}'}, "cannot be cut after"),
        ("finetune", {"start": "teacher", "frozen_layers": 7}, "7 layers to freeze, but BertModel has 2"),
    ],
)  # fmt: skip
def test_impossible_recipe_is_refused_before_anything_is_trained(
    world: Path, runs: Path, stage: str, changes: dict[str, Any], said: str
) -> None:
    changes = {key: str(value).replace("WORLD", str(world)) for key, value in changes.items()}
    refused(recipe(world, *section(stage, **changes)), stage, runs, said)


def test_text_settings_a_trained_tower_cannot_take_are_refused(world: Path, runs: Path) -> None:
    for key, value in (("max_tokens", 9), ("text_pooling", '"cls"')):
        spec = f'{{text = "teacher", vision = "{world}/vit", projection_dim = 16, {key} = {value}}}'
        said = rf"\[model\] {key} = .*, but teacher was trained with .*\. Leave it out"
        refused(recipe(world, f"finetune.model={spec}"), "finetune", runs, said)


@pytest.mark.parametrize("stage", ["linear", "distill", "finetune"])
def test_a_teacher_of_another_width_is_refused(world: Path, runs: Path, stage: str) -> None:
    changes = {"model": student(world, vision=f"{world}/vit", projection_dim=8)}
    if stage == "finetune":
        changes |= {"teacher": "teacher", "distillation": 1.0, "image": '{train = "full"}'}
    said = r"teacher teacher makes 16-wide vectors, the student has projection_dim 8. Set \[model\] projection_dim = 16"
    refused(recipe(world, *section(stage, **changes)), stage, runs, said)
