"""Runs one stage of a recipe, or all of them in order."""

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from araclip.core import atomic, bounded_json
from araclip.errors import DataError, RunMismatch
from araclip.models.folder import sha256
from araclip.training.loop.processes import is_main_process
from araclip.training.loop.run_folder import (
    HOW,
    Reporter,
    delete_run,
    differences,
    join_first,
    without_nulls,
    writing,
)
from araclip.training.recipe.files import files_of, stamp
from araclip.training.recipe.recipe import Recipe
from araclip.training.recipe.stages import KINDS, Stage, with_defaults
from araclip.training.stages.captions import captions
from araclip.training.stages.dev_recall import dev_fingerprint
from araclip.training.stages.distill import distill
from araclip.training.stages.finetune import finetune
from araclip.training.stages.linear import linear
from araclip.training.stages.mistakes import check_stages
from araclip.training.stages.starting_model import StageContext, beginning, models_of, result_of

RunStage = Callable[[Any, StageContext], dict[str, float]]
# Kind of a stage → the function that runs it, saves its model in `runs/<name>/model` and returns its dev recall. After
# any interruption the same command resumes from the last checkpoint.
RUN: dict[str, RunStage] = {"captions": captions, "linear": linear, "distill": distill, "finetune": finetune}


def add_kind(stage: type[Stage], run: RunStage) -> None:
    """Let this program's recipes have stages of one more kind: `stage` reads its section, `run` runs it, see `RUN`."""
    KINDS[stage.kind], RUN[stage.kind] = stage, run


def run_stage(recipe: Recipe, name: str, runs: Path, reporter: Reporter, *, fresh: bool = False) -> dict[str, float]:
    """Run one stage, or resume it where it stopped; with `fresh`, delete an earlier run of the stage and begin anew.

    Return the dev recall (empty without a dev set), which is also written to `runs/<name>/result.json`.
    """
    stage = recipe.stage(name)
    # Stamps and hashes are taken before the stage reads its files and models, so that a later change is noticed.
    files = {str(path): stamp(path) for _, path in files_of(stage)}
    stamps = {**files, **_weight_hashes(recipe, name, runs)}
    recall = RUN[stage.kind](stage, StageContext(recipe, name, runs, reporter, fresh))
    atomic.write_text(runs / name / STAMPS, json.dumps(stamps, ensure_ascii=False, indent=2) + "\n")
    atomic.write_text(_result_file(runs, name), json.dumps(recall, indent=2) + "\n")
    return recall


def run_all(recipe: Recipe, runs: Path, reporter: Reporter, *, fresh: bool = False) -> dict[str, dict[str, float]]:
    """Run the stages that the recipe's `stages` lists, in order; skip a stage that has a result, unless `fresh`.

    Return the dev recall of each stage. A result is a RunMismatch if the recipe or the data has changed since, or if
    the model that the stage started from was trained again.
    """
    done = {
        name: _check_finished(recipe, name, runs)
        for name in recipe.order
        if not fresh and _result_file(runs, name).exists()
    }
    trained = [name for name in recipe.stages if (result_of(runs, name) / "config.json").exists()]
    check_stages(recipe, [name for name in recipe.order if name not in done], trained)
    if fresh:  # delete all runs first: if this run is interrupted, the next one must not go on with old later stages
        folders = [runs / name for name in recipe.order if (runs / name).is_dir()]
        with ExitStack() as locks:
            if is_main_process():
                for folder in folders:
                    locks.enter_context(writing(folder))
                for folder in folders:
                    delete_run(folder)
    for name in done:
        reporter.log(f"{name} is done ({_result_file(runs, name)}); --fresh does it again")
    return {
        name: done[name] if name in done else run_stage(recipe, name, runs, reporter, fresh=fresh)
        for name in recipe.order
    }


def _result_file(runs: Path, name: str) -> Path:
    return runs / name / "result.json"


def _check_finished(recipe: Recipe, name: str, runs: Path) -> dict[str, float]:
    result, again = _result_file(runs, name), f"Do it again: `araclip train {name} … --fresh`."
    try:
        recall: dict[str, float] = bounded_json.read(result, kind=dict, error=RunMismatch)
        config = bounded_json.read(runs / name / "config.json", kind=dict, error=RunMismatch)
        before = dict(without_nulls(with_defaults(config["recipe"], recipe.stage(name))))
        began = dict(config["data"])
    except (RunMismatch, LookupError, TypeError, ValueError) as error:
        raise RunMismatch(f"{runs / name} has a result, but not what it was made with ({error}). {again}") from error
    now = without_nulls(to_jsonable_python(recipe.stage(name)))
    for key, value in beginning(recipe, name).items():
        before[key], now[key] = began.get(key), value
    if differing := {key: line for key, line in differences(before, now).items() if key.split(".")[0] not in HOW}:
        raise RunMismatch(f"{name} is done, but by another recipe: {join_first(differing)}. {again}")
    if changed := _changed_files(recipe.stage(name), runs / name, " ".join(map(str, began.values()))):
        raise RunMismatch(f"{name} is done, but with other data: {changed} changed since. {again}")
    with suppress(DataError):  # the dev set is gone: it cannot be compared any more
        if "dev" in began and dev_fingerprint(recipe.stage(name)) != began["dev"]:
            raise RunMismatch(f"{name} is done, but its dev set, which chose its weights, changed since. {again}")
    stored = _stored_stamps(runs / name)
    for start, weights in _weight_hashes(recipe, name, runs).items():
        if weights and stored.get(start, weights) != weights:  # a model that is gone cannot be compared
            raise RunMismatch(f"{name} is done, but {start}, whose model it uses, was trained again. {again}")
    return recall


# Name of the file in a run's folder which records what the stage read: each file → its size and time of change; each
# "stage NAME" or folder whose model the stage used → the SHA-256 of that model's weights.
STAMPS = "files.json"


def _weight_hashes(recipe: Recipe, name: str, runs: Path) -> dict[str, str]:
    """Return the SHA-256 of each weights file of the models that a stage uses, by "stage NAME" or folder.

    "" for a model that is neither a stage nor a folder with weights here, such as a model of the hub.
    """
    hashes: dict[str, str] = {}
    for model in {model for _, model in models_of(recipe, name)}:
        is_stage = model in recipe.stages
        folder = result_of(runs, model) if is_stage else Path(model)
        files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.onnx")])
        hashes[f"stage {model}" if is_stage else model] = " ".join(map(sha256, files))
    return hashes


def _stored_stamps(folder: Path) -> dict[str, Any]:
    """Return what the file STAMPS in a run's folder holds; empty if it is missing, as in an earlier release's run."""
    stored = folder / STAMPS
    return bounded_json.read(stored, kind=dict, error=RunMismatch) if stored.exists() else {}


def _changed_files(stage: Stage, folder: Path, fingerprints: str) -> str:
    """Name the files of a finished stage that changed so that the stage would learn from other data; "" if none did.

    The data is read only if a file has another size or time than before. If a file is gone, nothing is compared.
    """
    now, before = {str(path): stamp(path) for _, path in files_of(stage)}, _stored_stamps(folder)
    changed = [path for path, about in now.items() if about != before.get(path)]
    if not changed or None in now.values():
        return ""
    with suppress(DataError):  # pictures are gone: what the stage learned from cannot be compared any more
        if not all(found in fingerprints for found in stage.fingerprints()):
            return ", ".join(changed)
    return ""
