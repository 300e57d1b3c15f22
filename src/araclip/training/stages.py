"""A recipe's stages, one or all of them in order."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from araclip import atomic
from araclip.training.distill import distill
from araclip.training.finetune import finetune
from araclip.training.linear import linear
from araclip.training.recipe import Recipe
from araclip.training.watch import Watch

RUN: Mapping[str, Callable[..., dict[str, float]]] = {"linear": linear, "distill": distill, "finetune": finetune}


def run_stage(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Run one stage, or go on with it where it was stopped.

    Returns:
        Dev recall of its result, empty without a dev set; also in `runs/<name>/result.json`.
    """
    recall = RUN[recipe.stage(name).kind](recipe, name, runs, watch, fresh=fresh)
    atomic.write_text(runs / name / "result.json", json.dumps(recall, indent=2) + "\n")
    return recall


def run_all(recipe: Recipe, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, dict[str, float]]:
    """Run the stages that `stages` lists, in order; one that has a result is not run again unless `fresh`."""
    results = {}
    for name in recipe.order:
        done = runs / name / "result.json"
        if done.exists() and not fresh:
            watch.say(f"{name} is done ({done}); --fresh does it again")
            results[name] = json.loads(done.read_text(encoding="utf-8"))
            continue
        results[name] = run_stage(recipe, name, runs, watch, fresh=fresh)
    return results
