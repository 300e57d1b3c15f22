"""`araclip train all` finds what any stage misses before the first stage runs."""

from pathlib import Path

import pytest

from araclip.errors import RecipeError
from araclip.training.stages.dispatch import run_all
from toy_stages import section
from toy_training import Notes, recipe

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


def said_of(world: Path, runs: Path, *changes: str) -> str:
    """What `train all` says of a recipe before anything is run."""
    with pytest.raises(RecipeError) as caught:
        run_all(recipe(world, *changes), runs, Notes())
    assert [path.name for path in runs.iterdir()] == ["teacher"]
    return str(caught.value)


def test_what_later_stages_miss_is_said_before_the_first_runs(world: Path, runs: Path) -> None:
    (world / "no-listing").mkdir(exist_ok=True)
    said = said_of(
        world, runs, "stages=['linear', 'distill', 'finetune', 'both', 'siblings']",
        # a stage of captions alone needs no picture files
        *section("siblings", kind="'captions'", pictures="[{folder='shapes', images='not-here'}]"),
        *section("linear", sources="[{path='none.tsv'}]", teacher="teachr"),
        *section("distill", start="lineal", sources="[{path='pairs.tsv', templates='none.json'}]"),
        *section("distill", dev="{folder='shapes', captions=['caption_xx']}"),
        *section("finetune", pictures="[{folder='no-listing'}, {folder='shapes', arabic=['ar', 'عربي']}]"),
        *section("finetune", concepts="unnamed", concept_batch=1, concept_weight=1),
        *section("finetune", model='{text = "araclip-minni"}'),
        *section("both", kind="'distill'", start="captions", teacher="'polish'", sources="[{path='pairs.tsv'}]"),
    )  # fmt: skip
    assert "not-here" not in said
    assert said.startswith("recipe 'toy' has 12 mistakes, and no stage was run. "), said
    for mistake in (
        f"[linear] sources[0].path: {world}/none.tsv is missing. Correct the path, or `data`.",
        "[linear] teacher: 'teachr' is no stage, no folder and no model on this machine. Did you mean teacher?",
        "[distill] start: 'lineal' is no stage, no folder and no model on this machine. Did you mean linear?",
        f"[distill] sources[0].templates: {world}/none.json is missing.",
        f"[distill] dev: no line of {world}/shapes/captions.jsonl has caption_xx. Correct the names",
        f"[finetune] pictures[0].folder: {world}/no-listing/captions.jsonl is missing.",
        f"[finetune] pictures[1]: no line of {world}/shapes/captions.jsonl has ar or عربي. ",
        f"[finetune] concepts: {world}/unnamed.npz is missing.",
        f"[finetune] concepts: {world}/unnamed.json is missing.",
        "[finetune] model text: 'araclip-minni' is no stage, no folder and no model on this machine. Did you",
        "[both] teacher: 'polish' is no stage, no folder and no model on this machine.",
        "[both] start: stage 'captions' has no model and does not run before. Run `araclip train captions` first.",
    ):
        assert mistake in said


def test_missing_keys_are_said_before_the_first_stage(world: Path, runs: Path) -> None:
    said = said_of(
        world, runs, "stages=['linear', 'distill', 'finetune']",
        *section("linear", teacher="''"), *section("distill", sources=[], losses="{cosin = 1}"),
        *section("finetune", languages="{arab = 1}", sinks=["wandb"]),
    )  # fmt: skip
    for mistake in (
        "[linear] teacher: a stage of kind 'linear' needs it.",
        "[distill] sources: a stage of kind 'distill' needs it.",
        "[distill] losses: 'cosin' is none of cosine, ",
        "[finetune] languages: 'arab' is none of arabic, english.",
        "[finetune] sinks: 'wandb' is none of tensorboard, trackio.",
    ):
        assert mistake in said


def test_a_model_that_may_be_on_a_hub_is_left_to_its_stage(world: Path, runs: Path) -> None:
    said = said_of(world, runs, "linear.model={text = 'no/where'}")
    assert "[model] text = no/where cannot be loaded" in said
