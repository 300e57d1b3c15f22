"""Recipes whose sections extend others, sets by name, and errors that name file and key."""

import subprocess
import sys
from pathlib import Path

import pytest

from araclip.errors import RecipeError
from araclip.training.recipe.recipe import read_recipe
from araclip.training.recipe.stages import Distill, Finetune

NAMED = """
data = "/data"

[pictures]
photos = { folder = "more/photos", split = "train", arabic = ["caption_ar", "tags"] }

[sources]
pairs = { path = "pairs.tsv", noise = 0.1 }

[one]
kind = "finetune"
start = "araclip-mini"
steps = 7
languages = { arabic = 0.5, english = 0.5 }
image = { train = "partial", frozen_blocks = 3 }
pictures = { photos = 6, plain = 2, emoji = { noto = 0.1, twemoji = 0.1 } }

[two]
extends = "one"
seed = 1
languages = { english = 1 }
image.views = 3
pictures = { plain = 0, emoji = { noto = 0.3 }, "a folder" = 1 }

[three]
extends = "two"
model = { text = "a/b" }
pictures = [{ folder = "alone" }]

[distill]
sources = { pairs = 3, "other.tsv" = 1 }
"""


def written(folder: Path, text: str = NAMED, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def finetune(path: Path, name: str, *changes: str) -> Finetune:
    stage = read_recipe(path, changes).stage(name)
    assert isinstance(stage, Finetune)
    return stage


# ------------------------------------------------------------------ named sets


def test_sets_by_name_have_keys_share_and_group(tmp_path: Path) -> None:
    found = [(p.folder, p.share, p.split, p.group) for p in finetune(written(tmp_path), "one").pictures]
    assert found == [
        (Path("/data/more/photos"), 6.0, "train", ""),
        (Path("/data/plain"), 2.0, None, ""),
        (Path("/data/noto"), 0.1, None, "emoji"),
        (Path("/data/twemoji"), 0.1, None, "emoji"),
    ]
    distill = read_recipe(written(tmp_path)).stage("distill")
    assert isinstance(distill, Distill)
    assert [(s.path, s.weight, s.noise) for s in distill.sources] == [
        (Path("/data/pairs.tsv"), 3.0, 0.1), (Path("/data/other.tsv"), 1.0, 0.0),
    ]  # fmt: skip


# ------------------------------------------------------------------ extends


def test_section_has_keys_of_one_it_extends_and_its_own_count(tmp_path: Path) -> None:
    one, two = (finetune(written(tmp_path), name) for name in ("one", "two"))
    assert (two.kind, two.steps, two.start, two.seed, one.seed) == ("finetune", 7, "araclip-mini", 1, 0)
    assert two.languages == {"english": 1.0}  # replaced as a whole
    assert (two.image.train, two.image.frozen_blocks, two.image.views) == ("partial", 3, 3)  # merged key by key


def test_shares_of_a_few_sets_are_changed_and_0_leaves_one_out(tmp_path: Path) -> None:
    two = finetune(written(tmp_path), "two")
    assert [(p.folder.name, p.share) for p in two.pictures] == [
        ("photos", 6.0), ("noto", 0.3), ("twemoji", 0.1), ("a folder", 1.0),
    ]  # fmt: skip


def test_a_list_and_a_model_replace_what_was_inherited(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path))
    three = finetune(written(tmp_path), "three")
    assert [p.folder.name for p in three.pictures] == ["alone"]
    assert three.model is not None
    assert (three.model.text, three.start, three.seed) == ("a/b", None, 1)
    assert recipe.stage("three").kind == "finetune"


def test_a_change_of_a_section_reaches_those_that_extend_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert finetune(path, "two", "one.steps=9").steps == 9
    assert finetune(path, "two", "one.pictures.photos=1").pictures[0].share == 1.0


def test_a_recipe_may_extend_another_file(tmp_path: Path) -> None:
    written(tmp_path)
    text = (
        'extends = "mine.toml"\n[pictures]\nphotos = { split = "dev" }\n[distill]\nsteps = 3\n[new]\nextends = "two"\n'
    )
    path = written(tmp_path, text, "more.toml")
    recipe = read_recipe(path)
    assert list(recipe.stages) == ["one", "two", "three", "distill", "new"]
    distill, new = recipe.stage("distill"), recipe.stage("new")
    assert isinstance(distill, Distill)
    assert (distill.steps, distill.sources) == (3, ())  # a section replaces its namesake
    assert isinstance(new, Finetune)
    assert (new.pictures[0].folder, new.pictures[0].split) == (Path("/data/more/photos"), "dev")
    assert recipe.name == "more"
    written(tmp_path, NAMED.replace("seed = 1", 'seed = "x"'))
    with pytest.raises(RecipeError, match=r"mine.toml: \[two\] seed: 'x' is a str"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nextends = 'b'", r"mine.toml: \[a\] extends 'b', which is no section. Known are a"),
        ("[a]\nextends = 1", r"\[a\] extends '1', which is no section"),
        ("[a]\nextends = 'a'", r"mine.toml: \[a\] extends itself: a → a"),
        ("[a]\nextends = 'b'\n[b]\nextends = 'c'\n[c]\nextends = 'b'", r"\[b\] extends itself: a → b → c → b"),
        ("extends = 'mine.toml'", "extends 'mine.toml', which extends this file"),
        ("extends = 'nowhere.toml'", r"nowhere.toml: .*Give a recipe, a TOML file"),
        ("pictures = 1", r"pictures: 1 is no table. Write \{NAME = \{folder"),
        ("[pictures]\nx = 'folder'", r"mine.toml: \[pictures\] x: 'folder' is no table"),
        ("[pictures]\nx = {fold = 'x'}", r"mine.toml: \[pictures\] x: unknown key 'fold'. Did you mean folder\?$"),
        ("[pictures]\nx = {q = 'x'}", r"mine.toml: \[pictures\] x: unknown key 'q'. Known are folder, share"),
        ("[sources]\nx = {weight = 'x'}", r"mine.toml: \[sources\] x.weight: 'x' is a str, expected float"),
        ("[captions]\npictures = { x = 'y' }", r"mine.toml: \[captions\] pictures\[0\].share: 'y'"),
    ],
)
def test_what_cannot_be_extended_is_refused_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read_recipe(written(tmp_path, text))


# ------------------------------------------------------------------ mistakes


def test_a_mistake_is_named_by_file_and_key(tmp_path: Path) -> None:
    text = "name = 'x'\n\n[distill]\nlosses = {mse = 1}\nsources = [\n {path = 'a'},\n {path = 'b', weight = 'c'},\n]\n"
    with pytest.raises(RecipeError, match=r"mine.toml: \[distill\] sources\[1\].weight: 'c' is a str, expected"):
        read_recipe(written(tmp_path, text))


def test_all_mistakes_are_named_at_once_up_to_ten(tmp_path: Path) -> None:
    text = "[distill]\nsteps = 0\nbatch = 'x'\n[finetune]\nkind = 'magic'\n[captions]\nnois = 1\n"
    with pytest.raises(RecipeError) as caught:
        read_recipe(written(tmp_path, text))
    said = str(caught.value)
    assert "mine.toml has 4 mistakes. [distill]: steps is 0, expected 1 or more. · [distill] batch: 'x'" in said
    assert "· [finetune] has kind 'magic'" in said
    assert "· [captions]: unknown key 'nois'" in said
    many = "[distill]\n" + "".join(f"wrong{number} = 1\n" for number in range(13))
    with pytest.raises(RecipeError, match=r"has 13 mistakes. \[distill\]: .* · And 3 more\.") as caught:
        read_recipe(written(tmp_path, many))
    assert "wrong9" in str(caught.value) and "wrong10" not in str(caught.value)
    assert str(caught.value).count("Known are kind, seed") == 1


def test_an_inherited_mistake_is_named_once_with_the_right_key(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine.toml: \[one\]: unknown key 'stepps'.* Did you mean steps\?$"):
        read_recipe(written(tmp_path, NAMED.replace("steps = 7", "stepps = 7")))


def test_what_was_changed_on_command_line_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine.toml: \[one\] image.views: 'x' is a str"):
        read_recipe(written(tmp_path), ["one.image.views=x"])


def test_reading_a_recipe_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from araclip.training.recipe.recipe import read_recipe; "
        "read_recipe(Path(sys.argv[1])); print({'torch', 'transformers', 'onnxruntime'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, written(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
