"""config.json of a run folder: the recipe, the data, the code and the packages a run was begun with."""

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from araclip import __version__, atomic, bounded_json
from araclip.errors import RunMismatch
from araclip.training.loop import checkpoint

SHOWN = 8  # differing keys named in a message
# Keys of a stage that decide how it computes and what it reports, not what it learns but for rounding.
HOW = ("chunk", "gradient_checkpointing", "log_every", "checkpoint_every", "sinks")


def begin(
    folder: Path, recipe: Mapping[str, Any], data: Mapping[str, str], *, fresh: bool, log: Callable[[str], None]
) -> dict[str, Any]:
    """Write config.json, or compare with the one that is there.

    Args:
        fresh: delete the checkpoints, metrics, model and config of the run that is there.
        log: called with a line where code, packages or threads differ from those that the run began with.

    Returns:
        What config.json holds.

    Raises:
        RunMismatch: the run that is there had another recipe or other data, or its config.json is damaged or gone.
    """
    path = folder / "config.json"
    if fresh:  # checkpoints first: after a kill in between, the new recipe must not resume from them
        checkpoint.remove_all(folder)
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        shutil.rmtree(folder / "model", ignore_errors=True)  # or a later stage would start from the model of before
        path.unlink(missing_ok=True)
    config = _config(recipe, data)
    if not path.exists():
        if left := checkpoint.latest(folder):
            raise RunMismatch(
                f"{left} is a checkpoint without a config.json that says what made it. "
                "Begin anew with --fresh, or train into another folder."
            )
        atomic.write_text(path, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
        return config
    try:
        begun: dict[str, Any] = bounded_json.read(path, kind=dict, error=RunMismatch)
        before = _flat(without_nulls({"recipe": begun["recipe"], "data": begun["data"]}))
    except (RunMismatch, LookupError, TypeError) as error:
        raise RunMismatch(
            f"{path} is damaged ({error}). Begin anew with --fresh, or train into another folder."
        ) from error
    now = _flat(without_nulls({"recipe": config["recipe"], "data": config["data"]}))
    for key in [key for key in now if key.startswith("data.") and key not in before]:
        del now[key]  # an earlier release did not write it
    differing = _differences(before, now)
    if how := [differing.pop(key) for key in [*differing] if key.removeprefix("recipe.") in HOW]:
        log(f"{folder} was begun with other settings that change no more than rounding: {'; '.join(how)}.")
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise RunMismatch(
            f"{folder} was begun with another recipe or other data: {'; '.join([*differing.values()][:SHOWN])}{more}. "
            "Resume with what began it, forget it with --fresh, or train into another folder."
        )
    for name in ("git", "versions", "threads"):
        if begun.get(name) != config[name]:
            log(f"{folder} was begun with {name} {begun.get(name)}, now {config[name]}: results may differ.")
    return begun


def without_nulls(value: Any) -> Any:
    """A recipe as JSON without the keys that are null: a release knows keys that an earlier one did not write."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _config(recipe: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    # Through JSON and back, so that tuples and paths compare equal to what config.json holds.
    inputs = json.loads(json.dumps({"recipe": recipe, "data": data}, ensure_ascii=False, default=str))
    packages = {name: version(name) for name in ("torch", "transformers")}
    return {
        **inputs,
        "git": _git(),
        "versions": {"araclip": __version__, "python": platform.python_version(), **packages},
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git() -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it, of the working directory's repository; None outside of one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {name: leaf for k, v in value.items() for name, leaf in _flat(v, f"{key}.{k}" if key else k).items()}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Of each key that differs a line that says how."""

    def shown(values: Mapping[str, Any], key: str) -> str:
        return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"

    keys = sorted(before.keys() | now.keys())
    return {
        key: f"{key} was {shown(before, key)}, now {shown(now, key)}"
        for key in keys
        if shown(before, key) != shown(now, key)
    }
