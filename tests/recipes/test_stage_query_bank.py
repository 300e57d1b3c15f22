"""The stage of hubness-corrected scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import RecipeError
from araclip.evaluation.sets import read_pictures
from araclip.training.model.configuration import QUERY_BANK_AXES
from araclip.training.model.heads import IMAGE_SCALE, TEXT_SCALE
from araclip.training.model.saved_models import load_model, load_plain
from araclip.training.stages.dispatch import run_stage
from araclip.training.teachers.teacher import load_teacher
from toy_stages import dev_recall, section, student
from toy_training import NAMES, TRAINING, Notes, recipe

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")


def test_a_query_bank_is_measured_saved_and_left_out_of_training(world: Path, runs: Path) -> None:
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
            l2_normalize(m.get_text_features(**texts).pooler_output)
            @ l2_normalize(m.get_image_features(**pixels).pooler_output).T
            for m in (before, after)
        ]
        vectors = after.get_image_features(**pixels).pooler_output
        popularity = after.visual_projection.popularity(l2_normalize(vectors[:, :-QUERY_BANK_AXES]))
    assert len(after.visual_projection.bank) == len(NAMES)  # each name once
    wanted = TEXT_SCALE * IMAGE_SCALE * (scores[0] - after.config.query_bank_weight * popularity)
    assert torch.allclose(scores[1], wanted, atol=0.05)  # but for the two axes that were given up
    without_query_bank, _ = load_plain(runs / "bank" / "model")  # what stages go on from
    with torch.inference_mode():
        found = [
            l2_normalize(without_query_bank.get_text_features(**texts).pooler_output),
            l2_normalize(without_query_bank.get_image_features(**pixels).pooler_output),
        ]
    assert torch.allclose(found[0] @ found[1].T, scores[0], atol=0.05)
    assert without_query_bank.logit_scale == before.logit_scale
    plain, banked = (load_teacher(f"araclip:{runs / name / 'model'}", "cpu") for name in ("teacher", "bank"))
    assert np.allclose(banked.encode(["red circle"]) @ found[1].T.numpy(), scores[0][:1], atol=0.05)
    assert plain.width == banked.width
    for name in ("more", "mapped", "both"):
        run_stage(read, name, runs, Notes())
        assert load_model(runs / name / "model")[0].config.query_bank == 0
    narrow = section("bank", start="'narrow'", **bank)
    narrow += section("narrow", kind="'finetune'", model=student(world, vision=f"{world}/cnn", projection_dim=2))
    narrow += section("narrow", pictures=pictures, languages="{english = 1}", steps=1, batch=8)
    run_stage(recipe(world, *narrow), "narrow", runs, Notes())
    with pytest.raises(RecipeError, match="query_bank=12 needs linear projections, more than 2 numbers wide"):
        run_stage(recipe(world, *narrow), "bank", runs, Notes(), fresh=True)
