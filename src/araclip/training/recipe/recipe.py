"""A recipe: one TOML file a trained model, read into frozen dataclasses.

    name = "my-model"
    stages = ["linear", "distill", "finetune"]      # in this order; each is a section below

    [model]                                         # what the first stage starts from
    text = "aubmindlab/bert-base-arabertv02"

    [distill]
    teacher = "open_clip:ViT-B-16-SigLIP-512/webli"
    sources = [{path = "pairs.tsv.xz"}]

A section's `kind` is captions, linear, distill, ensemble, finetune or query_bank, by default its own name. A stage
starts from the one before it in `stages`, or from what `start` names. Paths are below `data`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from araclip.errors import RecipeError
from araclip.training.recipe.stages import KINDS, ModelSpec, Stage
from araclip.training.recipe.tables import build, set_value, value_of

_TOP: Mapping[str, Any] = {"name": str, "data": Path, "model": dict, "stages": tuple[str, ...]}


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `stages` keeps their order."""

    name: str
    data: Path
    model: ModelSpec
    stages: Mapping[str, Stage]
    order: tuple[str, ...]  # what `araclip train all` runs
    start_of: Mapping[str, str | None]  # the stage or folder each stage starts from; None is [model]

    def stage(self, name: str) -> Stage:
        """One stage by its section's name.

        Raises:
            RecipeError: there is no such section.
        """
        if name not in self.stages:
            raise RecipeError(f"recipe '{self.name}' has no stage '{name}'. It has: {', '.join(self.stages)}.")
        return self.stages[name]


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe file, with `key=value` changes applied: `distill.steps=200`, `data=/somewhere`.

    Raises:
        RecipeError: no such file, no TOML, an unknown key, or a value of the wrong kind; the key is named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}. Give a recipe, a TOML file.") from error
    for change in changes:
        set_value(table, change)
    table.setdefault("name", path.stem)
    return _recipe(table, path)


def _recipe(table: dict[str, Any], path: Path) -> Recipe:
    sections = {key: value for key, value in table.items() if isinstance(value, dict) and key not in _TOP}
    if unknown := sorted(set(table) - set(sections) - set(_TOP)):
        raise RecipeError(f"{path}: unknown key '{unknown[0]}'. Known are {', '.join(_TOP)} and the stages.")
    top = {key: value_of(_TOP[key], table[key], f"{path}: {key}", Path.cwd()) for key in _TOP if key in table}
    data = top.get("data", Path.cwd())
    stages = {name: _stage(name, section, path, data) for name, section in sections.items()}
    order = top.get("stages", tuple(sections))
    if missing := [name for name in order if name not in sections]:
        raise RecipeError(f"{path}: `stages` names '{missing[0]}', but there is no section [{missing[0]}].")
    if len(set(order)) < len(order):
        raise RecipeError(f"{path}: `stages` names a stage twice: {', '.join(order)}. Give each its own section.")
    before = dict(zip(order[1:], order, strict=False))
    start_of = {name: stage.start or before.get(name) for name, stage in stages.items()}
    if circular := [name for name, start in start_of.items() if name == start]:
        raise RecipeError(f"{path}: [{circular[0]}] starts from itself. Name another stage, or a saved model's folder.")
    return Recipe(
        name=top["name"], data=data, model=build(ModelSpec, top.get("model", {}), f"{path}: [model]", data),
        stages=stages, order=order, start_of=start_of,
    )  # fmt: skip


def _stage(name: str, section: dict[str, Any], path: Path, data: Path) -> Stage:
    kind = section.get("kind", name)
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecipeError(f"{path}: [{name}] has kind '{kind}'. Known are {', '.join(KINDS)}.")
    return build(KINDS[kind], {**section, "kind": kind}, f"{path}: [{name}]", data)
