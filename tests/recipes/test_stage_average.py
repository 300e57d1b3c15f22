"""The stage that averages weights."""

from pathlib import Path

import pytest
import torch

from araclip.errors import RecipeError, RunMismatch
from araclip.training.model.saved_models import load_model
from araclip.training.stages.dispatch import run_all, run_stage
from toy_stages import dev_recall, refused, section, student
from toy_training import Notes, recipe

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")

LEARNED = {
    "kind": "'finetune'", "start": "'teacher'", "languages": "{english = 1}", "steps": 2, "batch": 8, "lr_text": 1e-2,
    "pictures": "[{folder = 'shapes', split = 'train'}]",
}  # fmt: skip


def test_the_mean_of_two_models_lies_where_their_shares_say(world: Path, runs: Path) -> None:
    asked = "{folder = 'shapes', captions = ['caption_en']}"
    mean = {"kind": "'average'", "members": ["teacher", "more"], "shares": [1, 3], "dev": asked}
    read = recipe(world, *section("more", **LEARNED), *section("mean", **mean))
    run_stage(read, "more", runs, Notes())
    found = run_stage(read, "mean", runs, Notes())
    before, after, between = (load_model(runs / name / "model")[0].state_dict() for name in ("teacher", "more", "mean"))
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    assert any(key.startswith("text_model") for key in moved)
    for key in moved:
        assert torch.allclose(between[key], 0.25 * before[key] + 0.75 * after[key], atol=1e-6)
    assert found["R@1"] == dev_recall(world, runs / "mean" / "model", "caption_en")
    run_stage(recipe(world, *section("more", **{**LEARNED, "steps": 3})), "more", runs, Notes(), fresh=True)
    only = recipe(world, *section("more", **LEARNED), *section("mean", **mean), "stages=['mean']")
    with pytest.raises(RunMismatch, match="mean is done, but stage more, whose model it uses, was trained again"):
        run_all(only, runs, Notes())


def test_models_of_different_shapes_are_refused(world: Path, runs: Path) -> None:
    other = {key: value for key, value in LEARNED.items() if key != "start"}
    other["model"] = student(world, "still-bert", str(world / "cnn"), projection_dim=8)
    read = recipe(world, *section("other", **other), *section("mean", kind="'average'", members=["teacher", "other"]))
    with pytest.raises(RecipeError, match="stage 'mean' averages"):
        run_stage(read, "mean", runs, Notes())
    run_stage(read, "other", runs, Notes())
    refused(read, "mean", runs, "'teacher' and 'other' differ in text_projection.weight, so that .* have no mean")
    other["model"] = student(world, "still-bert", str(world / "cnn"), max_tokens=9)
    run_stage(recipe(world, *section("other", **other)), "other", runs, Notes(), fresh=True)
    refused(read, "mean", runs, r"'teacher' and 'other', which differ in max_tokens \(12 and 9\), so that no one model")
    for members, shares, said in (
        (["teacher"], [], "two members or more"),
        (["teacher", "teacher"], [], "two members or more"),
        (["teacher", "other"], [1], "`shares` needs a number for each"),
    ):
        with pytest.raises(RecipeError, match=said):
            recipe(world, *section("mean", kind="'average'", members=members, shares=shares))
