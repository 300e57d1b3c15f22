"""The program that trains araclip-mini: `araclip train` with the kinds of stages of its recipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from araclip import AraCLIP
from araclip.errors import RecipeError
from araclip.training.export.export import export
from araclip.training.model.saved_models import load_model
from araclip.training.recipe.recipe import read_recipe
from toy_training import RECIPE

MINI = Path(__file__).parents[2] / "recipes" / "mini"
STAGES = """
[other]
extends = "teacher"
seed = 1
start = "teacher"
train_text = "locked"
train_text_head = false
steps = 4

[both]
kind = "ensemble"
members = ["teacher", "other"]
shared_blocks = 2

[one]
kind = "distill_images"
model = {{ text = "both", vision = "./cnn", projection_dim = 16 }}
teacher = "both"
pictures = {{ shapes = 1 }}
image = {{ train = "partial", frozen_blocks = 2, cache = "maps" }}
steps = 4
batch = 8

[mean]
kind = "average"
members = ["teacher", "other"]

[bank]
kind = "query_bank"
start = "both"
batch = 12
pictures = {{ shapes = 1 }}

[named]
kind = "names"
start = "bank"
classes = "classes"
width = 4
hidden = 8
steps = 4
batch = 8
pictures = {{ shapes = 1 }}
"""


def trained(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(MINI / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


@pytest.mark.usefixtures("stages_of_mini")
def test_the_recipe_of_the_bundled_model_can_be_read() -> None:
    read = read_recipe(MINI / "mini.toml", ["data=/data"])
    assert {stage.kind for stage in read.stages.values()} >= {
        "ensemble", "average", "distill_images", "query_bank", "names"
    }  # fmt: skip


def test_a_stage_of_mini_is_refused_by_araclip_train_alone() -> None:
    with pytest.raises(RecipeError, match=r"\[ensemble\] has kind 'ensemble'. Known are captions, linear"):
        read_recipe(MINI / "mini.toml", ["data=/data"])


@pytest.mark.usefixtures("traced_quickly")
def test_the_program_trains_every_kind_of_stage(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text((RECIPE + STAGES).format(world=world), encoding="utf-8")
    runs = tmp_path / "runs"
    order = "stages=['teacher', 'other', 'both', 'one', 'mean', 'bank']"
    few = ["--set", "teacher.steps=4", "--set", "teacher.batch=12"]
    done = trained("all", str(path), "--runs", str(runs), "--set", order, *few)
    assert done.returncode == 0, done.stderr
    width = load_model(runs / "bank" / "model")[0].config.vision_config.hidden_size
    np.savez(world / "classes.npz", weight=np.eye(3, width, dtype=np.float32), bias=np.zeros(3, np.float32))
    listing = {"exclusive": 3, "words": [{"text": w, "classes": [c]} for c, w in enumerate(("red", "blue", "green"))]}
    (world / "classes.json").write_text(json.dumps({**listing, "others": ["white", "on"]}), encoding="utf-8")
    done = trained("named", str(path), "--runs", str(runs), "--set", order, *few)
    assert done.returncode == 0, done.stderr
    export(runs / "named", tmp_path / "exported", weights="float32")
    assert AraCLIP.load(str(tmp_path / "exported")).encode_text(["red circle"]).shape == (1, 16 + 4 + 1)
