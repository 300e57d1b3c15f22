"""Every field of every configuration that strangers write, with generated values: used, or refused in one line of ours,
within 5 s of the processor and 1 GB. The model folder's own configuration is in test_model_check."""

import dataclasses
import json
import resource
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.errors import AraCLIPError, RecipeError
from araclip.training.recipe.recipe import read_recipe
from araclip.training.recipe.stages import KINDS as STAGES
from araclip.training.recipe.stages import ModelSpec
from hostile_inputs import KINDS
from input_damage import changed, places
from strange_values import strange_values

pytestmark = pytest.mark.usefixtures("small_models")

SECONDS, MEGABYTES = 5, 1000


@contextmanager
def bounded() -> Iterator[None]:
    """The block is used or refused in one line, within the limits."""
    started, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except AraCLIPError as refusal:
            assert "\n" not in str(refusal)
    assert time.process_time() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) / 1000 < MEGABYTES


# ------------------------------------------------------------------ recipes


def keys_of(kind: Any) -> Iterator[tuple[str, ...]]:
    """The keys of a section, with those of the tables inside."""
    for name, hint in get_type_hints(kind).items():
        yield (name,)
        for part in (hint, *get_args(hint), *(inner for arg in get_args(hint) for inner in get_args(arg))):
            if dataclasses.is_dataclass(part):
                yield from ((name, *rest) for rest in keys_of(part))


KEYS = [
    *(("model", *key) for key in keys_of(ModelSpec)),
    *((kind, *key) for kind, section in STAGES.items() for key in keys_of(section)),
    ("name",), ("data",), ("stages",), ("extends",), ("pictures",), ("sources",),
]  # fmt: skip


def toml(value: Any) -> str:
    """A value in TOML; what TOML cannot say (null) becomes an empty table."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps({} if value is None else value)


def test_the_keys_are_those_of_the_recipe() -> None:
    assert {("finetune", "image", "views"), ("distill", "sources", "path"), ("captions", "dev", "folder")} <= {*KEYS}


@settings(max_examples=100)
@given(key=st.sampled_from(KEYS), value=strange_values(), as_change=st.booleans())
def test_any_key_of_a_recipe_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: tuple[str, ...], value: Any, as_change: bool
) -> None:
    recipe = tmp_path_factory.getbasetemp() / "strange.toml"
    text = f"{'.'.join(key)} = {toml(value)}\n"
    sections = "".join(f"[{kind}]\n" for kind in STAGES if kind != key[0])
    recipe.write_text(sections if as_change else text + sections, "utf-8", errors="surrogatepass")
    with bounded():
        read_recipe(recipe, [text.rstrip("\n").replace(" = ", "=", 1)] if as_change else [])


# ------------------------------------------------------------------ models and data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of one kind of input, undamaged, made once."""

    def folder(name: str) -> Path:
        path = tmp_path_factory.getbasetemp() / "strange" / name
        if not path.exists():
            path.mkdir(parents=True)
            KINDS[name].write(path)
            # once as it is, so that `bounded` measures the reading alone and not the import of libraries
            KINDS[name].read(shutil.copytree(path, path.with_name(f"{name} read")))
        return path

    return folder


DATA = ("set", "coco", "karpathy", "crossmodal", "classes", "concepts")
MODELS = ("araclip", "older", "open_clip", "clip", "altclip", "siglip", "sentence-transformers", "saved", "start")


def one_strange_value(name: str, folder: Path, place: Path, data: st.DataObject) -> None:
    """Copy an input, change one value of one of its JSON files, and use it."""
    files = sorted({path for pattern in KINDS[name].damaged for path in folder.glob(pattern)})
    files = [path for path in files if path.suffix in (".json", ".jsonl") and path.name != "tokenizer.json"]
    path = data.draw(st.sampled_from(files), label="file")
    lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    content = json.loads(lines[0])
    where = data.draw(st.sampled_from(list(places(content))), label="place")
    value = data.draw(st.just(...) | strange_values() if where else strange_values(), label="value")
    copied = shutil.copytree(folder, place / "input")
    (copied / path.relative_to(folder)).write_text("\n".join([json.dumps(changed(content, where, value)), *lines[1:]]))
    with bounded():
        KINDS[name].read(copied)


@settings(max_examples=60)
@given(st.data())
def test_any_field_of_a_data_set_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, whole: Callable[[str], Path], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(DATA), label="kind")
    one_strange_value(name, whole(name), tmp_path_factory.mktemp("set"), data)


@settings(max_examples=40)
@given(st.data())
def test_any_setting_of_a_published_model_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, whole: Callable[[str], Path], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(MODELS), label="kind")
    one_strange_value(name, whole(name), tmp_path_factory.mktemp("model"), data)


def test_what_is_not_changed_is_used(tmp_path: Path, whole: Callable[[str], Path]) -> None:
    for name in DATA:
        KINDS[name].read(shutil.copytree(whole(name), tmp_path / name))
    recipe = tmp_path / "whole.toml"
    recipe.write_text("[captions]\nsteps = 3\n[distill]\n", "utf-8")
    assert read_recipe(recipe).stages["captions"].steps == 3  # type: ignore[attr-defined]
    with pytest.raises(RecipeError, match="steps"):
        read_recipe(recipe, ["captions.steps=[]"])
