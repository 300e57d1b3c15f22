"""The stage of captions without pictures."""

from pathlib import Path

import pytest

from araclip.errors import DataError
from araclip.training.stages.dispatch import run_stage
from toy_stages import CHANCE, refused, section
from toy_training import NAMES, Notes, losses, recipe, write_lines

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


def test_captions_of_a_picture_come_together_across_languages(world: Path, tmp_path: Path) -> None:
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
