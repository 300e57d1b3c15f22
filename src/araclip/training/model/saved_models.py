"""Saves a model with its processor, loads it (unchanged or with plain projections), unpacks it from a model folder."""

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from araclip.core import atomic
from araclip.errors import RecipeError, TrainingError
from araclip.models import folder as model_folder
from araclip.training.failures import failures
from araclip.training.model import foreign
from araclip.training.model.branches import first_branches
from araclip.training.model.configuration import QUERY_BANK_AXES, names_alone, own_width
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor

ModelAndProcessor = tuple[AraCLIPModel, AraCLIPProcessor]


def load_plain(folder: Path) -> ModelAndProcessor:
    """Load a saved model without query bank (against hubness) and names part (for class names), to train it further."""
    model, processor = load_model(folder)
    return plain(model), processor


def plain(model: AraCLIPModel) -> AraCLIPModel:
    """Return the model without query bank (against hubness) and names part (for class names), on the same towers."""
    return without_query_bank(without_names(model))


@torch.no_grad()
def without_names(model: AraCLIPModel) -> AraCLIPModel:
    """Take the names part (numbers for class names) off, and a branch of the tower that served only it.

    Return a new model, or `model` if it has no names part.
    """
    config = model.config
    if not config.names:
        return model
    tower = model.vision_model
    if alone := names_alone(config):
        tower = first_branches(tower, alone)
    none = dict.fromkeys(("names", "name_classes", "name_exclusive", "name_features", "name_features_shared"), 0)
    plain = rebuilt(model, tower, projection_dim=own_width(config), **none)
    plain.text_projection.load_state_dict(model.text_projection.captions.state_dict())
    plain.visual_projection.load_state_dict(model.visual_projection.captions.state_dict())
    return plain


@torch.no_grad()
def without_query_bank(model: AraCLIPModel) -> AraCLIPModel:
    """Take the query bank (its correction against hubness) off; return a new model that shares the towers.

    Its vectors keep their width: they are 0 on the two axes that made room for the query bank.
    A model without a query bank is returned unchanged.
    """
    if not model.config.query_bank:
        return model
    plain = rebuilt(model, query_bank=0)
    for head in ("text_projection", "visual_projection"):
        ours, theirs = getattr(plain, head), getattr(model, head).linear
        ours.weight.copy_(pad(theirs.weight, (0, 0, 0, QUERY_BANK_AXES)))
        ours.bias.copy_(pad(theirs.bias, (0, QUERY_BANK_AXES)))
    return plain


@torch.no_grad()
def rebuilt(model: AraCLIPModel, tower: Any = None, **changes: float) -> AraCLIPModel:
    """Make a model with other settings, the same towers (or `tower` as image tower) and random projections."""
    tower = tower or model.vision_model
    settings = {**model.config.to_dict(), **changes, "vision_config": tower.config.to_dict()}
    other = AraCLIPModel(type(model.config).from_dict(settings), model.text_model, tower)
    for scalar in ("logit_scale", "logit_bias"):  # copied if the model has them: only the sigmoid loss has a bias
        if hasattr(model, scalar):
            getattr(other, scalar).copy_(getattr(model, scalar))
    return other


def load_model(folder: Path) -> ModelAndProcessor:
    """Load the model and processor that `save_model` wrote, in float32; raise RecipeError if the folder is unusable."""

    with failures(f"the model in {folder}", "run the stage that made it again, or name another folder", RecipeError):
        foreign.check_folder(folder)
        return AraCLIPModel.from_pretrained(folder, dtype=torch.float32), AraCLIPProcessor.from_pretrained(folder)


def unpack(name_or_path: str | Path) -> ModelAndProcessor:
    """Rebuild the AraCLIPModel that a bundled model or a model folder was exported from; return its processor, too."""
    folder = model_folder.find(name_or_path)
    return AraCLIPModel.from_pretrained(folder), AraCLIPProcessor.from_pretrained(folder)


def save_model(folder: Path, model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """Save a model and its processor to a folder that transformers, sentence-transformers and `araclip export` read.

    If the process is killed, the folder is complete or missing. An existing folder is replaced.
    """

    def fill(part: Path) -> None:
        model.save_pretrained(part)
        processor.save_pretrained(part)

    # errors of safetensors and tokenizers, as on a full disk, become a TrainingError
    with failures(folder, "make room, then start it again without --fresh", TrainingError, cannot="be written"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_folder(folder, fill)
