"""The stage of distillation: dropout, frozen layers, matryoshka, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from araclip.errors import DataError, RecipeError
from araclip.training.model.saved_models import load_model
from araclip.training.stages import starting_model
from araclip.training.stages import texts as texts_of_stages
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts
from toy_stages import picture_set, refused, section, student
from toy_training import Notes, recipe, weights

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


def test_dropout_is_at_work_in_these_runs(world: Path, runs: Path) -> None:
    seen = []
    for text in ("bert", "still-bert"):
        read = recipe(
            world,
            f"distill.model={student(world, text)}",
            *section("distill", steps=1, sources='[{path = "pairs.tsv"}]'),
        )
        model, processor = starting_model.start_of(read.stage("distill"), StageContext(read, "distill", runs))
        model.train()
        tokens = processor(text=["دائرة حمراء"], return_tensors="pt")
        once, twice = (model.get_text_features(**tokens).pooler_output for _ in range(2))
        seen.append(torch.equal(once, twice))
    assert seen == [False, True]


def test_stage_may_do_without_dropout_its_tower_was_made_with(world: Path, runs: Path) -> None:
    changes = section("distill", steps=2, sources='[{path = "pairs.tsv"}]', chunk=16)
    found = []
    for seed, dropout in ((1, []), (2, []), (1, ["distill.dropout=0"]), (2, ["distill.dropout=0"])):
        read = recipe(world, f"distill.model={student(world)}", *changes, *dropout)
        model, processor = starting_model.start_of(read.stage("distill"), StageContext(read, "distill", runs))
        stage = read.stage("distill")
        texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
        model.train()
        torch.manual_seed(seed)
        chunks, _ = texts.inputs(["دائرة حمراء"], stage.chunk)
        found.append(texts.features(chunks[0]))
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])


@pytest.mark.parametrize(("short", "attention"), [(12, "eager"), (11, "sdpa")])
def test_short_texts_attend_by_products_that_are_not_saved(
    world: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, short: int, attention: str
) -> None:
    monkeypatch.setattr(texts_of_stages, "SHORT", short)
    spec = student(world, "still-bert", max_tokens=12)
    read = recipe(world, f"distill.model={spec}", *section("distill", steps=1, sources='[{path = "pairs.tsv"}]'))
    stage, context = read.stage("distill"), StageContext(read, "distill", runs)
    model, processor = starting_model.start_of(stage, context)
    chunk = processor(text=["دائرة حمراء", "مربع"], return_tensors="pt")
    with torch.no_grad():
        fused = model.get_text_features(**chunk).pooler_output
        texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
        assert torch.allclose(texts.features(chunk), fused, atol=1e-5)
    assert model.text_model.config._attn_implementation == attention
    run_stage(read, "distill", runs, Notes())
    saved = load_model(runs / "distill" / "model")[0]
    assert saved.text_model.config._attn_implementation == "sdpa"


def test_layer_decay_moves_lower_layers_less(world: Path, runs: Path) -> None:
    read = recipe(
        world, f"distill.model={student(world)}", *section("distill", steps=4, layer_decay=0.1, weight_decay=0.0),
        *section("finetune", start="distill", steps=4, frozen_layers=1),
    )  # fmt: skip
    before = starting_model.start_of(read.stage("distill"), StageContext(read, "distill", runs))[0].state_dict()
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


def test_matryoshka_prefixes_are_trained_in_both_stages(world: Path, runs: Path) -> None:
    spec = student(world, matryoshka_dims="[4]")
    read = recipe(world, f"distill.model={spec}", *section("distill", steps=2, matryoshka=True))
    assert run_stage(read, "distill", runs, Notes()).keys() == {"R@1", "R@5", "R@10", "MRR"}
    for stage in ("distill", "finetune"):
        bare = recipe(world, f"{stage}.model={student(world)}", *section(stage, steps=2, matryoshka=True))
        with pytest.raises(RecipeError, match=r"no widths for it. Set \[model\] matryoshka_dims"):
            run_stage(bare, stage, runs, Notes(), fresh=True)


def test_a_dev_set_without_an_image_tower_is_refused(world: Path, runs: Path) -> None:
    spec = student(world).replace('vision = "teacher", ', "")
    refused(recipe(world, f"distill.model={spec}"), "distill", runs, "no image tower, and the stage or its dev set")


def test_a_malformed_pair_is_named_by_file_and_line(world: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("en\tar\ncat\tقطة\nonly one cell\n", encoding="utf-8")
    read = recipe(world, *section("distill", start="teacher", sources=f'[{{path = "{tmp_path}/bad.tsv"}}]'))
    refused(read, "distill", runs, r"bad.tsv, line 3: 1 cells, expected 2", DataError)


@pytest.mark.parametrize("damage", ["missing", "no captions", "unreadable"])
def test_a_wrong_dev_set_is_refused_before_the_first_step(world: Path, runs: Path, tmp_path: Path, damage: str) -> None:
    folder = picture_set(world, tmp_path, damage)
    changes = {"start": "teacher", "dev": f'{{folder = "{folder}", split = "train"}}'}
    refused(
        recipe(world, *section("distill", **changes)), "distill", runs, "red-circle-0|nothing to measure", DataError
    )
