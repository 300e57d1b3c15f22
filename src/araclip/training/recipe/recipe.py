"""Reads a recipe, the TOML file that says how one model is trained, into frozen dataclasses.

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

A section's `kind` is one of `stages.KINDS`; by default it is the section's name. A stage starts from the model of
the stage before it in `stages`, or from what `start` names. Paths are relative to the folder `data`.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from araclip.errors import RecipeError
from araclip.training.data.pictures import PictureSource
from araclip.training.data.text import Source
from araclip.training.recipe.stages import KINDS, ModelSpec, Stage, StartingStage
from araclip.training.recipe.toml_file import TomlFile, unknown_key

Table = dict[str, Any]

# a recipe's table of named sets of data → (class of these sets, their key for the path, their key for the share)
NAMED: Mapping[str, tuple[type, str, str]] = {
    "pictures": (PictureSource, "folder", "share"),
    "sources": (Source, "path", "weight"),
}
_MERGED = ("dev", "image", "model")  # tables that `extends` merges key by key, beside those of shares
CACHE = "cache"  # folder below --runs for vectors that are computed once and shared by all stages
MAX_NAME = 200  # most bytes of a name; file systems take 255, and temporary folders append to a name
_FOLDER_NAME = re.compile(r"[^/\\:\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*")


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `stages` holds every section by name, in the file's order."""

    name: str
    data: Path
    model: ModelSpec
    stages: Mapping[str, Stage]
    order: tuple[str, ...]  # the stages that `araclip train all` runs, in this order
    start_of: Mapping[str, str | None]  # name of a stage → the stage or folder that it starts from; None: [model]

    def stage(self, name: str) -> Stage:
        """Return the stage with this section name; an unknown name is a RecipeError."""
        if name not in self.stages:
            raise RecipeError(f"recipe '{self.name}' has no stage '{name}'. It has: {', '.join(self.stages)}.")
        return self.stages[name]


@dataclass(frozen=True)
class _TopLevelKeys:
    """The keys at the top of a recipe file, above all sections."""

    name: str
    data: Path = field(default_factory=Path.cwd)
    stages: tuple[str, ...] | None = None


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key=value` changes: `distill.steps=200`, `data=/somewhere`.

    A RecipeError names up to ten mistakes, each with its key and what is allowed.
    """
    file = _open_with_bases(path, ())
    there = _section_names(file.table)
    for change in changes:
        set_value(file.table, change)
    made = {name for name in _section_names(file.table) if "kind" not in file.table[name]} - {*there, "model", *NAMED}
    if made:
        raise RecipeError(f"--set: the recipe has no section '{min(made)}'. It has: {', '.join(there)}.")
    file.table.setdefault("name", path.stem)
    return _parse_recipe(file)


def _open_with_bases(path: Path, before: tuple[Path, ...]) -> TomlFile:
    """Open a recipe file and add the sections of the file it `extends`.

    `before` has the files that lead here by `extends`; to extend one of these again is a RecipeError.
    """
    file = TomlFile(path, "Give a recipe, a TOML file.")
    if (named := file.table.pop("extends", None)) is not None:
        base = path.parent / str(named)
        if base.resolve() in before:
            file.refuse(("extends",), f"extends '{named}', which extends this file. Take one of them out.")
        whole = _open_with_bases(base, (*before, path.resolve()))
        theirs = {key: whole.files.get(key, base) for key in whole.table}
        file.files = {key: there for key, there in theirs.items() if key not in file.table}
        file.table = {  # a section replaces the section of the same name; [model] and named sets are merged
            **whole.table,
            **{
                key: _merge(whole.table.get(key), value) if key == "model" or key in NAMED else value
                for key, value in file.table.items()
            },
        }
    return file


def _parse_recipe(file: TomlFile) -> Recipe:
    table = file.table
    named = read_named(file, table)
    model = table.pop("model", {})
    raw = {name: table.pop(name) for name in _section_names(table)}
    for key in [key for key in table if key not in _TopLevelKeys.__dataclass_fields__]:
        file.mistake((key,), unknown_key(key, ("name", "data", "model", "stages", *NAMED), " and the stages"))
        del table[key]
    top = file.read(_TopLevelKeys, table)
    for stage in raw:
        if fault := _folder_name_fault(stage):
            file.mistake((stage,), f"section {stage!r:.80} {fault}")
    if top is not None and (fault := _folder_name_fault(top.name)):
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
        for key, shares in section.items():  # {NAME = share} becomes a list of the named sets
            if (table_of := _table_of(key)) and isinstance(shares, dict):
                section[key] = list(_named_sets(shares, named[table_of], table_of))
        stages[name] = file.read(KINDS[kind], section, (name,), data)
    file.check()
    order = tuple(raw) if top.stages is None else top.stages
    if missing := [name for name in order if name not in raw]:
        file.mistake(("stages",), f"`stages` names '{missing[0]}', but there is no section [{missing[0]}].")
    if len(set(order)) < len(order):
        file.mistake(("stages",), f"`stages` names a stage twice: {', '.join(order)}. Give each its own section.")
    before = dict(zip(order[1:], order, strict=False))
    start_of = {
        name: stage.start or before.get(name) if isinstance(stage, StartingStage) else None
        for name, stage in stages.items()
    }
    for name in [name for name, start in start_of.items() if name == start]:
        file.mistake((name, "start"), f"[{name}] starts from itself. Name another stage, or a saved model's folder.")
    file.check()
    return Recipe(top.name, data, cast(ModelSpec, spec), cast(dict[str, Stage], stages), order, start_of)


def _folder_name_fault(name: str) -> str | None:
    """Return why this name cannot be used for a folder below `--runs`, or None if it can."""
    if name == CACHE:
        return "is the folder of vectors that all stages share. Take another name."
    if not name or name[0] in ".-" or len(os.fsencode(name)) > MAX_NAME or not _FOLDER_NAME.fullmatch(name):
        return (
            "names a folder below --runs. It must be a plain name: without / \\ : and control characters, not "
            f"beginning with . or -, of at most {MAX_NAME} bytes."
        )
    return None


# ------------------------------------------------------------------ changes with --set, and `extends`


def set_value(table: dict[str, Any], change: str) -> None:
    """Apply one `key=value` to nested tables: `distill.steps=200`. A value that is not valid TOML is taken as text."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change}: expected key=value, such as distill.steps=200.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        value = text  # no valid TOML, such as a word without quotation marks
    *way, last = key.split(".")
    for part in way:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {change}: '{part}' is no section of the recipe.")
        table = inner
    table[last] = value


def _section_names(table: Mapping[str, Any]) -> list[str]:
    return [key for key, value in table.items() if isinstance(value, dict)]


def extend_sections(file: TomlFile, sections: Mapping[str, Table]) -> dict[str, Table]:
    """Return every section with the keys it inherits through `extends`, and with `kind` filled in.

    A section's own value replaces the inherited one; only the tables in `_MERGED` and those of shares are merged key by
    key. A `model`
    replaces an inherited `start`, and the other way round: both say what a stage begins with.
    """
    done = {}
    for name in sections:
        chain = _extended_chain(file, sections, name)
        merged: Table = {"kind": chain[-1]}
        for section in reversed(chain):
            own = {key: value for key, value in sections[section].items() if key != "extends"}
            for one, other in (("model", "start"), ("start", "model")):
                if one in own and other not in own:
                    merged.pop(other, None)
            tables = {key for key in own if key in _MERGED or _table_of(key)}
            merged |= {key: _merge(merged.get(key), value) if key in tables else value for key, value in own.items()}
        done[name] = merged
    return done


def _table_of(key: str) -> str | None:
    """Return the table in NAMED for a stage's key that lists sets: `pictures`, `expert_pictures`, `sources`."""
    return "pictures" if key.endswith("pictures") else "sources" if key == "sources" else None


def read_named(file: TomlFile, table: Table) -> dict[str, Table]:
    """Take the tables of named sets, [pictures] and [sources], out of a recipe's `table` and return them, checked."""
    tables = {}
    for kind, (cls, path, _) in NAMED.items():
        tables[kind] = table.pop(kind, {})
        if not isinstance(tables[kind], dict):
            file.refuse((kind,), f"{kind}: {tables[kind]!r} is no table. Write {{NAME = {{{path} = …}}}}.")
        for name, keys in tables[kind].items():
            if not isinstance(keys, dict):
                file.refuse((kind, name), f"[{kind}] {name}: {keys!r} is no table. Write {{{path} = {keys!r}}}.")
            file.read(cls, {path: name, **keys}, (kind, name))
    file.check()
    return tables


def _extended_chain(file: TomlFile, sections: Mapping[str, Table], name: str) -> list[str]:
    """List the section's name, the name of the section it extends, and so on to a section that extends none."""
    chain = [name]
    while (base := sections[chain[-1]].get("extends")) is not None:
        at = (chain[-1], "extends")
        if not isinstance(base, str) or base not in sections:
            file.refuse(at, f"[{chain[-1]}] extends '{base}', which is no section. Known are {', '.join(sections)}.")
        if base in chain:
            file.refuse(at, f"[{base}] extends itself: {' → '.join([*chain, base])}. Take one `extends` out.")
        chain.append(base)
    return chain


def _merge(base: Any, own: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return {**base, **{key: _merge(base.get(key), value) for key, value in own.items()}}


def _named_sets(shares: Table, named: Table, kind: str, group: str = "") -> Iterator[Table]:
    """Yield the sets of `pictures = {NAME = share}` or `sources = {NAME = weight}`.

    A NAME that `named` does not define is a path below `data`. Share 0 leaves a set out. {emoji = {NAME = share}}
    makes a group, "emoji", of picture sets.
    """
    _, path, share = NAMED[kind]
    for name, value in shares.items():
        if kind == "pictures" and isinstance(value, dict) and not group:
            yield from _named_sets(value, named, kind, name)
        elif value != 0 or isinstance(value, bool):
            yield {path: name, **named.get(name, {}), share: value, **({"group": group} if group else {})}
