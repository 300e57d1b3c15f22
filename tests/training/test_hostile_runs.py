"""Recipes and run folders of strangers: bounded, checked by key, refused in one line; and a sample of the trials."""

import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from araclip.errors import AraCLIPError, RecipeError, RunMismatch
from araclip.training.loop import checkpoint
from araclip.training.loop.run_folder import Run
from araclip.training.loop.train_loop import BestWeights
from araclip.training.recipe.recipe import read_recipe
from araclip.training.stages.dispatch import run_stage
from hostile_inputs import KINDS, write_run
from input_damage import byte_damages, json_damages
from toy_training import Notes

pytestmark = pytest.mark.usefixtures("small_models")

# ------------------------------------------------------------------ recipes


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000 + "]" * 100_000, "a = nan", "'" * 100_001])
def test_a_toml_text_of_any_shape_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.toml").write_text(text, "utf-8")
    with pytest.raises(RecipeError) as refusal:
        read_recipe(tmp_path / "recipe.toml")
    assert "\n" not in str(refusal.value)


VALUES = (
    "[]", "{}", '"x"', "-1", "0", "1.5", "inf", "true", "1979-05-27", "07:32:00", "10000000000000000000000",
    "1000000000000", "[[[[1]]]]", '["a\\u0000b"]', "[1, 'x']", "[{}]", "{x = {}}", '"../../x"', "-1e300",
)  # fmt: skip
KEYS = (
    "name", "data", "stages", "model", "model.projection_dim", "model.matryoshka_dims", "model.text", "model.vision",
    "pictures", "pictures.a", "pictures.a.folder", "sources", "one.kind", "one.pictures", "one.pictures.a", "one.steps",
    "one.batch", "one.dropout", "one.languages", "one.languages.arabic", "one.dev", "one.dev.folder", "one.lr_text",
    "one.dev.captions", "two.extends", "two.sources", "two.losses", "two.losses.cosine", "two.start", "two.model",
    "two.image.views", "extends", "one", "two.seed", "two.ema", "two.warmup",
)  # fmt: skip
RECIPE = """name = "r"
[model]
text = "x"
[pictures]
a = { split = "train" }
[one]
kind = "captions"
pictures = { a = 1, b = 2 }
dev = { folder = "a" }
[two]
extends = "one"
kind = "distill"
pictures = []
sources = [{ path = "a.tsv" }]
"""


@pytest.mark.parametrize("key", KEYS)
def test_any_value_of_any_key_is_read_or_refused_in_one_line(tmp_path: Path, key: str) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    for value in VALUES:
        try:
            read_recipe(tmp_path / "recipe.toml", [f"{key}={value}"])
        except RecipeError as refusal:
            assert "\n" not in str(refusal)
    with pytest.raises(RecipeError, match=r"projection_dim is 1000000000000, expected 1 to 100,000"):
        read_recipe(tmp_path / "recipe.toml", ["model.projection_dim=1000000000000"])


# ------------------------------------------------------------------ checkpoints


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at its fourth step."""
    folder = tmp_path_factory.mktemp("stopped")
    write_run(folder)
    return folder


class Pickled:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.path, "ran")


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "other keys": lambda state: [state.pop(key) for key in ("weights", "ema")],
    "no optimizer": lambda state: state.pop("optimizer"),
    "no means": lambda state: state.pop("ema"),
    "fewer weights": lambda state: state["weights"].pop(),
    "another shape": lambda state: state["weights"].__setitem__(0, torch.zeros(3)),
    "one number for a matrix": lambda state: state["weights"].__setitem__(0, torch.zeros(1)),
    "NaN": lambda state: state["weights"].__setitem__(0, torch.full_like(state["weights"][0], torch.nan)),
    "texts": lambda state: state.update(weights=["x"]),
    "a number": lambda state: state.update(weights=3),
    "another optimizer": lambda state: state["optimizer"].update(param_groups=[]),
    "other averages": lambda state: next(iter(state["optimizer"]["state"].values())).update(exp_avg=torch.zeros(7)),
    "sums that are none": lambda state: state.update(sums=["x"]),
    "best that is none": lambda state: state.update(best={"recall": 3, "waited": []}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_whole_checkpoint_of_something_else_is_named(stopped: Path, tmp_path: Path, change: str) -> None:
    (step, path) = checkpoint._checkpoints(stopped / "runs" / "captions")[-1]
    state = torch.load(path, weights_only=True)
    CHANGES[change](state)
    runs = shutil.copytree(stopped / "runs", tmp_path / "runs")
    checkpoint.save(runs / "captions", step, state)
    before = sorted(runs.rglob("*"))
    with pytest.raises(RunMismatch, match=r"step.*--fresh") as refusal:
        run_stage(read_recipe(stopped / "r.toml"), "captions", runs, Notes())
    assert "\n" not in str(refusal.value)
    assert sorted(runs.rglob("*")) == before


def test_a_pickle_in_place_of_a_checkpoint_is_not_run(stopped: Path, tmp_path: Path) -> None:
    runs = shutil.copytree(stopped / "runs", tmp_path / "runs")
    (step, path) = checkpoint._checkpoints(runs / "captions")[-1]
    checkpoint._write_state(path, {"weights": Pickled(tmp_path / "ran")})
    with pytest.raises(RunMismatch, match=rf"{path.name} is no checkpoint of a run .*nothing of it was run"):
        run_stage(read_recipe(stopped / "r.toml"), "captions", runs, Notes())
    assert step and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_best_weights_that_are_gone_or_damaged_say_so(tmp_path: Path, content: bytes | None) -> None:
    run = Run(tmp_path, True, print, [])
    best = BestWeights(run, [nn.Parameter(torch.zeros(2))], 1)
    best.update({"R@1": 0.5}, 1)
    best.path.unlink()
    if content is not None:
        best.path.write_bytes(content)
    with pytest.raises(RunMismatch, match=r"best-000001\.pt cannot be used .*--fresh"):
        best.restore()


def test_best_weights_after_the_checkpoint_are_not_of_the_run(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.zeros(2))
    killed, stored = BestWeights(Run(tmp_path, True, print, []), [weight], 3), list[dict[str, Any]]()
    for step, recall in ((1, 0.2), (2, 0.3), (3, 0.5), (4, 0.6), (5, 0.7)):
        with torch.no_grad():
            weight.fill_(step)
        killed.update({"R@1": recall}, step)
        if step % 2 == 0:
            stored.append(killed.state_dict())
            killed.delete_older()
    resumed = BestWeights(Run(tmp_path, True, print, []), [weight], 3)
    for state, step in zip(stored, (2, 4), strict=True):
        resumed.load_state_dict(state)
        assert resumed.restore() == state["recall"]
        assert weight.tolist() == [step, step]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"best-{step:06}.pt" for step in (2, 4, 5)]
    resumed.delete_older()
    resumed.delete_older()
    assert [path.name for path in tmp_path.iterdir()] == ["best-000004.pt"]


# ------------------------------------------------------------------ a sample of tests/trials/training_inputs.py


SAMPLED = (
    "araclip",
    "open_clip",
    "clip",
    "sentence-transformers",
    "saved",
    "set",
    "coco",
    "classes",
    "text",
    "concepts",
    "tar",
)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sample_of_damages_ends_in_errors_of_ours_or_in_use(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    (tmp_path / "whole").mkdir()
    kind.write(tmp_path / "whole")
    files = sorted({path for pattern in kind.damaged for path in (tmp_path / "whole").glob(pattern) if path.is_file()})
    found = []
    for path in files:
        of_json = path.suffix in (".json", ".jsonl") and path.name != "tokenizer.json"
        own = [*byte_damages(path), *(json_damages(path) if of_json else ())]
        found += [(path.relative_to(tmp_path / "whole"), what, damage) for what, damage in own]
    for number, (path, what, damage) in enumerate(random.Random(name).sample(found, 4)):
        copied = shutil.copytree(tmp_path / "whole", tmp_path / f"{number}" / "input")
        damage(copied / path)
        with warnings.catch_warnings(action="ignore"):
            try:
                kind.read(copied)
            except AraCLIPError as refusal:
                assert "\n" not in str(refusal), what
