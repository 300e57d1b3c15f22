"""The stage that joins image towers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize as l2_normalize
from transformers import TimmWrapperModel

from araclip.errors import RecipeError, RunMismatch
from araclip.evaluation.sets import read_pictures
from araclip.training.model.branches import first_branches, joined, with_map_scale
from araclip.training.model.saved_models import load_model
from araclip.training.stages.dispatch import run_all, run_stage
from ensemble import route_last, with_gate
from toy_stages import dev_recall, section, student
from toy_training import NAMES, SIZE, TRAINING, Notes, recipe, write_negatives

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")


def test_image_towers_of_one_text_space_become_one(world: Path, runs: Path, tmp_path: Path) -> None:
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
    more = {**shared, "start": "'both'", "train_text": "'full'", "image_precision": "'pointwise'"}
    read = recipe(world, *changes, *section("more", **more))
    for name in members:
        run_stage(read, name, runs, Notes())
    found = run_stage(read, "both", runs, Notes())
    models = {name: load_model(runs / name / "model")[0] for name in (*members, "both")}
    pixels = torch.randn(3, 3, SIZE, SIZE)
    vectors = {name: model.eval().get_image_features(pixels).pooler_output.detach() for name, model in models.items()}
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
    with pytest.raises(RecipeError, match="an ensemble has two members or more"):
        recipe(world, *section("both", kind="'ensemble'", members=["one"]))
    with pytest.raises(RecipeError, match="names a member twice"):
        recipe(world, *section("both", kind="'ensemble'", members=["one", "one"]))


def test_an_image_tower_of_another_space_joins_an_ensemble(world: Path, runs: Path) -> None:
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
        weights = runs / again / "model" / "model.safetensors"
        before = weights.read_bytes()
        weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))  # as if it was trained otherwise
        with pytest.raises(RunMismatch, match=f"{out_of_date} is done, but stage {again}, whose model it uses"):
            run_all(ordered, runs, Notes())
        weights.write_bytes(before)
    assert run_all(ordered, runs, Notes()).keys() == set(ordered.order)
    for name, tensor in models["both"].state_dict().items():
        if name.startswith("text_"):
            assert torch.equal(models["all"].state_dict()[name], tensor), name
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    pixels = load_model(runs / "all" / "model")[1](images=[Image.open(p.path) for p in shapes], return_tensors="pt")
    vectors = {name: model.eval().get_image_features(**pixels).pooler_output.detach() for name, model in models.items()}
    assert not torch.allclose(vectors["own"], vectors["mapped"], atol=1e-3)
    assert len(models["all"].vision_model.branches) == 3
    lengths = [vectors[name].norm(dim=1).mean() for name in ("both", "mapped")]
    even = [vectors[name] / length for name, length in zip(("both", "mapped"), lengths, strict=True)]
    wanted = (2 * even[0] + even[1]) / 3 * sum(lengths) / 2  # each branch counts the same, at the members' mean length
    assert torch.allclose(vectors["all"], wanted, atol=1e-4 * float(sum(lengths)))
    run_stage(read, "narrow_one", runs, Notes())
    with pytest.raises(RecipeError, match="text tower from both, whose vectors are 16 wide, but pictures' are to be 8"):
        run_stage(read, "narrow", runs, Notes())


def test_an_expert_contributes_on_pictures_like_its_own(world: Path, runs: Path) -> None:
    night = write_negatives(world, runs / "night")
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
        *section("routed", expert_weight=10, expert_routed=True, **joined, **told),
        *section("more", kind="'finetune'", start="'both'", pictures=shapes, steps=1, batch=8),
        *section("again", **{**joined, **told, "expert": "'both'"}),
    ]
    read = recipe(world, *changes)
    for name in ("nightly", "both", "routed", "more"):
        run_stage(read, name, runs, Notes())
    (teacher, processor), (nightly, _), (both, _), (routed, _) = (
        load_model(runs / name / "model") for name in ("teacher", "nightly", "both", "routed")
    )

    def vectors(model: Any, folder: Path) -> torch.Tensor:
        found = read_pictures(folder, ("caption_en",), (), "train")
        pixels = processor(images=[Image.open(picture.path) for picture in found], return_tensors="pt")
        with torch.inference_mode():
            return l2_normalize(model.eval().get_image_features(**pixels).pooler_output, dim=-1)

    assert [branch.gate is not None for branch in both.vision_model.branches] == [False, True]
    assert (vectors(both, world / "shapes") * vectors(teacher, world / "shapes")).sum(dim=1).mean() > 0.95
    assert (vectors(both, night) * vectors(nightly, night)).sum(dim=1).mean() > 0.9
    assert (vectors(teacher, night) * vectors(nightly, night)).sum(dim=1).mean() < 0.8  # so it was the expert
    assert torch.allclose(vectors(routed, night), vectors(both, night), atol=1e-5)
    assert torch.allclose(vectors(routed, world / "shapes"), vectors(teacher, world / "shapes"), atol=1e-5)
    assert len(load_model(runs / "more" / "model")[0].vision_model.branches) == 2
    with pytest.raises(RecipeError, match="an expert is an image tower of timm"):
        run_stage(read, "again", runs, Notes())
    for missing in ("pictures", "expert_pictures"):
        partial = {**joined, **told, missing: []}
        with pytest.raises(RecipeError, match="an expert needs `expert_pictures`"):
            recipe(world, *section("both", **partial))
    with pytest.raises(RecipeError, match="an expert needs `expert_pictures`"):
        recipe(world, *section("both", **{**joined, "members": ["teacher", "nightly"], "expert_routed": True}))


def test_an_ensemble_of_sigmoid_models_has_mean_scales(world: Path, runs: Path) -> None:
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


def test_a_gated_branch_keeps_the_size_of_its_maps_among_others(world: Path) -> None:
    plain = TimmWrapperModel.from_pretrained(world / "cnn").eval()
    small = with_map_scale(plain, 2, 0.5)
    width = small.config.hidden_size
    gated = with_gate(small, 2, torch.ones(width), torch.zeros(()))
    both = joined([plain, gated], 2)
    assert (both.config.map_scales, both.config.gated) == ([1.0, 0.5], [1])
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, first, second = (tower(pixel_values=pixels).pooler_output for tower in (both, plain, small))
    assert torch.allclose(found[:, :width], first, atol=1e-5)
    assert torch.allclose(found[:, width:], second * torch.sigmoid(second.sum(dim=1, keepdim=True)), atol=1e-5)
    assert not torch.allclose(first, second, atol=1e-2)
    assert first_branches(both, width).config.map_scales == [1.0]
    with pytest.raises(RecipeError, match=r"map_scale is for image towers .* without a gate"):
        with_map_scale(both, 2, 0.5)


def test_maps_of_another_size_are_for_all_branches_of_ensemble(world: Path) -> None:
    plain = TimmWrapperModel.from_pretrained(world / "cnn").eval()
    two = with_map_scale(joined([plain, with_map_scale(plain, 2, 0.75)], 2), 2, 0.5)
    assert two.config.map_scales == [0.5, 0.5]
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, one = (tower(pixel_values=pixels).pooler_output for tower in (two, with_map_scale(plain, 2, 0.5)))
    assert torch.allclose(found, torch.cat([one, one], dim=1), atol=1e-5)


def test_a_routed_branch_computes_only_rows_of_its_kind(world: Path) -> None:
    plain = TimmWrapperModel.from_pretrained(world / "cnn").eval()
    width = plain.timm_model.head_hidden_size
    gated = joined([plain, with_gate(plain, 2, torch.zeros(width), torch.zeros(()))], 2)
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        every = gated(pixel_values=pixels).pooler_output
        sums = every[:, :width].sum(dim=1)
        level = sums.sort().values[2:4].mean()
        route_last(gated, torch.ones(width), -level)
        whole = joined([gated, plain], 2)
        computed: list[int] = []
        whole.branches[1].register_forward_hook(lambda _, maps, found: computed.append(len(found)))
        some = whole(pixel_values=pixels).pooler_output
    own = sums > level
    assert (computed, int(own.sum()), whole.config.routed) == ([2], 2, [1])
    assert torch.allclose(some[own, : 2 * width], every[own], atol=1e-5)
    assert not some[~own, width : 2 * width].any()
    assert (first_branches(whole, width).config.routed, first_branches(whole, 2 * width).config.routed) == ([1], [])
    with pytest.raises(RecipeError, match="routed branch can only come first"):
        joined([plain, gated], 2)
