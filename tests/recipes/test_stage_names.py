"""The stage of the names part: class names beside captions, in one vector."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize as l2_normalize

from araclip import AraCLIP
from araclip.errors import DataError, ModelMismatch, RecipeError, RunMismatch
from araclip.evaluation.sets import read_pictures
from araclip.training.export.export import export
from araclip.training.model.saved_models import load_model, load_plain
from araclip.training.stages.dispatch import run_all, run_stage
from araclip.training.stages.pictures import pooled_features
from araclip.training.stages.pixels import Pixels
from names_part import read_named_classes
from toy_stages import refused, section
from toy_training import NAMES, Notes, recipe, write_negatives

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")

NAMES_STAGE = {
    "kind": "'names'", "width": 12, "hidden": 32, "steps": 300, "batch": 24, "lr": 0.01,
    "pictures": "[{folder = 'shapes', split = 'train'}]", "languages": "{arabic = 1}",
}  # fmt: skip


@pytest.fixture
def classes(world: Path, runs: Path) -> Path:
    """A classifier of the shapes over the features of the teacher's first tower, and their English names."""
    tower = load_model(runs / "teacher" / "model")
    tower[0].vision_model = type(tower[0].vision_model).from_pretrained(world / "cnn")
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    features = pooled_features(tower[0], Pixels.of(tower[1]), [p.path for p in shapes]).double().numpy()
    order = [english for english, _ in NAMES]
    wanted = np.eye(len(order))[[order.index(p.english[0]) for p in shapes]]
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    solved = np.linalg.lstsq(inputs, 20 * wanted, rcond=None)[0].T  # (C, F + 1)
    path = world / "classes"
    np.savez(path.with_suffix(".npz"), weight=solved[:, :-1].astype(np.float32), bias=solved[:, -1].astype(np.float32))
    words: list[dict[str, object]] = [{"text": name, "classes": [number]} for number, name in enumerate(order)]
    words += [{"text": "red", "classes": [0, 1, 2]}, {"text": "أبيض", "classes": [3], "held": True}]
    listing = {"exclusive": len(order), "words": words, "others": ["هنا على أبيض"]}
    path.with_suffix(".json").write_text(json.dumps(listing, ensure_ascii=False), encoding="utf-8")
    return path


def test_names_stand_beside_captions_and_can_be_taken_off(
    world: Path, runs: Path, classes: Path, tmp_path: Path
) -> None:
    pictures = "[{folder = 'shapes', split = 'train'}]"
    named = section("named", start="'teacher'", classes=f"'{classes}'", vision=f"'{world}/cnn'", shared_blocks=2)
    named += section("named", **NAMES_STAGE, dev="{folder = 'shapes', captions = ['caption_en']}")
    named += section("more", kind="'finetune'", start="'named'", pictures=pictures, steps=1, batch=8)
    read = recipe(world, *named)
    run_stage(read, "named", runs, Notes())
    (before, _), (after, processor) = (load_model(runs / name / "model") for name in ("teacher", "named"))
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    pixels = Pixels.of(processor).read([p.path for p in shapes])
    words = [english for english, _ in NAMES]
    texts = {
        "words": processor(text=[*words, "red"], return_tensors="pt"),
        "captions": processor(text=[f"هنا {arabic} على أبيض" for _, arabic in NAMES], return_tensors="pt"),
    }
    with torch.inference_mode():
        image = after.get_image_features(pixels).pooler_output
        asked = after.get_text_features(**texts["words"]).pooler_output
        assert torch.allclose(image.norm(dim=1), torch.ones(len(image)), atol=1e-5)
        own = l2_normalize(before.get_image_features(pixels).pooler_output, dim=-1)
        assert torch.allclose(image[:, :16], own * 0.5**0.5, atol=1e-5)  # the captions' part, as it was
        scores = asked[:, 16:-1] @ image[:, 16:-1].T
        best = scores.topk(4, dim=1).indices
        right = [sum(shapes[p].english[0] == name for p in row) for name, row in zip(words, best, strict=False)]
        assert sum(right) / (4 * len(words)) > 0.9
        reds = scores[-1].topk(12).indices
        assert sum(shapes[p].english[0].startswith("red") for p in reds) >= 10  # a word of three classes
        gates = {
            kind: after.text_projection.named(
                after.text_model(**tokens).last_hidden_state.mean(dim=1)  # no padding: all of one length
            )[1].sigmoid()
            for kind, tokens in texts.items()
        }
    assert gates["words"][:-1].mean() > 0.6
    assert gates["captions"].mean() < 0.4
    plain, _ = load_plain(runs / "named" / "model")
    assert plain.config.names == 0 and plain.config.projection_dim == 16
    with torch.inference_mode():
        assert torch.allclose(l2_normalize(plain.get_image_features(pixels).pooler_output, dim=-1), own, atol=1e-5)
    run_stage(read, "more", runs, Notes())
    assert load_model(runs / "more" / "model")[0].config.names == 0
    written = AraCLIP(export(runs / "named", tmp_path / "exported", dev=[], weights="float32").folder)
    assert np.allclose(written.encode_image([p.path for p in shapes[:8]]), image[:8].numpy(), atol=1e-3)
    assert np.allclose(written.encode_text(words), asked[:-1].numpy(), atol=1e-3)


def test_a_branch_of_captions_is_not_computed_again_for_names(
    world: Path, runs: Path, classes: Path, tmp_path: Path
) -> None:
    pictures = "[{folder = 'shapes', split = 'train'}]"
    spec = f"{{text = 'teacher', vision = '{world}/cnn', projection_dim = 16}}"
    changes = section(
        "known", kind="'finetune'", model=spec, train_text="'locked'", train_text_head="false",
        image="{train = 'locked'}", pictures=pictures, steps=1, batch=8,
    )  # fmt: skip
    changes += section("whole", kind="'ensemble'", members="['teacher', 'known']", shared_blocks=2)
    stage = {**NAMES_STAGE, "classes": f"'{classes}'", "vision": f"'{world}/cnn'", "shared_blocks": 2, "steps": 20}
    changes += section("named", start="'whole'", **stage) + section("alone", start="'known'", **{**stage, "steps": 2})
    read = recipe(world, *changes)
    for name in ("known", "whole", "named", "alone"):
        run_stage(read, name, runs, Notes())
    (before, _), (after, processor) = (load_model(runs / name / "model") for name in ("whole", "named"))
    assert after.vision_model.config.branches == before.vision_model.config.branches == 2
    assert not hasattr(load_model(runs / "alone" / "model")[0].vision_model.config, "branches")
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    files = [p.path for p in shapes]
    pixels = Pixels.of(processor).read(files)
    with torch.inference_mode():
        image = after.get_image_features(pixels).pooler_output
        own = l2_normalize(before.get_image_features(pixels).pooler_output, dim=-1)
        assert torch.allclose(image[:, :16], own * 0.5**0.5, atol=1e-5)
        read_by_names = pooled_features(after, Pixels.of(processor), files)[:, -after.config.name_features :]
        found = after.visual_projection.probabilities(read_by_names).argmax(dim=1)
    order = [english for english, _ in NAMES]
    assert np.mean([order[k] == p.english[0] for k, p in zip(found.tolist(), shapes, strict=True)]) > 0.9
    plain, _ = load_plain(runs / "named" / "model")
    assert plain.vision_model.config.branches == 2
    with torch.inference_mode():
        assert torch.allclose(l2_normalize(plain.get_image_features(pixels).pooler_output, dim=-1), own, atol=1e-5)
    folder = export(runs / "named", tmp_path / "exported", dev=[], weights="float32").folder
    assert np.allclose(AraCLIP(folder).encode_image(files), image.numpy(), atol=1e-3)
    config = runs / "named" / "model" / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    for shared, features in ((True, 513), (False, 512)):  # of 512 numbers a picture
        wrong = {**settings, "name_features": features, "name_features_shared": shared}
        config.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(ModelMismatch, match=f"name_features={features}, but the image tower makes 512"):
            load_model(runs / "named" / "model")


def test_a_names_part_stands_beside_a_query_bank(world: Path, runs: Path, classes: Path) -> None:
    bank = {"kind": "'query_bank'", "batch": 48, "pictures": NAMES_STAGE["pictures"], "languages": "{english = 1}"}
    changes = section("asked", start="'teacher'", **bank)
    changes += section("both", start="'asked'", classes=f"'{classes}'", **{**NAMES_STAGE, "steps": 2})
    read = recipe(world, *changes)
    run_stage(read, "asked", runs, Notes())
    run_stage(read, "both", runs, Notes())
    (before, processor), (after, _) = (load_model(runs / name / "model") for name in ("asked", "both"))
    assert (after.config.query_bank, after.config.names) == (before.config.query_bank, 12)
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "dev")
    pixels = Pixels.of(processor).read([p.path for p in shapes])
    with torch.inference_mode():
        image = after.get_image_features(pixels).pooler_output
        assert torch.allclose(image[:, :16], before.get_image_features(pixels).pooler_output * 0.5**0.5, atol=1e-5)


@pytest.mark.parametrize("length", [1.0, 0.0])
def test_the_names_part_counts_nothing_for_unknown_kinds(world: Path, runs: Path, classes: Path, length: float) -> None:
    night = write_negatives(world, runs / "night")
    kinds = {"familiar_pictures": NAMES_STAGE["pictures"], "unfamiliar_pictures": f"[{{folder = '{night}'}}]"}
    stage = {**NAMES_STAGE, "start": "'teacher'", "classes": f"'{classes}'", "steps": 2, "familiar_batch": 48}
    stage["length"] = length
    run_stage(recipe(world, *section("kinds", **stage, **kinds)), "kinds", runs, Notes())
    model, processor = load_model(runs / "kinds" / "model")
    lengths = {}
    for folder in (world / "shapes", night):
        pixels = Pixels.of(processor).read([p.path for p in read_pictures(folder, ("caption_en",), (), "train")])
        with torch.inference_mode():
            lengths[folder] = model.get_image_features(pixels).pooler_output[:, 16:-1].norm(dim=1).mean() * 2**0.5
    assert lengths[world / "shapes"] > 0.7
    assert lengths[night] < 0.1
    with pytest.raises(RecipeError, match="are told from `unfamiliar_pictures`"):
        recipe(world, *section("kinds", **stage, familiar_pictures=NAMES_STAGE["pictures"]))


def test_a_length_of_0_leaves_doubtful_names_parts_as_long(world: Path, runs: Path, classes: Path) -> None:
    stage = {**NAMES_STAGE, "start": "'teacher'", "classes": f"'{classes}'", "steps": 2}
    parts = {}
    for name, length in (("one", 1.0), ("half", 0.5), ("none", 0.0)):
        run_stage(recipe(world, *section(name, **stage, length=length)), name, runs, Notes())
        model, processor = load_model(runs / name / "model")
        pixels = Pixels.of(processor).read([p.path for p in read_pictures(world / "shapes", ("caption_en",), ())])
        with torch.inference_mode():
            parts[length] = model.get_image_features(pixels).pooler_output[:, 16:-1] * 2**0.5
    plain, half, whole = (found.norm(dim=1) for found in parts.values())
    assert plain.min() < 0.99
    assert torch.allclose(half, plain.sqrt(), atol=1e-4)
    assert torch.allclose(whole, torch.ones(len(whole)), atol=1e-4)
    assert torch.allclose(l2_normalize(parts[0.0], dim=1), l2_normalize(parts[1.0], dim=1), atol=1e-4)


def test_malformed_classes_or_those_of_another_tower_fail(
    world: Path, runs: Path, classes: Path, tmp_path: Path
) -> None:
    def attempt(said: str, weight: np.ndarray, kind: type[Exception] = DataError, **listing: object) -> None:
        path = tmp_path / "bad"
        np.savez(path.with_suffix(".npz"), weight=weight, bias=np.zeros(len(weight), np.float32))
        whole = {"exclusive": 2, "words": [{"text": "cat", "classes": [1]}], "others": [], **listing}
        path.with_suffix(".json").write_text(json.dumps(whole), encoding="utf-8")
        read = recipe(world, *section("bad", start="'teacher'", classes=f"'{path}'", **NAMES_STAGE))
        refused(read, "bad", runs, said, kind)

    good = np.zeros((2, 8), np.float32)
    attempt("a classifier of 8 numbers, the image tower makes", good)
    attempt("names no class below 2", good, words=[{"text": "cat", "classes": [2]}])
    attempt("3 exclusive of 2 classes", good, exclusive=3)
    attempt("0 words", good, words=[{"text": "cat", "classes": [0], "held": True}])
    attempt("not finite", good + np.nan)
    attempt("Named classes are a .npz", good, words=5)
    attempt("is no list of texts", good, others="في بيت")
    missing = recipe(world, *section("bad", start="'teacher'", classes="'nowhere'", **NAMES_STAGE))
    refused(missing, "bad", runs, "nowhere", DataError)
    other = section("bad", start="'teacher'", classes=f"'{classes}'", vision=f"'{world}/vit'", **NAMES_STAGE)
    refused(recipe(world, *other), "bad", runs, "cannot share blocks", RecipeError)


def test_a_finished_names_stage_is_refused_for_other_classes(world: Path, runs: Path, classes: Path) -> None:
    stage = {**NAMES_STAGE, "steps": 2, "start": "'teacher'", "classes": f"'{classes}'"}
    read = recipe(world, "stages=['named']", *section("named", vision=f"'{world}/cnn'", shared_blocks=2, **stage))
    assert run_all(read, runs, Notes()) == run_all(read, runs, Notes()) == {"named": {}}
    listing = classes.with_suffix(".json")
    listing.write_text(listing.read_text(encoding="utf-8").replace("red circle", "round"), encoding="utf-8")
    with pytest.raises(RunMismatch, match=r"named is done, but with other data: .*classes.json changed since"):
        run_all(read, runs, Notes())


def test_a_damaged_file_of_named_classes_is_a_data_error(classes: Path) -> None:
    arrays = classes.with_suffix(".npz")
    whole, refusals = arrays.read_bytes(), 0
    assert read_named_classes(classes)
    for place in range(0, len(whole), 50):
        arrays.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_named_classes(classes)
        except DataError:  # anything else is a fault
            refusals += 1
    assert refusals
