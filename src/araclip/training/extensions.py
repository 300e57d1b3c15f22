"""Names the modules that a model family adds to the toolkit.

A model family is a group of models with parts of their own; araclip-mini is the only family today, see `mini`. A module
is imported when a model or recipe needs it. The rest of `training` reaches a family's modules only through here.
"""

from importlib import import_module
from typing import Any

_MINI = "araclip.training.mini"
CONFIGURATION = f"{_MINI}.configuration"  # module with the configurations of towers and projection heads
TOWERS = f"{_MINI}.branches"  # module that registers the family's image towers with transformers
# setting of AraCLIPConfig → module that defines the projections of a model with this setting
HEADS = dict.fromkeys(("query_bank", "names"), f"{_MINI}.heads")
CACHED_MAPS = f"{_MINI}.frozen_features"  # module that trains on the cached output of frozen blocks
PACKAGED_TOWERS = f"{_MINI}.packaged_towers"  # module that loads pretrained towers from Python packages
RECIPE = f"{_MINI}.recipe"  # module that adds kinds of stages to `recipe.stages.KINDS`
STAGES = {  # kind of a stage → module and function that run it
    "ensemble": (f"{_MINI}.joining", "ensemble"),
    "average": (f"{_MINI}.joining", "average"),
    "query_bank": (f"{_MINI}.query_bank", "query_bank"),
    "names": (f"{_MINI}.naming", "names"),
    "distill_images": (f"{_MINI}.distilling", "distill_images"),
}


def load(module: str) -> Any:
    """Import a module of a model family (araclip-mini) by its full name; this file's constants hold the names."""
    return import_module(module)


def heads_of(config: Any) -> Any:
    """Return the module with a configuration's projections; None if these are plain (linear, or the identity)."""
    return next((load(module) for setting, module in HEADS.items() if getattr(config, setting)), None)


def stage(kind: str) -> Any:
    """Return the function that runs a kind of stage which a model family (araclip-mini) adds to recipes."""
    module, function = STAGES[kind]
    return getattr(load(module), function)
