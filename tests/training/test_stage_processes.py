"""Stages in several processes, and with less memory or precision: the losses stay the same."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from araclip.training.stages.dispatch import run_stage
from toy_stages import make_concepts, section, student
from toy_training import RECIPE, Notes, commanded, losses, recipe, rows, together, weights

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("distill", {"steps": 5, "eval_every": 2, "losses": "{cosine = 1, affinity = 1, contrastive = 0.1}"}),
        ("captions", {"steps": 5, "grad_cache": True, "chunk": 3}),
        (
            "finetune",
            {
                "steps": 5, "captions": 2, "grad_cache": True, "chunk": 3, "hard_negatives": 1, "eval_every": 3,
                "concepts": "concepts", "concept_batch": 6, "concept_weight": 0.3, "anchor": 0.5, "anchor_pictures": 4,
                "teacher": "teacher", "distillation": 0.5,
            },
        ),
    ],
)  # fmt: skip
def test_two_processes_have_loss_curve_of_one_with_same_batch(
    world: Path, taught: Path, runs: Path, stage: str, changes: dict[str, Any]
) -> None:
    make_concepts(world, taught)
    model = student(world, "still-bert")  # dropout differs from process to process
    read = recipe(world, f"{stage}.model={model}", *section(stage, **changes))
    alone = shutil.copytree(runs, runs.parent / "alone")
    together(read, stage, runs, 2)
    run_stage(read, stage, alone, Notes())
    ours, theirs = rows(runs, stage), rows(alone, stage)
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    for mine, one in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(one, abs=1e-5)
    one, two = weights(alone, stage), weights(runs, stage)
    assert (
        max((one[name] - two[name]).abs().max().item() for name in one) < 1e-3
    )  # Adam steps by a sign where gradients vanish


def test_a_batch_that_cannot_be_shared_evenly_is_refused(world: Path, runs: Path) -> None:
    read = recipe(world, f"distill.model={student(world)}", *section("distill", batch=15))
    with pytest.raises(AssertionError):
        together(read, "distill", runs, 2)
    assert not (runs / "distill" / "metrics.jsonl").exists()


def test_the_command_leaves_its_group_before_it_ends(world: Path, runs: Path) -> None:
    """The group's threads may abort an interpreter that ends inside it, after all was saved."""
    path = world / "command.toml"
    path.write_text(RECIPE.format(world=world), encoding="utf-8")
    changes = [f"distill.model={student(world, 'still-bert')}", *section("distill", steps=2)]
    commanded(
        ["train", "distill", str(path), "--runs", str(runs), *(word for one in changes for word in ("--set", one))], 2
    )
    assert len(losses(runs, "distill")) == 2
    assert (runs / "distill" / "result.json").exists()


def curve(world: Path, runs: Path, stage: str, name: str, **changes: Any) -> list[float]:
    place = shutil.copytree(runs, runs.parent / name)
    run_stage(
        recipe(world, f"{stage}.model={student(world, 'still-bert')}", *section(stage, steps=3, **changes)),
        stage,
        place,
        Notes(),
    )
    return losses(place, stage)


@pytest.mark.parametrize("stage", ["distill", "finetune"])
def test_grad_cache_and_checkpointing_change_no_loss(world: Path, runs: Path, stage: str) -> None:
    plain = curve(world, runs, stage, "plain")
    assert curve(world, runs, stage, "cached", grad_cache=True, chunk=4) == pytest.approx(plain, rel=1e-4)
    assert curve(world, runs, stage, "recomputed", gradient_checkpointing=True) == pytest.approx(plain, rel=1e-4)
    half = curve(world, runs, stage, "half", precision="bfloat16")
    assert half == pytest.approx(plain, rel=0.2)
    assert half != plain
