"""Stages that are stopped, killed or damaged, and go on."""

import errno
import json
import os
import shutil
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from araclip.errors import RunMismatch, TrainingError
from araclip.training.data import noise as kinds
from araclip.training.stages.dispatch import run_all, run_stage
from toy_stages import dev_recall, section, student
from toy_training import RECIPE, Notes, beginning, killed, losses, recipe, rows, weights

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


MAPS = {
    "noise": 0.3, "hard_negatives": 1, "captions": 2, "ema": 0.9, "eval_every": 4, "patience": 9, "steps": 10,
    "teacher": "teacher", "distillation": 0.5, "languages": "{arabic = 0.7, english = 0.3}",
}  # fmt: skip


DEGRADED = {"image": '{train = "partial", frozen_blocks = 2, views = 4, degradation = 0.7}'}


LOCKED = {"image": '{train = "locked"}', "grad_cache": True, "chunk": 4, "steps": 6, "ema": 0.9}


FULL = {"image": '{train = "full", degradation = 0.7}', "steps": 5, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("stage", "vision", "changes", "at"),
    [
        ("distill", "teacher", {"steps": 9, "ema": 0.9, "eval_every": 4, "patience": 9, "log_every": 2}, 7),
        ("distill", "teacher", {"steps": 4, "grad_cache": True, "precision": "bfloat16"}, 2),
        ("captions", "teacher", {"steps": 6, "noise": 0.3, "eval_every": 4}, 4),
        ("finetune", "teacher", MAPS, 8),
        ("finetune", "teacher", {**MAPS, **DEGRADED, "grad_cache": True, "log_every": 4}, 5),
        ("finetune", "teacher", LOCKED, 4),
        ("finetune", "vit", FULL, 4),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(
    world: Path, runs: Path, stage: str, vision: str, changes: dict[str, Any], at: int
) -> None:
    tower = vision if vision == "teacher" else f"{world}/{vision}"
    read = recipe(world, f"{stage}.model={student(world, vision=tower)}", *section(stage, **changes))
    killed(read, stage, runs, at)
    logged = rows(runs, stage)
    resumed = run_stage(read, stage, runs, Notes())
    whole = shutil.copytree(runs.parent / "runs", runs.parent / "whole", ignore=shutil.ignore_patterns(stage))
    assert run_stage(read, stage, whole, Notes()) == resumed
    assert rows(runs, stage) == rows(whole, stage)
    assert logged == rows(whole, stage)[: len(logged)]  # nothing that was said before the kill was taken back
    mine, theirs = weights(runs, stage), weights(whole, stage)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("again", ["The same command", "The same command without --fresh"])
def test_ctrl_c_says_how_to_go_on_and_leaves_a_checkpoint(world: Path, runs: Path, tmp_path: Path, again: str) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.format(world=world), encoding="utf-8")
    changes = [f"distill.model={student(world)}", *section("distill", steps=100_000)]
    options = [word for change in changes for word in ("--set", change)]
    command = ["train", "distill", str(tmp_path / "toy.toml"), *options, "--runs", str(runs)]
    command += ["--fresh"] if "--fresh" in again else []
    with beginning(command, tmp_path / "said") as process:
        give_up = time.monotonic() + 120
        while not list((runs / "distill").glob("step-*.pt")) and time.monotonic() < give_up:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert process.exitcode == 130
    assert f"Stopped. {again} resumes from the last checkpoint." in said
    assert "Traceback" not in said
    assert list((runs / "distill").glob("step-*.pt"))


def test_a_torn_checkpoint_is_skipped_and_costs_only_time(world: Path, runs: Path) -> None:
    read = recipe(world, f"distill.model={student(world)}", *section("distill", steps=8))
    killed(read, "distill", runs, 7)
    newest = runs / "distill" / "step-000006.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    notes = Notes()
    run_stage(read, "distill", runs, notes)
    assert [line for line in notes.lines if "damaged" in line] == [
        f"{newest} is damaged, as by a crash or a disk error; resuming from step-000003.pt."
    ]
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == list(range(1, 9))


def test_a_full_disk_ends_the_run_and_the_checkpoint_goes_on(
    world: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = recipe(world, f"distill.model={student(world)}", *section("distill", steps=8))
    real = torch.save

    def full(state: dict[str, Any], file: Any) -> None:
        if (runs / "distill" / "step-000003.pt").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"the disk of .*distill is full.*Earlier checkpoints are whole"):
        run_stage(read, "distill", runs, Notes())
    monkeypatch.undo()
    run_stage(read, "distill", runs, Notes())
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == list(range(1, 9))


def test_a_changed_recipe_or_start_is_refused_on_resume(world: Path, runs: Path) -> None:
    spec = student(world)
    killed(recipe(world, f"distill.model={spec}", *section("distill", steps=6)), "distill", runs, 4)
    for changes, said in (
        (section("distill", steps=6, lr_text=1e-4), r"recipe.lr_text was 0.003, now 0.0001"),
        (section("distill", steps=6, sources="[{path='pairs.tsv', weight=2}]"), r"sources.0.weight was 1.0, now 2"),
        (section("distill", steps=6, model=student(world, text_identity="false", max_tokens=11)), "max_tokens was 12"),
    ):
        with pytest.raises(RunMismatch, match=said):
            run_stage(recipe(world, f"distill.model={spec}", *changes), "distill", runs, Notes())


def test_templates_that_changed_in_between_are_refused_on_resume(world: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "templates.json").write_text('["a {}"]', encoding="utf-8")
    sources = f"[{{path = 'pairs.tsv', templates = '{tmp_path}/templates.json'}}]"
    read = recipe(world, f"distill.model={student(world)}", *section("distill", sources=sources, steps=6))
    killed(read, "distill", runs, 4)
    (tmp_path / "templates.json").write_text('["a {} on white"]', encoding="utf-8")
    with pytest.raises(RunMismatch, match=r"other data: data\.templates was"):
        run_stage(read, "distill", runs, Notes())


@pytest.mark.parametrize("noise", [0.3, 0.0])
def test_a_run_does_not_go_on_with_other_noise(
    world: Path, runs: Path, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = recipe(world, f"captions.model={student(world)}", *section("captions", noise=noise, steps=6))
    killed(read, "captions", runs, 4)
    monkeypatch.setattr(kinds, "NOISES", {**kinds.NOISES, "vowels": (0.1, kinds.add_tashkeel)})
    if noise:  # another kind of noise shifts the random numbers of the others
        with pytest.raises(RunMismatch, match=r"other data: data\.noise was"):
            run_stage(read, "captions", runs, Notes())
    else:
        run_stage(read, "captions", runs, Notes())


def test_a_run_short_of_memory_goes_on_with_smaller_chunks(world: Path, runs: Path) -> None:
    spec = f"distill.model={student(world)}"
    killed(recipe(world, spec, *section("distill", steps=6, chunk=16)), "distill", runs, 4)
    notes = Notes()
    smaller = section("distill", steps=6, chunk=4, gradient_checkpointing=True, checkpoint_every=2, log_every=2)
    run_stage(recipe(world, spec, *smaller), "distill", runs, notes)
    assert any("recipe.chunk was 16, now 4" in line for line in notes.lines), notes.lines
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == [1, 2, 3, 4, 6]


@pytest.mark.parametrize(("first", "then", "logged"), [(4, 10, (4, 10, 12)), (10, 4, (8, 12))])
def test_losses_after_another_log_every_are_still_means(
    world: Path, runs: Path, first: int, then: int, logged: tuple[int, ...]
) -> None:
    spec = f"distill.model={student(world)}"
    run_stage(recipe(world, spec, *section("distill", steps=12)), "distill", runs, Notes())
    each = losses(runs, "distill")
    shutil.rmtree(runs / "distill")
    every = section("distill", steps=12, log_every=first, checkpoint_every=6)
    killed(recipe(world, spec, *every), "distill", runs, 7)
    run_stage(recipe(world, spec, *every, f"distill.log_every={then}"), "distill", runs, Notes())
    found = {row["step"]: row["loss"] for row in rows(runs, "distill") if "loss" in row}
    assert found == {step: pytest.approx(np.mean(each[before:step])) for before, step in pairwise((0, *logged))}


def test_another_model_or_start_than_a_run_began_with_is_refused(world: Path, runs: Path) -> None:
    first = ["stages=['distill', 'finetune']", *section("distill", steps=6), *section("finetune", steps=2)]
    killed(recipe(world, *first), "distill", runs, 4)
    with pytest.raises(RunMismatch, match=r"data.begins with was .*max_tokens.*12.*, now .*11"):
        run_stage(recipe(world, *first, "model.max_tokens=11"), "distill", runs, Notes())
    run_all(recipe(world, *first), runs, Notes())
    with pytest.raises(RunMismatch, match=r"distill is done, but by another recipe: begins with was .*12.*, now .*11"):
        run_all(recipe(world, *first, "model.max_tokens=11"), runs, Notes())
    with pytest.raises(RunMismatch, match=r'finetune is done, but by another recipe: begins with was "distill", now '):
        run_all(recipe(world, *first, "stages=['finetune']"), runs, Notes())


SPOILING = {  # the learning rate rises until it spoils what was learned
    "steps": 60, "warmup": 0.9, "lr_text": 0.3, "lr_image": 0.3, "lr_head": 0.3, "eval_every": 1, "patience": 4,
    "checkpoint_every": 2, "ema": 0.1, "start": "teacher", "languages": "{english = 1}",
    "dev": '{folder = "shapes", captions = ["caption_en"]}',
}  # fmt: skip


def test_a_changed_dev_set_is_refused_where_it_chooses_weights(world: Path, runs: Path) -> None:
    shutil.copytree(world / "shapes", dev := runs.parent / "dev")
    read = recipe(
        world, *section("finetune", **{**SPOILING, "dev": f'{{folder = "{dev}", captions = ["caption_en"]}}'})
    )
    killed(read, "finetune", runs, 2)
    listing = dev / "captions.jsonl"
    listing.write_text(listing.read_text("utf-8").replace("red ", "reddish "), "utf-8")
    with pytest.raises(RunMismatch, match=r"data\.dev was"):
        run_stage(read, "finetune", runs, Notes())
    config = runs / "finetune" / "config.json"  # as an earlier release wrote it, which did not record the dev set
    begun = json.loads(config.read_text("utf-8"))
    del begun["data"]["dev"]
    config.write_text(json.dumps(begun), "utf-8")
    assert run_stage(read, "finetune", runs, Notes())["R@1"] > 0


def test_early_stopping_keeps_the_best_weights_through_a_kill(world: Path, runs: Path) -> None:
    read = recipe(world, *section("finetune", **SPOILING))
    whole = shutil.copytree(runs, runs.parent / "whole")
    result = run_stage(read, "finetune", whole, Notes())
    asked = [(row["step"], row["R@1"]) for row in rows(whole, "finetune") if "R@1" in row]
    best, reached = max(asked, key=lambda row: (row[1], -row[0]))
    assert asked[-1][0] == best + 4 < 60
    assert asked[-1][1] < reached == result["R@1"]
    assert dev_recall(world, whole / "finetune" / "model", "caption_en") == pytest.approx(reached)

    killed(read, "finetune", runs, best + 3)
    assert run_stage(read, "finetune", runs, Notes()) == result
    assert rows(runs, "finetune") == rows(whole, "finetune")
    mine, theirs = weights(runs, "finetune"), weights(whole, "finetune")
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
