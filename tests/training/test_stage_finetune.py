"""The stage of texts with pictures: every way to learn, and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

from araclip.errors import DataError
from araclip.training.data.pictures import PictureMixture, PictureSource
from araclip.training.model.saved_models import load_model
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.finetune_step import AllCaptionsLoss
from araclip.training.stages.texts import LockedTexts
from toy_stages import CHANCE, dev_recall, make_concepts, picture_set, refused, section, student
from toy_training import Notes, losses, recipe, write_lines

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


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


def test_a_locked_text_tower_reads_each_text_once(world: Path, runs: Path) -> None:
    changes = section("finetune", steps=4, train_text="'locked'", all_captions=True)
    read = recipe(world, f"finetune.model={student(world)}", *changes)
    run_stage(read, "finetune", runs, Notes())
    first, kept = losses(runs, "finetune"), sorted((runs / "cache").glob("texts-*.npy"))
    assert len(kept) == 1  # the captions, and those that dev recall asks
    written = [path.stat().st_mtime_ns for path in kept]
    run_stage(read, "finetune", runs, Notes(), fresh=True)
    assert losses(runs, "finetune") == first
    assert [path.stat().st_mtime_ns for path in sorted((runs / "cache").glob("texts-*.npy"))] == written


def test_a_locked_text_tower_reads_only_what_is_new(taught: Path, tmp_path: Path) -> None:
    model, processor = load_model(taught / "teacher" / "model")
    first = LockedTexts(model, processor, ["red circle", "blue square", "red circle"], tmp_path / "shared")
    (kept,) = (tmp_path / "shared").iterdir()
    next_ = LockedTexts(model, processor, ["a picture of a green triangle", "blue square"], tmp_path / "shared")
    assert list((tmp_path / "shared").iterdir()) == [kept]
    assert len(np.load(kept)) == 3
    assert np.array_equal(next_.features[1], first.features[1])
    alone = LockedTexts(model, processor, ["a picture of a green triangle"], tmp_path / "other")
    assert np.allclose(next_.features[0], alone.features[0], atol=1e-2)
    assert not np.allclose(next_.features[0], next_.features[1], atol=1e-2)

    cased = copy.deepcopy(processor)  # reads the same texts as other tokens
    cased.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("e")
    LockedTexts(model, cased, ["blue square"], tmp_path / "shared")
    assert len(list((tmp_path / "shared").iterdir())) == 2

    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(DataError, match=r"texts-\w+\.npy cannot be read .*delete it"):
        LockedTexts(model, processor, ["blue square"], tmp_path / "shared")


def test_no_caption_is_a_negative_of_a_file_in_two_sets(world: Path, taught: Path, tmp_path: Path) -> None:
    model, processor = load_model(taught / "teacher" / "model")
    listed = [
        PictureSource(world / "shapes", split="train", english=(), arabic=("caption_ar",)),
        PictureSource(world / "shapes", split="train", english=("caption_en",), arabic=()),
    ]
    mixture = PictureMixture(listed, 0, languages={"arabic": 1, "english": 1})
    loss = AllCaptionsLoss(model, LockedTexts(model, processor, mixture.texts, tmp_path), mixture)
    half = len(mixture.pictures) // 2
    assert loss.captions_of[:half] == loss.captions_of[half:]
    vectors = loss(range(half), torch.eye(16)[:1].expand(half, 16))
    assert vectors.isfinite()
    rows = [mixture.texts_of(0)[0], mixture.texts_of(half)[0]]  # in Arabic by one set, in English by the other
    assert {*loss.captions_of[0]} >= {list(dict.fromkeys(mixture.texts)).index(text) for text in rows}


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
def test_a_wrong_picture_set_is_refused_with_what_and_where(
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


def test_a_batch_larger_than_the_data_is_refused_early(world: Path, runs: Path) -> None:
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


def test_distillation_without_english_captions_is_refused(world: Path, runs: Path, tmp_path: Path) -> None:
    write_lines(tmp_path, [{"image": str(world / "shapes" / "red-circle-0.png"), "caption_ar": "دائرة"}])
    changes = {
        "start": "teacher", "teacher": "teacher", "distillation": 1.0, "batch": 1, "image": '{train = "locked"}',
        "pictures": f'[{{folder = "{tmp_path}", images = "{world}"}}]',
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
def test_concepts_that_contradict_the_tower_are_refused(
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
