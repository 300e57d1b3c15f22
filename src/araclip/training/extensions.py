"""What a family of models adds to the toolkit, by name: its modules are imported once a model or a recipe names it.

araclip-mini is the one family today, see `mini`. Nothing else of training imports a module of a family.
"""

from importlib import import_module
from typing import Any

_MINI = "araclip.training.mini"
CONFIGURATION = f"{_MINI}.configuration"  # registers those of towers; settings of heads and their check
TOWERS = f"{_MINI}.branches"  # registers towers with transformers
HEADS = dict.fromkeys(("query_bank", "names"), f"{_MINI}.heads")  # setting of AraCLIPConfig → projections that read it
CACHED_MAPS = f"{_MINI}.frozen_features"  # training on the cached maps of a convolutional tower's frozen blocks
PACKAGED_TOWERS = f"{_MINI}.packaged_towers"  # pretrained towers by the names of packages
RECIPE = f"{_MINI}.recipe"  # adds to `recipe.stages.KINDS`
STAGES = {  # kind of a stage → module and function that run it
    "ensemble": (f"{_MINI}.joining", "ensemble"),
    "average": (f"{_MINI}.joining", "average"),
    "query_bank": (f"{_MINI}.query_bank", "query_bank"),
    "names": (f"{_MINI}.naming", "names"),
    "distill_images": (f"{_MINI}.distilling", "distill_images"),
}


def load(module: str) -> Any:
    """A module of a family, by one of the names above."""
    return import_module(module)


def heads_of(config: Any) -> Any:
    """The module whose projections a model has by its configuration; None where they are plain."""
    return next((load(module) for setting, module in HEADS.items() if getattr(config, setting)), None)


def stage(kind: str) -> Any:
    """What runs a kind of stage that a family adds."""
    module, function = STAGES[kind]
    return getattr(load(module), function)
