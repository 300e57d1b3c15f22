"""The training loops through their public door: a recipe is read, a stage is run."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn.functional import normalize as l2_normalize
from transformers.utils import logging as transformers_logging

from araclip import AraCLIP, Gallery
from araclip.errors import (
    DataError,
    LossDiverged,
    RecipeError,
    RunMismatch,
    TrainingError,
)
from araclip.evaluation.datasets import read_pictures
from araclip.training.inputs.pictures import PixelImages
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.texts import LearningTexts
from araclip.training.loop.dev import Dev
from araclip.training.model.configuration import BANK_AXES
from araclip.training.model.heads import A, B
from araclip.training.model.processing import image_size, pixel_mean_and_std
from araclip.training.model.saved import load_model, load_without_query_bank
from araclip.training.recipe.recipe import Recipe
from araclip.training.recipe.stages import DevSet, ImageSide
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.stages.run import run_all, run_stage
from toy_training import (
    NAMES,
    RECIPE,
    SIZE,
    TRAINING,
    Notes,
    commanded,
    killed,
    losses,
    make_world,
    recipe,
    rows,
    together,
    weights,
    write_lines,
)

CHANCE = 1 / len(NAMES)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the results of one process are those of another, bit for bit
    transformers_logging.disable_progress_bar()
    yield
    torch.set_num_threads(before)
    transformers_logging.enable_progress_bar()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("toy") / "world")


@pytest.fixture(scope="session")
def taught(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which the teacher, an English model with pictures, is trained. Read only: see `runs`."""
    folder = tmp_path_factory.mktemp("taught")
    run_stage(recipe(world), "teacher", folder, Notes())
    return folder


@pytest.fixture
def runs(taught: Path, tmp_path: Path) -> Path:
    return shutil.copytree(taught, tmp_path / "runs")


def student(world: Path, text: str = "bert", vision: str = "teacher", **more: Any) -> str:
    """The change that begins a stage with fresh towers; `text` with dropout or still."""
    spec = {"text": f'"{world}/{text}"', "vision": f'"{vision}"', "projection_dim": 16, "max_tokens": 12, **more}
    return "{" + ", ".join(f"{key} = {value}" for key, value in spec.items()) + "}"


def section(name: str, **keys: Any) -> list[str]:
    """`--set` changes of one stage; texts that are TOML already stay as they are."""
    return [f"{name}.{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in keys.items()]


def dev_recall(world: Path, folder: Path, captions: str = "caption_ar") -> float:
    """R@1 of a saved model, measured from its files."""
    model, processor = load_model(folder)
    texts = LearningTexts(model, processor, 0)
    pixels = Pixels(image_size(processor), *pixel_mean_and_std(processor))
    images = PixelImages(model, pixels, [], ImageSide(train="full"), 0)
    return Dev(DevSet(world / "shapes", captions=(captions,))).recall(texts.vectors, images.vectors)["R@1"]


# ------------------------------------------------------------------ a whole recipe


def test_all_stages_run_in_order_each_from_the_one_before_and_do_not_run_again(world: Path, runs: Path) -> None:
    read = recipe(world, *section("distill", steps=30), *section("finetune", steps=30, checkpoint_every=20))
    notes = Notes()
    results = run_all(read, runs, notes)
    assert list(results) == ["teacher", "linear", "distill", "finetune"]
    assert all(result["R@1"] > 4 * CHANCE for result in results.values()), results
    assert [line.split()[0] for line in notes.lines if "is done" in line] == ["teacher"]
    assert results["finetune"]["R@1"] == pytest.approx(dev_recall(world, runs / "finetune" / "model"))
    for name in ("distill", "finetune"):
        left = {path.name for path in (runs / name).iterdir()}
        assert left >= {"model", "config.json", "metrics.jsonl", "plot.png", "result.json"}

    again = Notes()
    assert run_all(read, runs, again) == results
    assert len([line for line in again.lines if "is done" in line]) == 4
    with pytest.raises(RunMismatch, match=r"finetune is done, but by another recipe: steps was 30, now 31"):
        run_all(
            recipe(world, *section("distill", steps=30), *section("finetune", steps=31, checkpoint_every=20)),
            runs,
            again,
        )
    (runs / "distill" / "result.json").touch()
    with pytest.raises(RunMismatch, match=r"finetune is done, but stage distill, from which it starts, was trained ag"):
        run_all(read, runs, again)


def test_fresh_forgets_what_a_stage_left(world: Path, runs: Path) -> None:
    model = f"distill.model={student(world)}"
    run_stage(recipe(world, model, *section("distill", steps=4)), "distill", runs, Notes())
    other = recipe(world, model, *section("distill", steps=2, checkpoint_every=1))
    with pytest.raises(RunMismatch, match="steps was 4, now 2"):
        run_stage(other, "distill", runs, Notes())
    (runs / "distill" / "best.pt").write_bytes(b"of an earlier run")
    run_stage(other, "distill", runs, Notes(), fresh=True)
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == [1, 2]
    assert not (runs / "distill" / "best.pt").exists()


def test_a_fresh_run_that_fails_leaves_no_old_result_that_could_pass_for_its_own(world: Path, runs: Path) -> None:
    stages = "stages=['distill', 'finetune']"
    short = [stages, f"distill.model={student(world)}", *section("distill", steps=2), *section("finetune", steps=2)]
    run_all(recipe(world, *short), runs, Notes())
    spoilt = recipe(world, *short, *section("finetune", lr_text=1e30, lr_head=1e30, steps=9))
    with pytest.raises(LossDiverged):
        run_stage(spoilt, "finetune", runs, Notes(), fresh=True)
    assert [name for name in ("distill", "finetune") if (runs / name / "result.json").exists()] == ["distill"]
    run_stage(recipe(world, *short), "finetune", runs, Notes(), fresh=True)
    with pytest.raises(LossDiverged):
        run_all(
            recipe(world, *short, *section("distill", lr_text=1e30, lr_head=1e30, steps=9)), runs, Notes(), fresh=True
        )
    assert not any((runs / name / "result.json").exists() for name in ("distill", "finetune"))


# ------------------------------------------------------------------ killed and started again

MAPS = {
    "noise": 0.3, "hard_negatives": 1, "captions": 2, "ema": 0.9, "eval_every": 4, "patience": 9, "steps": 10,
    "teacher": "teacher", "distillation": 0.5, "languages": "{arabic = 0.7, english = 0.3}",
}  # fmt: skip
LOCKED = {"image": '{train = "locked"}', "grad_cache": True, "chunk": 4, "steps": 6, "ema": 0.9}
FULL = {"image": '{train = "full"}', "steps": 5, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("stage", "vision", "changes", "at"),
    [
        ("distill", "teacher", {"steps": 9, "ema": 0.9, "eval_every": 4, "patience": 9, "log_every": 2}, 7),
        ("distill", "teacher", {"steps": 4, "grad_cache": True, "precision": "bfloat16"}, 2),
        ("captions", "teacher", {"steps": 6, "noise": 0.3, "eval_every": 4}, 4),
        ("finetune", "teacher", MAPS, 8),
        ("finetune", "teacher", {**MAPS, "grad_cache": True, "log_every": 4}, 5),
        ("finetune", "teacher", LOCKED, 4),
        ("finetune", "vit", FULL, 4),
    ],
)
def test_a_killed_run_goes_on_to_the_same_losses_and_weights_bit_for_bit(
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


def test_ctrl_c_says_how_to_go_on_and_leaves_a_checkpoint(world: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.format(world=world), encoding="utf-8")
    changes = [f"distill.model={student(world)}", *section("distill", steps=100_000)]
    options = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "araclip.cli", "train", "distill", str(tmp_path / "toy.toml"), *options]
    with subprocess.Popen([*command, "--runs", str(runs)], stderr=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + 120
        while not list((runs / "distill").glob("step-*.pt")) and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. The same command goes on from the last checkpoint." in said
    assert "Traceback" not in said
    assert list((runs / "distill").glob("step-*.pt"))


def test_dropout_is_at_work_in_these_runs(world: Path, runs: Path) -> None:
    seen = []
    for text in ("bert", "still-bert"):
        read = recipe(
            world,
            f"distill.model={student(world, text)}",
            *section("distill", steps=1, sources='[{path = "pairs.tsv"}]'),
        )
        model, processor = starting_model.start_of(StageContext(read, "distill", runs))
        model.train()
        tokens = processor(text=["دائرة حمراء"], return_tensors="pt")
        seen.append(torch.equal(model.get_text_features(**tokens), model.get_text_features(**tokens)))
    assert seen == [False, True]


def test_a_stage_may_do_without_the_dropout_its_tower_was_made_with(world: Path, runs: Path) -> None:
    changes = section("distill", steps=2, sources='[{path = "pairs.tsv"}]', chunk=16)
    found = []
    for seed, dropout in ((1, []), (2, []), (1, ["distill.dropout=0"]), (2, ["distill.dropout=0"])):
        read = recipe(world, f"distill.model={student(world)}", *changes, *dropout)
        model, processor = starting_model.start_of(StageContext(read, "distill", runs))
        stage = read.stage("distill")
        texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
        model.train()
        torch.manual_seed(seed)
        chunks, _ = texts.inputs(["دائرة حمراء"], stage.chunk)
        found.append(texts.features(chunks[0]))
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])


def test_a_torn_checkpoint_is_skipped_with_a_line_and_costs_nothing_but_time(world: Path, runs: Path) -> None:
    read = recipe(world, f"distill.model={student(world)}", *section("distill", steps=8))
    killed(read, "distill", runs, 7)
    newest = runs / "distill" / "step-000006.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    notes = Notes()
    run_stage(read, "distill", runs, notes)
    assert [line for line in notes.lines if "damaged" in line] == [
        f"{newest} is damaged, as by a crash or a disk error; going on from step-000003.pt."
    ]
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == list(range(1, 9))


def test_a_full_disk_ends_the_run_with_an_error_and_the_last_checkpoint_goes_on(
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
        (section("distill", steps=6, model=student(world, text_identity="false", max_tokens=11)), "max_tokens was 12"),
    ):
        with pytest.raises(RunMismatch, match=said):
            run_stage(recipe(world, f"distill.model={spec}", *changes), "distill", runs, Notes())


# ------------------------------------------------------------------ several processes


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
def test_two_processes_have_the_loss_curve_of_one_with_the_same_batch(
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


def make_concepts(world: Path, runs: Path) -> None:
    """Classes as the teacher's tower sees them: the mean feature of each name's pictures."""
    if (world / "concepts.npz").exists():
        return
    model, processor = load_model(runs / "teacher" / "model")
    pixels = Pixels(image_size(processor), *pixel_mean_and_std(processor))
    features = []
    for english, _ in NAMES:
        paths = sorted((world / "shapes").glob(f"{english.replace(' ', '-')}-[0-3].png"))
        with torch.no_grad():
            features.append(model.vision_model(pixel_values=pixels.read(paths)).pooler_output.mean(dim=0).numpy())
    stacked = np.stack(features)
    np.savez(
        world / "concepts.npz", features=stacked, weight=0.1 * (stacked - stacked.mean(0)), bias=np.zeros(len(NAMES))
    )
    names = {"names_en": [[en] for en, _ in NAMES], "names_ar": [[ar] for _, ar in NAMES]}
    (world / "concepts.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


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


# ------------------------------------------------------------------ ways to spend less


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
def test_grad_cache_and_gradient_checkpointing_change_no_loss_and_bfloat16_little(
    world: Path, runs: Path, stage: str
) -> None:
    plain = curve(world, runs, stage, "plain")
    assert curve(world, runs, stage, "cached", grad_cache=True, chunk=4) == pytest.approx(plain, rel=1e-4)
    assert curve(world, runs, stage, "recomputed", gradient_checkpointing=True) == pytest.approx(plain, rel=1e-4)
    half = curve(world, runs, stage, "half", precision="bfloat16")
    assert half == pytest.approx(plain, rel=0.2)
    assert half != plain


def test_stages_of_different_precision_run_in_one_process(world: Path, runs: Path) -> None:
    read = recipe(world, *section("distill", steps=2, precision="bfloat16"), *section("finetune", steps=2))
    assert list(run_all(read, runs, Notes())) == ["teacher", "linear", "distill", "finetune"]


def test_layer_decay_moves_lower_layers_less_and_frozen_layers_not_at_all(world: Path, runs: Path) -> None:
    read = recipe(
        world, f"distill.model={student(world)}", *section("distill", steps=4, layer_decay=0.1, weight_decay=0.0),
        *section("finetune", start="distill", steps=4, frozen_layers=1),
    )  # fmt: skip
    before = starting_model.start_of(StageContext(read, "distill", runs))[0].state_dict()
    run_stage(read, "distill", runs, Notes())
    after = weights(runs, "distill")

    def moved(layer: str, old: Any, new: Any) -> float:
        return max((new[n] - old[n]).abs().max().item() for n in new if n.startswith(f"text_model.{layer}"))

    first, last = moved("encoder.layer.0", before, after), moved("encoder.layer.1", before, after)
    assert 0 < moved("embeddings", before, after) < first / 3
    assert first < last / 3
    run_stage(read, "finetune", runs, Notes())
    final = weights(runs, "finetune")
    assert moved("embeddings", after, final) == moved("encoder.layer.0", after, final) == 0.0
    assert moved("encoder.layer.1", after, final) > 0


# ------------------------------------------------------------------ early stopping

SPOILING = {  # the learning rate rises until it spoils what was learned
    "steps": 60, "warmup": 0.9, "lr_text": 0.3, "lr_image": 0.3, "lr_head": 0.3, "eval_every": 1, "patience": 4,
    "checkpoint_every": 2, "ema": 0.1, "start": "teacher", "languages": "{english = 1}",
    "dev": '{folder = "shapes", captions = ["caption_en"]}',
}  # fmt: skip


def test_early_stopping_ends_early_with_the_best_weights_also_through_a_kill(world: Path, runs: Path) -> None:
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


# ------------------------------------------------------------------ every way to learn

WAYS: dict[str, dict[str, Any]] = {
    "locked image tower": {"image": '{train = "locked"}'},
    "cached maps": {"hard_negatives": 2, "noise": 0.1},
    "ViT frozen below": {"image": '{train = "partial", frozen_blocks = 1}', "vision": "vit", "steps": 60},
    "all of a ViT": {"image": '{train = "full"}', "vision": "vit", "steps": 60},
    "all of a CNN": {"image": '{train = "full"}', "lr_image": 1e-4},
    "locked text tower": {"train_text": "locked", "all_captions": True},
    "sigmoid": {"loss": "sigmoid", "logit_bias": -3.0, "steps": 60},
    "matryoshka": {"matryoshka": True, "matryoshka_dims": "[4, 8]"},
    "captions": {"captions": 2, "languages": "{arabic = 0.5, english = 0.5}"},
    "concepts and anchor": {"concepts": "concepts", "concept_batch": 8, "concept_weight": 0.5, "anchor": 0.2},
    "teacher": {"teacher": "teacher", "distillation": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_contrastive_learning_learns(world: Path, taught: Path, runs: Path, way: str) -> None:
    make_concepts(world, taught)
    changes = {"steps": 40, "checkpoint_every": 1000, "log_every": 5, **WAYS[way]}
    tower = changes.pop("vision", "teacher")
    spec = {key: changes.pop(key) for key in ("logit_bias", "matryoshka_dims") if key in changes}
    model = student(world, vision=tower if tower == "teacher" else f"{world}/{tower}", **spec)
    read = recipe(world, f"finetune.model={model}", *section("finetune", **changes))
    found = run_stage(read, "finetune", runs, Notes())
    curve = losses(runs, "finetune")
    assert curve[-1] < 0.7 * curve[0], curve
    assert found["R@1"] > 4 * CHANCE, found
    assert found["R@1"] == pytest.approx(dev_recall(world, runs / "finetune" / "model"), abs=1e-6)


def test_captions_of_one_picture_come_together_across_languages_without_the_picture(
    world: Path, tmp_path: Path
) -> None:
    lines = [
        {"image": f"nowhere-{number}", "caption_en": [english, f"a {english}"], "caption_ar": [arabic]}
        for number, (english, arabic) in enumerate(NAMES * 2)
    ]
    (tmp_path / "told").mkdir()
    write_lines(tmp_path / "told", [*lines, {"image": "one text", "caption_en": ["a bar"]}])
    read = recipe(world, *section("captions", pictures=f'[{{folder = "{tmp_path}/told"}}]', batch=12))
    found = run_stage(read, "captions", tmp_path / "runs", Notes())
    fallen = losses(tmp_path / "runs", "captions")
    assert fallen[-1] < fallen[0] / 4
    assert found["R@1"] > 6 * CHANCE  # an Arabic name finds the English name of its dev picture
    refused(
        recipe(world, *section("captions", pictures=f'[{{folder = "{tmp_path}/told"}}]', batch=25)),
        "captions", tmp_path / "more", "a batch of 25 pictures, but there are only 24", DataError,
    )  # fmt: skip
    refused(
        recipe(world, *section("captions", dev='{folder = "shapes", captions = ["label"]}')),
        "captions", tmp_path / "more", "no picture with caption_en and label", DataError,
    )  # fmt: skip


def test_hard_negatives_may_come_from_a_gallery_and_another_gallery_is_another_run(
    world: Path, runs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([world / "shapes"])
    changes = section("finetune", steps=2, hard_negatives=2, negatives_from=f"'{tmp_path / 'gallery'}'")
    read = recipe(world, f"finetune.model={student(world)}", *changes)
    run_stage(read, "finetune", runs, Notes())
    told = json.loads((runs / "finetune" / "config.json").read_text(encoding="utf-8"))["data"]["negatives"]
    assert len(told) == 12
    with pytest.raises(RecipeError, match="hard_negatives is 0"):
        recipe(world, *section("finetune", negatives_from="'gallery'"))


def test_a_locked_text_tower_reads_each_text_once_and_for_all_starts(world: Path, runs: Path) -> None:
    changes = section("finetune", steps=4, train_text="'locked'", all_captions=True)
    read = recipe(world, f"finetune.model={student(world)}", *changes)
    run_stage(read, "finetune", runs, Notes())
    first, kept = losses(runs, "finetune"), sorted((runs / "cache").glob("texts-*.npy"))
    assert len(kept) == 2  # the captions, and those that dev recall asks
    written = [path.stat().st_mtime_ns for path in kept]
    run_stage(read, "finetune", runs, Notes(), fresh=True)
    assert losses(runs, "finetune") == first
    assert [path.stat().st_mtime_ns for path in sorted((runs / "cache").glob("texts-*.npy"))] == written


def test_image_towers_that_learned_one_text_space_apart_become_one_that_goes_on_learning(
    world: Path, runs: Path, tmp_path: Path
) -> None:
    alone = "{folder = 'shapes', captions = ['caption_en']}"
    shared = {
        "kind": "'finetune'", "start": "'teacher'", "train_text": "'locked'", "train_text_head": False,
        "languages": "{english = 1}", "pictures": "[{folder = 'shapes', split = 'train'}]", "steps": 3, "batch": 16,
        "lr_image": 1e-3, "lr_head": 1e-3, "dev": alone,
        "image": "{train = 'partial', frozen_blocks = 2, cache = 'maps'}",
    }  # fmt: skip
    members = ("one", "two")
    changes = [change for seed, name in enumerate(members) for change in section(name, seed=seed, **shared)]
    changes += section("both", kind="'ensemble'", members=list(members), shared_blocks=2, dev=alone)
    each = "{train = 'partial', frozen_blocks = 2, cache = 'maps', each_branch = true}"
    more = {**shared, "start": "'both'", "train_text": "'full'", "image_precision": "'pointwise'", "image": each}
    read = recipe(world, *changes, *section("more", **more))
    for name in members:
        run_stage(read, name, runs, Notes())
    found = run_stage(read, "both", runs, Notes())
    models = {name: load_model(runs / name / "model")[0] for name in (*members, "both")}
    pixels = torch.randn(3, 3, SIZE, SIZE)
    vectors = {name: model.eval().get_image_features(pixels).detach() for name, model in models.items()}
    assert not torch.allclose(vectors["one"], vectors["two"], atol=1e-3)
    assert torch.allclose(vectors["both"], (vectors["one"] + vectors["two"]) / 2, atol=1e-5)
    assert torch.equal(models["both"].text_projection.weight, models["one"].text_projection.weight)
    assert found["R@1"] == dev_recall(world, runs / "both" / "model", "caption_en")
    assert (runs / "both" / "result.json").is_file()
    run_stage(read, "more", runs, Notes())
    after = load_model(runs / "more" / "model")[0].vision_model
    assert len(after.branches) == 2
    first_blocks = models["both"].vision_model.shared.state_dict()
    assert all(torch.equal(tensor, first_blocks[name]) for name, tensor in after.shared.state_dict().items())
    strayed = [*changes, *section("two", train_text_head=True, lr_head=1e-2)]
    run_stage(recipe(world, *strayed), "two", runs, Notes(), fresh=True)
    with pytest.raises(RecipeError, match="text towers of 'one' and 'two' differ in text_projection"):
        run_stage(recipe(world, *strayed), "both", runs, Notes(), fresh=True)
    with pytest.raises(RecipeError, match="each_branch is for an image tower that an ensemble without expert made"):
        run_stage(recipe(world, *section("one", **{**shared, "image": each})), "one", runs, Notes(), fresh=True)
    with pytest.raises(RecipeError, match="an ensemble has two members or more"):
        recipe(world, *section("both", kind="'ensemble'", members=["one"]))
    with pytest.raises(RecipeError, match="names a member twice"):
        recipe(world, *section("both", kind="'ensemble'", members=["one", "one"]))


def test_an_image_tower_of_another_text_space_is_mapped_into_one_and_joins_its_ensemble(
    world: Path, runs: Path
) -> None:
    train, every = "[{folder = 'shapes', split = 'train'}]", len(NAMES) * TRAINING
    shared = {
        "kind": "'finetune'", "languages": "{english = 1}", "pictures": train, "steps": 3, "batch": 16,
        "lr_image": 1e-3, "lr_head": 1e-2, "image": "{train = 'partial', frozen_blocks = 2, cache = 'maps'}",
    }  # fmt: skip
    locked = {**shared, "train_text": "'locked'", "train_text_head": False}
    changes = [
        *section("one", seed=1, start="'teacher'", **locked),
        *section("two", seed=2, start="'teacher'", **locked),
        *section("both", kind="'ensemble'", members=["one", "two"], shared_blocks=2),
        *section("own", model=student(world), **shared),
        *section("mapped", **{**locked, "model": "{text = 'both', vision = 'own'}", "image": "{train = 'locked'}"}),
        *section("all", kind="'ensemble'", members=["both", "mapped"], shared_blocks=2, pictures=train, batch=every),
        *section("narrow", **{**shared, "model": "{text = 'both', vision = 'narrow_one'}"}),
        *section("narrow_one", **{**shared, "model": student(world, vision=f"{world}/cnn", projection_dim=8)}),
    ]
    read = recipe(world, *changes)
    for name in ("one", "two", "both", "own"):
        run_stage(read, name, runs, Notes())
    with pytest.raises(RecipeError, match=r"joins .*mapped/model, which holds no model. Run `araclip train mapped`"):
        run_stage(read, "all", runs, Notes())
    for name in ("mapped", "all"):
        run_stage(read, name, runs, Notes())
    models = {name: load_model(runs / name / "model")[0] for name in ("both", "own", "mapped", "all")}
    ordered = recipe(world, *changes, "stages=['one', 'two', 'both', 'own', 'mapped', 'all']")
    assert run_all(ordered, runs, Notes()).keys() == set(ordered.order)
    for again, out_of_date in (("one", "both"), ("both", "mapped"), ("own", "mapped"), ("mapped", "all")):
        for seconds, name in enumerate((*ordered.order, again), int(time.time())):  # all done, then one once more
            os.utime(runs / name / "result.json", (seconds, seconds))
        with pytest.raises(RunMismatch, match=f"{out_of_date} is done, but stage {again}, from which it starts"):
            run_all(ordered, runs, Notes())
    for name, tensor in models["both"].state_dict().items():
        if name.startswith("text_"):
            assert torch.equal(models["all"].state_dict()[name], tensor), name
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    pixels = load_model(runs / "all" / "model")[1](images=[Image.open(p.path) for p in shapes], return_tensors="pt")
    vectors = {name: model.eval().get_image_features(**pixels).detach() for name, model in models.items()}
    assert not torch.allclose(vectors["own"], vectors["mapped"], atol=1e-3)
    assert len(models["all"].vision_model.branches) == 3
    lengths = [vectors[name].norm(dim=1).mean() for name in ("both", "mapped")]
    even = [vectors[name] / length for name, length in zip(("both", "mapped"), lengths, strict=True)]
    wanted = (2 * even[0] + even[1]) / 3 * sum(lengths) / 2  # each branch counts the same, at the members' mean length
    assert torch.allclose(vectors["all"], wanted, atol=1e-4 * float(sum(lengths)))
    run_stage(read, "narrow_one", runs, Notes())
    with pytest.raises(RecipeError, match="text tower from both, whose vectors are 16 wide, but pictures' are to be 8"):
        run_stage(read, "narrow", runs, Notes())


def test_an_expert_is_heard_for_pictures_like_its_own_and_silent_for_others(world: Path, runs: Path) -> None:
    night = runs / "night"  # the same shapes in negative
    night.mkdir()
    lines = []
    for picture in read_pictures(world / "shapes", ("caption_en",), (), "train"):
        ImageOps.invert(Image.open(picture.path).convert("RGB")).save(night / picture.path.name)
        lines.append({"image": picture.path.name, "caption_en": list(picture.english), "split": "train"})
    write_lines(night, lines)
    shapes, own = "[{folder = 'shapes', split = 'train'}]", f"[{{folder = '{night}'}}]"
    every = len(NAMES) * TRAINING
    learned = {
        "kind": "'finetune'", "start": "'teacher'", "languages": "{english = 1}", "pictures": own, "steps": 30,
        "batch": 24, "lr_image": 3e-3, "lr_head": 3e-3, "train_text": "'locked'", "train_text_head": False,
        "image": "{train = 'partial', frozen_blocks = 2, cache = 'maps'}",
    }  # fmt: skip
    joined = {"kind": "'ensemble'", "members": ["teacher"], "shared_blocks": 2, "batch": every}
    told = {"expert": "'nightly'", "pictures": shapes, "expert_pictures": own}
    changes = [
        *section("nightly", **learned),
        *section("both", expert_weight=10, **joined, **told),
        *section("more", kind="'finetune'", start="'both'", pictures=shapes, steps=1, batch=8),
        *section("each", kind="'finetune'", start="'both'", pictures=shapes, steps=1, batch=8),
        *section("each", image="{train = 'partial', frozen_blocks = 2, cache = 'maps', each_branch = true}"),
        *section("again", **{**joined, **told, "expert": "'both'"}),
    ]
    read = recipe(world, *changes)
    for name in ("nightly", "both", "more"):
        run_stage(read, name, runs, Notes())
    (teacher, processor), (nightly, _), (both, _) = (
        load_model(runs / name / "model") for name in ("teacher", "nightly", "both")
    )

    def vectors(model: Any, folder: Path) -> torch.Tensor:
        found = read_pictures(folder, ("caption_en",), (), "train")
        pixels = processor(images=[Image.open(picture.path) for picture in found], return_tensors="pt")
        with torch.inference_mode():
            return l2_normalize(model.eval().get_image_features(**pixels), dim=-1)

    assert [branch.gate is not None for branch in both.vision_model.branches] == [False, True]
    assert (vectors(both, world / "shapes") * vectors(teacher, world / "shapes")).sum(dim=1).mean() > 0.95
    assert (vectors(both, night) * vectors(nightly, night)).sum(dim=1).mean() > 0.9
    assert (vectors(teacher, night) * vectors(nightly, night)).sum(dim=1).mean() < 0.8  # so it was the expert
    assert len(load_model(runs / "more" / "model")[0].vision_model.branches) == 2
    with pytest.raises(RecipeError, match="each_branch is for an image tower that an ensemble without expert made"):
        run_stage(read, "each", runs, Notes())
    with pytest.raises(RecipeError, match="an expert is an image tower of timm"):
        run_stage(read, "again", runs, Notes())
    for missing in ("pictures", "expert_pictures"):
        partial = {**joined, **told, missing: []}
        with pytest.raises(RecipeError, match="an expert needs `expert_pictures`"):
            recipe(world, *section("both", **partial))


def test_a_query_bank_is_measured_and_saved_and_left_out_where_training_goes_on(world: Path, runs: Path) -> None:
    pictures = "[{folder = 'shapes', split = 'train'}]"
    asked = "{folder = 'shapes', captions = ['caption_en']}"
    bank = {
        "kind": "'query_bank'",
        "batch": len(NAMES) * TRAINING,
        "pictures": pictures,
        "languages": "{english = 1}",
        "dev": asked,
    }
    more = section("more", kind="'finetune'", start="'bank'", pictures=pictures, steps=1, batch=8)
    changes = [*section("bank", start="'teacher'", **bank), *more]
    changes += section(
        "mapped", kind="'finetune'", model="{text = 'bank', vision = 'bank', projection_dim = 16}", pictures=pictures,
        batch=8, steps=1, train_text="'locked'", train_text_head=False,
    )  # fmt: skip
    changes += section("both", kind="'ensemble'", members=["bank", "mapped"], shared_blocks=2)
    read = recipe(world, *changes)
    found = run_stage(read, "bank", runs, Notes())
    (before, _), (after, processor) = (load_model(runs / name / "model") for name in ("teacher", "bank"))
    assert found["R@1"] == dev_recall(world, runs / "bank" / "model", "caption_en")
    texts = processor(text=["red circle", "blue bar"], return_tensors="pt")
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "dev")
    pixels = processor(images=[Image.open(p.path) for p in shapes], return_tensors="pt")
    with torch.inference_mode():
        scores = [
            l2_normalize(m.get_text_features(**texts)) @ l2_normalize(m.get_image_features(**pixels)).T
            for m in (before, after)
        ]
        vectors = after.get_image_features(**pixels)
        popularity = after.visual_projection.popularity(l2_normalize(vectors[:, :-BANK_AXES]))
    assert len(after.visual_projection.bank) == len(NAMES)  # each name once
    wanted = A * B * (scores[0] - after.config.query_bank_weight * popularity)
    assert torch.allclose(scores[1], wanted, atol=0.05)  # but for the two axes that were given up
    without_query_bank, _ = load_without_query_bank(runs / "bank" / "model")  # what stages go on from
    with torch.inference_mode():
        found = [
            l2_normalize(without_query_bank.get_text_features(**texts)),
            l2_normalize(without_query_bank.get_image_features(**pixels)),
        ]
    assert torch.allclose(found[0] @ found[1].T, scores[0], atol=0.05)
    assert without_query_bank.logit_scale == before.logit_scale
    for name in ("more", "mapped", "both"):
        run_stage(read, name, runs, Notes())
        assert load_model(runs / name / "model")[0].config.query_bank == 0
    narrow = section("bank", start="'narrow'", **bank)
    narrow += section("narrow", kind="'finetune'", model=student(world, vision=f"{world}/cnn", projection_dim=2))
    narrow += section("narrow", pictures=pictures, languages="{english = 1}", steps=1, batch=8)
    run_stage(recipe(world, *narrow), "narrow", runs, Notes())
    with pytest.raises(RecipeError, match="query_bank=12 needs linear projections, more than 2 numbers wide"):
        run_stage(recipe(world, *narrow), "bank", runs, Notes(), fresh=True)


def test_an_ensemble_of_sigmoid_models_has_the_mean_of_their_scales_and_biases(world: Path, runs: Path) -> None:
    shared = {
        "kind": "'finetune'", "loss": "'sigmoid'", "languages": "{english = 1}", "batch": 16, "steps": 3,
        "pictures": "[{folder = 'shapes', split = 'train'}]", "image": "{train = 'partial', frozen_blocks = 2}",
    }  # fmt: skip
    apart = {**shared, "start": "'begin'", "train_text": "'locked'", "train_text_head": False}
    changes = [
        *section("begin", **{**shared, "model": student(world, logit_bias=-3.0), "steps": 1}),
        *section("one", seed=1, **apart),
        *section("two", seed=2, **{**apart, "steps": 6}),
        *section("both", kind="'ensemble'", members=["one", "two"], shared_blocks=2),
    ]
    read = recipe(world, *changes)
    for name in ("begin", "one", "two", "both"):
        run_stage(read, name, runs, Notes())
    one, two, both = (load_model(runs / name / "model")[0] for name in ("one", "two", "both"))
    assert one.logit_bias.item() != pytest.approx(two.logit_bias.item(), abs=1e-4)
    assert both.logit_bias.item() == pytest.approx((one.logit_bias.item() + two.logit_bias.item()) / 2)
    assert both.logit_scale.item() == pytest.approx((one.logit_scale.item() + two.logit_scale.item()) / 2)


def test_matryoshka_prefixes_are_trained_in_both_stages(world: Path, runs: Path) -> None:
    spec = student(world, matryoshka_dims="[4]")
    read = recipe(world, f"distill.model={spec}", *section("distill", steps=2, matryoshka=True))
    assert run_stage(read, "distill", runs, Notes()).keys() == {"R@1", "R@5", "R@10", "MRR"}
    for stage in ("distill", "finetune"):
        bare = recipe(world, f"{stage}.model={student(world)}", *section(stage, steps=2, matryoshka=True))
        with pytest.raises(RecipeError, match=r"no widths for it. Set \[model\] matryoshka_dims"):
            run_stage(bare, stage, runs, Notes(), fresh=True)


# ------------------------------------------------------------------ what cannot be done


def refused(read: Recipe, stage: str, runs: Path, said: str, kind: type[Exception] = RecipeError) -> None:
    with pytest.raises(kind, match=said):
        run_stage(read, stage, runs, Notes())
    assert not list(runs.glob(f"{stage}/step-*.pt"))
    assert not (runs / stage / "result.json").exists()


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        ("distill", {"start": "nothing"}, "stage 'distill' starts from nothing, which holds no model. Give a stage"),
        ("distill", {}, "stage 'distill' starts from .*linear/model, which holds no model. Run `araclip train linear`"),
        ("distill", {"start": "teacher", "teacher": "magic:wand"}, "teacher 'magic:wand' is of no known kind"),
        ("distill", {"start": "teacher", "teacher": ""}, "a stage of kind distill needs `teacher`"),
        ("distill", {"start": "teacher", "teacher": "finetune"}, "the teacher is .*Run `araclip train finetune` first"),
        ("distill", {"start": "teacher", "sources": "[]"}, "the mixture has no source"),
        ("distill", {"start": "teacher", "losses": "{magic = 1}"}, "loss 'magic' is unknown"),
        ("distill", {"start": "teacher", "warmup": 1.0}, "fewer steps of warm-up|warm-up"),
        ("finetune", {"start": "teacher", "loss": "sigmoid"}, r"Set \[model\] logit_bias"),
        ("finetune", {"start": "teacher", "pictures": "[]"}, "no source"),
        ("finetune", {"start": "teacher", "languages": "{klingon = 1}"}, "known are arabic, english"),
        ("finetune", {"start": "teacher", "languages": "{arabic = 0}"}, "arabic has share 0.0"),
        ("finetune", {"start": "teacher", "image": '{train = "partial", frozen_blocks = 9}'}, "cannot be cut after"),
        (
            "finetune", {"start": "teacher", "frozen_layers": 7}, "7 layers to freeze, but BertModel has 2"
        ),
        ("captions", {"pictures": "[]"}, "no source"),
        ("linear", {"model": '{text = "no/where"}'}, r"\[model\] text = no/where cannot be loaded"),
        ("linear", {"model": '{vision = "no/where", text = "WORLD/bert"}'}, r"\[model\] vision = no/where cannot be"),
        ("linear", {"model": '{vision = "distill", text = "WORLD/bert"}'}, r"takes its image tower from .*Run `"),
    ],
)  # fmt: skip
def test_an_impossible_recipe_is_refused_before_anything_is_trained(
    world: Path, runs: Path, stage: str, changes: dict[str, Any], said: str
) -> None:
    changes = {key: str(value).replace("WORLD", str(world)) for key, value in changes.items()}
    refused(recipe(world, *section(stage, **changes)), stage, runs, said)


@pytest.mark.parametrize("stage", ["linear", "distill", "finetune"])
def test_a_teacher_of_another_width_is_refused(world: Path, runs: Path, stage: str) -> None:
    changes = {"model": student(world, vision=f"{world}/vit", projection_dim=8)}
    if stage == "finetune":
        changes |= {"teacher": "teacher", "distillation": 1.0, "image": '{train = "full"}'}
    said = r"teacher teacher makes 16-wide vectors, the student has projection_dim 8. Set \[model\] projection_dim = 16"
    refused(recipe(world, *section(stage, **changes)), stage, runs, said)


def test_a_dev_set_without_an_image_tower_is_refused(world: Path, runs: Path) -> None:
    spec = student(world).replace('vision = "teacher", ', "")
    refused(recipe(world, f"distill.model={spec}"), "distill", runs, "no image tower, and the stage or its dev set")


def test_a_stage_that_is_not_there_is_named(world: Path, runs: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe 'toy' has no stage 'polish'. It has: teacher, captions, linear"):
        run_stage(recipe(world), "polish", runs, Notes())


def test_a_malformed_pair_is_named_by_file_and_line(world: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("en\tar\ncat\tقطة\nonly one cell\n", encoding="utf-8")
    read = recipe(world, *section("distill", start="teacher", sources=f'[{{path = "{tmp_path}/bad.tsv"}}]'))
    refused(read, "distill", runs, r"bad.tsv, line 3: 1 cells, expected 2", DataError)


def picture_set(world: Path, folder: Path, damage: str) -> Path:
    """A copy of the toy's pictures with one thing wrong."""
    copied = shutil.copytree(world / "shapes", folder / "copied")
    listing, first = copied / "captions.jsonl", copied / "red-circle-0.png"
    if damage == "missing":
        first.unlink()
    elif damage == "unreadable":
        first.write_bytes(first.read_bytes()[:60])
    elif damage == "malformed":
        listing.write_text(listing.read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    elif damage == "no list":
        listing.unlink()
    elif damage == "no captions":
        write_lines(copied, [{"image": "red-circle-0.png"}])
    return copied


@pytest.mark.parametrize(
    ("train", "damage", "said"),
    [
        *((train, "missing", r"1 of 48 pictures that .*captions.jsonl names are missing, .*red-circle-0.png for one")
          for train in ("locked", "full")),
        *((train, "unreadable", r"red-circle-0.png: damaged or cut short") for train in ("locked", "partial", "full")),
        ("full", "malformed", r"captions.jsonl line 61: .image. is None"),
        ("full", "no list", r"captions.jsonl is missing"),
        ("full", "no captions", r"none of 1 pictures \(split train\) has a text in arabic"),
    ],
)  # fmt: skip
def test_a_picture_set_with_something_wrong_is_refused_with_what_and_where(
    world: Path, runs: Path, tmp_path: Path, damage: str, said: str, train: str
) -> None:
    folder = picture_set(world, tmp_path, damage)
    changes = {
        "start": "teacher", "batch": 48, "pictures": f'[{{folder = "{folder}", split = "train"}}]',
        "image": f'{{train = "{train}", frozen_blocks = 2}}',
    }  # fmt: skip
    if damage == "no captions":
        changes["batch"] = 1
    refused(recipe(world, *section("finetune", **changes)), "finetune", runs, said, DataError)


@pytest.mark.parametrize("damage", ["missing", "no captions", "unreadable"])
def test_a_dev_set_with_something_wrong_is_refused_before_the_first_step(
    world: Path, runs: Path, tmp_path: Path, damage: str
) -> None:
    folder = picture_set(world, tmp_path, damage)
    changes = {"start": "teacher", "dev": f'{{folder = "{folder}", split = "train"}}'}
    refused(
        recipe(world, *section("distill", **changes)), "distill", runs, "red-circle-0|nothing to measure", DataError
    )


def test_a_batch_larger_than_the_data_is_refused_before_pictures_are_computed(world: Path, runs: Path) -> None:
    read = recipe(world, *section("finetune", start="teacher", batch=49, image='{train = "locked"}'))
    refused(read, "finetune", runs, "a batch of 49 pictures, but there are only 48", DataError)
    assert not (runs / "cache").exists() or not list((runs / "cache").glob("features-*"))


def test_an_empty_split_is_refused(world: Path, runs: Path) -> None:
    changes = {"start": "teacher", "pictures": '[{folder = "shapes", split = "nobody"}]'}
    refused(
        recipe(world, *section("finetune", **changes)),
        "finetune",
        runs,
        r"none of 0 pictures \(split nobody\)",
        DataError,
    )


@pytest.mark.parametrize("stage", ["distill", "finetune"])
def test_a_loss_that_diverges_ends_the_run_and_no_spoilt_checkpoint_is_left(
    world: Path, runs: Path, stage: str
) -> None:
    changes = {"start": "teacher", "lr_text": 1e30, "lr_head": 1e30, "steps": 9, "warmup": 0.0}
    read = recipe(world, *section(stage, **changes))
    with pytest.raises(LossDiverged, match=r"became (nan|inf).* in step \d"):
        run_stage(read, stage, runs, Notes())
    for path in (runs / stage).glob("step-*.pt"):
        state = torch.load(path, weights_only=True)
        assert all(weight.isfinite().all() for weight in state["weights"])
    assert not (runs / stage / "model").exists()


def test_distillation_without_english_captions_is_refused(world: Path, runs: Path, tmp_path: Path) -> None:
    write_lines(tmp_path, [{"image": str(world / "shapes" / "red-circle-0.png"), "caption_ar": "دائرة"}])
    changes = {
        "start": "teacher", "teacher": "teacher", "distillation": 1.0, "batch": 1, "image": '{train = "locked"}',
        "pictures": f'[{{folder = "{tmp_path}"}}]',
    }  # fmt: skip
    refused(recipe(world, *section("finetune", **changes)), "finetune", runs, "needs English captions", DataError)


@pytest.mark.parametrize(
    ("npz", "names", "said"),
    [
        (None, None, "Concepts are a .npz"),
        (np.zeros((2, 5)), [["a"], ["b"]], r"features of shape \(2, 5\), the image tower makes 256 numbers"),
        (np.zeros((2, 256)), [["a"]], "not as many classes|IndexError"),
        (np.zeros((2, 256)), [[], []], "no class has a name in arabic"),
        (np.zeros((1, 256)), [["a"], ["b"]], "1 rows of features, not as many classes"),
    ],
)
def test_concepts_that_contradict_themselves_or_the_tower_are_refused(
    world: Path, runs: Path, tmp_path: Path, npz: Any, names: Any, said: str
) -> None:
    if npz is not None:
        np.savez(tmp_path / "c.npz", features=npz)
        (tmp_path / "c.json").write_text(json.dumps({"names_en": names, "names_ar": names}), encoding="utf-8")
    changes = {"start": "teacher", "concepts": f"{tmp_path}/c", "concept_batch": 2, "concept_weight": 1.0}
    refused(recipe(world, *section("finetune", **changes)), "finetune", runs, said, DataError)


def test_an_anchor_needs_a_classifier(world: Path, runs: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", features=np.ones((2, 256)))
    (tmp_path / "c.json").write_text(json.dumps({"names_en": [["a"], ["b"]], "names_ar": [["أ"], ["ب"]]}))
    changes = {"start": "teacher", "concepts": f"{tmp_path}/c", "anchor": 1.0}
    refused(recipe(world, *section("finetune", **changes)), "finetune", runs, "anchor needs concepts with a classifier")


def test_a_damaged_model_folder_is_named(world: Path, runs: Path) -> None:
    file = runs / "teacher" / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(recipe(world, *section("distill", start="teacher")), "distill", runs, "the model in .*cannot be loaded")
