"""The stage of the linear map; that a recipe's first stage reaches recall with it is in test_stage_run."""

from pathlib import Path
from typing import Any

import pytest

from toy_stages import refused, section, student
from toy_training import recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": '{text = "no/where"}'}, r"\[model\] text = no/where cannot be loaded"),
        ({"model": '{vision = "no/where", text = "WORLD/bert"}'}, r"\[model\] vision = no/where cannot be"),
        ({"model": '{vision = "distill", text = "WORLD/bert"}'}, r"takes its image tower from .*Run `"),
    ],
)  # fmt: skip
def test_an_impossible_recipe_is_refused_before_anything_is_trained(
    world: Path, runs: Path, changes: dict[str, Any], said: str
) -> None:
    changes = {key: str(value).replace("WORLD", str(world)) for key, value in changes.items()}
    refused(recipe(world, *section("linear", **changes)), "linear", runs, said)


def test_a_teacher_of_another_width_is_refused(world: Path, runs: Path) -> None:
    changes = {"model": student(world, vision=f"{world}/vit", projection_dim=8)}
    said = r"teacher teacher makes 16-wide vectors, the student has projection_dim 8. Set \[model\] projection_dim = 16"
    refused(recipe(world, *section("linear", **changes)), "linear", runs, said)
