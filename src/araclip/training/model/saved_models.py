"""Saves a model with its processor, loads it (unchanged or with plain projections), unpacks it from a model folder."""

from pathlib import Path

import torch

from araclip.core import atomic
from araclip.errors import RecipeError, TrainingError
from araclip.models import folder as model_folder
from araclip.training import extensions
from araclip.training.failures import failures
from araclip.training.model import foreign
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor

ModelAndProcessor = tuple[AraCLIPModel, AraCLIPProcessor]


def load_plain(folder: Path) -> ModelAndProcessor:
    """Load a saved model without query bank (against hubness) and names part (for class names), to train it further."""
    model, processor = load_model(folder)
    return plain(model), processor


def plain(model: AraCLIPModel) -> AraCLIPModel:
    """Return the model without query bank (against hubness) and names part (for class names), on the same towers."""
    heads = extensions.heads_of(model.config)
    found: AraCLIPModel = heads.plain(model) if heads else model
    return found


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
