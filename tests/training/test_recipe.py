"""Recipes: TOML → frozen dataclasses, every key checked."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.errors import RecipeError
from araclip.training.recipe.recipe import Recipe, read_recipe, set_value
from araclip.training.recipe.stages import Distill, Finetune, ImageSide, Linear

RECIPES = Path(__file__).parents[1].parent / "recipes"
WHOLE = """
stages = ["linear", "distill", "more"]
data = "/data"

[model]
text = "a/b"
matryoshka_dims = [64, 128]

[linear]
teacher = "open_clip:x/y"
sources = [{ path = "pairs.tsv", weight = 2 }]

[distill]
start = "linear"
losses = { mse = 1 }

[more]
kind = "finetune"
model = { text = "c/d", logit_bias = -10 }
pictures = [{ folder = "pictures", share = 3, split = "train", arabic = ["caption_ar", "tags"] }]
image = { train = "partial", frozen_blocks = 2, cache = "maps" }
languages = { arabic = 1, english = 0.5 }
dev = { folder = "/elsewhere", per_picture = 5 }

[spare]
kind = "distill"
"""


def written(folder: Path, text: str = WHOLE) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_into_stages_with_paths_below_data(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path))
    assert recipe.name == "mine"
    assert recipe.order == ("linear", "distill", "more")
    assert recipe.start_of == {"linear": None, "distill": "linear", "more": "distill", "spare": None}
    assert recipe.model.text == "a/b"
    assert recipe.model.matryoshka_dims == (64, 128)
    linear, distill, more = recipe.stage("linear"), recipe.stage("distill"), recipe.stage("more")
    assert isinstance(linear, Linear)
    assert linear.sources[0].path == Path("/data/pairs.tsv")
    assert (linear.sources[0].weight, linear.kind) == (2.0, "linear")
    assert isinstance(distill, Distill)
    assert distill.losses == {"mse": 1.0}
    assert isinstance(more, Finetune)
    assert more.model is not None
    assert more.model.logit_bias == -10.0
    assert more.image == ImageSide("partial", 2, cache=Path("/data/maps"))
    assert more.pictures[0].arabic == ("caption_ar", "tags")
    assert more.dev is not None
    assert (more.dev.folder, more.dev.per_picture) == (Path("/elsewhere"), 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        more.steps = 3  # type: ignore[misc]


def test_without_a_list_all_stages_run_as_they_stand(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, "[distill]\n[finetune]\n"))
    assert recipe.order == ("distill", "finetune")
    assert recipe.start_of == {"distill": None, "finetune": "distill"}
    assert recipe.data == Path.cwd()


def test_a_tower_may_be_a_folder_below_data(tmp_path: Path) -> None:
    (tmp_path / "towers" / "text").mkdir(parents=True)
    (tmp_path / "vit").mkdir()
    models = 'text = "towers/text"\nvision = "towers/none"\n[more]\nkind = "captions"\nmodel = { vision = "vit" }\n'
    recipe = read_recipe(written(tmp_path, f'data = "{tmp_path}"\n[model]\n{models}'))
    assert (recipe.model.text, recipe.model.vision) == (str(tmp_path / "towers" / "text"), "towers/none")
    assert recipe.stage("more").model.vision == "vit"  # a name without a slash may be a stage's


def test_changes_reach_any_key_and_make_sections(tmp_path: Path) -> None:
    changes = [
        "distill.steps=7",
        "data=/other",
        "more.image.views=3",
        "name=yours",
        "linear.teacher=a=b",
        "x.kind=linear",
    ]
    recipe = read_recipe(written(tmp_path), changes)
    more, linear = recipe.stage("more"), recipe.stage("linear")
    assert recipe.stage("distill").steps == 7
    assert isinstance(more, Finetune)
    assert (more.image.views, more.image.frozen_blocks) == (3, 2)
    assert isinstance(linear, Linear)
    assert (recipe.name, recipe.data, linear.teacher) == ("yours", Path("/other"), "a=b")
    assert "x" in recipe.stages


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_every_recipe_of_ours_can_be_read(path: Path) -> None:
    assert isinstance(read_recipe(path, ["data=/data"]), Recipe)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("distill.step=7", r"\[distill\]: unknown key 'step'. Did you mean steps\?$"),
        ("model.vison=x", r"\[model\]: unknown key 'vison'. Did you mean vision\?$"),
        ("distill.qqq=7", r"\[distill\]: unknown key 'qqq'. Known are kind, seed"),
        ("date=x", r"unknown key 'date'. Did you mean data\?$"),
        ("stepz=7", r"unknown key 'stepz'. Known are name, data, model, stages, pictures, sources and the stages"),
        ("distil.steps=7", r"--set: the recipe has no section 'distil'. It has: model, linear, distill, more, spare"),
        ("distill.seed=-1", r"\[distill\]: seed is -1, expected a whole number from 0 to 4,294,967,295"),
        ("distill.steps=many", r"\[distill\] steps: 'many' is a str, expected int"),
        ("distill.steps=7.5", r"\[distill\] steps: 7.5 is a float, expected int"),
        ("distill.steps=true", r"\[distill\] steps: True is a bool, expected int"),
        ("distill.lr_text=true", r"\[distill\] lr_text: True is a bool, expected float"),
        ("distill.precision=float16", r"\[distill\] precision: 'float16' is not one of float32, bfloat16"),
        ("distill.losses=1", r"\[distill\] losses: 1 is no table. Write"),
        ("distill.losses.mse=big", r"\[distill\] losses.mse: 'big' is a str, expected float"),
        ("distill.sources=pairs.tsv", r"\[distill\] sources: 'pairs.tsv' is no list. Write \['pairs.tsv'\]"),
        ("distill.sources=[1]", r"\[distill\] sources\[0\]: 1 is no table"),
        ("distill.sources=[{weight = 1}]", r"\[distill\] sources\[0\]: 'path' is missing"),
        ("distill.losses.mse=-1", r"\[distill\] losses: mse is -1, expected 0 or a positive number"),
        ("distill.sources={a = -1}", r"\[distill\] sources\[0\]: weight is -1, expected a positive number"),
        ("more.pictures={a = 1, b = inf}", r"\[more\] pictures\[1\]: share is inf, expected a positive number"),
        ("sources.a={rows = 0}", r"\[sources\] a: rows is 0, expected 1 or more"),
        ("sources.a={mixed = 2}", r"\[sources\] a: mixed is 2, expected a chance from 0 to 1"),
        ("sources.a={direction = 'ar-en'}", r"\[sources\] a.direction: 'ar-en' is not one of en-ar, en-en, ar-ar"),
        ("sources.a={teacher_template = 'x'}", r"\[sources\] a: teacher_template is x, expected a text with one slot"),
        ("more.dev={split = 'dev'}", r"\[more\] dev: 'folder' is missing"),
        ("more.image.train=half", r"\[more\] image.train: 'half' is not one of locked, partial, full"),
        ("more.image.window=1.5", r"\[more\] image: window is 1.5"),
        ("more.image.views=0", r"\[more\] image: views is 0, expected 1 or more"),
        ("more.image.degradation=0.5", r"\[more\] image: degradation needs views = 3 or more"),
        ("more.dev.per_picture=0", r"\[more\] dev: per_picture is 0, expected 1 or more"),
        ("more.noise=2", r"\[more\]: noise is 2, expected a chance"),
        ("more.captions=0", r"\[more\]: captions is 0, expected 1 or more"),
        ("more.all_captions=true", r'\[more\]: all_captions needs train_text = "locked"'),
        ("more.anchor=1", r"\[more\]: anchor needs `concepts`"),
        ("more.teacher=x", r"\[more\]: teacher goes with distillation"),
        ("more.concept_batch=4", r"\[more\]: .*concept_batch with concept_weight"),
        (
            "more={kind = 'finetune', concept_batch = 4, concept_weight = 1.0}",
            r"\[more\]: concept_batch is a number of class names out of `concepts`",
        ),
        ("distill={kind = 'distill', losses = {mse = 1.0}, matryoshka = true}", r"\[distill\]: mse compares lengths"),
        ("distill.clip=0", r"\[distill\]: clip is 0, expected a positive number, or inf"),
        ("distill.steps=0", r"\[distill\]: steps is 0, expected 1 or more"),
        ("distill.batch=-1", r"\[distill\]: batch is -1, expected 1 or more"),
        ("distill.checkpoint_every=0", r"checkpoint_every is 0, expected 1 or more"),
        ("distill.patience=3", r"\[distill\]: patience needs a dev set that is measured while training"),
        ("distill.dropout=1", r"\[distill\]: dropout is 1, expected a chance"),
        ("distill.train_text=locked", r"\[distill\]: unknown key 'train_text'"),
        ("also={kind = 'captions', noise = 2}", r"\[also\]: noise is 2, expected a chance"),
        ("also={kind = 'captions', train_text = 'locked'}", r"\[also\]: unknown key 'train_text'"),
        (
            "distill.kind=magic",
            r"\[distill\] has kind 'magic'. Known are captions, linear, distill, finetune\.",
        ),
        ("distill.kind=[1]", r"\[distill\] has kind '\[1\]'"),
        ("distill.start=distill", r"\[distill\] starts from itself"),
        ("stages=['magic']", r"`stages` names 'magic', but there is no section \[magic\]"),
        ("stages=['distill', 'distill']", "names a stage twice"),
        ("stages=distill", r"stages: 'distill' is no list"),
        ("model=bert", r"\[model\]: 'bert' is no table"),
        ("model.txt=bert", r"\[model\]: unknown key 'txt'"),
        ("data=5", r"data: 5 is a int, expected"),
        ("distill.steps", "expected key=value, such as distill.steps=200"),
        ("=5", "expected key=value"),
        ("distill.steps.more=5", "'steps' is no section of the recipe"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key_and_both_sides(tmp_path: Path, change: str, said: str) -> None:
    start = WHOLE.replace('start = "linear"', "steps = 3")
    with pytest.raises(RecipeError, match=said):
        read_recipe(written(tmp_path, start), [change])


def test_values_out_of_range_are_named_by_their_keys(tmp_path: Path) -> None:
    sets = """
[distill]
sources = [
  { path = "a.tsv", weight = 2 },
  { path = "b.tsv", noise = 1.5 },
]
[finetune]
pictures = { photos = 1, drawings = -0.5 }"""
    said = r"\[distill\] sources\[1\]: noise is 1.5, .* · \[finetune\] pictures\[1\]: share is -0.5, "
    with pytest.raises(RecipeError, match=said):
        read_recipe(written(tmp_path, sets))
    with pytest.raises(RecipeError, match=r"mine.toml: \[pictures\] photos: share is -1, expected a positive"):
        read_recipe(written(tmp_path, '[pictures]\nphotos = { folder = "x", share = -1 }\n[finetune]\n'))


def test_noise_needs_a_text_tower_that_learns(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="noise needs a text tower that learns"):
        read_recipe(written(tmp_path), ["more.noise=0.1", "more.train_text=locked"])


@pytest.mark.parametrize("text", ["steps = = 3", "\ufffe[a"])
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecipeError, match=r"mine.toml: .*Give a recipe, a TOML file"):
        read_recipe(path)
    with pytest.raises(RecipeError, match=r"other.toml: No such file or directory. Give a recipe, a TOML file"):
        read_recipe(tmp_path / "other.toml")


KEYS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)
VALUES = st.one_of(st.integers(-9, 9), st.booleans(), st.text("xyz", min_size=1))


@settings(max_examples=40)
@given(st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_a_change_sets_its_key_and_no_other(changes: list[tuple[list[str], Any]]) -> None:
    table: dict[str, Any] = {}
    expected: dict[tuple[str, ...], Any] = {}
    for key, value in changes:
        shown = str(value).lower() if isinstance(value, bool) else value
        try:
            set_value(table, f"{'.'.join(key)}={shown}")
        except RecipeError:
            assert any(tuple(key[:n]) in expected for n in range(1, len(key)))
            continue
        expected = {k: v for k, v in expected.items() if k[: len(key)] != tuple(key)} | {tuple(key): value}
    assert _leaves(table) == expected


def _leaves(table: dict[str, Any], way: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        found |= _leaves(value, (*way, key)) if isinstance(value, dict) else {(*way, key): value}
    return found
