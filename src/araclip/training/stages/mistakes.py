"""Finds mistakes of all stages of a recipe before the first stage runs: missing files, captions and models."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from araclip.core.installed_models import installed
from araclip.errors import InputError, RecipeError
from araclip.evaluation.sets import LISTING, bounded_lines
from araclip.models.folder import existing_folder, names_model_folder
from araclip.training.data.pictures import LANGUAGES
from araclip.training.loop.run_folder import SINKS, import_sink
from araclip.training.losses import DISTILLATION_LOSSES
from araclip.training.recipe.files import files_of, stamp
from araclip.training.recipe.recipe import Recipe
from araclip.training.recipe.stages import Captions
from araclip.training.stages.starting_model import models_of

Mistakes = Iterator[tuple[str, str]]  # (a recipe's key, what is wrong with its value)
_ON_HUB = (
    "text",
    "vision",
)  # ends of keys whose models may come from a hub; others name stages or folders
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def check_stages(recipe: Recipe, names: Sequence[str], trained: Collection[str]) -> None:
    """Raise one RecipeError that lists all mistakes of these stages, such as missing files, captions and models.

    `names` lists the stages in the order in which they will run.

    Of a list of captions, only the lines up to the first with the needed field are read. No model is loaded or looked
    up, so a hub id may still turn out to be wrong. `trained` names stages whose models are there already.
    """
    found: dict[str, str] = {}  # mistake → where it was found first: stages that extend one another share mistakes
    for number, name in enumerate(names):
        ready = {*trained, *names[:number]}
        stage = recipe.stage(name)
        for key, mistake in (
            *_setting_mistakes(stage),
            *_file_mistakes(recipe, name),
            *_caption_mistakes(stage),
            *_model_mistakes(recipe, name, ready),
        ):
            found.setdefault(mistake, f"[{name}] {key}: ")
    if found:
        count = f"{len(found)} mistakes" if len(found) > 1 else "a mistake"
        listed = " · ".join(f"{where}{mistake}" for mistake, where in found.items())
        raise RecipeError(f"recipe '{recipe.name}' has {count}, and no stage was run. {listed}")


def _setting_mistakes(stage: Any) -> Mistakes:
    """Find missing keys of `distill` and `linear` stages, unknown names in lists, and sinks that are not installed."""
    for key in ("teacher", "sources") if stage.kind in ("distill", "linear") else ():
        if not getattr(stage, key):
            yield key, f"a stage of kind '{stage.kind}' needs it. Name it in the stage's section."
    for key, known in (("losses", DISTILLATION_LOSSES), ("languages", LANGUAGES), ("sinks", SINKS)):
        for given in getattr(stage, key, ()):
            if given not in known:
                yield key, f"'{given}' is none of {', '.join(known)}. Correct it, or leave it out."
            elif key == "sinks":
                try:
                    import_sink(given)
                except RecipeError as error:
                    yield key, str(error)


def _file_mistakes(recipe: Recipe, name: str) -> Mistakes:
    stage = recipe.stage(name)
    for key, path in files_of(stage):
        if stamp(path) is None and not (key.endswith(".images") and isinstance(stage, Captions)):
            yield key, f"{path} is missing. Correct the path, or `data`."


def _caption_mistakes(stage: Any) -> Mistakes:
    """Look for the caption fields that the stage reads, in each of its picture sets and in its dev set."""
    read = [language for language in getattr(stage, "languages", ()) if language in LANGUAGES]
    needed = [
        (f"pictures[{i}]", s.folder, [f for language in read for f in getattr(s, language)])
        for i, s in enumerate(stage.pictures if read else ())
    ]
    if stage.dev:
        needed.append(("dev", stage.dev.folder, stage.dev.captions))
    for key, folder, fields in needed:
        listing = folder / LISTING
        marks = [json.dumps(field, ensure_ascii=ascii).encode() for field in fields for ascii in (True, False)]
        try:
            if stamp(listing) and not any(mark in line for _, line in bounded_lines(listing) for mark in marks):
                yield key, f"no line of {listing} has {' or '.join(fields)}. Correct the names of the caption fields."
        except InputError as error:
            yield key, str(error)


def _model_mistakes(recipe: Recipe, name: str, ready: Collection[str]) -> Mistakes:
    for key, model in models_of(recipe, name):
        kind, _, place = model.partition(":")
        if model in recipe.stages:
            if model not in ready:
                yield key, f"stage '{model}' has no model and does not run before. Run `araclip train {model}` first."
        elif kind not in ("open_clip", "transformers"):
            near = get_close_matches(model, [*recipe.stages, *installed()], 1)
            may_be_on_hub = key.endswith(_ON_HUB) and (_HUB_ID.fullmatch(model) or not near)
            local = place if kind == "araclip" else model
            if not (may_be_on_hub or names_model_folder(local) or existing_folder(local)):
                meant = "".join(f" Did you mean {name}?" for name in near)
                yield key, f"'{model}' is no stage, no folder and no model on this machine.{meant}"
