"""A recipe: one TOML file a trained model, read into frozen dataclasses.

    name = "my-model"
    stages = ["linear", "distill", "finetune"]      # in this order; each is a section below

    [model]                                         # what the first stage starts from
    text = "aubmindlab/bert-base-arabertv02"

    [distill]
    teacher = "open_clip:ViT-B-16-SigLIP-512/webli"
    sources = [{path = "pairs.tsv.xz"}]

    [again]
    extends = "distill"                             # the same but for the seed
    seed = 1

A section's `kind` is one of `stages.KINDS`, by default its own name. A stage starts from the one
before it in `stages`, or from what `start` names. Paths are below `data`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from araclip.errors import RecipeError
from araclip.training.recipe.extends import NAMED, expand_shares, extend_file, extend_sections, read_named
from araclip.training.recipe.overrides import set_value
from araclip.training.recipe.stages import KINDS, ModelSpec, Stage, StartingStage
from araclip.training.recipe.toml_file import TomlFile

CACHE = "cache"  # folder below --runs of vectors that are computed once, for all stages
MAX_NAME = 200  # bytes; file systems take 255, and temporary folders append to a name
_FOLDER_NAME = re.compile(r"[^/\\:\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*")


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


@dataclass(frozen=True)
class _Top:
    """The keys above the sections."""

    name: str
    data: Path = field(default_factory=Path.cwd)
    stages: tuple[str, ...] | None = None


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe file, with `key=value` changes applied: `distill.steps=200`, `data=/somewhere`.

    Raises:
        RecipeError: no such file, no TOML, an unknown key, or a value of the wrong kind; up to ten mistakes are named,
            each with its line, key and what is allowed.
    """
    file = _open(path, ())
    for change in changes:
        key = set_value(file.table, change)
        file.origin = {known: line for known, line in file.origin.items() if known[: len(key)] != key}
        file.origin[key] = f"--set {change}"
    file.table.setdefault("name", path.stem)
    return _recipe(file)


def _open(path: Path, before: tuple[Path, ...]) -> TomlFile:
    """A recipe file with the sections of the one that it extends."""
    file = TomlFile(path, "Give a recipe, a TOML file.")
    if (named := file.table.pop("extends", None)) is not None:
        base = path.parent / str(named)
        if base.resolve() in before:
            file.refuse(("extends",), f"extends '{named}', which extends this file. Take one of them out.")
        whole = _open(base, (*before, path.resolve()))
        file.table = extend_file(file.table, whole.table)
        file.origin = {**{key: f"{base.name}, {line}" for key, line in whole.origin.items()}, **file.origin}
    return file


def _recipe(file: TomlFile) -> Recipe:
    table = file.table
    named = read_named(file, table)
    model = table.pop("model", {})
    raw = {name: table.pop(name) for name in [key for key, value in table.items() if isinstance(value, dict)]}
    for key in [key for key in table if key not in _Top.__dataclass_fields__]:
        known = ("name", "data", "model", "stages", *NAMED)
        file.mistake((key,), f"unknown key '{key}'. Known are {', '.join(known)} and the stages.")
        del table[key]
    top = file.read(_Top, table)
    for stage in raw:
        if fault := _not_a_folder(stage):
            file.mistake((stage,), f"section {stage!r:.80} {fault}")
    if top is not None and (fault := _not_a_folder(top.name)):
        file.mistake(("name",), f"name {top.name!r:.80} {fault}")
    file.check()
    assert top is not None
    data = Path.cwd() / top.data
    spec = file.read(ModelSpec, model, ("model",), data)
    stages: dict[str, Stage | None] = {}
    for name, section in extend_sections(file, raw).items():
        if not isinstance(kind := section["kind"], str) or kind not in KINDS:
            file.mistake((name, "kind"), f"[{name}] has kind '{kind}'. Known are {', '.join(KINDS)}.")
            continue
        expand_shares(file, name, section, named)
        stages[name] = file.read(KINDS[kind], section, (name,), data)
    file.check()
    order = tuple(raw) if top.stages is None else top.stages
    if missing := [name for name in order if name not in raw]:
        file.mistake(("stages",), f"`stages` names '{missing[0]}', but there is no section [{missing[0]}].")
    if len(set(order)) < len(order):
        file.mistake(("stages",), f"`stages` names a stage twice: {', '.join(order)}. Give each its own section.")
    start_of = _starts(stages, order)
    for name in [name for name, start in start_of.items() if name == start]:
        file.mistake((name, "start"), f"[{name}] starts from itself. Name another stage, or a saved model's folder.")
    file.check()
    return Recipe(top.name, data, cast(ModelSpec, spec), cast(dict[str, Stage], stages), order, start_of)


def _not_a_folder(name: str) -> str | None:
    """Why a name cannot be that of a folder below `--runs`, if it cannot."""
    if name == CACHE:
        return "is the folder of vectors that all stages share. Take another name."
    if not name or name[0] in ".-" or len(os.fsencode(name)) > MAX_NAME or not _FOLDER_NAME.fullmatch(name):
        return (
            "names a folder below --runs. It must be a plain name: without / \\ : and control characters, not "
            f"beginning with . or -, of at most {MAX_NAME} bytes."
        )
    return None


def _starts(stages: Mapping[str, Any], order: Sequence[str]) -> dict[str, str | None]:
    before = dict(zip(order[1:], order, strict=False))
    return {
        name: stage.start or before.get(name) if isinstance(stage, StartingStage) else None
        for name, stage in stages.items()
    }
