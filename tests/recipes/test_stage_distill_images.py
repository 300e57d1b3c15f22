"""The stage that teaches one image tower what another, such as an ensemble, knows."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize as l2_normalize
from transformers import TimmWrapperModel, ViTModel

from araclip import AraCLIP
from araclip.errors import RecipeError
from araclip.evaluation.sets import read_pictures
from araclip.training.export.export import export
from araclip.training.model.branches import joined, with_map_scale
from araclip.training.model.saved_models import load_model, rebuilt, save_model
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.pixels import Pixels
from distill_images import same_first_blocks
from toy_stages import refused, section, student
from toy_training import TRAINING, Notes, losses, recipe, write_lines

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")


def test_a_fresh_tower_learns_vectors_without_captions(world: Path, runs: Path) -> None:
    shapes = read_pictures(world / "shapes", (), (), "train")
    bare = world / "bare"
    bare.mkdir(exist_ok=True)
    write_lines(bare, [{"image": str(picture.path)} for picture in shapes])
    changes = section(
        "small", kind="'distill_images'", teacher="'teacher'", steps=60, batch=16, chunk=8, lr_image=3e-3, lr_head=1e-2,
        model=student(world, text="still-bert", vision=f"{world}/cnn"),
        pictures="[{folder = 'bare', images = 'shapes'}]",
        image="{train = 'partial', frozen_blocks = 2, views = 1, window = 1.0, cache = 'maps'}",
        log_every=1, checkpoint_every=20,
    )  # fmt: skip
    run_stage(recipe(world, *changes), "small", runs, Notes())
    assert len(shapes) == 12 * TRAINING
    (teacher, processor), (small, _) = (load_model(runs / name / "model") for name in ("teacher", "small"))
    pixels = Pixels.of(processor).read([picture.path for picture in shapes])
    with torch.inference_mode():
        vectors = [l2_normalize(m.get_image_features(pixels).pooler_output, dim=-1) for m in (teacher, small)]
    assert (vectors[0] * vectors[1]).sum(dim=1).mean() > 0.7
    found = losses(runs, "small")
    assert sum(found[-5:]) < 0.5 * sum(found[:5])


def test_a_tower_learns_its_own_features_from_smaller_maps(world: Path, runs: Path, tmp_path: Path) -> None:
    spec = student(world, text="still-bert", vision=f"{world}/cnn")
    changes = section(
        "small", kind="'distill_images'", steps=40, batch=16, chunk=8, lr_image=3e-3, model=spec,
        pictures="[{folder = 'shapes'}]", log_every=1, checkpoint_every=20,
        image="{train = 'partial', frozen_blocks = 2, views = 1, window = 1.0, cache = 'maps', map_scale = 0.5}",
    )  # fmt: skip
    notes = Notes()
    run_stage(recipe(world, *changes), "small", runs, notes)
    assert "of the features' variance is explained" in notes.lines[-1]
    explained = float(notes.lines[-1].split()[0])
    assert explained > 0.3
    found = losses(runs, "small")
    assert sum(found[-5:]) < 0.5 * sum(found[:5])

    small, processor = load_model(runs / "small" / "model")
    assert small.vision_model.config.map_scales == [0.5]
    pictures = [picture.path for picture in read_pictures(world / "shapes", (), (), "train")][:8]
    pixels = Pixels.of(processor).read(pictures)
    before = TimmWrapperModel.from_pretrained(world / "cnn").eval()
    untrained = with_map_scale(before, 2, 0.5)
    with torch.inference_mode():
        wanted, learned, plain = (m(pixel_values=pixels).pooler_output for m in (before, small.vision_model, untrained))
    assert (learned - wanted).square().mean() < 0.5 * (plain - wanted).square().mean()

    goes_on = section(
        "on", start="'small'", kind="'distill_images'", steps=30, batch=16, chunk=8, lr_image=1e-3, log_every=1,
        pictures="[{folder = 'shapes'}]", features_of=f"'{world}/cnn'",
        image="{train = 'partial', frozen_blocks = 2, views = 1, window = 1.0, cache = 'maps', map_scale = 0.5}",
    )  # fmt: skip
    run_stage(recipe(world, *changes, *goes_on), "on", runs, notes)
    assert float(notes.lines[-1].split()[0]) > explained  # of the same features, not of those that it began with
    on = losses(runs, "on")
    assert 0.5 * found[-1] < on[0] < 1.5 * found[-1]

    export(runs / "small", tmp_path / "exported", weights="float32")  # compares the graphs with the model
    exported = AraCLIP.load(str(tmp_path / "exported"))
    with torch.inference_mode():
        vectors = l2_normalize(small.get_image_features(pixels).pooler_output, dim=-1).numpy()
    assert exported.encode_image(pictures) == pytest.approx(vectors, abs=1e-4)


def test_map_scale_is_for_one_tower_above_frozen_blocks(world: Path, runs: Path) -> None:
    keys = {"kind": "'distill_images'", "start": "'teacher'", "batch": 8, "pictures": "[{folder = 'shapes'}]"}
    with pytest.raises(RecipeError, match="map_scale needs train"):
        recipe(world, *section("small", **keys, image="{train = 'full', map_scale = 0.5}"))
    with pytest.raises(RecipeError, match="at most 1"):
        recipe(world, *section("small", **keys, image="{train = 'partial', map_scale = 1.5}"))


def test_a_stage_without_a_teacher_of_its_space_is_refused(world: Path, runs: Path) -> None:
    keys = {"kind": "'distill_images'", "start": "'teacher'", "batch": 8, "pictures": "[{folder = 'shapes'}]"}
    refused(recipe(world, *section("small", **keys)), "small", runs, "needs `teacher`")
    both = section("small", **keys, teacher="'teacher'", features_of=f"'{world}/cnn'")
    refused(recipe(world, *both), "small", runs, "has a `teacher`, whose vectors it learns, and `features_of`")
    wide = student(world, vision=f"{world}/cnn", projection_dim=8)
    changes = section("small", **keys, teacher="'teacher'") + section("small", model=wide)
    refused(recipe(world, *changes[:1], *changes[2:]), "small", runs, "makes 16-wide image vectors")
    refused(recipe(world, *section("small", **{**keys, "batch": 999}), "small.teacher='teacher'"), "small", runs,
            "a batch of 999 pictures", Exception)  # fmt: skip


def test_features_of_tower_of_another_size_or_start_are_refused(world: Path, runs: Path, tmp_path: Path) -> None:
    keys = {"kind": "'distill_images'", "start": "'teacher'", "batch": 8, "pictures": "[{folder = 'shapes'}]"}
    keys["image"] = "{train = 'partial', frozen_blocks = 2, views = 1, cache = 'maps', map_scale = 0.5}"
    model, processor = load_model(runs / "teacher" / "model")
    tower = TimmWrapperModel.from_pretrained(world / "cnn")
    save_model(tmp_path / "two", rebuilt(model, joined([tower, tower], 2)), processor)
    with torch.no_grad():
        tower.timm_model.conv_stem.weight.add_(1.0)
    tower.save_pretrained(tmp_path / "other")
    for name, said in (
        ("other", "the first 2 blocks of the tower whose features are learned"),
        ("two", r"makes \d+ numbers, the one that learns them \d+"),
    ):
        refused(recipe(world, *section("small", **keys, features_of=f"'{tmp_path}/{name}'")), "small", runs, said)


def test_towers_share_first_blocks_if_these_are_the_same(world: Path) -> None:
    one, other = (TimmWrapperModel.from_pretrained(world / "cnn") for _ in range(2))
    whole = joined([one, other], 2)
    with torch.no_grad():
        next(other.timm_model.blocks[2].parameters()).add_(1.0)
    assert same_first_blocks(one, other, 2) and same_first_blocks(other, whole, 2)
    assert not same_first_blocks(one, other, 0)
    assert not same_first_blocks(one, whole, 1)  # which is cut after two
    assert not same_first_blocks(one, other, 3)  # where they went their own ways
    assert not same_first_blocks(one, ViTModel.from_pretrained(world / "vit"), 2)
